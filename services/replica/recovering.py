"""Central was put back from a backup: what it may have forgotten is set aside here, rolled back, and given back.

Each step is one transaction under the school's lock and the recover's own lease, and a recover that is cut off goes on
where it was: in the same life of central's with what is left, in yet another one from the beginning, with what was set
aside before (docs/protocol.md 6). Operators go on typing meanwhile: only bases move.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from services.database import Transaction, to_json
from services.entities import SPECS, EntitySpec
from services.exchange import canonical
from services.exchange.absorb import Absorbed, Base, Overruled, Replicated
from services.exchange.giving import give_back
from services.messages import GivenRecord, PageRow, RecordKey, RecordVerdict, SessionGranted
from services.replica import records
from services.replica.records import Key
from services.replica.requests import Job, Requests

NOT_GIVEN = frozenset({"residu"})
"""Entities that central writes anew by itself."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """What is under way: the seq where the histories part; is every base back there? `cursor`: where FETCH begins."""

    common: int
    is_rewound: bool
    cursor: int


async def is_under_way(transaction: Transaction, npsn: str) -> bool:
    """Is something set aside that central has not answered about? Then every session is a recover."""
    return bool(await transaction.value("SELECT 1 FROM recovery WHERE npsn = :npsn", npsn=npsn))


async def unanswered(transaction: Transaction, npsn: str) -> set[Key]:
    """The records of which it is not known what central holds."""
    rows = await transaction.rows(
        "SELECT entity, record_id FROM set_aside WHERE npsn = :npsn AND NOT is_given", npsn=npsn
    )
    return {(r.entity, r.record_id) for r in rows}


async def drop_answered(transaction: Transaction, npsn: str, keys: Collection[Key]) -> None:
    """A person has decided for central's answer: what was set aside is nobody's wish in any later life."""
    await transaction.run(
        """
        DELETE FROM set_aside s
        USING unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS decided (entity, record_id)
        WHERE s.npsn = :npsn AND s.is_given AND (s.entity, s.record_id) = (decided.entity, decided.record_id)
        """,
        npsn=npsn,
        **_arrays(keys),
    )


async def edited_back(transaction: Transaction, npsn: str) -> dict[Key, Replicated]:
    """Records on what was set aside, whose data an operator made what both histories share: edits that only look like
    none until central has answered.
    """
    rows = await transaction.rows(
        """
        SELECT s.entity, s.record_id, s.version, s.seq, s.text, r.data
        FROM set_aside s LEFT JOIN record r USING (npsn, entity, record_id)
        WHERE s.npsn = :npsn AND s.is_rolled_back AND NOT s.is_given AND s.entity <> ALL(:centrals)
          AND r.pending IS NOT TRUE AND s.text IS DISTINCT FROM r.data
        """,
        npsn=npsn,
        centrals=sorted(NOT_GIVEN),
    )
    return {
        (r.entity, r.record_id): Replicated(
            _base(r.version, r.seq, r.text), None if r.data is None else canonical.decode(r.data)
        )
        for r in rows
    }


async def begin(requests: Requests, job: Job, granted: SessionGranted) -> Recovery:
    """Set aside every base above `granted.common`, at once [trap]; or go on with what was begun in this very life.

    What is set aside from an earlier life stays as it was: the statement proves that.
    """
    async with requests.holding(job) as (transaction, school):
        row = await transaction.row("SELECT life, common, is_rewound FROM recovery WHERE npsn = :npsn", npsn=job.npsn)
        if row is not None and row.life == granted.incarnation:
            return Recovery(row.common, row.is_rewound, school.cursor)
        common = granted.common or 0
        await transaction.run(
            """
            INSERT INTO recovery (npsn, life, common) VALUES (:npsn, :life, :common)
            ON CONFLICT (npsn) DO UPDATE SET life = excluded.life, common = excluded.common, is_rewound = false
            """,
            npsn=job.npsn,
            life=granted.incarnation,
            common=common,
        )
        await transaction.run(
            """
            INSERT INTO set_aside (npsn, entity, record_id, version, seq, text)
            SELECT npsn, entity, record_id, base_version, base_seq, base FROM record
            WHERE npsn = :npsn AND base_version > 0 AND base_seq > :common
            ON CONFLICT (npsn, entity, record_id) DO NOTHING
            """,
            npsn=job.npsn,
            common=common,
        )
        await transaction.run(
            """
            UPDATE set_aside s SET is_given = false, is_rolled_back = NOT EXISTS (
                SELECT 1 FROM record r WHERE r.npsn = s.npsn AND r.entity = s.entity AND r.record_id = s.record_id
                  AND r.base_version > 0 AND r.base_seq > :common
            )
            WHERE s.npsn = :npsn
            """,
            npsn=job.npsn,
            common=common,
        )
        return Recovery(common, is_rewound=False, cursor=school.cursor)


async def to_roll_back(requests: Requests, job: Job, number: int) -> list[RecordKey]:
    """Records whose base is still of the history that central has forgotten, at most `number`."""
    async with requests.holding(job) as (transaction, _):
        rows = await transaction.rows(
            """
            SELECT entity, record_id FROM set_aside WHERE npsn = :npsn AND NOT is_rolled_back
            ORDER BY entity, record_id LIMIT :number
            """,
            npsn=job.npsn,
            number=number,
        )
    return [RecordKey(r.entity, r.record_id) for r in rows]


async def roll_back(requests: Requests, job: Job, rows: Sequence[PageRow], absent: Sequence[RecordKey]) -> None:
    """Their base is what both histories share; data, doubt and conflicts stay as they are. What central writes anew by
    itself is taken as it was.
    """
    shared = {(row.entity, row.record_id): _base(row.version, row.seq, row.text) for row in rows}
    shared |= {(key.entity, key.record_id): Base(0, 0, None) for key in absent}
    texts = [None if base.fields is None else canonical.encode(base.fields) for base in shared.values()]
    async with requests.holding(job) as (transaction, _):
        changed = await transaction.run(
            """
            UPDATE record r SET data = given.text, is_sent = false, sent = NULL, conflict = NULL
            FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:texts AS text[]))
                 AS given (entity, record_id, text)
            WHERE r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
              AND r.entity = ANY(:centrals) AND r.data IS DISTINCT FROM given.text
            """,
            npsn=job.npsn,
            centrals=sorted(NOT_GIVEN),
            texts=texts,
            **_arrays(shared),
        )
        await transaction.run(
            """
            WITH given AS (
                SELECT * FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]),
                                     CAST(:seqs AS bigint[]), CAST(:texts AS text[]))
                    AS given (entity, record_id, version, seq, text)
            ),
            rolled_back AS (
                UPDATE set_aside s SET is_rolled_back = true FROM given
                WHERE s.npsn = :npsn AND s.entity = given.entity AND s.record_id = given.record_id
            )
            UPDATE record r SET base_version = given.version, base_seq = given.seq, base = given.text FROM given
            WHERE r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
            """,
            npsn=job.npsn,
            versions=[base.version for base in shared.values()],
            seqs=[base.seq for base in shared.values()],
            texts=texts,
            **_arrays(shared),
        )
        if changed:
            await _moved(transaction, job.npsn)


async def rewound(requests: Requests, job: Job, granted: SessionGranted, common: int) -> int:
    """Every base is back: take central's lineage, and begin where nothing can have been missed [trap]; the cursor."""
    async with requests.holding(job) as (transaction, _):
        await transaction.run("UPDATE recovery SET is_rewound = true WHERE npsn = :npsn", npsn=job.npsn)
        return int(
            await transaction.value(
                """
                UPDATE school SET lineage = CAST(:lineage AS jsonb), cursor = least(settled, :common),
                    settled = least(settled, :common), highest_seq = :common
                WHERE npsn = :npsn RETURNING cursor
                """,
                npsn=job.npsn,
                lineage=to_json([entry.model_dump() for entry in granted.lineage]),
                common=common,
            )
        )


