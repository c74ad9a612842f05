"""The conflicts of a school: those that wait for a person, and the log that keeps both values of those that do not.

A conflict is a mark on its record (`records`), decided by `choosing`; here is what people are shown of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.database import Database, Transaction, from_json, to_json
from services.entities import SPECS
from services.exchange.absorb import Replicated
from services.exchange.canonical import Json
from services.exchange.change import WHOLE
from services.replica import records
from services.replica.choosing import How, Settled, choices, settled
from services.replica.records import Key


@dataclass(frozen=True, slots=True)
class OpenConflict:
    """A conflict that waits: `mine` and `theirs` are the field's values, or of `*` the two records (None: deleted).

    `choices` are those that may be made; `ancestor`, with `*`, is the record that both sides came from.
    """

    entity: str
    record_id: str
    field: str
    mine: Json
    theirs: Json
    ancestor: Mapping[str, Any] | None
    choices: tuple[str, ...]

    def command(self, npsn: str) -> str:
        """What to type to decide it."""
        field = f"'{WHOLE}'" if self.field == WHOLE else self.field
        return f"selaras decide {npsn} {self.entity} {self.record_id} {field} {'|'.join(self.choices)}"


@dataclass(frozen=True, slots=True)
class Logged:
    """A row of the conflict log. `actor`: the person who chose, if one did; `channel`: where an overruled field may be
    changed.
    """

    at: datetime
    entity: str
    record_id: str
    field: str
    mine: Json
    theirs: Json
    version: int
    how: str
    actor: str | None
    channel: str | None


def shown(value: Json) -> str:
    """A value as people read it: a text as it is, anything else as JSON; an empty field as a dash."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else to_json(value)


async def waiting(transaction: Transaction, npsn: str) -> list[OpenConflict]:
    """Every conflict of the school that waits for a person, by entity, record and field."""
    return [
        conflict
        for (entity, record_id), record in (await records.in_conflict(transaction, npsn)).items()
        for conflict in of_record(entity, record_id, record)
    ]


async def log(transaction: Transaction, npsn: str) -> list[Logged]:
    """The school's conflict log, oldest first."""
    rows = await transaction.rows(
        """
        SELECT at, entity, record_id, field, CAST(mine AS text) AS mine, CAST(theirs AS text) AS theirs, version, how,
               actor
        FROM overruled WHERE npsn = :npsn ORDER BY id
        """,
        npsn=npsn,
    )
    return [
        Logged(
            r.at, r.entity, r.record_id, r.field, from_json(r.mine), from_json(r.theirs), r.version, r.how, r.actor,
            _channel(r.entity, r.field) if r.how == "overruled" else None,
        )
        for r in rows
    ]  # fmt: skip


async def note_settled(
    transaction: Transaction,
    npsn: str,
    before: Mapping[Key, Replicated],
    after: Mapping[Key, Replicated],
    actor: str,
) -> None:
    """Log the conflicts that `actor` ended in making `after` of `before`."""
    ended: dict[How, list[tuple[Key, Settled]]] = {}
    for key, record in after.items():
        for one in settled(before.get(key, records.NOTHING), record):
            ended.setdefault(one.how, []).append((key, one))
    for how, entries in ended.items():
        logged = [(key, one.values, after[key].base.version) for key, one in entries]
        await records.log_overruled(transaction, npsn, logged, how=how, actor=actor)


async def read(database: Database, npsn: str, *, logged: bool) -> Sequence[OpenConflict] | Sequence[Logged] | None:
    """The open conflicts, or the log; None if the school is not registered here."""
    async with database.transaction() as transaction:
        if not await transaction.value("SELECT 1 FROM school WHERE npsn = :npsn", npsn=npsn):
            return None
        return await log(transaction, npsn) if logged else await waiting(transaction, npsn)


def of_record(entity: str, record_id: str, record: Replicated) -> list[OpenConflict]:
    """The conflicts of one record that wait for a person."""
    if record.conflict is None:
        return []
    mine, theirs = record.data, record.base.fields
    if record.conflict.whole:
        may = choices(entity, record, WHOLE)
        return [OpenConflict(entity, record_id, WHOLE, mine, theirs, record.conflict.ancestor, may)]
    return [
        OpenConflict(
            entity, record_id, field, (mine or {}).get(field), (theirs or {}).get(field), None,
            choices(entity, record, field),
        )
        for field in sorted(record.conflict.fields)
    ]  # fmt: skip


def _channel(entity: str, field: str) -> str | None:
    spec = SPECS.get(entity)
    return spec.channel_of(field) if spec else None
