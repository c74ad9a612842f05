"""Judging a whole school: total, the same every time, at a bounded cost, and one with judging record by record."""

from __future__ import annotations

import sys
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.demo import synthetic_school
from services.entities import CONFIRMED, SPECS
from services.rules import CATALOGUE, Context, Severity, record_findings, school_findings
from tests.builders import (
    CLASS,
    LESSON,
    MEMBER,
    NPSN,
    REGISTRATION,
    STUDENT,
    TEACHER,
    TODAY,
    Records,
    a_class,
    a_lesson,
    a_member,
    a_new_student,
    a_new_teacher,
    a_registration,
    a_school,
    a_student,
    a_teacher,
    new_id,
)

SD = Context(NPSN, TODAY, 5)
IDS = [new_id(number) for number in range(1, 5)]
TELLING = [
    "L",
    "P",
    "ID",
    "20251",
    "2019-02-30",
    "9900010203190001",
    "9900014103190000",
    "-6.2",
    "1e400",
    "²",
    "\n",
    "{x}",
]


def values(entity: str, name: str) -> st.SearchStrategy[Any]:
    """What a field may hold: anything of its type, and things of others; references that are there and that are not."""
    anything = st.one_of(st.text(max_size=40), st.integers(), st.booleans(), st.none())
    if SPECS[entity].fields[name].references:
        return st.one_of(st.sampled_from(IDS), anything)
    if SPECS[entity].fields[name].type is int:
        return st.one_of(st.integers(-1, 60), st.just(2025), anything)
    return st.one_of(st.sampled_from(TELLING), st.text("0123456789", min_size=10, max_size=18), anything)


def records(entity: str) -> st.SearchStrategy[dict[str, dict[str, Any]]]:
    known = {name: values(entity, name) for name in SPECS[entity].fields}
    fields = st.fixed_dictionaries({}, optional={**known, "medan_baru": st.text(max_size=5)})
    return st.dictionaries(st.sampled_from(IDS), fields, max_size=3)


schools = st.fixed_dictionaries({}, optional={entity: records(entity) for entity in SPECS})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(school=schools)
def test_rules_never_fail_whatever_the_fields_hold(school: Records) -> None:
    for finding in school_findings(school, NPSN, TODAY):
        assert finding.rule in CATALOGUE
        assert finding.record_id in school[finding.entity]
        assert finding.text("id")
        assert finding.todo("en")


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(school=schools)
def test_the_same_school_gives_the_same_findings_in_whatever_order_it_is_read(school: Records) -> None:
    backwards = {entity: dict(reversed(table.items())) for entity, table in reversed(school.items())}
    assert school_findings(backwards, NPSN, TODAY) == school_findings(school, NPSN, TODAY)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(school=schools)
def test_what_is_said_of_a_record_alone_is_said_in_its_school_too(school: Records) -> None:
    """So what central refuses, the site's gate has held back."""
    no_kind = Context(NPSN, TODAY, None)
    of_school = school_findings(school, NPSN, TODAY)
    for entity, table in school.items():
        for record_id, fields in table.items():
            assert all(found in of_school for found in record_findings(entity, record_id, fields, no_kind))


def test_findings_come_by_entity_record_and_rule() -> None:
    school = a_school(
        peserta_didik={new_id(50): a_new_student(nama="x1", agama_id=98), new_id(40): a_new_student(nama=None)},
        rombongan_belajar={CLASS: a_class(ptk_id=None)},
    )
    found = school_findings(school, NPSN, TODAY)
    entities, codes = list(SPECS), list(CATALOGUE)
    order = [(entities.index(f.entity), f.record_id, codes.index(f.rule), f.field or "") for f in found]
    assert order == sorted(order)
    assert len({f.record_id for f in found}) == 4


def test_an_entity_and_a_field_of_a_newer_central_are_passed_over() -> None:
    school = a_school(jadwal={new_id(9): {"hari": 3}}, peserta_didik={STUDENT: a_student(medan_baru=["x"])})
    assert school_findings(school, NPSN, TODAY) == []
    assert record_findings("jadwal", new_id(9), {"hari": 3}, SD) == []


def test_an_empty_school_has_no_finding() -> None:
    assert school_findings({}, NPSN, TODAY) == []


def test_a_field_that_a_rule_speaks_of_is_not_reported_by_the_generic_rules_too() -> None:
    bad = a_new_student(nik="1", nama=None, tanggal_lahir="2", nama_ibu_kandung=" ")
    assert [(f.rule, f.field) for f in record_findings("peserta_didik", STUDENT, bad, SD)] == [
        ("PD-01", "nama"),
        ("PD-04", "nama_ibu_kandung"),
        ("PD-05", "nik"),
        ("PD-11", "nisn"),
        ("PD-13", "tanggal_lahir"),
    ]


def test_a_new_teacher_can_be_sent() -> None:
    """Else the assignment, the status and the kind, which only central gives, would never come."""
    school = a_school(ptk={new_id(30): a_new_teacher(nik="9900015506850002")})
    found = school_findings(school, NPSN, TODAY)
    assert {finding.rule for finding in found} == {"GTK-09", "WAJIB-01"}
    assert {finding.severity for finding in found} == {Severity.WARNING}


