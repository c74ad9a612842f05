"""After central was put back from a backup: what came back from which school, what did not, who has not been seen yet;
and what officers make of what is listed for them (protocol.md 6).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.central import history, lives, registry, revising, schools
from services.central.administration import Refused
from services.central.lives import Begun
from services.central.recovering import ACCEPTED, DISMISSED, OPEN
from services.central.registry import NewVersion, Stored
from services.database import Database, Transaction, from_json
from services.entities import INTEGER_LIMIT, SPECS, Fields
from services.exchange import canonical
from services.exchange.canonical import same
from services.messages import OfficerChange
from services.problems import problem

State = Literal["open", "accepted", "dismissed"]


@dataclass(frozen=True, slots=True)
class Returned:
    """A school that was seen in the present life. Records that came back (`taken`), and that did not: `moved` since at
    central, `unproven`; `older`: what an installation wrote that another one has replaced; `listed`: of all these,
    those that wait for officers. `equal_at`: the first statement of this life.
    """

    npsn: str
    nama: str
    equal_at: datetime
    taken: int
    moved: int
    unproven: int
    older: int
    listed: int


@dataclass(frozen=True, slots=True)
class Missing:
    """A school that has an installation and has not been seen in the present life; `last` statement of another one."""

    npsn: str
    nama: str
    site: str | None
    last: datetime | None


@dataclass(frozen=True, slots=True)
class Report:
    """How central stands since its present life began. `lives` is how many it has had; 1: it was never put back.

    `schools` seen in it, those with something to tell first; `unseen` of them at most as many as were asked for, of
    `unseen_count`.
    """

    life: Begun
    lives: int
    seen: int
    schools: list[Returned]
    unseen_count: int
    unseen: list[Missing]


@dataclass(frozen=True, slots=True)
class Listed:
    """A record that is listed: as the life before had it (`text`; None: deleted), as central has it (`now`), and as it
    was when the present life began (`begun`).

    `why`: moved or unproven; written: by an installation that another one has replaced. `is_proven`: central signed it.
    """

    npsn: str
    id: int
    entity: str
    record_id: str
    version: int
    text: str | None
    why: str
    is_proven: bool
    state: State
    at: datetime
    now: Stored | None
    begun: Stored | None = None

    @property
    def fields(self) -> Fields | None:
        """As the life before had it; None: deleted, or there is only what central has."""
        return None if self.text is None else canonical.decode(self.text)


async def report(database: Database, *, unseen: int = 100) -> Report:
    """What the present life has seen; of the schools that it has not, at most `unseen` by name."""
    async with database.transaction() as transaction:
        await lives.current(transaction)
        life = await lives.present(transaction)
        number = await transaction.value("SELECT count(*) FROM incarnation")
        rows = await transaction.rows(
            """
            SELECT s.npsn, s.nama, t.at, coalesce(g.taken, 0) AS taken, coalesce(g.moved, 0) AS moved,
                   coalesce(g.unproven, 0) AS unproven, coalesce(g.older, 0) AS older, coalesce(g.listed, 0) AS listed
            FROM (SELECT npsn, min(at) AS at FROM statement WHERE incarnation = :life GROUP BY npsn) AS t
            JOIN school s ON s.npsn = t.npsn
            LEFT JOIN (
                SELECT npsn, count(*) FILTER (WHERE outcome = 'taken') AS taken,
                       count(*) FILTER (WHERE outcome = 'moved') AS moved,
                       count(*) FILTER (WHERE outcome = 'unproven') AS unproven,
                       count(*) FILTER (WHERE outcome = 'written') AS older,
                       count(*) FILTER (WHERE state = 'open') AS listed
                FROM given_back WHERE incarnation = :life GROUP BY npsn
            ) AS g ON g.npsn = s.npsn
            ORDER BY g.npsn IS NULL, s.npsn
            """,
            life=life.incarnation,
        )
        absent = await transaction.rows(
            """
            SELECT s.npsn, s.nama, s.site, count(*) OVER () AS n,
                   (SELECT max(at) FROM statement t WHERE t.npsn = s.npsn) AS last
            FROM school s
            WHERE s.install_id IS NOT NULL
              AND NOT EXISTS (SELECT 1 FROM statement t WHERE t.npsn = s.npsn AND t.incarnation = :life)
            ORDER BY s.npsn LIMIT :unseen
            """,
            life=life.incarnation,
            unseen=unseen,
        )
    return Report(
        life,
        int(number),
        len(rows),
        [Returned(r.npsn, r.nama, r.at, r.taken, r.moved, r.unproven, r.older, r.listed) for r in rows],
        absent[0].n if absent else 0,
        [Missing(r.npsn, r.nama, r.site, r.last) for r in absent],
    )


async def listed(database: Database, npsn: str | None = None, *, every: bool = False, most: int = 1000) -> list[Listed]:
    """What waits for officers, of a school or of all; `every`: what they have decided, too. At most `most`."""
    which = "state IS NOT NULL" if every else "state = 'open'"
    which += " AND npsn = :npsn" if npsn is not None else ""
    async with database.transaction() as transaction:
        rows = await transaction.rows(
            f"SELECT * FROM given_back WHERE {which} ORDER BY npsn, id LIMIT :most",  # noqa: S608  of the literals above
            most=most,
            **({} if npsn is None else {"npsn": npsn}),
        )
        return await _with_present(transaction, rows)


async def decide(database: Database, npsn: str, ids: Sequence[int], choice: State, *, by: str) -> list[Listed]:
    """Accept what is listed (central's part of it is written, as an officer's change) or dismiss it; all or none.

    Empty `ids`: all that is open of the school. Raises Refused: PUSAT-04, PUSAT-07 for an id that is not open, or what
    stands against a change.
    """
    async with database.transaction() as transaction:
        school = await schools.lock(transaction, npsn)
        if school is None:
            raise Refused(problem("PUSAT-04"))
        rows = await transaction.rows(
            """
            SELECT * FROM given_back
            WHERE npsn = :npsn AND state = 'open' AND (cardinality(CAST(:ids AS bigint[])) = 0 OR id = ANY(:ids))
            ORDER BY id
            """,
            npsn=npsn,
            ids=list(ids),
        )
        if unknown := set(ids) - {row.id for row in rows}:
            raise Refused(problem("PUSAT-07", ids=", ".join(map(str, sorted(unknown)))))
        chosen = await _with_present(transaction, rows)
        if choice == ACCEPTED:
            await _write(transaction, school, [one for one in chosen if one.why != "written"], by)
        await transaction.run(
            """
            UPDATE given_back SET state = :state, decided_by = :by, decided_at = now()
            WHERE npsn = :npsn AND id = ANY(:ids)
            """,
            npsn=npsn,
            state=choice,
            by=by,
            ids=[one.id for one in chosen],
        )
    return chosen


async def _with_present(transaction: Transaction, rows: Sequence[Any]) -> list[Listed]:
    now: dict[tuple[str, str, str], Stored] = {}
    shared: dict[tuple[str, str, str, str], Stored] = {}
    for npsn in dict.fromkeys(row.npsn for row in rows):
        keys = {(row.entity, row.record_id) for row in rows if row.npsn == npsn}
        now |= {(npsn, *key): stored for key, stored in (await registry.read(transaction, npsn, keys)).items()}
        lineage = from_json(await transaction.value("SELECT lineage FROM school WHERE npsn = :npsn", npsn=npsn))
        seq = INTEGER_LIMIT
        for life in (lineage or ())[1:]:  # of which life a record was, nobody knows: the earliest parting
            incarnation, seq = life["incarnation"], min(seq, life["head_seq"])
            of_life = {(r.entity, r.record_id) for r in rows if (r.npsn, r.incarnation) == (npsn, incarnation)}
            for stored in await history.of_keys(transaction, npsn, of_life, seq) if of_life else ():
                shared[npsn, incarnation, stored.entity, stored.record_id] = stored
    return [
        Listed(
            r.npsn, r.id, r.entity, r.record_id, r.version, r.text, r.outcome, r.is_proven, r.state, r.at,
            now.get((r.npsn, r.entity, r.record_id)), shared.get((r.npsn, r.incarnation, r.entity, r.record_id)),
        )
        for r in rows
    ]  # fmt: skip


async def _write(transaction: Transaction, school: schools.School, chosen: Sequence[Listed], by: str) -> None:
    revision = await revising.revise(transaction, school.npsn, [accepted(one) for one in chosen])
    for problems in revision.problems.values():
        raise Refused(problems[0])
    moved = [draft for draft in revision.drafts.values() if draft.moved]
    versions = [NewVersion(draft.entity, draft.record_id, draft.version, draft.text) for draft in moved]
    await registry.write(transaction, school, versions, by=by, session=None)


def accepted(one: Listed) -> OfficerChange:
    """What accepting writes: of a record that is there, what only central may say and nobody has changed since; else
    all of it.
    """
    given, present = one.fields, one.now.fields if one.now else None
    version = one.now.version if one.now else 0
    if given is None:
        return OfficerChange(entity=one.entity, record_id=one.record_id, op="delete", version=version)
    spec = SPECS.get(one.entity)
    values = dict(given)
    if present is not None and spec is not None:
        begun = (one.begun.fields if one.begun else None) or {}
        values = {
            name: given.get(name)
            for name in given.keys() | present.keys()
            if spec.is_central(name, given) and same(present.get(name), begun.get(name))
        }
    return OfficerChange(entity=one.entity, record_id=one.record_id, version=version, fields=values)


__all__ = ["ACCEPTED", "DISMISSED", "OPEN", "Listed", "Report", "accepted", "decide", "listed", "report"]
