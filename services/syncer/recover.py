"""A recover: central was put back from a backup, and this school gives back its part (docs/protocol.md 6).

OPEN → ROLLBACK* → proof → GIVE* → FETCH* → VERIFY, whatever the gate says. It can be killed anywhere: the next attempt
goes on from what is stored. What was asked for meanwhile runs after it.
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Iterator, Sequence

from services.errors import CentralAway
from services.link import Session
from services.link.repair import proof_of, prove
from services.messages import (
    GivenRecord,
    SessionGive,
    SessionProof,
    SessionProven,
    SessionResult,
    SessionRollback,
    SessionRolledBack,
)
from services.replica import recovering
from services.replica.mending import HASH_BYTES, Proof
from services.syncer.mend import bring

log = logging.getLogger(__name__)

MOST_KEYS = 500
"""Records rolled back at once."""
PART_HASHES = 16_384
"""Row hashes in one part of the proof."""


async def recover(session: Session) -> None:
    """Give back what central has forgotten, and prove that both sides are equal. Ends the request's row when it
    completes.

    Raises Refused (central), Failed (not equal), Stale, Waiting, CentralAway, LeaseLost.
    """
    requests, job = session.replica.requests, session.job
    granted = await session.granted()
    recovery = await recovering.begin(requests, job, granted)
    cursor = recovery.cursor
    if not recovery.is_rewound:
        await _roll_back(session, recovery.common)
        cursor = await recovering.rewound(requests, job, granted, recovery.common)
    await _give(session)
    await session.fetch(await session.fetch_one(cursor), first=True)
    await session.complete(await prove(session, bring))


async def _roll_back(session: Session, common: int) -> None:
    """Every base that is set aside becomes what both histories share."""
    requests, job = session.replica.requests, session.job
    while keys := await recovering.to_roll_back(requests, job, MOST_KEYS):
        answer = await session.ask("rollback", SessionRollback(**session.named, records=keys, as_of=common))
        if not isinstance(answer, SessionRolledBack) or not (answer.rows or answer.absent):
            raise CentralAway(f"answered ROLLBACK with {answer.type}")
        await recovering.roll_back(requests, job, answer.rows, answer.absent)


async def _give(session: Session) -> None:
    """Give back what is set aside, batch by batch, after what proves it."""
    requests, job = session.replica.requests, session.job
    mark = (session.incarnation, session.number)
    left = await recovering.to_give(requests, job, session.batch_records, mark=mark)
    if left and (proof := await proof_of(session)) is not None:
        await _show_proof(session, proof)
    number = 0
    while left:
        number += 1
        batch = _first(left, session.batch_bytes)
        session.progress.to_send = session.progress.sent + len(left)
        answer = await session.ask("give", SessionGive(**session.named, batch_no=number, records=batch))
        if not isinstance(answer, SessionResult) or len(answer.verdicts) != len(batch):
            raise CentralAway(f"answered GIVE with {answer.type}")
        await recovering.absorb_answers(requests, job, batch, answer.verdicts, answer.head_seq)
        session.verdicts.update(verdict.verdict for verdict in answer.verdicts)
        for record, verdict in zip(batch, answer.verdicts, strict=True):
            session.count(record.entity, verdict.verdict, 1)
        session.progress.sent += len(batch)
        await session.report(session.progress)
        left = await recovering.to_give(requests, job, session.batch_records)


async def _show_proof(session: Session, proof: Proof) -> None:
    parts = list(_parts(proof))
    for number, (entity, hashes) in enumerate(parts, start=1):
        answer = await session.ask(
            "give",
            SessionProof(
                **session.named,
                statement=proof.jws,
                part=number,
                entity=entity,
                hashes=base64.b64encode(hashes).decode(),
                last=number == len(parts),
            ),
        )
        if not isinstance(answer, SessionProven):
            raise CentralAway(f"answered a proof with {answer.type}")
        if answer.proven is False:
            log.error("central does not take the proof of what it had stated", extra={"npsn": session.job.npsn})
            return


def _parts(proof: Proof) -> Iterator[tuple[str, bytes]]:
    size = PART_HASHES * HASH_BYTES
    for entity, hashes in sorted(proof.hashes.items()):
        for start in range(0, len(hashes), size):
            yield entity, hashes[start : start + size]


def _first(records: Sequence[GivenRecord], most_bytes: int) -> list[GivenRecord]:
    """As many of the first records as fit into one message, but at least one."""
    batch: list[GivenRecord] = []
    size = 0
    for record in records:
        size += len((record.text or "").encode()) + 200
        if batch and size > most_bytes:
            break
        batch.append(record)
    return batch
