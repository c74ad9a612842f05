"""Is a database what its image is, and do both say the same? What differs is named, with both values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from services.central import registry, schools
from services.database import Database, from_json
from services.exchange import canonical
from services.exchange.digest import root as root_of
from services.messages import (
    Message,
    SessionBehind,
    SessionEqual,
    SessionGranted,
    SessionPage,
    SessionRefusal,
    SessionResult,
    SessionStale,
)
from services.replica import records, sessions, standing
from services.replica.requests import School as Known
from tests.simulation import central as at_central
from tests.simulation import site as at_site


class Differs(AssertionError):
    """The database and its image are no longer the same."""


def same(what: str, real: Any, image: Any) -> None:
    """Raises Differs; of mappings only what differs is shown."""
    if real == image:
        return
    if isinstance(real, Mapping) and isinstance(image, Mapping):
        keys = sorted(key for key in real.keys() | image.keys() if real.get(key) != image.get(key))
        real, image = {key: real.get(key) for key in keys}, {key: image.get(key) for key in keys}
    raise Differs(f"{what}: the database has\n{real}\nand the image\n{image}")


async def compare_site(database: Database, here: at_site.School) -> None:
    """Every record with all that is known of it, the school's row, the conflict log, the statements."""
    npsn = here.npsn
    async with database.transaction() as transaction:
        rows = await transaction.rows("SELECT * FROM record WHERE npsn = :npsn", npsn=npsn)
        school = await transaction.row("SELECT * FROM school WHERE npsn = :npsn", npsn=npsn)
        overruled = await transaction.rows(
            """
            SELECT entity, record_id, field, CAST(mine AS text) AS mine, CAST(theirs AS text) AS theirs
            FROM overruled WHERE npsn = :npsn AND how = 'overruled'
            """,
            npsn=npsn,
        )
        stated = await transaction.rows("SELECT session, kind, root FROM statement WHERE npsn = :npsn", npsn=npsn)
        root = await standing.root(transaction, npsn)
    held = {(row.entity, row.record_id): records.of_row(row) for row in rows}
    same("records", held, here.records)
    pending = {key for key, record in here.records.items() if record.pending}
    same("pending", {(row.entity, row.record_id) for row in rows if row.pending}, pending)
    refusals = {
        (row.entity, row.record_id): [one["field"] or "" for one in from_json(row.refusal)]
        for row in rows
        if row.refusal is not None
    }
    same("refusals", refusals, here.refusals)
    same("root", root, root_of(at_site.digests(here.records)))
    told = [((r.entity, r.record_id), r.field, from_json(r.mine), from_json(r.theirs)) for r in overruled]
    same("overruled", _sorted(told), _sorted(here.overruled))
    given = [(one["session"], one["kind"], one["root"]) for one in here.statements]
    same("statements", sorted((r.session, r.kind, r.root) for r in stated), sorted(given))
    assert school is not None
    names = ("install_id", "cursor", "settled", "highest_seq", "restoring_as_of", "revision")
    same("school", {n: getattr(school, n) for n in names}, {n: getattr(here, n) for n in names})
    same("epoch", school.lease_epoch, here.epoch)
    same("marks", from_json(school.marks), here.marks)
    same("lineage", from_json(school.lineage), here.lineage)
    same("restoring", school.restoring_since is not None, here.restoring)
    await _compare_recovery(database, here)


async def _compare_recovery(database: Database, here: at_site.School) -> None:
    """What is set aside, and how far that has come back."""
    async with database.transaction() as transaction:
        rows = await transaction.rows("SELECT * FROM set_aside WHERE npsn = :npsn", npsn=here.npsn)
        under_way = await transaction.row("SELECT * FROM recovery WHERE npsn = :npsn", npsn=here.npsn)
    real = {
        (r.entity, r.record_id): (r.version, r.seq, r.text and canonical.decode(r.text), r.is_rolled_back, r.is_given)
        for r in rows
    }
    image = {
        key: (one.base.version, one.base.seq, one.base.fields, one.rolled_back, one.given)
        for key, one in here.aside.items()
    }
    same("set aside", real, image)
    recovery = under_way and (under_way.life, under_way.common, under_way.is_rewound)
    mine = here.recovery and (here.recovery.life, here.recovery.common, here.recovery.rewound)
    same("the recovery", recovery, mine)


