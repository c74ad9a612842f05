"""Two roots that differ: was central's own copy altered, and down to the records on which the sides differ.

Central is not believed because it is central. Whether its copy was altered it asks the last statement that it signed:
its own state as of that seq must still have that root.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from services import topology
from services.broker import Handlers
from services.central import history, receipts
from services.central.schools import School
from services.central.speaking import kinds
from services.database import Database, Transaction
from services.entities.schema import INTEGER_LIMIT
from services.exchange.digest import bucket_sql
from services.messages import (
    Bucket,
    Message,
    PageRow,
    RowHash,
    SessionBodies,
    SessionBucketed,
    SessionBuckets,
    SessionHashes,
    SessionRecords,
    SessionRows,
    SessionStale,
)
from services.signing import NotProven, SigningKeys
from services.wire import Event

Reply = Callable[[Event[Any], Message], Awaitable[None]]
Live = Callable[[Transaction, Event[Any]], Awaitable[School | None]]
"""The school, locked, if the message belongs to its live session."""


@dataclass(frozen=True, slots=True)
class Past:
    """Is central's state as of its last statement, whose head is `seq`, still the one it signed?"""

    holds: bool
    seq: int


async def past(transaction: Transaction, school: School, keys: SigningKeys) -> Past:
    """Central's own past against the last statement that it signed for the school; True if it signed none."""
    last = await receipts.latest_signed(transaction, school.npsn)
    if last is None:
        return Past(True, 0)
    try:
        said = keys.public.verify(last.jws)
    except NotProven:
        return Past(False, 0)
    if said["npsn"] != school.npsn:
        return Past(False, 0)
    roots = await history.roots_as_of(transaction, school.npsn, said["head_seq"])
    return Past(roots.root == said["root"], said["head_seq"])


def descent_handlers(handlers: Handlers, database: Database, *, reply: Reply, live: Live, page_bytes: int) -> None:
    """Add the handlers of the descent. `page_bytes`: of canonical text in one answer, at most."""

    @handlers.on(topology.CENTRAL_REQUESTS, SessionBuckets)
    async def on_session_buckets(event: Event[SessionBuckets]) -> None:
        """Give the digests of the buckets."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await live(transaction, event)
            if school:
                found = await _buckets(transaction, school.npsn, event.data.entities)
                answer = SessionBucketed(head_seq=school.head_seq, entities=found)
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionRows)
    async def on_session_rows(event: Event[SessionRows]) -> None:
        """Give the hashes of the records in some buckets."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await live(transaction, event)
            if school:
                found = await _hashes(transaction, school.npsn, event.data.entity, event.data.buckets)
                answer = SessionHashes(head_seq=school.head_seq, rows=found)
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionRecords)
    async def on_session_records(event: Event[SessionRecords]) -> None:
        """Give records by their ids, as many as fit."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await live(transaction, event)
            if school:
                asked = event.data
                rows, absent = await _bodies(transaction, school.npsn, asked.entity, asked.record_ids, page_bytes)
                answer = SessionBodies(head_seq=school.head_seq, rows=rows, absent=absent)
        await reply(event, answer)


async def _buckets(transaction: Transaction, npsn: str, entities: Sequence[str]) -> dict[str, list[Bucket]]:
    rows = await transaction.rows(
        f"""
        SELECT entity, {bucket_sql()} AS bucket, count(*) AS n,
               encode(sha256(string_agg(row_hash, CAST('' AS bytea) ORDER BY record_id)), 'hex') AS digest
        FROM record WHERE npsn = :npsn AND entity = ANY(:entities) GROUP BY 1, 2 ORDER BY 1, 2
        """,  # noqa: S608  an expression of ours
        npsn=npsn,
        entities=list(entities),
    )
    found: dict[str, list[Bucket]] = {}
    for r in rows:
        found.setdefault(r.entity, []).append(Bucket(bucket=r.bucket, rows=r.n, digest=r.digest))
    return found


async def _hashes(transaction: Transaction, npsn: str, entity: str, buckets: Sequence[int]) -> list[RowHash]:
    rows = await transaction.rows(
        f"""
        SELECT record_id, least(seq, :limit) AS seq, encode(row_hash, 'hex') AS hash
        FROM record WHERE npsn = :npsn AND entity = :entity AND {bucket_sql()} = ANY(:buckets) ORDER BY record_id
        """,  # noqa: S608
        npsn=npsn,
        entity=entity,
        buckets=list(buckets),
        limit=INTEGER_LIMIT,
    )
    return [RowHash(record_id=r.record_id, seq=r.seq, hash=r.hash) for r in rows]


async def _bodies(
    transaction: Transaction, npsn: str, entity: str, record_ids: Sequence[str], most_bytes: int
) -> tuple[list[PageRow], list[str]]:
    """The records that fit, and the ids under which there is none; what is in neither is to be asked for again."""
    rows = await transaction.rows(
        """
        SELECT record_id, least(version, :limit) AS version, least(seq, :limit) AS seq, text
        FROM record WHERE npsn = :npsn AND entity = :entity AND record_id = ANY(:ids) ORDER BY record_id
        """,
        npsn=npsn,
        entity=entity,
        ids=list(record_ids),
        limit=INTEGER_LIMIT,
    )
    found: list[PageRow] = []
    size = 0
    for r in rows:
        size += len((r.text or "").encode())
        if found and size > most_bytes:
            break
        found.append(PageRow(entity=entity, record_id=r.record_id, version=r.version, seq=r.seq, text=r.text))
    return found, sorted(set(record_ids) - {r.record_id for r in rows})
