"""An operator's changes and decisions into the replica: decided, stored and judged in the caller's one transaction.

The lock on the school's row is the order of a school's changes: nobody else writes its records meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

from services.database import Transaction
from services.exchange.absorb import Replicated
from services.messages import Counts, DecidedConflict, FieldsChange, Rejected, Stored
from services.replica import conflicts, records, recovering
from services.replica.choosing import choose
from services.replica.deciding import SHOWN_NAME_LENGTH, Decision, decide, referred, touched
from services.replica.judging import Verdict, current, follow
from services.replica.records import Key


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What became of an event's changes, and the school after it. The changes keep their index in the event."""

    stored: list[Stored]
    rejected: list[Rejected]
    revision: int
    counts: Counts


async def lock(transaction: Transaction, npsn: str) -> bool:
    """Take the lock on the school's row, to the end of the transaction. False: the school is not registered here."""
    row = await transaction.row("SELECT 1 FROM school WHERE npsn = :npsn FOR UPDATE", npsn=npsn)
    return row is not None


async def take_in(
    transaction: Transaction, npsn: str, changes: Sequence[FieldsChange], today: date, actor: str
) -> TakenIn:
    """Store the changes that may be made, and say what the rules think of them. The caller has called `lock`."""
    held = await records.read(transaction, npsn, touched(changes))
    known = await records.present(transaction, npsn, referred(changes))
    return await _store(transaction, npsn, changes, held, decide(changes, held, known), today, actor)


async def take_decisions(
    transaction: Transaction, npsn: str, decisions: Sequence[DecidedConflict], today: date, actor: str
) -> TakenIn:
    """Store the decisions of conflicts that hold, and say what the rules think now. The caller has called `lock`."""
    held = await records.read(transaction, npsn, {(one.entity, one.record_id) for one in decisions})
    decision = choose(decisions, held, await recovering.unanswered(transaction, npsn))
    stored = [decisions[index] for index in decision.stored]
    centrals = [(one.entity, one.record_id) for one in stored if one.choice == "central"]
    if centrals:
        await recovering.drop_answered(transaction, npsn, centrals)
    return await _store(transaction, npsn, decisions, held, decision, today, actor)


async def _store(
    transaction: Transaction,
    npsn: str,
    given: Sequence[FieldsChange] | Sequence[DecidedConflict],
    held: Mapping[Key, Replicated],
    decision: Decision,
    today: date,
    actor: str,
) -> TakenIn:
    if decision.records:
        await conflicts.note_settled(transaction, npsn, held, decision.records, actor)
        await records.write(transaction, npsn, decision.records)
        await records.drop_refusals(transaction, npsn)
        await records.touch(transaction, npsn)
        verdict = await follow(transaction, npsn, held, decision.records, today)
    else:
        verdict = await current(transaction, npsn, today)
    return _taken_in(given, decision, verdict, await counts(transaction, npsn, verdict))


async def counts(transaction: Transaction, npsn: str, verdict: Verdict) -> Counts:
    """The school's counts, as the answers carry them."""
    pending = await records.count_pending(transaction, npsn)
    return Counts(invalid=verdict.invalid, warning=verdict.warning, pending=pending)


def _taken_in(
    changes: Sequence[FieldsChange] | Sequence[DecidedConflict], decision: Decision, verdict: Verdict, after: Counts
) -> TakenIn:
    broken: dict[records.Key, dict[str, None]] = {}
    for finding in verdict.findings:
        broken.setdefault((finding.entity, finding.record_id), {})[finding.rule] = None
    return TakenIn(
        stored=[
            Stored(
                index=index,
                entity=changes[index].entity,
                record_id=changes[index].record_id,
                findings=list(broken.get((changes[index].entity, changes[index].record_id), ())),
            )
            for index in decision.stored
        ],
        rejected=[
            Rejected(
                index=index,
                entity=changes[index].entity[:SHOWN_NAME_LENGTH],
                record_id=changes[index].record_id[:SHOWN_NAME_LENGTH],
                problems=problems,
            )
            for index, problems in sorted(decision.rejected.items())
        ],
        revision=verdict.revision,
        counts=after,
    )
