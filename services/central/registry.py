"""The records of the schools: read by keys, written a batch at a time, paged in seq order, and the root over them.

Whoever writes, or must not miss what is being written, holds the lock on the school's row (`schools.lock`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from services.central import claims, schools
from services.central.schools import School
from services.database import Transaction
from services.entities import INTEGER_LIMIT, Fields
from services.exchange import canonical, digest

Key = tuple[str, str]
"""Entity and record_id."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One version of a record, as stored. `text` is canonical; None: a tombstone."""

    entity: str
    record_id: str
    version: int
    seq: int
    text: str | None

    @property
    def fields(self) -> Fields | None:
        """The record's fields; None for a tombstone. Raises NotCanonical for a text that a hand made no record."""
        return None if self.text is None else canonical.decode(self.text)

    @property
    def possible(self) -> bool:
        """Has it a version and a seq that records have? A hand in the database may have left others."""
        return 0 < self.version < INTEGER_LIMIT and 0 <= self.seq <= INTEGER_LIMIT


@dataclass(frozen=True, slots=True)
class NewVersion:
    """What a record is to become. `version`: of the record as it is now, 0 for none."""

    entity: str
    record_id: str
    version: int
    text: str | None


@dataclass(frozen=True, slots=True)
class Page:
    """Records after a cursor in seq order, and the next cursor."""

    rows: list[Stored]
    cursor: int
    head_seq: int


@dataclass(frozen=True, slots=True)
class Roots:
    """What a school holds, for comparison: the number of live records per entity, and the root over all rows."""

    counts: dict[str, int]
    entities: dict[str, tuple[int, bytes]]

    @property
    def root(self) -> str:
        """The root in hex (protocol.md 4)."""
        return digest.root(self.entities).hex()


