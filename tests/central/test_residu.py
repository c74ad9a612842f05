"""A number in use at two schools: both get a residu, whatever comes in between, and lose it with the correction."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.central import registry, residu, schools
from services.central.administration import add_school
from services.central.residu import Slot, Use, others
from services.central.schools import ensure_incarnation
from services.database import Database, Transaction
from services.entities import SPECS, Fields, natural_key
from services.intake import Accounts
from services.messages import OfficerChange, PushedChange
from services.rules import Severity, record_findings, school_findings
from services.rules.findings import Context
from tests.builders import (
    ASSIGNMENT,
    NPSN,
    REGISTRATION,
    TODAY,
    a_new_student,
    a_new_teacher,
    a_registration,
    a_sekolah,
    a_student,
    a_teacher,
    an_assignment,
    new_id,
)
from tests.central.desk import codes, line
from tests.central.neighbours import Neighbour, backlog, claimed, settle

A, B, C = "69900001", "69900002", "69900003"
PUPIL_A, PUPIL_B, PUPIL_C = new_id(11), new_id(12), new_id(13)
NIK, OTHER_NIK = "9900010203190001", "9900010203190002"
NAMES = {npsn: f"{npsn} SD {npsn}" for npsn in (A, B, C)}


@pytest.fixture
async def central(central_database: Database) -> Database:
    await ensure_incarnation(central_database)
    accounts = Accounts(central_database)
    await accounts.grant("situs-sync", "*", "site-sync")
    await accounts.grant("dinas", "*", "officer")
    return central_database


@pytest.fixture
async def a(central: Database) -> Neighbour:
    return await Neighbour.at(central, A)


@pytest.fixture
async def b(central: Database) -> Neighbour:
    return await Neighbour.at(central, B)


@pytest.fixture
async def c(central: Database) -> Neighbour:
    return await Neighbour.at(central, C)


def pupil(nik: str | None = NIK, **changes: Any) -> Fields:
    return a_new_student(nik=nik, **changes)


def new_pupil(record_id: str, nik: str = NIK) -> PushedChange:
    fields = {name: [None, value] for name, value in pupil(nik).items()}
    return PushedChange(entity="peserta_didik", record_id=record_id, op="put", base_version=0, fields=fields)


# ── it comes ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_both_schools_get_a_residu_and_the_change_is_applied(a: Neighbour, b: Neighbour) -> None:
    assert await a.put("peserta_didik", PUPIL_A, pupil()) == "applied"
    assert await settle(a.database) == 0
    assert await b.put("peserta_didik", PUPIL_B, pupil()) == "applied"
    assert await settle(a.database) == 2
    assert await a.open_residu() == {("PD-08", PUPIL_A): NAMES[B]}
    assert await b.open_residu() == {("PD-08", PUPIL_B): NAMES[A]}
    assert await backlog(a.database) == 0


async def test_a_residu_is_centrals_own_record_with_seq_version_and_history(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    head = (await a.head(A)).head_seq
    await settle(a.database)
    school = await a.head(A)
    assert school.head_seq == head + 1
    stored = await a.held("residu", natural_key("residu", "nik", PUPIL_A))
    assert stored is not None
    assert (stored.version, stored.seq) == (1, head + 1)
    await b.put("peserta_didik", PUPIL_B, None)
    await settle(a.database)
    closed = await a.held("residu", natural_key("residu", "nik", PUPIL_A))
    assert closed is not None
    assert (closed.version, closed.seq) == (2, head + 2)
    async with a.database.transaction() as transaction:
        row = await transaction.row(
            "SELECT written_by, written_session FROM record WHERE npsn = :npsn AND entity = 'residu'", npsn=A
        )
        assert row is not None
        assert (row.written_by, row.written_session) == ("pusat", None)
        assert await registry.without_holes(transaction, await a.head(A))
        assert await transaction.value("SELECT count(*) FROM history WHERE entity = 'residu'") == 2


async def test_it_says_which_field_and_which_school_and_nothing_of_the_other_person(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil(nama="Ani Asli", nama_ibu_kandung="Ibu Asli"))
    await b.put("peserta_didik", PUPIL_B, pupil(nama="Badu Baru", nama_ibu_kandung="Ibu Baru"))
    await settle(a.database)
    (told,) = await a.residu()
    assert told == {
        "kode": "PD-08",
        "entitas": "peserta_didik",
        "data_id": PUPIL_A,
        "isian": "nik",
        "keadaan": "terbuka",
        "sekolah_lain": NAMES[B],
        "saluran": "VervalPD",
    }
    said = str(told)
    assert not any(secret in said for secret in (NIK, "Badu", "Ibu", PUPIL_B))
    assert record_findings("residu", new_id(1), told, Context(A, TODAY, 5)) == []


async def test_the_school_is_warned_and_not_blocked(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    await settle(a.database)
    (told,) = await a.residu()
    found = school_findings({"peserta_didik": {PUPIL_A: pupil()}, "residu": {new_id(1): told}}, A, TODAY)
    (warning,) = [finding for finding in found if finding.rule == "PD-08"]
    assert (warning.severity, warning.entity, warning.record_id, warning.field) == (
        Severity.WARNING,
        "peserta_didik",
        PUPIL_A,
        "nik",
    )
    assert NAMES[B] in warning.text("id")
    assert "VervalPD" in warning.todo("id")


async def test_three_schools_with_one_number_each_hear_of_the_other_two(
    a: Neighbour, b: Neighbour, c: Neighbour
) -> None:
    for school, record_id in ((a, PUPIL_A), (c, PUPIL_C), (b, PUPIL_B)):
        await school.put("peserta_didik", record_id, pupil())
        await settle(a.database)
    assert await a.open_residu() == {("PD-08", PUPIL_A): f"{NAMES[B]}; {NAMES[C]}"}
    assert await b.open_residu() == {("PD-08", PUPIL_B): f"{NAMES[A]}; {NAMES[C]}"}
    assert await c.open_residu() == {("PD-08", PUPIL_C): f"{NAMES[A]}; {NAMES[B]}"}
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    await settle(a.database)
    assert await a.open_residu() == {("PD-08", PUPIL_A): NAMES[C]}
    assert await c.open_residu() == {("PD-08", PUPIL_C): NAMES[A]}
    assert await b.states() == ["selesai"]


async def test_every_kind_of_number_is_looked_after(a: Neighbour, b: Neighbour) -> None:
    for school, person, staff in ((a, PUPIL_A, new_id(21)), (b, PUPIL_B, new_id(22))):
        answer = await school.officer(
            OfficerChange(entity="peserta_didik", record_id=person, version=0, fields=a_student()),
            OfficerChange(entity="ptk", record_id=staff, version=0, fields=a_teacher()),
        )
        assert codes(getattr(answer.message, "problems", [])) == []
    await settle(a.database)
    expected = {"PD-08", "PD-29", "GTK-17", "GTK-18"}
    assert {code for code, _ in await a.open_residu()} == {code for code, _ in await b.open_residu()} == expected
    assert {told["saluran"] for told in await a.residu()} == {"VervalPD", "VervalPTK"}


async def test_a_baseline_with_a_number_that_is_in_use_brings_residu_to_both(a: Neighbour, central: Database) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    b = await Neighbour.at(central, B, [line("peserta_didik", PUPIL_B, pupil())])
    assert await settle(central) == 2
    assert (await a.states(), await b.states()) == (["terbuka"], ["terbuka"])


async def test_a_number_twice_in_one_school_is_the_schools_own_rule(a: Neighbour) -> None:
    await a.push(new_pupil(PUPIL_A), new_pupil(PUPIL_B))
    assert await settle(a.database) == 0


async def test_the_same_person_at_two_schools_is_no_residu(a: Neighbour, b: Neighbour, c: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_A, pupil())
    assert await settle(a.database) == 0
    await c.put("peserta_didik", PUPIL_C, pupil())
    assert await settle(a.database) == 3
    assert await a.open_residu() == {("PD-08", PUPIL_A): NAMES[C]}
    assert await c.open_residu() == {("PD-08", PUPIL_C): f"{NAMES[A]}; {NAMES[B]}"}


async def test_a_number_of_many_schools_names_three_of_them(central: Database) -> None:
    town = [
        await Neighbour.at(central, f"699001{n:02}", [line("peserta_didik", new_id(100 + n), pupil())])
        for n in range(6)
    ]
    await settle(central)
    assert [len(await school.open_residu()) for school in town] == [1] * 6
    (told,) = await town[5].residu()
    assert told["sekolah_lain"] == "; ".join(f"699001{n:02} SD 699001{n:02}" for n in range(3)) + "; …"


async def test_a_number_of_more_schools_than_one_transaction_locks_reaches_all(
    central: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(residu, "MOST_SCHOOLS", 2)
    town = [
        await Neighbour.at(central, f"699001{n:02}", [line("peserta_didik", new_id(100 + n), pupil())])
        for n in range(5)
    ]
    async with central.transaction() as transaction:
        await transaction.run("DELETE FROM follow_up WHERE id < (SELECT max(id) FROM follow_up)")
    await settle(central)
    assert [await school.states() for school in town] == [["terbuka"]] * 5
    assert await backlog(central) == 0
    for school, n in zip(town[1:], range(1, 5), strict=True):
        await school.put("peserta_didik", new_id(100 + n), None)
    await settle(central)
    assert [await school.states() for school in town] == [["selesai"]] * 5


# ── it goes ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def shared(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    assert await settle(a.database) == 2


@pytest.mark.parametrize("after", [pupil(OTHER_NIK), None])
async def test_it_is_settled_when_one_school_corrects_or_removes_its_record(
    a: Neighbour, b: Neighbour, after: Fields | None
) -> None:
    await shared(a, b)
    await b.put("peserta_didik", PUPIL_B, after)
    assert await settle(a.database) == 2
    for school in (a, b):
        (told,) = await school.residu()
        assert told["keadaan"] == "selesai"
        assert "sekolah_lain" not in told


async def test_it_is_settled_when_an_officer_corrects(a: Neighbour, b: Neighbour) -> None:
    await shared(a, b)
    await a.officer(OfficerChange(entity="peserta_didik", record_id=PUPIL_A, version=1, fields={"nik": OTHER_NIK}))
    await settle(a.database)
    assert await a.states() == await b.states() == ["selesai"]


async def test_it_comes_back_as_the_same_record(a: Neighbour, b: Neighbour) -> None:
    await shared(a, b)
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    await settle(a.database)
    await b.put("peserta_didik", PUPIL_B, pupil())
    await settle(a.database)
    stored = await b.held("residu", natural_key("residu", "nik", PUPIL_B))
    assert stored is not None
    assert stored.version == 3
    assert await b.states() == ["terbuka"]


async def test_a_number_changed_into_another_shared_one_names_the_new_school(
    a: Neighbour, b: Neighbour, c: Neighbour
) -> None:
    await shared(a, b)
    await c.put("peserta_didik", PUPIL_C, pupil(OTHER_NIK))
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    await settle(a.database)
    assert await a.states() == ["selesai"]
    assert await b.open_residu() == {("PD-08", PUPIL_B): NAMES[C]}
    assert await c.open_residu() == {("PD-08", PUPIL_C): NAMES[B]}


async def test_who_has_left_a_school_uses_no_number_there(a: Neighbour, b: Neighbour) -> None:
    await a.put("registrasi_peserta_didik", REGISTRATION, a_registration(peserta_didik_id=PUPIL_A))
    await shared(a, b)
    gone = {"jenis_keluar_id": "2", "tanggal_keluar": "2025-09-01"}
    await a.put("registrasi_peserta_didik", REGISTRATION, a_registration(peserta_didik_id=PUPIL_A, **gone))
    assert await settle(a.database) == 2
    assert await a.states() == await b.states() == ["selesai"]
    await a.put("registrasi_peserta_didik", REGISTRATION, a_registration(peserta_didik_id=PUPIL_A))
    await settle(a.database)
    assert await a.states() == await b.states() == ["terbuka"]


async def test_staff_whose_assignment_has_ended_use_no_number_there(a: Neighbour, b: Neighbour) -> None:
    staff_a, staff_b = new_id(21), new_id(22)
    await a.put("ptk", staff_a, a_new_teacher())
    await b.put("ptk", staff_b, a_new_teacher())
    assert await settle(a.database) == 2
    ended = an_assignment(ptk_id=staff_a, jenis_keluar_id="2", tgl_ptk_keluar="2025-09-01")
    await a.officer(OfficerChange(entity="ptk_terdaftar", record_id=ASSIGNMENT, version=0, fields=ended))
    await settle(a.database)
    assert await a.states() == await b.states() == ["selesai"]


# ── once, whatever comes in between ──────────────────────────────────────────────────────────────────────────────────


async def test_the_same_follow_up_twice_writes_nothing_twice(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    async with a.database.transaction() as transaction:
        await transaction.run(
            """
            INSERT INTO follow_up (npsn, added, freed, entities, record_ids)
            SELECT npsn, added, freed, entities, record_ids FROM follow_up
            """
        )
    assert await settle(a.database) == 2
    heads = [(await a.head(npsn)).head_seq for npsn in (A, B)]
    await asyncio.gather(*(settle(a.database) for _ in range(3)))
    assert [(await a.head(npsn)).head_seq for npsn in (A, B)] == heads


async def test_two_schools_that_push_each_others_numbers_at_once_both_get_their_residu(
    a: Neighbour, b: Neighbour
) -> None:
    """Real concurrency: pushes of both schools and three workers at the same time, round after round."""
    numbers = [f"99000102031900{n:02}" for n in range(1, 41)]
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set() or await backlog(a.database):
            await settle(a.database)
            await asyncio.sleep(0)

    async def pushes(school: Neighbour, first: int, order: list[str]) -> None:
        for start in range(0, len(order), 10):
            batch = [new_pupil(new_id(first + int(nik[-2:])), nik) for nik in order[start : start + 10]]
            verdicts = (await school.push(*batch)).verdicts
            assert {verdict.verdict for verdict in verdicts} == {"applied"}

    async def both() -> None:
        await asyncio.gather(pushes(a, 1000, numbers), pushes(b, 2000, numbers[::-1]))
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(both(), *(work() for _ in range(3)))
    assert await a.open_residu() == {("PD-08", new_id(1000 + n)): NAMES[B] for n in range(1, 41)}
    assert await b.open_residu() == {("PD-08", new_id(2000 + n)): NAMES[A] for n in range(1, 41)}
    for npsn in (A, B):
        async with a.database.transaction() as transaction:
            school = await schools.lock(transaction, npsn)
            assert school is not None
            assert await registry.without_holes(transaction, school)


async def test_schools_that_take_and_give_back_a_number_at_once_end_as_the_claims_stand(
    a: Neighbour, b: Neighbour, c: Neighbour
) -> None:
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set() or await backlog(a.database):
            await settle(a.database)
            await asyncio.sleep(0)

    async def wavers(school: Neighbour, record_id: str, *, keeps: bool) -> None:
        await school.put("peserta_didik", record_id, pupil())
        for _ in range(6):
            await school.put("peserta_didik", record_id, pupil(OTHER_NIK))
            await school.put("peserta_didik", record_id, pupil())
        if not keeps:
            await school.put("peserta_didik", record_id, None)

    async def all_three() -> None:
        await asyncio.gather(
            wavers(a, PUPIL_A, keeps=True), wavers(b, PUPIL_B, keeps=False), wavers(c, PUPIL_C, keeps=True)
        )
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(all_three(), *(work() for _ in range(3)))
    assert await a.open_residu() == {("PD-08", PUPIL_A): NAMES[C]}
    assert await b.open_residu() == {}
    assert await c.open_residu() == {("PD-08", PUPIL_C): NAMES[A]}
    assert await settle(a.database) == 0


async def test_two_uncommitted_pushes_of_one_number_see_each_other_in_the_end(a: Neighbour, b: Neighbour) -> None:
    """Neither transaction sees the other's claim, neither waits for the other, and nothing is lost."""
    for school, record_id in ((a, PUPIL_A), (b, PUPIL_B)):
        await school.put("peserta_didik", record_id, pupil(OTHER_NIK if school is a else None, kewarganegaraan="MY"))
    await settle(a.database)

    async def write(transaction: Transaction, npsn: str, record_id: str) -> None:
        school = await schools.lock(transaction, npsn)
        assert school is not None
        version = registry.NewVersion("peserta_didik", record_id, 1, f'{{"nik":"{NIK}"}}')
        await registry.write(transaction, school, [version], by="uji", session=None)

    async with a.database.transaction() as first, a.database.transaction() as second:
        await write(first, A, PUPIL_A)
        async with asyncio.timeout(5):
            await write(second, B, PUPIL_B)
    await settle(a.database)
    assert (await a.states(), await b.states()) == (["terbuka"], ["terbuka"])


