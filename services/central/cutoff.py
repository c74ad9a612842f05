"""The cut-off: every school as of one moment, as lines of a file that shows by itself whether it is whole.

A first line says what the file is about; each school has a line, followed by its records; a last line has the totals
and the SHA-256 of all bytes before it. All of it is of one moment of the database, however long it takes, and what is
held in memory does not grow with the number of schools, nor with the largest of them. The form: docs/history.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import orjson

from services.calendar import WIB
from services.central import moments
from services.central.moments import AtTime, Forgotten, Now, Point
from services.central.registry import Roots
from services.database import Database, Row, Transaction
from services.exchange.digest import row_hash_sql
from services.rules import RULES_VERSION

FORMAT = 1
BATCH_SCHOOLS = 200
BATCH_RECORDS = 5000
"""Rows that are read at once: those of several small schools, or a part of a large one's."""

Progress = Callable[[int, int], None]
"""Told how many schools are done, of how many."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the file is about. `entities` empty: all; `records` false: the schools' lines alone."""

    moment: AtTime | Now
    held: bool = False
    entities: Sequence[str] = ()
    records: bool = True


@dataclass
class _Totals:
    schools: int = 0
    records: int = 0
    not_there: int = 0
    forgotten: int = 0
    digest: Any = field(default_factory=hashlib.sha256)

    def line(self, value: dict[str, Any]) -> bytes:
        """A line of the file, counted in what proves it whole."""
        return self.counted(orjson.dumps(value) + b"\n")

    def counted(self, line: bytes) -> bytes:
        self.digest.update(line)
        return line


async def lines(database: Database, wanted: Wanted, told: Progress) -> AsyncGenerator[bytes, None]:
    """The file, some lines at a time. Raises Refused: PUSAT-14 for a moment that has not come yet."""
    totals = _Totals()
    async with database.snapshot() as transaction:
        total, header = await _header(transaction, wanted)
        yield totals.line(header)
        done = 0
        async for batch in _batches(transaction):
            points = await _points(transaction, batch, wanted)
            totals.not_there += len(batch) - len(points)
            async for part in _schools(transaction, points, wanted, totals):
                yield part
            done += len(batch)
            told(done, total)
    yield (
        orjson.dumps(
            {
                "schools": totals.schools,
                "records": totals.records,
                "not_there": totals.not_there,
                "forgotten": totals.forgotten,
                "sha256": totals.digest.hexdigest(),
            }
        )
        + b"\n"
    )


async def _header(transaction: Transaction, wanted: Wanted) -> tuple[int, dict[str, Any]]:
    row = await transaction.row(
        """
        SELECT now() AS taken_at, (SELECT incarnation FROM incarnation WHERE is_current) AS incarnation,
               (SELECT count(*) FROM school) AS schools
        """
    )
    assert row is not None
    moment = wanted.moment
    if isinstance(moment, AtTime):
        await moments.at(transaction, [], moment.time, held=wanted.held)  # has it come yet?
        as_of, meaning = moment.time, "held" if wanted.held else "confirmed"
    else:
        as_of, meaning = row.taken_at, moment.name
    return row.schools, {
        "selaras": "snapshot",
        "format": FORMAT,
        "as_of": as_of.astimezone(WIB).isoformat(),
        "meaning": meaning,
        "entities": sorted(wanted.entities) or None,
        "with_records": wanted.records,
        "rules_version": RULES_VERSION,
        "incarnation": row.incarnation,
        "taken_at": row.taken_at.astimezone(WIB).isoformat(),
    }


async def _batches(transaction: Transaction) -> AsyncIterator[list[str]]:
    """All schools in order, as many at once as have some thousands of versions together, or one that has more."""
    after = ""
    while rows := await transaction.rows(
        "SELECT npsn, head_seq FROM school WHERE npsn > :after ORDER BY npsn LIMIT :limit",
        after=after,
        limit=BATCH_SCHOOLS,
    ):
        batch: list[str] = []
        weight = 0
        for row in rows:
            if batch and weight + row.head_seq > BATCH_RECORDS:
                yield batch
                batch, weight = [], 0
            batch.append(row.npsn)
            weight += row.head_seq
        yield batch
        after = rows[-1].npsn


async def _points(transaction: Transaction, npsns: Sequence[str], wanted: Wanted) -> list[Point]:
    if isinstance(wanted.moment, AtTime):
        return await moments.at(transaction, npsns, wanted.moment.time, held=wanted.held)
    return await moments.present(transaction, npsns, wanted.moment)


