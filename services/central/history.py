"""What was superseded: the state as of any seq, a record's last live version, and what a later hand hides."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from services.central.registry import Key, Page, Roots, Stored
from services.database import Transaction
from services.exchange.digest import ROW_HASH_SQL

_AS_OF = """
    SELECT entity, record_id, version, seq, text FROM record WHERE npsn = :npsn AND seq <= :seq
    UNION ALL
    SELECT entity, record_id, version, seq, text FROM history
    WHERE npsn = :npsn AND seq <= :seq AND superseded_seq > :seq
"""


async def as_of(transaction: Transaction, npsn: str, seq: int) -> list[Stored]:
    """Every record as it was at `seq`, tombstones included, in seq order."""
    rows = await transaction.rows(f"{_AS_OF} ORDER BY seq", npsn=npsn, seq=seq)
    return [Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows]


async def of_keys(transaction: Transaction, npsn: str, keys: Iterable[Key], seq: int) -> list[Stored]:
    """These records as they were at `seq`, tombstones included; none under a key: absent."""
    wanted = list(keys)
    rows = await transaction.rows(
        """
        SELECT state.entity, state.record_id, state.version, state.seq, state.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        CROSS JOIN LATERAL (
            SELECT entity, record_id, version, seq, text FROM record
            WHERE npsn = :npsn AND entity = wanted.entity AND record_id = wanted.record_id AND seq <= :seq
            UNION ALL
            SELECT entity, record_id, version, seq, text FROM history
            WHERE npsn = :npsn AND entity = wanted.entity AND record_id = wanted.record_id
              AND seq <= :seq AND superseded_seq > :seq
        ) AS state
        """,
        npsn=npsn,
        seq=seq,
        entities=[entity for entity, _ in wanted],
        ids=[record_id for _, record_id in wanted],
    )
    return [Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows]


async def page_as_of(
    transaction: Transaction, npsn: str, seq: int, cursor: int, *, records: int, text_bytes: int
) -> Page:
    """As `registry.page`, of the state at `seq`, whoever wrote it; `seq` stands for the head."""
    rows = await transaction.rows(
        f"""
        SELECT entity, record_id, version, seq, text, found
        FROM (
            SELECT *, row_number() OVER by_seq AS n, count(*) OVER () AS found,
                   sum(coalesce(octet_length(text), 0)) OVER by_seq AS running_bytes
            FROM (SELECT * FROM ({_AS_OF}) AS state WHERE seq > :cursor ORDER BY seq LIMIT :records + 1) AS following
            WINDOW by_seq AS (ORDER BY seq)
        ) AS measured
        WHERE n = 1 OR (n <= :records AND running_bytes <= :bytes)
        ORDER BY seq
        """,  # noqa: S608  the part is ours
        npsn=npsn,
        seq=seq,
        cursor=cursor,
        records=records,
        bytes=text_bytes,
    )
    complete = not rows or len(rows) == rows[0].found
    return Page(
        rows=[Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows],
        cursor=max(cursor, seq) if complete else rows[-1].seq,
        head_seq=seq,
    )


async def roots_as_of(transaction: Transaction, npsn: str, seq: int, *, hashed_anew: bool = False) -> Roots:
    """As `registry.roots`, of the state at `seq`. What is no record any more has no hash of its own and gets one;
    `hashed_anew`: so does what still is.
    """
    rows = await transaction.rows(
        f"""
        SELECT entity, count(*) AS n, count(text) AS live,
               sha256(string_agg(row_hash, CAST('' AS bytea) ORDER BY record_id)) AS digest
        FROM (
            SELECT entity, record_id, text, {ROW_HASH_SQL if hashed_anew else "row_hash"} AS row_hash
            FROM record WHERE npsn = :npsn AND seq <= :seq
            UNION ALL
            SELECT entity, record_id, text, {ROW_HASH_SQL}
            FROM history WHERE npsn = :npsn AND seq <= :seq AND superseded_seq > :seq
        ) AS hashed
        GROUP BY entity ORDER BY entity COLLATE "C"
        """,  # noqa: S608  the parts are ours
        npsn=npsn,
        seq=seq,
    )
    return Roots({r.entity: r.live for r in rows}, {r.entity: (r.n, bytes(r.digest)) for r in rows})


async def last_live(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> dict[Key, Stored]:
    """The last version of these records that was not a tombstone, for those that are deleted now."""
    wanted = list(keys)
    if not wanted:
        return {}
    rows = await transaction.rows(
        """
        SELECT DISTINCT ON (h.entity, h.record_id) h.entity, h.record_id, h.version, h.seq, h.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        JOIN history h ON h.npsn = :npsn AND h.entity = wanted.entity AND h.record_id = wanted.record_id
        WHERE h.text IS NOT NULL
        ORDER BY h.entity, h.record_id, h.version DESC
        """,
        npsn=npsn,
        entities=[entity for entity, _ in wanted],
        ids=[record_id for _, record_id in wanted],
    )
    return {(r.entity, r.record_id): Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}


async def texts(
    transaction: Transaction, npsn: str, versions: Sequence[tuple[str, str, int]]
) -> dict[tuple[str, str, int], str | None]:
    """The canonical texts of these versions (entity, record_id, version), superseded ones too."""
    if not versions:
        return {}
    rows = await transaction.rows(
        """
        SELECT v.entity, v.record_id, v.version, v.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]))
            AS wanted (entity, record_id, version)
        JOIN (
            SELECT entity, record_id, version, text FROM record WHERE npsn = :npsn
            UNION ALL
            SELECT entity, record_id, version, text FROM history WHERE npsn = :npsn
        ) AS v USING (entity, record_id, version)
        """,
        npsn=npsn,
        entities=[entity for entity, _, _ in versions],
        ids=[record_id for _, record_id, _ in versions],
        versions=[version for _, _, version in versions],
    )
    return {(r.entity, r.record_id, r.version): r.text for r in rows}


async def covered(transaction: Transaction, npsn: str, page: Iterable[Stored]) -> dict[Key, Stored]:
    """For each record of a page, the newest older version that a push of this school wrote, however old its seq.

    A site that sent it and never heard so absorbs it first; else an officer who put the old value back would be
    overruled by the same edit a second time (protocol.md 2).
    """
    later = [stored for stored in page if stored.version > 1]
    if not later:
        return {}
    rows = await transaction.rows(
        """
        SELECT h.entity, h.record_id, h.version, h.seq, h.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS shown (entity, record_id)
        CROSS JOIN LATERAL (
            SELECT * FROM history
            WHERE npsn = :npsn AND entity = shown.entity AND record_id = shown.record_id AND written_session IS NOT NULL
            ORDER BY version DESC LIMIT 1
        ) AS h
        """,
        npsn=npsn,
        entities=[stored.entity for stored in later],
        ids=[stored.record_id for stored in later],
    )
    return {(r.entity, r.record_id): Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}
