"""What was superseded: the state as of any seq, what changed from one to another, the seq that has a root, a record's
last live version, and what a later hand hides.
"""

from __future__ import annotations

import hashlib
from bisect import insort
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from services.central.registry import Key, Page, Roots, Stored
from services.database import Row, Transaction
from services.exchange import digest
from services.exchange.digest import ROW_HASH_SQL, row_hash_sql

PAGE_VERSIONS = 5000
"""Versions that are read at once where a school's whole past is gone through."""

_AS_OF = """
    SELECT entity, record_id, version, seq, text FROM record WHERE npsn = :npsn AND seq <= :seq
    UNION ALL
    SELECT entity, record_id, version, seq, text FROM history
    WHERE npsn = :npsn AND seq <= :seq AND superseded_seq > :seq
"""


_WRITTEN_AS_OF = """
    SELECT entity, record_id, version, seq, text, written_by, written_session, written_at
    FROM record WHERE npsn = :npsn AND seq <= :seq
    UNION ALL
    SELECT entity, record_id, version, seq, text, written_by, written_session, written_at
    FROM history WHERE npsn = :npsn AND seq <= :seq AND superseded_seq > :seq
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


@dataclass(frozen=True, slots=True)
class Written:
    """A version of a record with its writer: `by` a site, or the officer; `session`: the one that pushed it."""

    stored: Stored
    by: str
    session: int | None
    at: datetime


@dataclass(frozen=True, slots=True)
class Change:
    """A record that is not at the later seq what it was at the earlier; `before` None: there was none."""

    after: Written
    before: Stored | None


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in order of the later seq, and the next cursor; `complete`: nothing follows."""

    rows: list[Change]
    cursor: int
    complete: bool


async def between(
    transaction: Transaction,
    npsn: str,
    since: int,
    seq: int,
    *,
    cursor: int = 0,
    entity: str | None = None,
    records: int,
    text_bytes: int,
) -> Changes:
    """What of the state at `seq` is not as it was at `since` (0: nothing was there, so all of it), after `cursor`.

    At most so many records and bytes of text, those before counted too, but at least one record. A record that was
    written and became again what it had been is among them: its version has moved.
    """
    rows = await transaction.rows(
        f"""
        SELECT *
        FROM (
            SELECT *, row_number() OVER by_seq AS n, count(*) OVER () AS found,
                   sum(coalesce(octet_length(text), 0) + coalesce(octet_length(old_text), 0)) OVER by_seq
                       AS running_bytes
            FROM (
                SELECT state.*, old.version AS old_version, old.seq AS old_seq, old.text AS old_text
                FROM (
                    SELECT * FROM ({_WRITTEN_AS_OF}) AS whole
                    WHERE seq > greatest(CAST(:since AS bigint), CAST(:cursor AS bigint))
                      AND (CAST(:entity AS text) IS NULL OR entity = :entity)
                    ORDER BY seq LIMIT :records + 1
                ) AS state
                LEFT JOIN LATERAL (
                    SELECT version, seq, text FROM record
                    WHERE npsn = :npsn AND entity = state.entity AND record_id = state.record_id AND seq <= :since
                    UNION ALL
                    SELECT version, seq, text FROM history
                    WHERE npsn = :npsn AND entity = state.entity AND record_id = state.record_id
                      AND seq <= :since AND superseded_seq > :since
                ) AS old ON CAST(:since AS bigint) > 0
            ) AS following
            WINDOW by_seq AS (ORDER BY seq)
        ) AS measured
        WHERE n = 1 OR (n <= :records AND running_bytes <= :bytes)
        ORDER BY seq
        """,  # noqa: S608  the part is ours
        npsn=npsn,
        since=since,
        seq=seq,
        cursor=cursor,
        entity=entity,
        records=records,
        bytes=text_bytes,
    )
    complete = not rows or len(rows) == rows[0].found
    return Changes([_change(row) for row in rows], max(cursor, seq) if complete else rows[-1].seq, complete)


def _change(row: Row) -> Change:
    before = None
    if row.old_version is not None:
        before = Stored(row.entity, row.record_id, row.old_version, row.old_seq, row.old_text)
    return Change(written(row), before)


