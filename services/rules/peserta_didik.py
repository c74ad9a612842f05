"""The rules of the tab Peserta Didik: the students and their enrolment."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules import reading
from services.rules.findings import Finding, Record, RecordRules
from services.rules.reads import ID, Others, SchoolRules, reads
from services.rules.reference import INDONESIAN, RELIGIONS, bentuk
from services.rules.school import School

REGISTRATIONS = Others(ID, "registrasi_peserta_didik", "peserta_didik_id", ("jenis_keluar_id",))


def _places(*of_class: str) -> Others:
    group = Others("rombongan_belajar_id", "rombongan_belajar", ID, ("semester_id", "jenis_rombel", *of_class))
    return Others(ID, "anggota_rombel", "peserta_didik_id", then=(group,))


def pd_01_name(student: Record) -> Iterator[Finding]:
    """A name is there, and has a vowel."""
    if student.lacks("nama"):
        yield student.missing("PD-01", "nama")
    elif not reading.has_vowel(student.text("nama")):
        yield student.finding("PD-01", "nama")


def pd_02_control_characters(student: Record) -> Iterator[Finding]:
    """Names hold no tab and no line break."""
    for name in ("nama", "nama_ibu_kandung"):
        if reading.has_control(student.text(name)):
            yield student.finding("PD-02", name)


def pd_03_odd_name(student: Record) -> Iterator[Finding]:
    """Names hold no digits and hardly any symbols."""
    if reading.is_odd_name(student.text("nama")):
        yield student.finding("PD-03", "nama")


def pd_04_mother(student: Record) -> Iterator[Finding]:
    """The mother's name is there."""
    if student.lacks("nama_ibu_kandung"):
        yield student.missing("PD-04", "nama_ibu_kandung")


def pd_05_nik(student: Record) -> Iterator[Finding]:
    """An Indonesian has a NIK, and it can be one. Who has no citizenship yet is taken for one."""
    if student.text("kewarganegaraan") not in ("", INDONESIAN):
        return
    if student.lacks("nik"):
        yield student.missing("PD-05", "nik")
    elif not reading.is_possible_nik(student.text("nik")):
        yield student.finding("PD-05", "nik")


def pd_06_nik_fits(student: Record) -> Iterator[Finding]:
    """NIK, birth date and sex agree."""
    nik = student.text("nik")
    if reading.is_possible_nik(nik) and not reading.nik_fits(
        nik, student.date("tanggal_lahir"), student.text("jenis_kelamin")
    ):
        yield student.finding("PD-06", "nik")


@reads("PD-07", others=(Others("nik", "peserta_didik", "nik", ("nama",), (REGISTRATIONS,)),))
def pd_07_same_nik(student: Record, school: School) -> Iterator[Finding]:
    """Two students do not share a NIK."""
    if others := school.others_with_nik(student):
        yield student.finding("PD-07", "nik", nama=others)


def pd_09_nisn(student: Record) -> Iterator[Finding]:
    """A NISN is ten digits."""
    nisn = student.text("nisn")
    if nisn and not reading.is_nisn(nisn):
        yield student.finding("PD-09", "nisn")


@reads("PD-10", others=(Others("nisn", "peserta_didik", "nisn", ("nama",), (REGISTRATIONS,)),))
def pd_10_same_nisn(student: Record, school: School) -> Iterator[Finding]:
    """Two students do not share a NISN."""
    if others := school.others_with_nisn(student):
        yield student.finding("PD-10", "nisn", nama=others)


def pd_11_no_nisn(student: Record) -> Iterator[Finding]:
    """A student should have a NISN before long."""
    if student.lacks("nisn"):
        yield student.finding("PD-11", "nisn")


def pd_12_family_card(student: Record) -> Iterator[Finding]:
    """NIK and family card number were not mixed up."""
    if student.text("no_kk") and student.text("no_kk") == student.text("nik"):
        yield student.finding("PD-12", "no_kk")


