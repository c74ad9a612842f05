"""Every rule of the catalogue: a school in which it fires, one in which it does not, and which field it names."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from services.entities import SPECS, Fields
from services.rules import CATALOGUE, Finding, Severity, school_findings
from tests.builders import (
    ASSIGNMENT,
    CLASS,
    LESSON,
    MEMBER,
    NPSN,
    REGISTRATION,
    RESIDU,
    SEKOLAH,
    SEMESTER,
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
    a_residu,
    a_school,
    a_sekolah,
    a_student,
    a_teacher,
    an_assignment,
    new_id,
)

OTHER, OTHER_REGISTRATION, OTHER_CLASS, OTHER_MEMBER, OTHER_LESSON = (new_id(number) for number in range(101, 106))
INVALID, WARNING = Severity.INVALID, Severity.WARNING


@dataclass(frozen=True)
class Case:
    """`fires` finds `code` once in `entity`, about `field`; `silent` does not find it at all."""

    code: str
    about: str
    fires: Records
    silent: Records
    entity: str
    field: str | None
    severity: Severity

    def __str__(self) -> str:
        return f"{self.code} {self.about}"


def of_school(**changes: Any) -> Records:
    return a_school(sekolah={SEKOLAH: a_sekolah(**changes)})


def of_student(**changes: Any) -> Records:
    return a_school(peserta_didik={STUDENT: a_student(**changes)})


def of_new_student(**changes: Any) -> Records:
    return a_school(peserta_didik={STUDENT: a_new_student(**changes)})


def of_teacher(**changes: Any) -> Records:
    return a_school(ptk={TEACHER: a_teacher(**changes)})


def of_new_teacher(**changes: Any) -> Records:
    return a_school(ptk={TEACHER: a_new_teacher(**changes)})


def of_class(**changes: Any) -> Records:
    return a_school(rombongan_belajar={CLASS: a_class(**changes)})


def of_lesson(**changes: Any) -> Records:
    return a_school(pembelajaran={LESSON: a_lesson(**changes)})


def of_registration(**changes: Any) -> Records:
    return a_school(registrasi_peserta_didik={REGISTRATION: a_registration(**changes)})


def with_second_student(left: bool = False, **changes: Any) -> Records:
    """STUDENT and another who shares nothing with them but what `changes` says; both are in CLASS."""
    second: Fields = {"nama": "Citra Wijaya", "nisn": "9000010002", "nik": "9900010203190002", "no_kk": None}
    registration = a_registration(peserta_didik_id=OTHER, nipd="25260002")
    if left:
        registration |= {"jenis_keluar_id": "2", "tanggal_keluar": "2025-09-01"}
    return a_school(
        peserta_didik={OTHER: a_student(**{**second, **changes})},
        registrasi_peserta_didik={OTHER_REGISTRATION: registration},
        anggota_rombel={} if left else {OTHER_MEMBER: a_member(peserta_didik_id=OTHER)},
    )


def with_second_class(**changes: Any) -> Records:
    """CLASS and another, with a lesson and no member of its own."""
    return a_school(
        rombongan_belajar={OTHER_CLASS: a_class(**{"nama": "Kelas 1B", **changes})},
        pembelajaran={OTHER_LESSON: a_lesson(rombongan_belajar_id=OTHER_CLASS, jam_mengajar_per_minggu=1)},
    )


def with_members(count: int) -> Records:
    """CLASS with this many rows of members."""
    return a_school(anggota_rombel={new_id(1000 + number): a_member() for number in range(count - 1)})


def of_residu(code: str, entity: str, name: str, **changes: Any) -> Records:
    """What central found about the number of STUDENT or TEACHER."""
    about = {"entitas": entity, "data_id": STUDENT if entity == "peserta_didik" else TEACHER, "isian": name}
    found = {"kode": code, "keadaan": "terbuka", "sekolah_lain": "69900002 SD Lain", **about, **changes}
    return a_school(residu={RESIDU: a_residu(**found)})


FINE = a_school()
EKSKUL = {"jenis_rombel": 51, "nama": "Pramuka"}
CASES = [
    Case("SKL-01", "lintang at 0", of_school(lintang="0"), FINE, "sekolah", "lintang", INVALID),
    Case("SKL-01", "bujur in Africa", of_school(bujur="20.5"), FINE, "sekolah", "bujur", INVALID),
    Case("SKL-01", "no number", of_school(bujur="112,75"), FINE, "sekolah", "bujur", INVALID),
    Case("SKL-01", "empty, central fills it", of_school(lintang=None), FINE, "sekolah", "lintang", WARNING),
    Case("SKL-05", "no licence", of_school(sk_izin_operasional=None), FINE, "sekolah", "sk_izin_operasional", WARNING),
    Case("PD-01", "no name", of_new_student(nama=None), of_new_student(), "peserta_didik", "nama", INVALID),
    Case("PD-01", "a blank name", of_new_student(nama="  "), of_new_student(), "peserta_didik", "nama", INVALID),
    Case("PD-01", "no vowel", of_new_student(nama="Brr"), of_new_student(nama="Éd"), "peserta_didik", "nama", INVALID),
    Case("PD-01", "no name, confirmed", of_student(nama=None), FINE, "peserta_didik", "nama", WARNING),
    Case("PD-02", "a tab", of_new_student(nama="Budi\tP"), of_new_student(), "peserta_didik", "nama", INVALID),
    Case(
        "PD-02",
        "a line break",
        of_new_student(nama_ibu_kandung="Siti\nR"),
        of_new_student(),
        "peserta_didik",
        "nama_ibu_kandung",
        INVALID,
    ),
    Case("PD-03", "a digit", of_student(nama="Bud1"), FINE, "peserta_didik", "nama", WARNING),
    Case(
        "PD-03",
        "symbols",
        of_student(nama="Budi_P"),
        of_student(nama="M. Nu'man, A-Z"),
        "peserta_didik",
        "nama",
        WARNING,
    ),
    Case(
        "PD-04",
        "no mother",
        of_new_student(nama_ibu_kandung=None),
        of_new_student(),
        "peserta_didik",
        "nama_ibu_kandung",
        INVALID,
    ),
    Case("PD-04", "confirmed", of_student(nama_ibu_kandung=None), FINE, "peserta_didik", "nama_ibu_kandung", WARNING),
    Case(
        "PD-05",
        "no NIK",
        of_new_student(nik=None),
        of_new_student(nik=None, kewarganegaraan="MY"),
        "peserta_didik",
        "nik",
        INVALID,
    ),
    Case("PD-05", "15 digits", of_new_student(nik="990001020319000"), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "one digit", of_new_student(nik="1" * 16), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "letters", of_new_student(nik="99000102031900O1"), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "other digits", of_new_student(nik="٣" * 16), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "day 32", of_new_student(nik="9900013203190001"), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "month 13", of_new_student(nik="9900010213190001"), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "0000", of_new_student(nik="9900010203190000"), FINE, "peserta_didik", "nik", INVALID),
    Case("PD-05", "confirmed without", of_student(nik=None), FINE, "peserta_didik", "nik", WARNING),
    Case("PD-06", "another day", of_student(nik="9900010303190001"), FINE, "peserta_didik", "nik", WARNING),
    Case(
        "PD-06",
        "a girl's",
        of_student(nik="9900014203190001"),
        of_student(nik="9900014203190001", jenis_kelamin="P"),
        "peserta_didik",
        "nik",
        WARNING,
    ),
    Case(
        "PD-07",
        "shared",
        with_second_student(nik="9900010203190001"),
        with_second_student(),
        "peserta_didik",
        "nik",
        INVALID,
    ),
    Case(
        "PD-07",
        "not with who has left",
        with_second_student(nik="9900010203190001"),
        with_second_student(nik="9900010203190001", left=True),
        "peserta_didik",
        "nik",
        INVALID,
    ),
    Case("PD-09", "nine digits", of_student(nisn="900001000"), FINE, "peserta_didik", "nisn", INVALID),
    Case("PD-09", "letters", of_student(nisn="90000100O1"), of_student(nisn=None), "peserta_didik", "nisn", INVALID),
    Case(
        "PD-10",
        "shared",
        with_second_student(nisn="9000010001"),
        with_second_student(),
        "peserta_didik",
        "nisn",
        INVALID,
    ),
    Case("PD-11", "no NISN", of_student(nisn=None), FINE, "peserta_didik", "nisn", WARNING),
    Case(
        "PD-12",
        "the same",
        of_student(no_kk="9900010203190001"),
        of_student(nik=None, no_kk=None),
        "peserta_didik",
        "no_kk",
        WARNING,
    ),
    Case(
        "PD-13",
        "no date",
        of_new_student(tanggal_lahir=None),
        of_new_student(),
        "peserta_didik",
        "tanggal_lahir",
        INVALID,
    ),
    Case("PD-13", "tomorrow", of_student(tanggal_lahir="2025-10-07"), FINE, "peserta_didik", "tanggal_lahir", INVALID),
    Case(
        "PD-13",
        "no such day",
        of_student(tanggal_lahir="2019-02-30"),
        of_student(tanggal_lahir=TODAY.isoformat()),
        "peserta_didik",
        "tanggal_lahir",
        INVALID,
    ),
    Case(
        "PD-17",
        "too young",
        of_student(tanggal_lahir="2020-04-07"),
        of_student(tanggal_lahir="2020-04-06"),
        "peserta_didik",
        "tanggal_lahir",
        WARNING,
    ),
    Case(
        "PD-17",
        "too old",
        of_student(tanggal_lahir="2009-09-06"),
        of_student(tanggal_lahir="2009-10-06"),
        "peserta_didik",
        "tanggal_lahir",
        WARNING,
    ),
    Case(
        "PD-18",
        "no enrolment",
        a_school(registrasi_peserta_didik={REGISTRATION: None}),
        with_second_student(left=True),
        "peserta_didik",
        None,
        INVALID,
    ),
    Case(
        "PD-19",
        "no class",
        a_school(anggota_rombel={MEMBER: None}),
        with_second_student(left=True),
        "peserta_didik",
        None,
        INVALID,
    ),
    Case("PD-19", "last semester's", of_class(semester_id="20242"), FINE, "peserta_didik", None, INVALID),
    Case("PD-19", "ekskul only", of_class(**EKSKUL), FINE, "peserta_didik", None, INVALID),
    Case(
        "PD-20",
        "two classes",
        with_second_class()
        | {"anggota_rombel": {MEMBER: a_member(), OTHER_MEMBER: a_member(rombongan_belajar_id=OTHER_CLASS)}},
        with_second_class(**EKSKUL)
        | {"anggota_rombel": {MEMBER: a_member(), OTHER_MEMBER: a_member(rombongan_belajar_id=OTHER_CLASS)}},
        "peserta_didik",
        None,
        INVALID,
    ),
    Case("PD-20", "twice in one", with_members(2), with_members(1), "peserta_didik", None, INVALID),
    Case(
        "PD-21",
        "left",
        of_registration(jenis_keluar_id="1"),
        of_registration(jenis_keluar_id=" "),
        "anggota_rombel",
        "peserta_didik_id",
        INVALID,
    ),
    Case("PD-22", "no NIPD", of_registration(nipd=None), FINE, "registrasi_peserta_didik", "nipd", INVALID),
    Case("PD-26", "not in use", of_student(agama_id=98), of_student(agama_id=99), "peserta_didik", "agama_id", INVALID),
    Case("GTK-01", "no name", of_new_teacher(nama=None), of_new_teacher(), "ptk", "nama", INVALID),
    Case("GTK-01", "no vowel", of_new_teacher(nama="Drs"), of_new_teacher(), "ptk", "nama", INVALID),
    Case("GTK-01", "symbols", of_teacher(nama="Dewi #1"), FINE, "ptk", "nama", WARNING),
    Case("GTK-01", "confirmed without", of_teacher(nama=None), FINE, "ptk", "nama", WARNING),
    Case("GTK-02", "no NIK", of_new_teacher(nik=None), of_new_teacher(), "ptk", "nik", INVALID),
    Case("GTK-02", "not 16", of_new_teacher(nik="99"), of_new_teacher(), "ptk", "nik", INVALID),
    Case("GTK-02", "a man's", of_teacher(nik="9900011506850001"), FINE, "ptk", "nik", WARNING),
    Case(
        "GTK-03",
        "PNS without",
        of_teacher(nip=None),
        of_teacher(nip=None, status_kepegawaian_id=8),
        "ptk",
        "nip",
        INVALID,
    ),
    Case("GTK-03", "CPNS, 17", of_teacher(nip="1" * 17, status_kepegawaian_id=10), FINE, "ptk", "nip", INVALID),
    Case("GTK-03", "another birth date", of_teacher(nip="198506162010012000"), FINE, "ptk", "nip", WARNING),
    Case("GTK-03", "another sex", of_teacher(nip="198506152010011000"), FINE, "ptk", "nip", WARNING),
    Case(
        "GTK-08",
        "71",
        of_teacher(tanggal_lahir="1954-10-06", nik=None, nip=None),
        of_teacher(tanggal_lahir="1954-10-07", nik=None, nip=None),
        "ptk",
        "tanggal_lahir",
        WARNING,
    ),
    Case("GTK-08", "16", of_teacher(tanggal_lahir="2008-10-07"), FINE, "ptk", "tanggal_lahir", WARNING),
    Case(
        "GTK-09",
        "confirmed",
        a_school(ptk={OTHER: a_teacher()}),
        a_school(
            ptk={OTHER: a_teacher()},
            ptk_terdaftar={OTHER_CLASS: an_assignment(ptk_id=OTHER, tahun_ajaran_id=2023, jenis_keluar_id="9")},
        ),
        "ptk",
        None,
        INVALID,
    ),
    Case(
        "GTK-09",
        "last year's only",
        a_school(
            ptk={OTHER: a_teacher()}, ptk_terdaftar={OTHER_CLASS: an_assignment(ptk_id=OTHER, tahun_ajaran_id=2024)}
        ),
        FINE,
        "ptk",
        None,
        INVALID,
    ),
    Case("GTK-09", "not confirmed", a_school(ptk={OTHER: a_new_teacher()}), FINE, "ptk", None, WARNING),
    Case("GTK-16", "15 digits", of_teacher(nuptk="9" * 15), of_teacher(nuptk=None), "ptk", "nuptk", INVALID),
    Case(
        "RMB-01", "none", of_class(ptk_id=None), of_class(ptk_id=None, **EKSKUL), "rombongan_belajar", "ptk_id", INVALID
    ),
    Case(
        "RMB-02",
        "left",
        a_school(ptk_terdaftar={ASSIGNMENT: an_assignment(jenis_keluar_id="2")}),
        of_class(semester_id="20242"),
        "rombongan_belajar",
        "ptk_id",
        INVALID,
    ),
    Case(
        "RMB-02",
        "not confirmed",
        a_school(ptk={OTHER: a_new_teacher()}, rombongan_belajar={CLASS: a_class(ptk_id=OTHER)}),
        FINE,
        "rombongan_belajar",
        "ptk_id",
        WARNING,
    ),
    Case(
        "RMB-03",
        "the same",
        with_second_class(nama="kelas  1a"),
        with_second_class(nama="Kelas 1A", jenis_rombel=51),
        "rombongan_belajar",
        "nama",
        INVALID,
    ),
    Case("RMB-04", "nobody", with_second_class(), FINE, "rombongan_belajar", None, INVALID),
    Case("RMB-05", "29", with_members(29), with_members(28), "rombongan_belajar", None, WARNING),
    Case(
        "RMB-07",
        "grade 7 of an SD",
        of_class(tingkat_pendidikan_id=7),
        of_class(tingkat_pendidikan_id=6),
        "rombongan_belajar",
        "tingkat_pendidikan_id",
        INVALID,
    ),
    Case("PBL-01", "nothing", a_school(pembelajaran={LESSON: None}), FINE, "rombongan_belajar", None, INVALID),
    Case(
        "PBL-04",
        "41",
        of_lesson(jam_mengajar_per_minggu=41),
        of_lesson(jam_mengajar_per_minggu=40),
        "ptk",
        None,
        WARNING,
    ),
    Case(
        "PBL-05",
        "left",
        a_school(ptk_terdaftar={ASSIGNMENT: an_assignment(jenis_keluar_id="9")}),
        FINE,
        "pembelajaran",
        "ptk_terdaftar_id",
        INVALID,
    ),
    Case(
        "PBL-05",
        "last year's",
        a_school(ptk_terdaftar={ASSIGNMENT: an_assignment(tahun_ajaran_id=2024)}),
        a_school(
            ptk_terdaftar={ASSIGNMENT: an_assignment(tahun_ajaran_id=2024)},
            pembelajaran={LESSON: a_lesson(semester_id="20242")},
        ),
        "pembelajaran",
        "ptk_terdaftar_id",
        INVALID,
    ),
    Case("PBL-06", "no SK", of_lesson(sk_mengajar=None), FINE, "pembelajaran", "sk_mengajar", INVALID),
    Case(
        "PBL-06", "no date", of_lesson(tanggal_sk_mengajar=None), FINE, "pembelajaran", "tanggal_sk_mengajar", INVALID
    ),
    Case("WAJIB-01", "the school's", of_student(agama_id=None), FINE, "peserta_didik", "agama_id", INVALID),
    Case("WAJIB-01", "shared", of_student(alamat_jalan=" "), FINE, "peserta_didik", "alamat_jalan", INVALID),
    Case(
        "WAJIB-01",
        "once, not confirmed",
        of_new_student(tempat_lahir=None),
        of_new_student(),
        "peserta_didik",
        "tempat_lahir",
        INVALID,
    ),
    Case("WAJIB-01", "once, confirmed", of_student(tempat_lahir=None), FINE, "peserta_didik", "tempat_lahir", WARNING),
    Case("WAJIB-01", "central's", of_teacher(jenis_ptk_id=None), FINE, "ptk", "jenis_ptk_id", WARNING),
    Case(
        "FORMAT-01",
        "a date",
        of_registration(tanggal_masuk_sekolah="14-07-2025"),
        FINE,
        "registrasi_peserta_didik",
        "tanggal_masuk_sekolah",
        INVALID,
    ),
    Case(
        "FORMAT-01",
        "a pattern",
        of_student(kode_pos="6012"),
        of_student(kode_pos="60121"),
        "peserta_didik",
        "kode_pos",
        INVALID,
    ),
    Case("FORMAT-01", "a range", of_student(rt=700), of_student(rt=7), "peserta_didik", "rt", INVALID),
    Case(
        "FORMAT-01",
        "an address",
        of_teacher(email="dewi@"),
        of_teacher(email="dewi@example.com"),
        "ptk",
        "email",
        INVALID,
    ),
    Case("FORMAT-01", "another type", of_student(rw="7"), of_student(rw=7), "peserta_didik", "rw", INVALID),
    Case(
        "FORMAT-01",
        "a foreigner's NIK",
        of_new_student(nik="A1234", kewarganegaraan="MY"),
        of_new_student(kewarganegaraan="MY"),
        "peserta_didik",
        "nik",
        INVALID,
    ),
    Case(
        "REF-01",
        "nobody",
        a_school(anggota_rombel={OTHER_MEMBER: a_member(peserta_didik_id=OTHER)}),
        FINE,
        "anggota_rombel",
        "peserta_didik_id",
        INVALID,
    ),
    Case(
        "PD-08",
        "in use elsewhere",
        of_residu("PD-08", "peserta_didik", "nik"),
        of_residu("PD-08", "peserta_didik", "nik", keadaan="selesai"),
        "peserta_didik",
        "nik",
        WARNING,
    ),
    Case(
        "PD-08",
        "about a student who is gone here",
        of_residu("PD-08", "peserta_didik", "nik"),
        of_residu("PD-08", "peserta_didik", "nik", data_id=OTHER),
        "peserta_didik",
        "nik",
        WARNING,
    ),
    Case(
        "PD-29",
        "in use elsewhere",
        of_residu("PD-29", "peserta_didik", "nisn"),
        FINE,
        "peserta_didik",
        "nisn",
        WARNING,
    ),
    Case("GTK-17", "in use elsewhere", of_residu("GTK-17", "ptk", "nik"), FINE, "ptk", "nik", WARNING),
    Case("GTK-18", "in use elsewhere", of_residu("GTK-18", "ptk", "nuptk"), FINE, "ptk", "nuptk", WARNING),
    Case("REF-01", "no such teacher", of_class(ptk_id=OTHER), FINE, "rombongan_belajar", "ptk_id", INVALID),
    Case(
        "REF-01",
        "no such lesson",
        of_lesson(induk_pembelajaran_id=OTHER_LESSON),
        of_lesson(induk_pembelajaran_id=LESSON),
        "pembelajaran",
        "induk_pembelajaran_id",
        INVALID,
    ),
]
ABOUT_THE_WHOLE_RECORD = {"PD-18", "PD-19", "PD-20", "GTK-09", "RMB-04", "RMB-05", "PBL-01", "PBL-04"}
each_case = pytest.mark.parametrize("case", CASES, ids=str)


def found(school: Records, code: str) -> list[Finding]:
    return [finding for finding in school_findings(school, NPSN, TODAY) if finding.rule == code]


def test_there_is_a_case_for_every_rule() -> None:
    assert {case.code for case in CASES} == set(CATALOGUE)


def test_the_school_that_the_cases_start_from_has_no_finding() -> None:
    assert school_findings(FINE, NPSN, TODAY) == []
    assert {fields["semester_id"] for fields in FINE["rombongan_belajar"].values()} == {SEMESTER}


@each_case
def test_a_rule_fires(case: Case) -> None:
    findings = found(case.fires, case.code)
    assert findings
    assert {(finding.entity, finding.field, finding.severity) for finding in findings} == {
        (case.entity, case.field, case.severity)
    }


@each_case
def test_a_rule_is_silent_where_there_is_nothing_to_say(case: Case) -> None:
    assert found(case.silent, case.code) == []


@each_case
def test_a_finding_names_a_record_that_is_there_and_a_field_it_has(case: Case) -> None:
    for finding in school_findings(case.fires, NPSN, TODAY):
        assert finding.record_id in case.fires[finding.entity]
        if finding.rule in ABOUT_THE_WHOLE_RECORD:
            assert finding.field is None
        else:
            assert finding.field in SPECS[finding.entity].fields


@each_case
def test_a_finding_says_what_is_wrong_and_what_to_do_in_both_languages(case: Case) -> None:
    for finding in school_findings(case.fires, NPSN, TODAY):
        said = [finding.text("id"), finding.text("en"), finding.todo("id"), finding.todo("en")]
        assert len(set(said)) == 4
        assert not any("{" in text or "…" in text or not text for text in said)


@each_case
def test_no_two_findings_of_a_record_are_the_same(case: Case) -> None:
    findings = school_findings(case.fires, NPSN, TODAY)
    assert len({(f.rule, f.record_id, f.field) for f in findings}) == len(findings)


def test_a_residu_of_a_newer_central_is_told_though_its_code_is_not_known() -> None:
    (finding,) = school_findings(of_residu("PD-99", "peserta_didik", "nik"), NPSN, TODAY)
    assert (finding.rule, finding.severity, finding.record_id) == ("PD-99", WARNING, STUDENT)
    assert "PD-99" in finding.text("id")
