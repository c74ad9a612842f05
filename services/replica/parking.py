"""Change events that came while their school was being restored: kept in order, and taken when it is complete.

So a restore holds up no other school of the same queue. An event stays parked until its answer is announced.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.database import Database, Transaction, from_json, to_json


@dataclass(frozen=True, slots=True)
class Parked:
    """One event as it was taken off its queue; `data` is its message's."""

    npsn: str
    ordinal: int
    source: str
    id: str
    content_hash: bytes
    sender: str
    routing_key: str
    type: str
    data: dict[str, Any]


async def must_wait(transaction: Transaction, npsn: str) -> bool:
    """Is the school being restored, or are older events of it still parked? The caller holds the school's lock."""
    return bool(
        await transaction.value(
            """
            SELECT restoring_since IS NOT NULL OR EXISTS (SELECT 1 FROM parked WHERE npsn = :npsn)
            FROM school WHERE npsn = :npsn
            """,
            npsn=npsn,
        )
    )


async def park(
    transaction: Transaction,
    npsn: str,
    *,
    source: str,
    id: str,
    content_hash: bytes,
    sender: str,
    routing_key: str,
    type: str,
    data: dict[str, Any],
) -> None:
    """Keep an event; the same one again is kept once. The caller holds the school's lock."""
    await transaction.run(
        """
        INSERT INTO parked (npsn, source, event_id, content_hash, sender, routing_key, type, data)
        VALUES (:npsn, :source, :id, :hash, :sender, :key, :type, CAST(:data AS jsonb)) ON CONFLICT DO NOTHING
        """,
        npsn=npsn,
        source=source,
        id=id,
        hash=content_hash,
        sender=sender,
        key=routing_key,
        type=type,
        data=to_json(data),
    )


async def ready(database: Database, most: int = 100) -> list[Parked]:
    """The oldest parked event of each school that is not being restored."""
    async with database.transaction() as transaction:
        rows = await transaction.rows(
            """
            SELECT DISTINCT ON (p.npsn) p.npsn, p.ordinal, p.source, p.event_id, p.content_hash, p.sender,
                   p.routing_key, p.type, p.data
            FROM parked p JOIN school s ON s.npsn = p.npsn AND s.restoring_since IS NULL
            ORDER BY p.npsn, p.ordinal LIMIT :most
            """,
            most=most,
        )
    return [
        Parked(
            r.npsn, r.ordinal, r.source, r.event_id, bytes(r.content_hash), r.sender, r.routing_key, r.type,
            from_json(r.data),
        )
        for r in rows
    ]  # fmt: skip


async def is_next(transaction: Transaction, parked: Parked) -> bool:
    """Is it still the school's oldest, and the school not being restored again? The caller holds the school's lock."""
    return bool(
        await transaction.value(
            """
            SELECT restoring_since IS NULL
               AND :ordinal = (SELECT min(ordinal) FROM parked WHERE npsn = :npsn)
            FROM school WHERE npsn = :npsn
            """,
            npsn=parked.npsn,
            ordinal=parked.ordinal,
        )
    )


async def count(transaction: Transaction, npsn: str) -> int:
    """The school's parked events."""
    return int(await transaction.value("SELECT count(*) FROM parked WHERE npsn = :npsn", npsn=npsn))


async def done(database: Database, parked: Parked) -> None:
    """Its answer is announced, or it is in quarantine: the next one may be taken."""
    async with database.transaction() as transaction:
        await transaction.run(
            "DELETE FROM parked WHERE npsn = :npsn AND ordinal = :ordinal", npsn=parked.npsn, ordinal=parked.ordinal
        )
