"""PUSH: the only code of the site that sends records, and only a syncer imports it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator, Sequence

import orjson

from services.errors import CentralAway
from services.exchange.change import Change
from services.link import Session
from services.messages import PushedChange, RecordVerdict, SessionPage, SessionPush, SessionResult


async def push(session: Session, changes: Sequence[Change]) -> SessionPage | None:
    """Send `changes` in batches, stop and wait; the page that came with the last result.

    The site stores a batch's result while central works on the next. Raises Stale, CentralAway.
    """
    session.progress.to_send = session.progress.sent + len(changes)
    storing: asyncio.Task[None] | None = None
    page: SessionPage | None = None
    batches = list(batched(changes, session.batch_records, session.batch_bytes))
    try:
        for number, batch in enumerate(batches, start=1):
            result = await _send(session, number, batch, last=number == len(batches))
            if storing is not None:
                await storing
            storing = asyncio.create_task(_store(session, batch, result))
            page = result.page
        if storing is not None:
            await storing
    finally:
        if storing is not None:  # what it raised was raised here already, or is not what stopped the session
            storing.cancel()
            await asyncio.gather(storing, return_exceptions=True)
    return page


async def _send(session: Session, number: int, batch: Sequence[Change], *, last: bool) -> SessionResult:
    answer = await session.ask(
        "push",
        SessionPush(
            session=session.number,
            incarnation=session.incarnation,
            batch_no=number,
            changes=[pushed(change) for change in batch],
            cursor=session.cursor,
            last=last,
        ),
    )
    if not isinstance(answer, SessionResult) or len(answer.verdicts) != len(batch):
        raise CentralAway(f"answered PUSH with {answer.type}")
    return answer


async def _store(session: Session, batch: Sequence[Change], result: SessionResult) -> None:
    await session.replica.absorb_verdicts(session.job, batch, result.verdicts, result.head_seq)
    note(session, batch, result.verdicts)
    await session.report(session.progress)


def note(session: Session, changes: Sequence[Change], verdicts: Sequence[RecordVerdict]) -> None:
    """Count what central made of these changes."""
    session.verdicts.update(verdict.verdict for verdict in verdicts)
    pairs = zip(changes, verdicts, strict=True)
    for (entity, verdict), number in Counter((change.entity, made.verdict) for change, made in pairs).items():
        session.count(entity, verdict, number)
    session.progress.sent += len(changes)


def pushed(change: Change) -> PushedChange:
    """A change as it travels."""
    return PushedChange(
        entity=change.entity,
        record_id=change.record_id,
        op=change.op,
        base_version=change.base_version,
        fields=change.fields,
    )


def batched(changes: Sequence[Change], most_records: int, most_bytes: int) -> Iterator[list[Change]]:
    """Batches in order, of at most `most_records` changes and about `most_bytes` before compression; none is empty."""
    batch: list[Change] = []
    size = 0
    for change in changes:
        weight = len(orjson.dumps(list(change.fields.items()))) + 200
        if batch and (len(batch) == most_records or size + weight > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(change)
        size += weight
    if batch:
        yield batch