def test_a_new_student_can_be_sent_once_enrolled_and_placed() -> None:
    student, registration, member = (new_id(number) for number in (30, 31, 32))
    school = a_school(peserta_didik={student: a_new_student(nik="9900010203190002")})
    assert {f.rule for f in school_findings(school, NPSN, TODAY)} == {"PD-11", "PD-18"}
    school["registrasi_peserta_didik"][registration] = a_registration(peserta_didik_id=student)
    assert {f.rule for f in school_findings(school, NPSN, TODAY)} == {"PD-11", "PD-19"}
    school["anggota_rombel"][member] = a_member(peserta_didik_id=student)
    assert {f.rule for f in school_findings(school, NPSN, TODAY)} == {"PD-11"}


def test_deleting_what_others_refer_to_is_found_at_each_that_refers() -> None:
    school = a_school(peserta_didik={STUDENT: None})
    found = school_findings(school, NPSN, TODAY)
    assert {(f.rule, f.entity, f.record_id) for f in found} == {
        ("REF-01", "registrasi_peserta_didik", REGISTRATION),
        ("REF-01", "anggota_rombel", MEMBER),
    }


def test_a_class_of_a_past_semester_is_not_judged_by_what_is_so_today() -> None:
    old = {
        "rombongan_belajar": {new_id(60): a_class(semester_id="20242")},
        "pembelajaran": {
            LESSON: a_lesson(),
            new_id(61): a_lesson(rombongan_belajar_id=new_id(60), semester_id="20242"),
        },
        "anggota_rombel": {MEMBER: a_member(), new_id(62): a_member(rombongan_belajar_id=new_id(60))},
    }
    assert (
        school_findings(
            a_school()
            | {"rombongan_belajar": old["rombongan_belajar"] | {CLASS: a_class()}}
            | {
                "pembelajaran": old["pembelajaran"],
                "anggota_rombel": old["anggota_rombel"],
            },
            NPSN,
            TODAY,
        )
        == []
    )


def test_a_grade_is_judged_by_the_kind_of_school_if_it_is_known() -> None:
    seventh = a_class(tingkat_pendidikan_id=7)
    kinds = {5: ["RMB-07"], 6: [], 13: ["RMB-07"], 1: [], 29: [], None: []}
    for kind, codes in kinds.items():
        assert [
            f.rule for f in record_findings("rombongan_belajar", CLASS, seventh, Context(NPSN, TODAY, kind))
        ] == codes


def test_confirmation_alone_turns_a_gap_from_the_schools_into_centrals() -> None:
    gap = a_teacher(tanggal_lahir=None, nik=None)
    (by_central, *_) = [f for f in record_findings("ptk", TEACHER, gap, SD) if f.field == "tanggal_lahir"]
    (by_school, *_) = [
        f for f in record_findings("ptk", TEACHER, gap | {CONFIRMED: False}, SD) if f.field == "tanggal_lahir"
    ]
    assert (by_central.severity, by_school.severity) == (Severity.WARNING, Severity.INVALID)


def test_judging_a_school_twice_as_large_is_about_twice_the_work() -> None:
    small, large = (
        synthetic_school(3, npsn=NPSN, today=TODAY, pupils=pupils, classes=pupils // 26, teachers=pupils // 25)
        for pupils in (400, 800)
    )
    assert _work(large) < 2.3 * _work(small)


def test_a_number_copied_down_a_whole_column_is_no_more_than_that() -> None:
    work = []
    for pupils in (400, 800):
        school = synthetic_school(3, npsn=NPSN, today=TODAY, pupils=pupils, classes=pupils // 26, teachers=pupils // 25)
        for fields in school["peserta_didik"].values():
            fields |= {"nik": "9900010203190001", "nisn": "1", "nama": "1", "agama_id": None, "kode_wilayah": "x"}
        assert len(school_findings(school, NPSN, TODAY)) > 5 * pupils
        work.append(_work(school))
    assert work[1] < 2.3 * work[0]


def _work(school: Records) -> int:
    """Calls of functions, in Python and in C, that judging takes: the same every time, on any machine."""
    calls = 0

    def count(_frame: object, event: str, _what: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    before = sys.getprofile()
    sys.setprofile(count)
    try:
        school_findings(school, NPSN, TODAY)
    finally:
        sys.setprofile(before)
    return calls


def test_three_of_those_who_share_a_number_are_named_and_the_rest_counted() -> None:
    school = a_school(peserta_didik={new_id(70 + n): a_student(nama=f"Murid {'ABCDE'[n]}") for n in range(5)})
    said = {f.record_id: f.params["nama"] for f in school_findings(school, NPSN, TODAY) if f.rule == "PD-07"}
    assert said[STUDENT] == "Murid A, Murid B, Murid C +2"
    assert said[new_id(70)] == "Budi Pratama, Murid B, Murid C +2"
    assert said[new_id(74)] == "Budi Pratama, Murid A, Murid B +2"