async def to_give(
    requests: Requests, job: Job, number: int, *, mark: tuple[str, int] | None = None
) -> list[GivenRecord]:
    """What central has not answered about yet, in the order it was written, at most `number`. `mark`: this session
    (incarnation, number) is about to give for the first time.
    """
    async with requests.holding(job) as (transaction, school):
        rows = await transaction.rows(
            """
            SELECT entity, record_id, version, text FROM set_aside
            WHERE npsn = :npsn AND NOT is_given AND entity <> ALL(:centrals)
            ORDER BY seq, entity, record_id LIMIT :number
            """,
            npsn=job.npsn,
            centrals=sorted(NOT_GIVEN),
            number=number,
        )
        if rows and mark is not None:
            await transaction.run(
                "UPDATE school SET marks = CAST(:marks AS jsonb) WHERE npsn = :npsn",
                npsn=job.npsn,
                marks=to_json({**school.marks, mark[0]: mark[1]}),
            )
    return [GivenRecord(r.entity, r.record_id, r.version, r.text) for r in rows]


async def absorb_answers(
    requests: Requests, job: Job, given: Sequence[GivenRecord], verdicts: Sequence[RecordVerdict], head_seq: int
) -> None:
    """Take in what central made of one batch."""
    keys = [(one.entity, one.record_id) for one in given]
    async with requests.holding(job) as (transaction, _):
        held = await records.read(transaction, job.npsn, keys)
        absorbed = {
            key: answered(held.get(key, records.NOTHING), one, verdict, SPECS.get(one.entity))
            for key, one, verdict in zip(keys, given, verdicts, strict=True)
        }
        went = await records.write(transaction, job.npsn, {key: one.record for key, one in absorbed.items()})
        overruled: list[tuple[Key, Overruled, int]] = [
            (key, what, one.record.base.version) for key, one in absorbed.items() for what in one.overruled
        ]
        await records.log_overruled(transaction, job.npsn, overruled)
        dropped = await records.drop_refusals(transaction, job.npsn)
        await transaction.run(
            """
            UPDATE set_aside s SET is_given = true
            FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS given (entity, record_id)
            WHERE s.npsn = :npsn AND s.entity = given.entity AND s.record_id = given.record_id
            """,
            npsn=job.npsn,
            **_arrays(dict.fromkeys(keys)),
        )
        await transaction.run(
            "UPDATE school SET highest_seq = greatest(highest_seq, :head) WHERE npsn = :npsn",
            npsn=job.npsn,
            head=head_seq,
        )
        if went or dropped or any(one.changed_data for one in absorbed.values()):
            await _moved(transaction, job.npsn)


def answered(record: Replicated, given: GivenRecord, verdict: RecordVerdict, spec: EntitySpec | None) -> Absorbed:
    """A record after central's answer about what was set aside of it."""
    aside = _base(given.version, 0, given.text)
    theirs = (
        _base(verdict.version, verdict.seq, verdict.text)
        if verdict.carries
        else Base(verdict.version, verdict.seq, aside.fields)
    )
    return give_back(record, aside, theirs, spec)


async def drop(transaction: Transaction, npsn: str) -> None:
    """It is complete, or the school is wiped."""
    await transaction.run("DELETE FROM set_aside WHERE npsn = :npsn", npsn=npsn)
    await transaction.run("DELETE FROM recovery WHERE npsn = :npsn", npsn=npsn)


async def _moved(transaction: Transaction, npsn: str) -> None:
    await transaction.run("UPDATE school SET revision = revision + 1 WHERE npsn = :npsn", npsn=npsn)


def _base(version: int, seq: int, text: str | None) -> Base:
    return Base(version, seq, None if text is None else canonical.decode(text))


def _arrays(keys: Collection[Key]) -> dict[str, list[str]]:
    return {"entities": [entity for entity, _ in keys], "ids": [record_id for _, record_id in keys]}
