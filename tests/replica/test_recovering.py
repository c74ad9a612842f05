"""What a site sets aside, rolls back and gives back when central was put back, step by step, on the real database."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from services.database import Database
from services.exchange import canonical
from services.exchange.absorb import Base, Conflict, Replicated
from services.messages import (
    FieldsChange,
    GivenRecord,
    Limits,
    LineageEntry,
    PageRow,
    RecordKey,
    RecordVerdict,
    SessionGranted,
    SessionPage,
)
from services.problems import problem
from services.replica import records, recovering, registration
from services.replica.asking import Wanted
from services.replica.recovering import Recovery
from services.replica.requests import Job, LeaseLost, Requests
from services.replica.sessions import Completion, Replica
from services.replica.unsent import unsent
from tests.builders import TODAY, a_new_student, new_id

NPSN = "97000003"
A, B, C = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
STUDENT = a_new_student()
ONE, TWO, THREE = (("peserta_didik", new_id(n)) for n in (1, 2, 3))
RESIDU = ("residu", new_id(9))


def granted(life: str = B, common: int = 10) -> SessionGranted:
    """Central's grant after it was put back."""
    return SessionGranted(
        session=7,
        incarnation=life,
        head_seq=common,
        lineage=[LineageEntry(incarnation=A, head_seq=0), LineageEntry(incarnation=life, head_seq=common)],
        limits=Limits(records=500, bytes=1000),
        page=SessionPage(rows=[], cursor=20, head_seq=common),
        common=common,
    )


def text(**changed: Any) -> str:
    """A student, as it is stored."""
    return canonical.encode({**STUDENT, **changed})


def typed(version: int, seq: int, data: dict[str, Any], **more: Any) -> Replicated:
    """A record of which central holds rt=version."""
    return Replicated(Base(version, seq, {**STUDENT, "rt": version}), data, **more)


@pytest.fixture
async def requests(site_database: Database) -> Requests:
    """A school that has seen up to seq 20 of the life A; three students, of which two moved above 10, and a residu."""
    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    async with site_database.transaction() as transaction:
        await transaction.run(
            """
            UPDATE school SET cursor = 20, settled = 20, highest_seq = 20, marks = CAST(:marks AS jsonb),
                lineage = CAST(:lineage AS jsonb) WHERE npsn = :npsn
            """,
            npsn=NPSN,
            marks=f'{{"{A}": 5}}',
            lineage=f'[{{"incarnation": "{A}", "head_seq": 0}}]',
        )
        await records.write(
            transaction,
            NPSN,
            {
                ONE: typed(1, 10, {**STUDENT, "rt": 1}),
                TWO: typed(2, 12, {**STUDENT, "rt": 7}),
                THREE: typed(1, 11, {**STUDENT, "rt": 1}, conflict=Conflict(frozenset({"nama"}))),
                RESIDU: Replicated(Base(1, 15, {"kode": "x"}), {"kode": "x"}),
            },
        )
    return Requests(site_database, lease_seconds=60)


@pytest.fixture
async def job(requests: Requests) -> Job:
    """A recover that a worker has taken."""
    return await taken(requests, "permintaan-1")


async def taken(requests: Requests, event_id: str) -> Job:
    await requests.ask(Wanted(NPSN, "recover", "/uji", event_id, "kepala sekolah"))
    async with requests.database.transaction() as transaction:  # a worker before has died
        await transaction.run("UPDATE school SET lease_expires = NULL, lease_holder = NULL")
        await transaction.run("UPDATE session SET ended_at = now() WHERE attempt > 0 AND ended_at IS NULL")
    job = await requests.take("recover", "worker")
    assert job is not None
    return job


async def held(requests: Requests, *keys: tuple[str, str]) -> list[Replicated]:
    async with requests.database.transaction() as transaction:
        found = await records.read(transaction, NPSN, keys)
    return [found[key] for key in keys]


async def listed(requests: Requests, key: tuple[str, str]) -> list[FieldsChange]:
    here = await unsent(requests.database, NPSN)
    assert here is not None
    return [change for change in here.changes if (change.entity, change.record_id) == key]