async def _schools(
    transaction: Transaction, points: Sequence[Point], wanted: Wanted, totals: _Totals
) -> AsyncIterator[bytes]:
    """Each school's line, and its records behind it."""
    roots = await _roots(transaction, points)
    coming = iter(points)
    current: str | None = None

    def lines_to(npsn: str | None) -> Iterator[bytes]:
        """The lines of the schools up to this one; of those that are left."""
        nonlocal current
        while current != npsn or npsn is None:
            point = next(coming, None)
            if point is None:
                return
            current = point.school.npsn
            totals.schools += 1
            totals.forgotten += point.forgotten is not None
            yield totals.line(described(point, roots.get(current, Roots({}, {}))))

    if wanted.records:
        async for rows in _records(transaction, points, wanted.entities):
            part: list[bytes] = []
            for row in rows:
                part += lines_to(row.npsn)
                part.append(totals.counted(_record(row)))
            totals.records += len(rows)
            yield b"".join(part)
    yield b"".join(lines_to(None))


def described(point: Point, roots: Roots) -> dict[str, Any]:
    """A school as of a moment: what it means there, and the state by its numbers and its root."""
    return {
        "npsn": point.school.npsn,
        "nama": point.school.nama,
        "seq": point.seq,
        "root": roots.root,
        "counts": roots.counts,
        "rows": sum(number for number, _ in roots.entities.values()),
        "receipt": asdict(point.by) if point.by else None,
        "forgotten": _gap(point.forgotten) if point.forgotten else None,
    }


def _gap(gap: Forgotten) -> dict[str, Any]:
    return {
        "known_until": gap.known_until.astimezone(WIB).isoformat() if gap.known_until else None,
        "until": gap.until.astimezone(WIB).isoformat(),
        "incarnation": gap.incarnation,
        "why": gap.why,
    }


def _record(row: Row) -> bytes:
    """A record's line; its fields are the canonical text itself."""
    named = orjson.dumps(
        {"npsn": row.npsn, "entity": row.entity, "record_id": row.record_id, "version": row.version, "seq": row.seq}
    )
    return named[:-1] + b',"fields":' + (row.text or "null").encode() + b"}\n"


async def _roots(transaction: Transaction, points: Sequence[Point]) -> dict[str, Roots]:
    """As `history.roots_as_of`, of many schools."""
    rows = await transaction.rows(
        f"""
        SELECT wanted.npsn, state.entity, count(*) AS n, count(state.text) AS live,
               sha256(string_agg(state.row_hash, CAST('' AS bytea) ORDER BY state.record_id)) AS digest
        FROM unnest(CAST(:npsns AS text[]), CAST(:seqs AS bigint[])) AS wanted (npsn, seq)
        CROSS JOIN LATERAL (
            SELECT entity, record_id, text, row_hash FROM record WHERE npsn = wanted.npsn AND seq <= wanted.seq
            UNION ALL
            SELECT entity, record_id, text, {row_hash_sql(version="version", text="text")} FROM history
            WHERE npsn = wanted.npsn AND seq <= wanted.seq AND superseded_seq > wanted.seq
        ) AS state
        GROUP BY wanted.npsn, state.entity ORDER BY wanted.npsn, state.entity COLLATE "C"
        """,  # noqa: S608  an expression of ours
        npsns=[point.school.npsn for point in points],
        seqs=[point.seq for point in points],
    )
    found: dict[str, Roots] = {}
    for row in rows:
        of_school = found.setdefault(row.npsn, Roots({}, {}))
        of_school.counts[row.entity] = row.live
        of_school.entities[row.entity] = (row.n, bytes(row.digest))
    return found


async def _records(
    transaction: Transaction, points: Sequence[Point], entities: Sequence[str]
) -> AsyncIterator[Sequence[Row]]:
    """Every record of these schools at their seqs, tombstones too, school after school in seq order."""
    left = [(point.school.npsn, point.seq, 0) for point in points]
    while left:
        rows = await transaction.rows(
            """
            SELECT wanted.npsn, state.* FROM unnest(
                CAST(:npsns AS text[]), CAST(:seqs AS bigint[]), CAST(:cursors AS bigint[])
            ) WITH ORDINALITY AS wanted (npsn, seq, cursor, n)
            CROSS JOIN LATERAL (
                SELECT entity, record_id, version, seq, text FROM record
                WHERE npsn = wanted.npsn AND seq <= wanted.seq AND seq > wanted.cursor
                UNION ALL
                SELECT entity, record_id, version, seq, text FROM history
                WHERE npsn = wanted.npsn AND seq <= wanted.seq AND superseded_seq > wanted.seq AND seq > wanted.cursor
            ) AS state
            WHERE cardinality(CAST(:entities AS text[])) = 0 OR state.entity = ANY(:entities)
            ORDER BY wanted.n, state.seq LIMIT :limit
            """,
            npsns=[npsn for npsn, _, _ in left],
            seqs=[seq for _, seq, _ in left],
            cursors=[cursor for _, _, cursor in left],
            entities=list(entities),
            limit=BATCH_RECORDS,
        )
        if rows:
            yield rows
        if len(rows) < BATCH_RECORDS:
            return
        last = rows[-1]
        reached = [npsn for npsn, _, _ in left].index(last.npsn)
        left = [(last.npsn, left[reached][1], last.seq), *left[reached + 1 :]]
