"""MEND: rows that were altered at central, brought back by the site that can prove them; only a syncer imports it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from services.errors import CentralAway
from services.link import Session
from services.link.repair import Brought
from services.messages import ProvenRow, SessionMend, SessionMended
from services.replica import mending
from services.replica.mending import Proof


async def bring(session: Session, entity: str, record_ids: Sequence[str], proof: Proof) -> Brought:
    """Send these records in batches, each with the proof. Raises Stale, CentralAway."""
    async with session.replica.requests.holding(session.job) as (transaction, _):
        rows = await mending.bases(transaction, session.job.npsn, entity, record_ids)
    mended, kept = 0, list[str]()
    batches = list(_batched(rows, min(session.batch_records, 500), session.batch_bytes)) or [[]]
    for number, batch in enumerate(batches, start=1):
        answer = await session.ask(
            "mend",
            SessionMend(
                **session.named,
                statement=proof.jws,
                entity=entity,
                digests=proof.others(entity),
                hashes=proof.encoded(entity),
                records=batch,
                last=number == len(batches),
            ),
        )
        if not isinstance(answer, SessionMended):
            raise CentralAway(f"answered MEND with {answer.type}")
        mended += len(answer.written) + len(answer.removed)
        kept += answer.kept
    return Brought(mended, kept)


def _batched(rows: Sequence[ProvenRow], most_records: int, most_bytes: int) -> Iterator[list[ProvenRow]]:
    batch: list[ProvenRow] = []
    size = 0
    for row in rows:
        weight = len((row.text or "").encode()) + 200
        if batch and (len(batch) == most_records or size + weight > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append(row)
        size += weight
    if batch:
        yield batch