async def compare_central(database: Database, there: at_central.School) -> None:
    """Every version there ever was, the school's row, and the root over what is there now."""
    npsn = there.npsn
    async with database.transaction() as transaction:
        school = await schools.lock(transaction, npsn)
        rows = await transaction.rows(
            """
            SELECT entity, record_id, version, seq, text, written_session, NULL AS superseded_seq
            FROM record WHERE npsn = :npsn
            UNION ALL
            SELECT entity, record_id, version, seq, text, written_session, superseded_seq
            FROM history WHERE npsn = :npsn
            """,
            npsn=npsn,
        )
        roots = await registry.roots(transaction, npsn)
    versions = {r.seq: ((r.entity, r.record_id), r.version, r.text, r.written_session, r.superseded_seq) for r in rows}
    same("number of versions", len(rows), len(there.log))
    same("versions", versions, {v.seq: (v.key, v.version, v.text, v.session, _superseded(there, v)) for v in there.log})
    assert school is not None
    names = ("head_seq", "confirmed_seq", "delivered_seq", "session", "install_id", "mark", "mark_open_id", "as_of")
    same("school", {n: getattr(school, n) for n in names}, {n: getattr(there, n) for n in names})
    same("root", roots.root, root_of(at_central.digests(v[-1] for v in there.records.values())).hex())


def _superseded(there: at_central.School, version: at_central.Version) -> int | None:
    later = [one for one in there.records[version.key] if one.seq > version.seq]
    return later[0].seq if later else None


def _sorted(log: Any) -> Any:
    return sorted(log, key=repr)


def seen(outcome: Any) -> Any:
    """What session code goes by, of what a step at the site comes to."""
    if isinstance(outcome, Exception):
        return type(outcome)
    if isinstance(outcome, tuple):
        return tuple(map(seen, outcome))
    if isinstance(outcome, sessions.Gate):
        return outcome.changes, outcome.problem and outcome.problem.code, seen(outcome.opening)
    if isinstance(outcome, sessions.Opening):
        return seen(outcome.school), outcome.stated, outcome.proof is None, outcome.is_recovering
    if isinstance(outcome, Known):
        names = (
            "npsn",
            "install_id",
            "cursor",
            "settled",
            "highest_seq",
            "lineage",
            "marks",
            "restoring_as_of",
        )
        return {name: getattr(outcome, name) for name in names}
    return outcome


def alike(answer: Message) -> Any:
    """An answer without what only the database knows: texts of findings, times, what a statement says beside."""
    if isinstance(answer, SessionRefusal):
        return answer.problem.code
    if isinstance(answer, SessionEqual):
        names = ("incarnation", "session", "kind", "head_seq", "root", "unsent", "held", "refused")
        return {name: answer.statement[name] for name in names}
    if isinstance(answer, SessionResult):
        verdicts = [replace(verdict, findings=[]) for verdict in answer.verdicts]
        fields = [[finding.field for finding in verdict.findings if finding.field] for verdict in answer.verdicts]
        return answer.model_dump(exclude={"verdicts"}), verdicts, fields
    if isinstance(answer, SessionGranted):
        came = [alike(one) if one else None for one in (answer.result, answer.equal)]
        return answer.type, answer.model_dump(exclude={"result", "equal"}), came
    return answer.type, answer.model_dump()


def outcomes(answer: Message) -> list[str]:
    """What is worth counting in an answer: a machine that never gets it proves nothing of it."""
    if isinstance(answer, SessionRefusal):
        return [answer.problem.code]
    if isinstance(answer, SessionResult):
        locked = ["locked"] * any(verdict.locked for verdict in answer.verdicts)
        return [verdict.verdict for verdict in answer.verdicts] + locked + _of_page(answer.page)
    if isinstance(answer, SessionStale | SessionBehind):
        return [answer.type]
    if isinstance(answer, SessionGranted):
        taken = [*outcomes(answer.result), "changes taken early"] if answer.result else []
        return taken + ["equal early"] * bool(answer.equal) + _of_page(answer.page)
    return _of_page(getattr(answer, "page", answer))


def _of_page(page: Any) -> list[str]:
    """Of a page, if it is one."""
    if not isinstance(page, SessionPage):
        return []
    return ["covered"] * any(row.covers for row in page.rows) + ["several pages"] * (not page.complete)


__all__ = ["Differs", "alike", "compare_central", "compare_site", "outcomes", "same", "seen"]