def pd_13_birth_date(student: Record) -> Iterator[Finding]:
    """The birth date is a day that has been."""
    if student.lacks("tanggal_lahir"):
        yield student.missing("PD-13", "tanggal_lahir")
        return
    born = student.date("tanggal_lahir")
    if born is None or born > student.context.today:
        yield student.finding("PD-13", "tanggal_lahir")


@reads("PD-17", "tanggal_lahir", others=(REGISTRATIONS,))
def pd_17_age(student: Record, school: School) -> Iterator[Finding]:
    """A registered student's age is one that BOSP counts. Who has left grows older unremarked."""
    window = bentuk(school.context.bentuk_pendidikan_id).ages_in_months
    born = student.date("tanggal_lahir")
    if window is None or born is None or born > school.context.today or not school.is_active(student.record_id):
        return
    age = reading.months_between(born, school.context.today)
    if not window[0] <= age <= window[1]:
        yield student.finding("PD-17", "tanggal_lahir", usia=str(age // 12))


@reads("PD-18", others=(Others(ID, "registrasi_peserta_didik", "peserta_didik_id"),))
def pd_18_registered(student: Record, school: School) -> Iterator[Finding]:
    """A student is enrolled."""
    if not school.is_registered(student.record_id):
        yield student.finding("PD-18", None)


@reads("PD-19", others=(REGISTRATIONS, _places()))
def pd_19_in_a_class(student: Record, school: School) -> Iterator[Finding]:
    """A student who is here sits in a class."""
    if school.is_active(student.record_id) and not school.places_of(student.record_id):
        yield student.finding("PD-19", None)


@reads("PD-20", others=(_places("nama"),))
def pd_20_in_one_class(student: Record, school: School) -> Iterator[Finding]:
    """A student sits in one class."""
    if len(school.places_of(student.record_id)) > 1:
        yield student.finding("PD-20", None, rombel=school.names_of_places(student.record_id))


@reads(
    "PD-21",
    others=(
        Others("peserta_didik_id", "peserta_didik", ID, ("nama",)),
        Others("peserta_didik_id", "registrasi_peserta_didik", "peserta_didik_id", ("jenis_keluar_id",)),
        Others("rombongan_belajar_id", "rombongan_belajar", ID, ("semester_id", "nama")),
    ),
)
def pd_21_left_but_member(member: Record, school: School) -> Iterator[Finding]:
    """Who has left is in no class group of this semester."""
    student, group = member.text("peserta_didik_id"), member.text("rombongan_belajar_id")
    if student not in school.table("peserta_didik"):
        return
    if school.has_left(student) and school.is_current_class(group):
        yield member.finding(
            "PD-21",
            "peserta_didik_id",
            nama=school.name_of("peserta_didik", student),
            rombel=school.name_of("rombongan_belajar", group),
        )


def pd_22_student_number(registration: Record) -> Iterator[Finding]:
    """An enrolled student has a number in the school's register."""
    if registration.lacks("nipd"):
        yield registration.missing("PD-22", "nipd")


def pd_26_religion(student: Record) -> Iterator[Finding]:
    """The religion is one of the current list."""
    religion = student.number("agama_id")
    if religion is not None and religion not in RELIGIONS:
        yield student.finding("PD-26", "agama_id")


RECORD_RULES: RecordRules = {
    "peserta_didik": (
        pd_01_name,
        pd_02_control_characters,
        pd_03_odd_name,
        pd_04_mother,
        pd_05_nik,
        pd_06_nik_fits,
        pd_09_nisn,
        pd_11_no_nisn,
        pd_12_family_card,
        pd_13_birth_date,
        pd_26_religion,
    ),
    "registrasi_peserta_didik": (pd_22_student_number,),
}
SCHOOL_RULES: SchoolRules = {
    "peserta_didik": (
        pd_07_same_nik,
        pd_10_same_nisn,
        pd_17_age,
        pd_18_registered,
        pd_19_in_a_class,
        pd_20_in_one_class,
    ),
    "anggota_rombel": (pd_21_left_but_member,),
}