async def read(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> dict[Key, Stored]:
    """The present versions of the records that there are, tombstones included."""
    wanted = list(keys)
    rows = await transaction.rows(
        """
        SELECT r.entity, r.record_id, r.version, r.seq, r.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
        """,
        npsn=npsn,
        entities=[entity for entity, _ in wanted],
        ids=[record_id for _, record_id in wanted],
    )
    return {(r.entity, r.record_id): Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}


async def write(
    transaction: Transaction, school: School, versions: Sequence[NewVersion], *, by: str, session: int | None
) -> list[Stored]:
    """Write new versions, no record twice, with the next seqs in the given order; what they superseded goes to history.

    Three statements whatever the number, and one more if they change who uses which number (`claims`). The caller holds
    the school's lock and hands in `school` as it was read under that lock, or as `school.head_seq` was left by the
    write before.
    """
    if not versions:
        return []
    written = [
        Stored(v.entity, v.record_id, v.version + 1, school.head_seq + n, v.text) for n, v in enumerate(versions, 1)
    ]
    columns = {
        "entities": [w.entity for w in written],
        "ids": [w.record_id for w in written],
        "seqs": [w.seq for w in written],
    }
    superseded = (
        []
        if all(v.version == 0 for v in versions)
        else await transaction.rows(
            """
        WITH superseded AS (
            INSERT INTO history
                (npsn, entity, record_id, version, seq, superseded_seq, text, written_by, written_session, written_at)
            SELECT r.npsn, r.entity, r.record_id, r.version, r.seq, new.seq, r.text, r.written_by, r.written_session,
                   r.written_at
            FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:seqs AS bigint[]))
                AS new (entity, record_id, seq)
            JOIN record r ON r.npsn = :npsn AND r.entity = new.entity AND r.record_id = new.record_id
            RETURNING entity, record_id, text
        )
        SELECT entity, record_id, text FROM superseded WHERE entity = ANY(CAST(:watched AS text[]))
        """,
            npsn=school.npsn,
            watched=sorted(claims.WATCHED),
            **columns,
        )
    )
    await transaction.run(
        """
        INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by, written_session)
        SELECT :npsn, new.*, :by, :session
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]),
                    CAST(:seqs AS bigint[]), CAST(:texts AS text[])) AS new
        ON CONFLICT (npsn, entity, record_id) DO UPDATE SET
            version = excluded.version, seq = excluded.seq, text = excluded.text, written_by = excluded.written_by,
            written_session = excluded.written_session, written_at = excluded.written_at
        """,
        npsn=school.npsn,
        by=by,
        session=session,
        versions=[w.version for w in written],
        texts=[w.text for w in written],
        **columns,
    )
    before = {(r.entity, r.record_id): r.text for r in superseded}
    moved = (claims.Moved(w.entity, w.record_id, before.get((w.entity, w.record_id)), w.text) for w in written)
    await claims.keep(transaction, school.npsn, moved)
    await schools.advance(transaction, school.npsn, written[-1].seq)
    return written


async def page(
    transaction: Transaction,
    school: School,
    cursor: int,
    *,
    session: int,
    records: int,
    text_bytes: int,
) -> Page:
    """What follows `cursor`, at most so many records and bytes of text (but at least one record), own writes left out.

    The next cursor is the head when nothing is left, even if the last rows were this very session's own.
    """
    rows = await transaction.rows(
        """
        SELECT entity, record_id, version, seq, text, found
        FROM (
            SELECT *, row_number() OVER by_seq AS n, count(*) OVER () AS found,
                   sum(coalesce(octet_length(text), 0)) OVER by_seq AS running_bytes
            FROM (
                SELECT entity, record_id, version, seq, text FROM record
                WHERE npsn = :npsn AND seq > :cursor AND written_session IS DISTINCT FROM :session
                ORDER BY seq LIMIT :records + 1
            ) AS following
            WINDOW by_seq AS (ORDER BY seq)
        ) AS measured
        WHERE n = 1 OR (n <= :records AND running_bytes <= :bytes)
        ORDER BY seq
        """,
        npsn=school.npsn,
        cursor=cursor,
        session=session,
        records=records,
        bytes=text_bytes,
    )
    complete = not rows or len(rows) == rows[0].found
    return Page(
        rows=[Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows],
        cursor=max(cursor, school.head_seq) if complete else rows[-1].seq,
        head_seq=school.head_seq,
    )


async def roots(transaction: Transaction, npsn: str) -> Roots:
    """Over the records as they are now, tombstones included."""
    rows = await transaction.rows(
        """
        SELECT entity, count(*) AS n, count(text) AS live,
               sha256(string_agg(row_hash, CAST('' AS bytea) ORDER BY record_id)) AS digest
        FROM record WHERE npsn = :npsn GROUP BY entity ORDER BY entity COLLATE "C"
        """,
        npsn=npsn,
    )
    return Roots({r.entity: r.live for r in rows}, {r.entity: (r.n, bytes(r.digest)) for r in rows})


async def without_holes(transaction: Transaction, school: School) -> bool:
    """The self-check of invariant 6: every seq from 1 to the head belongs to exactly one version of one record."""
    numbers = await transaction.row(
        """
        SELECT count(*) AS n, count(DISTINCT seq) AS different, coalesce(min(seq), 1) AS first,
               coalesce(max(seq), 0) AS last
        FROM (SELECT seq FROM record WHERE npsn = :npsn UNION ALL SELECT seq FROM history WHERE npsn = :npsn) AS every
        """,
        npsn=school.npsn,
    )
    assert numbers is not None
    head = school.head_seq
    return (numbers.n, numbers.different, numbers.first, numbers.last) == (head, head, 1, head)


async def missing(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> set[Key]:
    """Which of these records central does not hold, or holds deleted."""
    wanted = set(keys)
    live = {key for key, stored in (await read(transaction, npsn, wanted)).items() if stored.text is not None}
    return wanted - live


@dataclass(frozen=True, slots=True)
class Reference:
    """`entity`.`field` of record `record_id` names the record `parent`."""

    entity: str
    field: str
    record_id: str
    parent: str


async def references_to(transaction: Transaction, npsn: str, asked: Iterable[tuple[str, str, str]]) -> list[Reference]:
    """The live records that refer to what is asked about: (referring entity, its field, record_id referred to)."""
    wanted = list(asked)
    rows = await transaction.rows(
        """
        SELECT r.entity, asked.field, r.record_id, asked.parent
        FROM unnest(CAST(:entities AS text[]), CAST(:fields AS text[]), CAST(:parents AS text[]))
            AS asked (entity, field, parent)
        JOIN record r ON r.npsn = :npsn AND r.entity = asked.entity AND r.text IS NOT NULL
            AND CAST(r.text AS jsonb) ->> asked.field = asked.parent
        """,
        npsn=npsn,
        entities=[entity for entity, _, _ in wanted],
        fields=[name for _, name, _ in wanted],
        parents=[parent for _, _, parent in wanted],
    )
    return [Reference(r.entity, r.field, r.record_id, r.parent) for r in rows]


def by_key(stored: Iterable[Stored]) -> Mapping[Key, Stored]:
    """The records by their keys."""
    return {(s.entity, s.record_id): s for s in stored}
