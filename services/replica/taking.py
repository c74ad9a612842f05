"""Taking in what central holds, record by record: most of it in one statement, the rest merged one by one.

Each function is a part of a transaction of `services.replica.sessions`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.database import Transaction
from services.entities import SPECS
from services.exchange import canonical
from services.exchange.absorb import Base, Overruled, Replicated, absorb, clear_sent
from services.exchange.canonical import same_fields
from services.exchange.change import Change
from services.exchange.merge import expected
from services.messages import PageRow, RecordVerdict
from services.replica import records
from services.replica.records import Key


@dataclass(frozen=True, slots=True)
class Merged:
    """Records after they were merged with what central holds; did data, a mark or a refusal change?"""

    after: Mapping[Key, Replicated]
    changed: bool


async def take_as_shown(transaction: Transaction, npsn: str, shown: Mapping[Key, PageRow]) -> dict[Key, records.Shown]:
    """Most of a page, as `absorb` would decide it (its rule 2: nobody has typed), without a record being looked at."""
    for row in shown.values():
        _fields(row.text)  # raises NotCanonical: what is no record is not taken for one
    if not shown:
        return {}
    return await records.take_as_shown(
        transaction, npsn, {key: (row.version, row.seq, row.text) for key, row in shown.items()}
    )


def moved(
    shown: Mapping[Key, PageRow], taken: Mapping[Key, records.Shown]
) -> tuple[dict[Key, Replicated], dict[Key, Replicated]]:
    """The records whose data changed as they were taken, before and after. Raises NotCanonical for a text that a hand
    made unreadable.
    """
    before, after = {}, {}
    for key, was in taken.items():
        if was.changed:
            row = shown[key]
            fields = _fields(row.text)
            after[key] = Replicated(Base(row.version, row.seq, fields), fields)
            if was.before is not None:
                before[key] = Replicated(Base(0, 0, None), _fields(was.before))
    return before, after


async def take_as_sent(transaction: Transaction, npsn: str, verdicts: Mapping[Key, RecordVerdict]) -> set[Key]:
    """Most of a batch, as `absorb` would decide it: what central took as it was sent, and nobody has typed over."""
    plain = {
        key: (answer.version, answer.seq)
        for key, answer in verdicts.items()
        if answer.verdict in ("applied", "unchanged") and answer.version and not (answer.carries or answer.locked)
    }
    return await records.take_as_sent(transaction, npsn, plain) if plain else set()


async def absorb_all(
    transaction: Transaction, npsn: str, theirs: Mapping[Key, Sequence[Base]], held: Mapping[Key, Replicated]
) -> Merged:
    """Merge what central holds, version by version, into the records."""
    if not theirs:
        return Merged({}, changed=False)
    after: dict[Key, Replicated] = {}
    overruled: list[tuple[Key, Overruled, int]] = []
    changed = False
    for key, versions in theirs.items():
        record = held.get(key, records.NOTHING)
        for version in versions:
            absorbed = absorb(record, version, SPECS.get(key[0]))
            record = absorbed.record
            overruled += [(key, one, version.version) for one in absorbed.overruled]
            changed = changed or absorbed.changed_data
        after[key] = record
    went = await records.write(transaction, npsn, after)
    await records.log_overruled(transaction, npsn, overruled)
    dropped = await records.drop_refusals(transaction, npsn)
    return Merged(after, changed or went or dropped > 0)


def shown_by(row: PageRow, held: Replicated | None) -> list[Base]:
    """What a page shows of one record: its newest version, after the one of ours that it hides, if we never heard of
    it.
    """
    newest = Base(row.version, row.seq, _fields(row.text))
    hidden = row.covers
    if hidden is None or held is None or held.sent is None or held.base.version >= hidden.version:
        return [newest]
    return [Base(hidden.version, hidden.seq, _fields(hidden.text)), newest]  # trap: what a later hand hides


def has_arrived(held: Replicated, newest: Base) -> bool:
    """Does central hold what was sent and not answered?"""
    return held.sent is not None and same_fields(held.sent.fields, newest.fields)


async def clear_doubt(transaction: Transaction, npsn: str) -> bool:
    """What central did not show, it does not have. Did a refusal go with a record that was deleted here since?"""
    doubtful = await records.sent(transaction, npsn)
    return await records.write(transaction, npsn, {key: clear_sent(record) for key, record in doubtful.items()})


def as_answered(held: Replicated, change: Change, verdict: RecordVerdict) -> Base:
    """The record as central now holds it: as the verdict carries it, or as this side computes it."""
    if verdict.carries:
        return Base(verdict.version, verdict.seq, _fields(verdict.text))
    if change.op == "delete":
        return Base(verdict.version, verdict.seq, None)
    return Base(verdict.version, verdict.seq, expected(held.base.fields, change, verdict.locked))


async def note_refusals(
    transaction: Transaction,
    npsn: str,
    verdicts: Mapping[Key, RecordVerdict],
    held: Mapping[Key, Replicated],
    absorbed: Mapping[Key, Sequence[Base]],
) -> bool:
    """Keep central's findings with what it refused; any other verdict takes an older refusal off. Did any change?"""
    refused = {key: verdict for key, verdict in verdicts.items() if verdict.verdict == "refused"}
    cleared = {key: clear_sent(held[key]) for key in refused if key not in absorbed}
    went = await records.write(transaction, npsn, cleared)
    changed = await records.note_refusals(
        transaction,
        npsn,
        {key: [f.model_dump() for f in refused[key].findings] if key in refused else None for key in verdicts},
    )
    return went or changed > 0


def _fields(text: str | None) -> dict[str, Any] | None:
    return None if text is None else canonical.decode(text)
