"""Which changes may be made: pure, on records made up here."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import pytest

from services.entities import CONFIRMED, Fields
from services.exchange.absorb import Base, Conflict, Replicated
from services.messages import FieldsChange
from services.replica.deciding import Decision, decide
from services.replica.records import Key
from tests.replica.builders import delete, upsert

ID = "11111111-1111-4111-8111-111111111111"
CLASS = "22222222-2222-4222-8222-222222222222"
MEMBER = "33333333-3333-4333-8333-333333333333"
PUPIL: Key = ("peserta_didik", ID)


def codes(decision: Decision) -> dict[int, list[str]]:
    return {index: [p.code for p in problems] for index, problems in decision.rejected.items()}


def a_pupil(*, confirmed: bool = False, **fields: Any) -> Replicated:
    """As central has it."""
    base: Fields = {"nama": "Ani", "nik": "9900000000000001", **({CONFIRMED: True} if confirmed else {}), **fields}
    return Replicated(Base(1, 1, base), base)


def decided(*changes: FieldsChange, held: dict[Key, Replicated] | None = None, known: Sequence[Key] = ()) -> Decision:
    return decide(changes, held or {}, set(known))


def test_a_new_record_is_stored_and_pending() -> None:
    decision = decided(upsert("peserta_didik", ID, nama="Ani", rt=7))
    assert decision.stored == [0]
    assert decision.records[PUPIL].data == {"nama": "Ani", "rt": 7}
    assert decision.records[PUPIL].pending


def test_text_is_brought_to_one_form_where_it_enters() -> None:
    decision = decided(upsert("peserta_didik", ID, nama="Rene\u0301"))
    assert decision.records[PUPIL].data == {"nama": "Ren\u00e9"}


def test_length_is_counted_after_that() -> None:
    assert codes(decided(upsert("peserta_didik", ID, nama="e\u0301" * 100))) == {}
    assert codes(decided(upsert("peserta_didik", ID, nama="e" * 101))) == {0: ["UBAH-03"]}


@pytest.mark.parametrize(
    ("change", "code", "field"),
    [
        (upsert("murid", ID, nama="A"), "UBAH-01", None),
        (upsert("peserta_didik", "PD-1", nama="A"), "UBAH-10", "record_id"),
        (upsert("peserta_didik", ID.replace("1", "A"), nama="A"), "UBAH-10", "record_id"),
        (upsert("ptk_terdaftar", ID, ptk_induk=1), "UBAH-09", None),
        (delete("ptk_terdaftar", ID), "UBAH-09", None),
        (upsert("peserta_didik", ID, nama_panggilan="A"), "UBAH-02", "nama_panggilan"),
        (upsert("peserta_didik", ID, nama=7), "UBAH-03", "nama"),
        (upsert("peserta_didik", ID, rt="7"), "UBAH-03", "rt"),
        (upsert("peserta_didik", ID, rt=True), "UBAH-03", "rt"),
        (upsert("peserta_didik", ID, nama=["A"]), "UBAH-03", "nama"),
        (upsert("peserta_didik", ID, nama="A\x00"), "UBAH-03", "nama"),
        (upsert("peserta_didik", ID, nisn="9000000001"), "UBAH-04", "nisn"),
        (upsert("peserta_didik", ID, terverifikasi=True), "UBAH-04", "terverifikasi"),
        (upsert("anggota_rombel", ID, peserta_didik_id=CLASS), "UBAH-05", "peserta_didik_id"),
        (delete("peserta_didik", ID), "UBAH-07", "record_id"),
        (FieldsChange(entity="peserta_didik", record_id=ID, op="delete", fields={"nama": "A"}), "MSG-09", "fields"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_may_not_be_stored_is_rejected_with_its_code_and_field(
    change: FieldsChange, code: str, field: str | None
) -> None:
    decision = decided(change)
    (problem,) = decision.rejected[0]
    assert (problem.code, problem.field) == (code, field)
    assert problem.text_id
    assert "{" not in problem.text_id + problem.text_en + problem.next_id + problem.next_en
    assert decision.records == {}


def test_every_problem_of_a_change_is_named() -> None:
    assert codes(decided(upsert("peserta_didik", ID, nama=7, rt="7", x=1))) == {0: ["UBAH-03", "UBAH-03", "UBAH-02"]}


def test_an_odd_value_is_stored_for_it_is_a_finding() -> None:
    assert decided(upsert("peserta_didik", ID, nik="12", tanggal_lahir="kemarin", rt=700)).stored == [0]


def test_a_change_with_one_locked_field_is_rejected_whole() -> None:
    held = {PUPIL: a_pupil(confirmed=True)}
    decision = decided(upsert("peserta_didik", ID, nama="Ana", rt=7), held=held)
    (problem,) = decision.rejected[0]
    assert (problem.code, problem.field, problem.channel) == ("UBAH-04", "nama", "VervalPD")
    assert "VervalPD" in problem.next_id
    assert decision.records == {}


def test_a_locked_field_that_keeps_its_value_locks_nothing() -> None:
    held = {PUPIL: a_pupil(confirmed=True, nisn="9000000001")}
    decision = decided(upsert("peserta_didik", ID, nama="Ani", nisn="9000000001", rt=7), held=held)
    assert decision.stored == [0]
    assert (decision.records[PUPIL].data or {})["rt"] == 7


def test_an_identity_is_the_schools_until_it_is_confirmed() -> None:
    assert decided(upsert("peserta_didik", ID, nama="Ana"), held={PUPIL: a_pupil()}).stored == [0]


def test_null_empties_a_field_but_not_a_locked_one() -> None:
    held = {PUPIL: a_pupil(confirmed=True, rt=7)}
    decision = decided(upsert("peserta_didik", ID, rt=None), upsert("peserta_didik", ID, nik=None), held=held)
    assert decision.records[PUPIL].data == {"nama": "Ani", "nik": "9900000000000001", CONFIRMED: True}
    assert codes(decision) == {1: ["UBAH-04"]}


def test_a_confirmed_person_may_not_be_deleted() -> None:
    decision = decided(delete("peserta_didik", ID), held={PUPIL: a_pupil(confirmed=True)})
    (problem,) = decision.rejected[0]
    assert (problem.code, problem.channel) == ("UBAH-06", "VervalPD")


def test_a_person_whom_nobody_confirmed_may_be_deleted() -> None:
    decision = decided(delete("peserta_didik", ID), held={PUPIL: a_pupil()})
    assert decision.records[PUPIL].data is None
    assert decision.records[PUPIL].pending


def test_the_school_itself_is_never_deleted() -> None:
    held = {("sekolah", ID): Replicated(Base(1, 1, {"nama": "SD"}), {"nama": "SD"})}
    assert codes(decided(delete("sekolah", ID), held=held)) == {0: ["UBAH-06"]}


def test_changes_of_one_record_apply_in_order() -> None:
    decision = decided(
        upsert("peserta_didik", ID, nama="A", rt=1),
        upsert("peserta_didik", ID, nama="B"),
        delete("peserta_didik", ID),
        upsert("peserta_didik", ID, nama="C"),
    )
    assert decision.stored == [0, 1, 2, 3]
    assert decision.records[PUPIL].data == {"nama": "C"}


def test_what_repeats_the_present_values_changes_nothing() -> None:
    decision = decided(upsert("peserta_didik", ID, nama="Ani"), held={PUPIL: a_pupil()})
    assert decision.stored == [0]
    assert decision.records == {}


def test_a_parent_and_its_child_may_come_in_either_order() -> None:
    parent = upsert("rombongan_belajar", CLASS, nama="Kelas 1")
    pupil = upsert("peserta_didik", ID, nama="Ani")
    child = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=CLASS, peserta_didik_id=ID)
    assert decided(child, parent, pupil).stored == [0, 1, 2]
    assert decided(parent, pupil, child).stored == [0, 1, 2]


def test_a_child_falls_with_the_parent_that_is_rejected() -> None:
    child = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=CLASS)
    parent = upsert("rombongan_belajar", CLASS, nama="Kelas 1", parent_rombongan_belajar_id=ID)
    assert codes(decided(child, parent)) == {0: ["UBAH-05"], 1: ["UBAH-05"]}


def test_a_child_of_what_the_same_event_deletes_is_rejected() -> None:
    held = {("rombongan_belajar", CLASS): Replicated(Base(1, 1, {"nama": "Kelas 1"}), {"nama": "Kelas 1"})}
    child = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=CLASS)
    decision = decided(child, delete("rombongan_belajar", CLASS), held=held, known=[("rombongan_belajar", CLASS)])
    assert codes(decision) == {0: ["UBAH-05"]}
    assert decision.stored == [1]


def test_only_the_reference_a_record_ends_with_is_judged() -> None:
    known: list[Key] = [("rombongan_belajar", CLASS)]
    wrong = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=ID)
    right = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=CLASS)
    assert decided(wrong, right, known=known).stored == [0, 1]
    assert codes(decided(right, wrong, known=known)) == {1: ["UBAH-05"]}


def test_a_reference_that_was_broken_before_does_not_stop_another_edit() -> None:
    key: Key = ("anggota_rombel", MEMBER)
    fields = {"rombongan_belajar_id": CLASS, "jenis_pendaftaran_id": 1}
    held = {key: Replicated(Base(1, 1, fields), fields)}
    change = upsert("anggota_rombel", MEMBER, rombongan_belajar_id=CLASS, jenis_pendaftaran_id=2)
    assert decided(change, held=held).stored == [0]


def test_a_long_chain_of_references_to_nothing_falls_whole_and_fast() -> None:
    ids = [f"00000000-0000-4000-8000-{n:012}" for n in range(1001)]
    chain = [upsert("rombongan_belajar", own, parent_rombongan_belajar_id=parent) for own, parent in pairwise(ids)]
    decision = decided(*chain)
    assert (decision.stored, decision.records) == ([], {})
    assert len(decision.rejected) == 1000


def test_an_edit_of_a_record_in_conflict_decides_it() -> None:
    base = {"nama": "Ani", "no_kk": "9900000000000009"}
    record = Replicated(Base(2, 2, base), {**base, "no_kk": "9900000000000001"}, None, Conflict(frozenset({"no_kk"})))
    decision = decided(upsert("peserta_didik", ID, no_kk="9900000000000002"), held={PUPIL: record})
    assert decision.records[PUPIL].conflict is None


def test_nothing_is_left_of_a_record_that_came_and_went_in_one_event() -> None:
    decision = decided(upsert("peserta_didik", ID, nama="A"), delete("peserta_didik", ID))
    assert (decision.stored, decision.records) == ([0, 1], {})
