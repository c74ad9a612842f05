"""Which numbers are in use where: kept up with every write, whoever writes, in its own transaction."""

from __future__ import annotations

import pytest

from services.central import claims, lives
from services.central.administration import add_school
from services.central.claims import Claim, Moved
from services.database import Database
from services.entities import Fields
from services.exchange import canonical
from services.messages import OfficerChange
from tests.builders import (
    NPSN,
    REGISTRATION,
    STUDENT,
    TEACHER,
    a_new_student,
    a_new_teacher,
    a_registration,
    a_student,
    a_teacher,
    new_id,
)
from tests.central.desk import Desk, corrects, delete, line, new, put, student_id
from tests.central.neighbours import Neighbour, backlog, claimed

NIK, NIK_2 = "9900010203190001", "9900010203190002"


def moved(entity: str, before: Fields | None, after: Fields | None) -> Moved:
    texts = [None if fields is None else canonical.encode(fields) for fields in (before, after)]
    return Moved(entity, STUDENT, *texts)


def kinds(found: set[Claim]) -> set[str]:
    return {claim.kind for claim in found}


# ── what a record claims ─────────────────────────────────────────────────────────────────────────────────────────────


def test_a_student_claims_nik_and_nisn_and_staff_nik_and_nuptk() -> None:
    assert kinds(claims.of_record("peserta_didik", STUDENT, a_student())) == {"nik", "nisn"}
    assert kinds(claims.of_record("peserta_didik", STUDENT, a_new_student())) == {"nik"}
    assert kinds(claims.of_record("ptk", TEACHER, a_teacher())) == {"nik_ptk", "nuptk"}
    assert claims.of_record("registrasi_peserta_didik", REGISTRATION, a_registration()) == set()
    assert claims.of_record("peserta_didik", STUDENT, None) == set()


@pytest.mark.parametrize("number", ["", "0000000000000000", "99000102", "9900013203190001", 9900010203190001, None])
def test_what_can_be_no_nik_is_no_claim(number: object) -> None:
    assert claims.of_record("peserta_didik", STUDENT, {"nik": number}) == set()


def test_the_same_number_of_a_student_and_of_staff_is_not_the_same_claim() -> None:
    assert claims.digest("nik", NIK) != claims.digest("nik_ptk", NIK)
    assert len(claims.digest("nik", NIK)) == claims.DIGEST_BYTES


def test_a_write_that_changes_no_number_changes_nothing() -> None:
    found = claims.changed(
        [
            moved("peserta_didik", a_student(), a_student(rt=7, nama="Lain")),
            moved("registrasi_peserta_didik", a_registration(), a_registration(nipd="1")),
            moved("rombongan_belajar", None, {"nama": "1A"}),
        ]
    )
    assert found == claims.Changed()


def test_a_corrected_number_frees_the_old_one_and_names_the_person() -> None:
    found = claims.changed([moved("peserta_didik", a_student(), a_student(nik=NIK_2))])
    assert found.added == {Claim(claims.digest("nik", NIK_2), "nik", STUDENT)}
    assert found.freed == {Claim(claims.digest("nik", NIK), "nik", STUDENT)}
    assert found.persons == {("peserta_didik", STUDENT)}


def test_a_deleted_person_frees_all_numbers() -> None:
    assert kinds(claims.changed([moved("peserta_didik", a_student(), None)]).freed) == {"nik", "nisn"}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (a_registration(), a_registration(jenis_keluar_id="1")),
        (a_registration(jenis_keluar_id="1"), a_registration()),
        (None, a_registration()),
        (a_registration(), None),
    ],
)
def test_who_may_have_left_or_come_back_is_named(before: Fields | None, after: Fields | None) -> None:
    found = claims.changed([moved("registrasi_peserta_didik", before, after)])
    assert found == claims.Changed(persons={("peserta_didik", STUDENT)})


def test_a_registration_that_is_now_about_somebody_else_names_both() -> None:
    found = claims.changed(
        [moved("registrasi_peserta_didik", a_registration(), a_registration(peserta_didik_id=new_id(9)))]
    )
    assert found.persons == {("peserta_didik", STUDENT), ("peserta_didik", new_id(9))}


# ── kept up with every write ─────────────────────────────────────────────────────────────────────────────────────────


async def test_a_baseline_claims_its_numbers(central_database: Database) -> None:
    await lives.ensure(central_database)
    lines = [line("peserta_didik", STUDENT, a_student()), line("ptk", TEACHER, a_new_teacher())]
    await add_school(central_database, NPSN, lines)
    assert await claimed(central_database) == {
        (NPSN, "nik", STUDENT),
        (NPSN, "nisn", STUDENT),
        (NPSN, "nik_ptk", TEACHER),
    }


async def test_a_push_claims_corrects_and_frees(desk: Desk) -> None:
    before = await claimed(desk.database)
    session = await desk.open()
    await session.pushed(new(9, nik=NIK_2), last=False)
    assert await claimed(desk.database) - before == {(NPSN, "nik", student_id(9))}
    await session.pushed(put(9, 1, nik=(NIK_2, "9900010203190009")), last=False)
    assert await claimed(desk.database) - before == {(NPSN, "nik", student_id(9))}
    await session.pushed(delete(9, 2))
    assert await claimed(desk.database) == before


async def test_a_refused_change_claims_nothing(desk: Desk) -> None:
    before = await claimed(desk.database)
    result = await (await desk.open()).pushed(new(9, nik="1"), new(10, tanggal_lahir="bukan tanggal"))
    assert [verdict.verdict for verdict in result.verdicts] == ["refused", "refused"]
    assert await claimed(desk.database) == before


async def test_an_officers_number_is_claimed_and_given_back_by_who_takes_it_off(desk: Desk) -> None:
    before = await claimed(desk.database)
    await desk.officer(corrects(1, 1, nisn="9000010001"))
    assert await claimed(desk.database) - before == {(NPSN, "nisn", student_id(1))}
    await desk.officer(corrects(1, 2, nisn=None))
    assert await claimed(desk.database) == before


async def test_what_changes_no_number_leaves_no_follow_up(desk: Desk) -> None:
    before = await backlog(desk.database)
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)), put(2, 1, anak_keberapa=(None, 2)), last=False)
    await desk.officer(corrects(3, 1, rw=4))
    assert await backlog(desk.database) == before
    await session.pushed(new(9, nik=NIK_2))
    assert await backlog(desk.database) == before + 1


async def test_no_number_stands_in_the_claims(central_database: Database, desk: Desk) -> None:
    await Neighbour.at(central_database, "69900002", [line("peserta_didik", new_id(50), a_student())])
    async with central_database.transaction() as transaction:
        for table in ("claim", "follow_up"):
            text = await transaction.value(f"SELECT string_agg(CAST(t AS text), ' ') FROM {table} t")
            assert text
            assert NIK not in text
            assert NIK.encode().hex() not in text


async def test_removing_what_an_officer_added_frees_its_number(desk: Desk) -> None:
    before = await claimed(desk.database)
    await desk.officer(corrects(9, 0, **a_new_student(nik=NIK_2)))
    removal = OfficerChange(entity="peserta_didik", record_id=student_id(9), op="delete", version=1)
    await desk.officer(removal)
    assert await claimed(desk.database) == before