async def school(requests: Requests) -> Any:
    async with requests.database.transaction() as transaction:
        return await transaction.row("SELECT * FROM school WHERE npsn = :npsn", npsn=NPSN)


async def aside(requests: Requests) -> dict[tuple[str, str], tuple[int, bool, bool]]:
    """(version, is it rolled back, is it given) of what is set aside."""
    async with requests.database.transaction() as transaction:
        rows = await transaction.rows("SELECT * FROM set_aside WHERE npsn = :npsn", npsn=NPSN)
    return {(r.entity, r.record_id): (r.version, r.is_rolled_back, r.is_given) for r in rows}


def keys(*wanted: tuple[str, str]) -> list[RecordKey]:
    return [RecordKey(*key) for key in sorted(wanted)]


AS_SHARED = [
    PageRow(*TWO, 1, 9, text(rt=1)),
    PageRow(*THREE, 1, 8, text(rt=0)),
]
"""TWO and THREE where the histories part; the residu was not there."""


async def rolled_back(requests: Requests, job: Job, life: str = B) -> None:
    """The first half of a recover."""
    await recovering.begin(requests, job, granted(life))
    await recovering.roll_back(requests, job, AS_SHARED, [RecordKey(*RESIDU)])
    await recovering.rewound(requests, job, granted(life), 10)


# ── setting aside ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_every_base_above_the_common_seq_is_set_aside_and_nothing_else_moves(
    requests: Requests, job: Job
) -> None:
    before = await held(requests, ONE, TWO, THREE, RESIDU)
    assert await recovering.begin(requests, job, granted()) == Recovery(10, is_rewound=False, cursor=20)
    assert await aside(requests) == {
        TWO: (2, False, False),
        THREE: (1, False, False),
        RESIDU: (1, False, False),
    }
    assert await held(requests, ONE, TWO, THREE, RESIDU) == before
    assert await recovering.to_roll_back(requests, job, 500) == keys(TWO, THREE, RESIDU)
    assert await recovering.to_roll_back(requests, job, 2) == keys(TWO, THREE, RESIDU)[:2]
    async with requests.database.transaction() as transaction:
        assert await recovering.is_under_way(transaction, NPSN)
        assert not await recovering.is_under_way(transaction, "97000009")


async def test_a_recover_that_was_cut_off_goes_on_where_it_was(requests: Requests, job: Job) -> None:
    await recovering.begin(requests, job, granted())
    await recovering.roll_back(requests, job, AS_SHARED[:1], [])
    later = await taken(requests, "permintaan-2")
    assert await recovering.begin(requests, later, granted()) == Recovery(10, is_rewound=False, cursor=20)
    assert await recovering.to_roll_back(requests, later, 500) == keys(THREE, RESIDU)
    with pytest.raises(LeaseLost):
        await recovering.roll_back(requests, job, AS_SHARED[1:], [])
    await recovering.roll_back(requests, later, AS_SHARED[1:], [RecordKey(*RESIDU)])
    assert await recovering.rewound(requests, later, granted(), 10) == 10
    assert await recovering.begin(requests, later, granted()) == Recovery(10, is_rewound=True, cursor=10)


