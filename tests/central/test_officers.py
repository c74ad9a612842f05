"""Officers' changes at central."""

from __future__ import annotations

import pytest

from services import topology
from services.broker import Delivery
from services.errors import MessageRefused
from services.intake import Accounts
from services.messages import Actor, OfficerChange, OfficerChangeAccepted, OfficerChangeRejected, OfficerChangeSubmitted
from services.wire import MAX_BODY_BYTES, encode
from tests.builders import NPSN, SEKOLAH, a_registration, new_id
from tests.central.desk import OTHER, STUDENT, Desk, Heard, codes, corrects, expect, student_id


def accepted(answer: Heard) -> OfficerChangeAccepted:
    assert answer.routing_key == f"accepted.{answer.subject}"
    assert not answer.mandatory
    return expect(answer.message, OfficerChangeAccepted)


def rejected(answer: Heard) -> list[str]:
    assert answer.routing_key == f"rejected.{answer.subject}"
    message = expect(answer.message, OfficerChangeRejected)
    return [*codes(message.problems), *(code for change in message.changes for code in codes(change.problems))]


def removes(entity: str, record_id: str, version: int) -> OfficerChange:
    return OfficerChange(entity=entity, record_id=record_id, op="delete", version=version)


async def test_an_officer_adds_and_corrects_any_field_in_one_event(desk: Desk) -> None:
    answer = await desk.officer(corrects(9, 0, **STUDENT), corrects(1, 1, nisn="9000010001", rekening_bank="123"))
    message = accepted(answer)
    assert [(c.record_id, c.version, c.seq) for c in message.changes] == [(student_id(9), 1, 5), (student_id(1), 2, 6)]
    assert message.head_seq == 6
    student = await desk.student(1)
    assert student is not None
    assert student.fields == {**STUDENT, "nisn": "9000010001", "rekening_bank": "123"}


async def test_values_are_brought_to_nfc_and_null_empties(desk: Desk) -> None:
    accepted(await desk.officer(corrects(1, 1, nama_dusun="Cafe\u0301", tempat_lahir=None)))
    student = await desk.student(1)
    assert student is not None
    fields = student.fields or {}
    assert fields["nama_dusun"] == "Caf\u00e9"
    assert "tempat_lahir" not in fields


async def test_correcting_an_identity_confirms_it_and_adding_one_does_not(desk: Desk) -> None:
    accepted(await desk.officer(corrects(9, 0, **STUDENT), corrects(1, 1, nama="Budi S"), corrects(2, 1, rt=7)))
    found = [await desk.student(n) for n in (9, 1, 2)]
    assert [(s.fields or {}).get("terverifikasi") for s in found if s] == [None, True, None]


async def test_an_officer_confirms(desk: Desk) -> None:
    confirm = OfficerChange(entity="peserta_didik", record_id=student_id(1), op="confirm", version=1)
    accepted(await desk.officer(confirm))
    student = await desk.student(1)
    assert student is not None
    assert student.fields == {**STUDENT, "terverifikasi": True}
    sekolah = OfficerChange(entity="rombongan_belajar", record_id=new_id(1), op="confirm", version=0)
    assert rejected(await desk.officer(sekolah)) == ["UBAH-05"]


async def test_several_changes_of_one_record_make_one_version(desk: Desk) -> None:
    confirm = OfficerChange(entity="peserta_didik", record_id=student_id(9), op="confirm", version=0)
    message = accepted(await desk.officer(corrects(9, 0, **STUDENT), confirm))
    assert [(c.version, c.seq) for c in message.changes] == [(1, 5), (1, 5)]


async def test_what_changes_nothing_moves_nothing(desk: Desk) -> None:
    message = accepted(await desk.officer(corrects(1, 1, nama=STUDENT["nama"])))
    assert [(c.version, c.seq) for c in message.changes] == [(1, 2)]
    assert message.head_seq == 4


