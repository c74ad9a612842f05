"""A number in use at two schools: both get a residu, and lose it with the correction at either."""

from __future__ import annotations

import pytest

from services.central import registry, residu
from services.central.administration import add_school
from services.central.residu import Slot, Use, others
from services.database import Database
from services.entities import SPECS, Fields, natural_key
from services.messages import OfficerChange
from services.rules import Severity, record_findings, school_findings
from services.rules.findings import Context
from tests.builders import (
    ASSIGNMENT,
    NPSN,
    REGISTRATION,
    TODAY,
    a_new_teacher,
    a_registration,
    a_sekolah,
    a_student,
    a_teacher,
    an_assignment,
    new_id,
)
from tests.central.desk import codes, line
from tests.central.neighbours import Neighbour, backlog, settle
from tests.central.numbers import NAMES, NIK, OTHER_NIK, PUPIL_A, PUPIL_B, PUPIL_C, A, B, C, new_pupil, pupil, shared

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