async def test_a_change_that_is_under_way_is_waited_for_and_seen(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    async with a.database.transaction() as transaction:
        school = await schools.lock(transaction, B)
        assert school is not None
        version = registry.NewVersion("peserta_didik", PUPIL_B, 1, None)
        await registry.write(transaction, school, [version], by="uji", session=None)
        settling = asyncio.create_task(settle(a.database))
        await waits_for_a_lock(a.database)
        assert not settling.done()
    assert await settling == 0
    assert (await a.residu(), await b.residu()) == ([], [])


async def waits_for_a_lock(database: Database, *, unless: asyncio.Task[Any] | None = None) -> None:
    """Until some session of this database waits for another's lock, or `unless` is done."""
    async with asyncio.timeout(10):
        while unless is None or not unless.done():
            async with database.transaction() as transaction:
                if await transaction.value(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ):
                    return
            await asyncio.sleep(0.01)


async def test_a_school_that_appears_while_the_others_are_being_locked_is_not_left_out(
    a: Neighbour, b: Neighbour, c: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    locks = schools.lock
    appeared: list[str] = []

    async def lock(transaction: Transaction, npsn: str) -> schools.School | None:
        if npsn == B and not appeared and await backlog(a.database):
            appeared.append(C)
            monkeypatch.setattr(schools, "lock", locks)
            await c.put("peserta_didik", PUPIL_C, pupil())
            async with a.database.transaction() as other:  # the one follow-up at hand must do for all three
                await other.run("DELETE FROM follow_up WHERE npsn <> :npsn", npsn=A)
        return await locks(transaction, npsn)

    monkeypatch.setattr(schools, "lock", lock)
    await settle(a.database)
    assert appeared == [C]
    assert await a.open_residu() == {("PD-08", PUPIL_A): f"{NAMES[B]}; {NAMES[C]}"}
    assert await c.open_residu() == {("PD-08", PUPIL_C): f"{NAMES[A]}; {NAMES[B]}"}


async def test_a_school_whose_own_residu_stays_as_it_is_is_locked_too(
    central: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sixth school's residu rests on the others': they must not all correct theirs between look and commit."""
    town = [
        await Neighbour.at(central, f"699001{n:02}", [line("peserta_didik", new_id(100 + n), pupil())])
        for n in range(5)
    ]
    await settle(central)
    last = await Neighbour.at(central, "69900199", [line("peserta_didik", new_id(199), pupil())])
    write, giving_back = registry.write, list[asyncio.Task[Any]]()

    async def gives_back() -> None:
        for n, school in enumerate(town):
            await school.put("peserta_didik", new_id(100 + n), None)
        await settle(central)

    async def meanwhile(*given: Any, **named: Any) -> Any:
        if not giving_back:
            monkeypatch.setattr(registry, "write", write)
            giving_back.append(asyncio.create_task(gives_back()))
            await waits_for_a_lock(central, unless=giving_back[0])
        return await write(*given, **named)

    monkeypatch.setattr(registry, "write", meanwhile)
    await settle(central)
    await giving_back[0]
    await settle(central)
    assert await last.states() == ["selesai"]


async def test_two_processes_are_at_two_follow_ups(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    async with a.database.transaction() as one, a.database.transaction() as two, a.database.transaction() as three:
        taken = [await residu._take(transaction) for transaction in (one, two, three)]
    assert [found and found.npsn for found in taken] == [A, B, None]


async def test_a_crash_in_the_middle_of_a_follow_up_loses_nothing_and_leaves_no_half(
    a: Neighbour, b: Neighbour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await settle(a.database)
    await b.put("peserta_didik", PUPIL_B, pupil())
    write, written = registry.write, []

    async def dies(*given: Any, **named: Any) -> Any:
        written.append(await write(*given, **named))
        if len(written) == 2:
            raise RuntimeError(NIK)
        return written[-1]

    monkeypatch.setattr(registry, "write", dies)
    assert await residu.follow_up_next(a.database, TODAY) == {}
    assert len(written) == 2
    assert (await a.residu(), await b.residu()) == ([], [])
    assert await backlog(a.database) == 1
    monkeypatch.undo()
    assert await residu.follow_up_next(a.database, TODAY) is None, "it is tried again later, not at once"
    async with a.database.transaction() as transaction:
        assert await transaction.value("SELECT attempts FROM follow_up") == 1
        await transaction.run("UPDATE follow_up SET retry_at = now()")
    assert await settle(a.database) == 2
    assert await a.states() == await b.states() == ["terbuka"]
    assert NIK not in "".join(record.getMessage() for record in caplog.records)


async def test_a_follow_up_that_fails_does_not_hold_up_the_next(
    a: Neighbour, b: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    uses = residu._uses

    async def fails(transaction: Transaction, follow_up: residu.FollowUp) -> list[Use]:
        if follow_up.npsn == A:
            raise ValueError("broken")
        return await uses(transaction, follow_up)

    monkeypatch.setattr(residu, "_uses", fails)
    await settle(a.database)
    assert await a.states() == await b.states() == ["terbuka"]
    assert await backlog(a.database) == 1


async def test_the_claims_are_those_of_the_records_after_all_of_it(a: Neighbour, b: Neighbour) -> None:
    await shared(a, b)
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    await a.put("peserta_didik", PUPIL_A, None)
    assert await claimed(a.database) == {(B, "nik", PUPIL_B)}


async def test_a_school_cannot_write_or_delete_a_residu(a: Neighbour, b: Neighbour) -> None:
    await shared(a, b)
    key = natural_key("residu", "nik", PUPIL_A)
    (told,) = await a.residu()
    assert await a.put("residu", key, {**told, "keadaan": "selesai"}) == "refused"
    assert await a.put("residu", key, None) == "refused"
    assert await a.states() == ["terbuka"]


# ── who counts as another ────────────────────────────────────────────────────────────────────────────────────────────


def test_others_are_other_persons_at_other_schools_who_have_not_left() -> None:
    x, y = b"x", b"y"
    here, twin, same, left, elsewhere = (
        Slot(A, "nik", PUPIL_A),
        Slot(A, "nik", PUPIL_C),
        Slot(B, "nik", PUPIL_A),
        Slot(B, "nik", PUPIL_B),
        Slot(C, "nik", PUPIL_C),
    )
    assert others([Use(x, here), Use(x, twin)], frozenset()) == {}
    assert others([Use(x, here), Use(x, same)], frozenset()) == {}
    assert others([Use(x, here), Use(y, elsewhere)], frozenset()) == {}
    assert others([Use(x, here), Use(x, left)], frozenset({left})) == {}
    assert others([Use(x, here), Use(x, left), Use(x, elsewhere)], frozenset()) == {
        here: [B, C],
        left: [A, C],
        elsewhere: [A, B],
    }


def test_a_residu_belongs_to_central_as_a_whole_and_closes_no_gate() -> None:
    spec = SPECS["residu"]
    assert spec.central
    assert all(spec.is_central(name, None) for name in spec.fields)
    assert "VervalPD" in spec.channel
    assert "VervalPTK" in spec.channel
    assert not any(field.references for field in spec.fields.values())
    empty = record_findings("residu", new_id(1), {}, Context(NPSN, TODAY, 5))
    assert {finding.severity for finding in empty} == {Severity.WARNING}


async def test_a_school_that_is_added_while_nobody_else_is_there_is_no_trouble(central: Database) -> None:
    itself = line("sekolah", natural_key("sekolah", A), a_sekolah())
    await add_school(central, A, [itself])
    assert await settle(central) == 0