async def test_one_bad_change_and_nothing_of_the_event_is_written(desk: Desk) -> None:
    answer = await desk.officer(
        corrects(1, 1, nisn="9000010001"),
        corrects(2, 7, nisn="9000010002"),
        corrects(3, 1, tidak_ada=1),
        corrects(9, 0, rt="tujuh"),
        OfficerChange(entity="gaji", record_id=new_id(1), version=0),
        OfficerChange(entity="peserta_didik", record_id="x", version=0),
    )
    message = expect(answer.message, OfficerChangeRejected)
    assert [(c.index, codes(c.problems)) for c in message.changes] == [
        (1, ["PUSAT-01"]), (2, ["UBAH-02"]), (3, ["UBAH-03"]), (4, ["UBAH-01"]), (5, ["UBAH-10"]),
    ]  # fmt: skip
    assert "(its version is now 1)" in message.changes[0].problems[0].text_en
    assert (await desk.head()).head_seq == 4


async def test_a_reference_is_judged_after_the_whole_event(desk: Desk) -> None:
    def registration(student: str) -> OfficerChange:
        fields = a_registration(peserta_didik_id=student)
        return OfficerChange(entity="registrasi_peserta_didik", record_id=new_id(1), version=0, fields=fields)

    assert rejected(await desk.officer(registration(student_id(9)))) == ["UBAH-05"]
    accepted(await desk.officer(registration(student_id(9)), corrects(9, 0, **STUDENT)))


async def test_only_what_is_unconfirmed_and_unreferred_is_removed(desk: Desk) -> None:
    registration = a_registration(peserta_didik_id=student_id(1))
    child = OfficerChange(entity="registrasi_peserta_didik", record_id=new_id(1), version=0, fields=registration)
    accepted(await desk.officer(child, corrects(2, 1, terverifikasi=True)))
    assert rejected(await desk.officer(removes("peserta_didik", student_id(1), 1))) == ["PUSAT-02"]
    assert rejected(await desk.officer(removes("peserta_didik", student_id(2), 2))) == ["PUSAT-02"]
    assert rejected(await desk.officer(removes("peserta_didik", student_id(9), 0))) == ["UBAH-07"]
    assert rejected(await desk.officer(removes("sekolah", SEKOLAH, 1))) == ["UBAH-06"]
    accepted(await desk.officer(removes("peserta_didik", student_id(3), 1)))
    both = (removes("peserta_didik", student_id(1), 1), removes("registrasi_peserta_didik", new_id(1), 1))
    accepted(await desk.officer(*both))
    student = await desk.student(1)
    assert student is not None
    assert student.text is None


async def test_who_is_no_officer_is_told_so(desk: Desk) -> None:
    assert rejected(await desk.officer(corrects(1, 1, rt=1), sender="situs-sync")) == ["PUSAT-03"]
    assert rejected(await desk.officer(corrects(1, 1, rt=1), sender="stranger")) == ["PUSAT-03"]
    assert rejected(await desk.officer(corrects(1, 1, rt=1), npsn=OTHER)) == ["PUSAT-04"]


async def test_a_console_names_the_officer_who_wrote(desk: Desk) -> None:
    await Accounts(desk.database).grant("konsol", "*", "officer", names_people=True)
    body = OfficerChangeSubmitted(actor=Actor(id="Bu Dinas", role="officer"), changes=[corrects(1, 1, rt=1)])
    await desk.handlers.handle(
        Delivery(topology.CENTRAL_OFFICERS, encode(body, subject=NPSN, source="/k"), "konsol", f"change.{NPSN}"),
        limit_bytes=MAX_BODY_BYTES,
    )
    async with desk.database.transaction() as transaction:
        by = await transaction.value("SELECT written_by FROM record WHERE npsn = :npsn AND seq = 5", npsn=NPSN)
    assert by == "Bu Dinas"


async def test_the_same_event_again_is_announced_again_and_written_once(desk: Desk) -> None:
    change = corrects(1, 1, rt=1)
    first = await desk.officer(change, id="a")
    again = await desk.officer(change, id="a")
    assert (again.message, again.id) == (first.message, first.id)
    assert (await desk.head()).head_seq == 5
    with pytest.raises(MessageRefused, match="MSG-08"):
        await desk.officer(corrects(1, 1, rt=2), id="a")


async def test_a_routing_key_of_another_school_is_refused(desk: Desk) -> None:
    body = encode(OfficerChangeSubmitted(changes=[corrects(1, 1, rt=1)]), subject=NPSN, source="/dinas")
    with pytest.raises(MessageRefused, match="MSG-06"):
        await desk.handlers.handle(
            Delivery(topology.CENTRAL_OFFICERS, body, "dinas", f"change.{OTHER}"), limit_bytes=MAX_BODY_BYTES
        )