async def test_in_yet_another_life_what_was_set_aside_stays_and_all_is_given_anew(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    given = (await recovering.to_give(requests, job, 1))[0]
    verdict = RecordVerdict(verdict="applied", version=given.version, seq=11)
    await recovering.absorb_answers(requests, job, [given], [verdict], 11)
    assert [is_given for _, _, is_given in (await aside(requests)).values()].count(True) == 1
    later = await taken(requests, "permintaan-2")
    assert await recovering.begin(requests, later, granted(C)) == Recovery(10, is_rewound=False, cursor=10)
    back = await aside(requests)
    assert {key: version for key, (version, _, _) in back.items()} == {TWO: 2, THREE: 1, RESIDU: 1}
    assert not any(is_given for _, _, is_given in back.values())
    key = (given.entity, given.record_id)
    assert [one for one, (_, is_back, _) in back.items() if not is_back] == [key], "its base is of the life before"
    assert await recovering.to_roll_back(requests, later, 500) == keys(key)


async def test_an_earlier_backup_sets_more_aside(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    await recovering.begin(requests, job, granted(C, common=8))
    assert await recovering.to_roll_back(requests, job, 500) == keys(ONE, TWO)
    assert (await aside(requests))[ONE] == (1, False, False)
    assert (await aside(requests))[TWO] == (2, False, False), "as it was stated"


async def test_an_edit_that_only_looks_like_none_is_listed_as_unsent_until_central_has_answered(
    requests: Requests, job: Job
) -> None:
    async with requests.database.transaction() as transaction:
        await records.write(transaction, NPSN, {TWO: typed(2, 12, {**STUDENT, "rt": 1})})
    await rolled_back(requests, job)
    assert [record.pending for record in await held(requests, TWO)] == [False], "as both histories share it"
    assert [c.fields for c in await listed(requests, TWO)] == [{"rt": 1}]
    given = [one for one in await recovering.to_give(requests, job, 500) if (one.entity, one.record_id) == TWO]
    verdict = RecordVerdict(verdict="applied", version=2, seq=11)
    await recovering.absorb_answers(requests, job, given, [verdict], 11)
    assert [record.pending for record in await held(requests, TWO)] == [True]
    assert [c.fields for c in await listed(requests, TWO)] == [{"rt": 1}]


# ── rolling back ─────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_only_bases_go_back_and_what_is_typed_in_doubt_or_in_conflict_stays(requests: Requests, job: Job) -> None:
    async with requests.database.transaction() as transaction:
        await transaction.run(
            "UPDATE record SET is_sent = true, sent = data WHERE npsn = :npsn AND record_id = :id", npsn=NPSN, id=TWO[1]
        )
    before = await held(requests, TWO, THREE)
    await recovering.begin(requests, job, granted())
    await recovering.roll_back(requests, job, AS_SHARED, [])
    two, three = await held(requests, TWO, THREE)
    assert two == replace(before[0], base=Base(1, 9, {**STUDENT, "rt": 1}))
    assert three == replace(before[1], base=Base(1, 8, {**STUDENT, "rt": 0}))
    assert two.sent is not None
    assert three.conflict is not None


async def test_what_central_writes_by_itself_goes_back_with_its_base_and_is_never_given(
    requests: Requests, job: Job
) -> None:
    revision = (await school(requests)).revision
    await rolled_back(requests, job)
    (residu,) = await held(requests, RESIDU)
    assert (residu.base, residu.data, residu.pending) == (Base(0, 0, None), None, False)
    assert (await school(requests)).revision > revision, "what the operator sees has changed"
    assert {(one.entity, one.record_id) for one in await recovering.to_give(requests, job, 500)} == {TWO, THREE}


async def test_when_all_are_back_the_lineage_is_centrals_and_the_cursor_where_nothing_is_missed(
    requests: Requests, job: Job
) -> None:
    async with requests.database.transaction() as transaction:
        await transaction.run("UPDATE school SET settled = 6 WHERE npsn = :npsn", npsn=NPSN)
    await recovering.begin(requests, job, granted())
    await recovering.roll_back(requests, job, AS_SHARED, [RecordKey(*RESIDU)])
    assert await recovering.rewound(requests, job, granted(), 10) == 6
    row = await school(requests)
    assert (row.cursor, row.settled, row.highest_seq) == (6, 6, 10)
    async with requests.holding(job) as (_, now):
        assert [life["incarnation"] for life in now.lineage] == [A, B]


# ── giving ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_set_aside_is_given_verbatim_in_the_order_it_was_written(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    given = await recovering.to_give(requests, job, 500)
    assert given == [GivenRecord(*THREE, 1, text(rt=1)), GivenRecord(*TWO, 2, text(rt=2))]
    assert await recovering.to_give(requests, job, 1) == given[:1]
    async with requests.holding(job) as (_, now):
        assert now.marks == {A: 5}, "nothing was sent yet"
    await recovering.to_give(requests, job, 500, mark=(B, 7))
    async with requests.holding(job) as (_, now):
        assert now.marks == {A: 5, B: 7}


async def test_a_session_with_nothing_to_give_marks_nothing(requests: Requests, job: Job) -> None:
    await recovering.begin(requests, job, granted(common=20))
    assert await recovering.to_give(requests, job, 500, mark=(B, 7)) == []
    async with requests.holding(job) as (_, now):
        assert now.marks == {A: 5}


async def test_taken_the_base_is_what_it_was_and_not_taken_what_central_has(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    given = await recovering.to_give(requests, job, 500)
    verdicts = [
        RecordVerdict(verdict="unchanged", version=2, seq=30, carries=True, text=text(rt=0, nama="Sesudah Pulih")),
        RecordVerdict(verdict="applied", version=2, seq=31),
    ]
    await recovering.absorb_answers(requests, job, given, verdicts, 31)
    three, two = await held(requests, THREE, TWO)
    assert (two.base, two.data) == (Base(2, 31, {**STUDENT, "rt": 2}), {**STUDENT, "rt": 7})
    assert three.base == Base(2, 30, {**STUDENT, "rt": 0, "nama": "Sesudah Pulih"})
    assert three.data is not None
    assert (three.data["rt"], three.pending) == (1, True), "what was signed and is not back is sent again"
    assert await recovering.to_give(requests, job, 500) == []
    assert (await school(requests)).highest_seq == 31


async def test_an_answer_is_taken_in_under_the_recovers_own_lease(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    given = await recovering.to_give(requests, job, 1)
    await taken(requests, "permintaan-2")
    for late in (
        recovering.absorb_answers(requests, job, given, [RecordVerdict(verdict="applied", version=1, seq=30)], 30),
        recovering.begin(requests, job, granted()),
        recovering.rewound(requests, job, granted(), 10),
        recovering.to_give(requests, job, 1),
    ):
        with pytest.raises(LeaseLost):
            await late
    assert not any(is_given for _, _, is_given in (await aside(requests)).values())


async def test_nothing_is_left_of_a_recover_that_is_complete(requests: Requests, job: Job) -> None:
    await rolled_back(requests, job)
    async with requests.database.transaction() as transaction:
        await recovering.drop(transaction, NPSN)
        assert not await recovering.is_under_way(transaction, NPSN)
    assert await aside(requests) == {}


# ── what waits for it ────────────────────────────────────────────────────────────────────────────────────────────────


async def a_pull_that_waits(requests: Requests) -> tuple[Job, Job]:
    """A pull that found that the school must recover, long after central went away; and the recover."""
    await requests.ask(Wanted(NPSN, "pull", "/uji", "tarik-1", "operator"))
    pull = await requests.take("pull", "worker")
    assert pull is not None
    await requests.recover_first(pull, seconds=300, told=problem("SYN-14"))
    assert await requests.take("pull", "worker") is None
    recover = await requests.take("recover", "worker")
    assert recover is not None
    return pull, recover


STATEMENT = {"incarnation": B, "session": 7, "kind": "recover", "head_seq": 10, "root": "00"}


async def test_what_waited_goes_on_as_soon_as_the_recover_is_complete(requests: Requests) -> None:
    pull, recover = await a_pull_that_waits(requests)
    replica = Replica(requests, lambda: TODAY)
    await replica.complete(recover, Completion(outcome="completed", statement=STATEMENT, jws="", data={}))
    again = await requests.take("pull", "worker")
    assert again is not None
    assert (again.id, again.attempt) == (pull.id, 2)


async def test_after_a_recover_that_failed_it_waits_its_time(requests: Requests) -> None:
    _, recover = await a_pull_that_waits(requests)
    await Replica(requests, lambda: TODAY).end(recover, "failed", problem("SYN-21"), {})
    assert await requests.take("pull", "worker") is None