def written(row: Row) -> Written:
    """A row that has all of a version."""
    stored = Stored(row.entity, row.record_id, row.version, row.seq, row.text)
    return Written(stored, row.written_by, row.written_session, row.written_at)


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


# ── the seq that has a root ──────────────────────────────────────────────────────────────────────────────────────────


class _Tree:
    """A state from which the root is computed again after each version, of the entities that it changed alone."""

    def __init__(self) -> None:
        self._hashes: dict[str, dict[str, bytes]] = defaultdict(dict)
        self._ids: dict[str, list[str]] = defaultdict(list)
        self._live: dict[str, set[str]] = defaultdict(set)
        self._digests: dict[str, tuple[int, bytes]] = {}

    def put(self, entity: str, record_id: str, row_hash: bytes, *, live: bool) -> None:
        if record_id not in self._hashes[entity]:
            insort(self._ids[entity], record_id)
        self._hashes[entity][record_id] = row_hash
        (self._live[entity].add if live else self._live[entity].discard)(record_id)
        self._digests.pop(entity, None)

    def counts(self) -> dict[str, int]:
        return {entity: len(self._live[entity]) for entity in self._hashes}

    def root(self) -> str:
        for entity, hashes in self._hashes.items():
            if entity not in self._digests:
                ids = self._ids[entity]
                of_entity = hashlib.sha256(b"".join(map(hashes.__getitem__, ids))).digest()
                self._digests[entity] = (len(ids), of_entity)
        return digest.root(self._digests).hex()


async def seq_of(transaction: Transaction, npsn: str, root: str, counts: Mapping[str, int], since: int) -> int | None:
    """The first seq from `since` on whose state has this root and these numbers of live records; None: there is none.

    Goes through every version that was written after `since`; a root is computed only where the numbers fit.
    """
    tree = _Tree()
    sought = dict(counts)
    async for version in hashes_as_of(transaction, npsn, since):
        tree.put(version.entity, version.record_id, bytes(version.row_hash), live=version.live)
    if tree.counts() == sought and tree.root() == root:
        return since
    async for version in _hashes_after(transaction, npsn, since):
        tree.put(version.entity, version.record_id, bytes(version.row_hash), live=version.live)
        if tree.counts() == sought and tree.root() == root:
            return int(version.seq)
    return None


async def hashes_as_of(transaction: Transaction, npsn: str, seq: int) -> AsyncIterator[Row]:
    """Of the state at `seq`, in seq order: entity, record_id, seq, row_hash, and whether it is live."""
    cursor = 0
    while rows := await transaction.rows(
        f"""
        SELECT entity, record_id, seq, text IS NOT NULL AS live,
               {row_hash_sql(version="version", text="text")} AS row_hash
        FROM ({_AS_OF}) AS state WHERE seq > :cursor ORDER BY seq LIMIT :page
        """,  # noqa: S608  both parts are ours
        npsn=npsn,
        seq=seq,
        cursor=cursor,
        page=PAGE_VERSIONS,
    ):
        for row in rows:
            yield row
        cursor = rows[-1].seq


async def _hashes_after(transaction: Transaction, npsn: str, seq: int) -> AsyncIterator[Row]:
    """Every version after a seq, in order, whatever came after it."""
    cursor = seq
    while rows := await transaction.rows(
        f"""
        SELECT entity, record_id, seq, text IS NOT NULL AS live, row_hash FROM (
            SELECT entity, record_id, seq, text, row_hash FROM record WHERE npsn = :npsn AND seq > :cursor
            UNION ALL
            SELECT entity, record_id, seq, text, {row_hash_sql(version="version", text="text")} AS row_hash
            FROM history WHERE npsn = :npsn AND seq > :cursor
        ) AS every ORDER BY seq LIMIT :page
        """,  # noqa: S608  an expression of ours
        npsn=npsn,
        cursor=cursor,
        page=PAGE_VERSIONS,
    ):
        for row in rows:
            yield row
        cursor = rows[-1].seq


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
