"""The rules of the tab Rombel & Jadwal: the class groups and their members."""

from __future__ import annotations

from collections.abc import Iterator

from services.entities import CONFIRMED
from services.entities.channels import DINAS
from services.rules.findings import Finding, Record, RecordRules
from services.rules.reads import ID, NAME_AND_KIND, Others, SchoolRules, reads
from services.rules.reference import EXTRACURRICULAR, REGULAR_CLASS, bentuk
from services.rules.school import School

MEMBERS = Others(ID, "anggota_rombel", "rombongan_belajar_id")


def is_regular(group: Record) -> bool:
    """A class, not ekskul or choice subjects."""
    return group.number("jenis_rombel") == REGULAR_CLASS


def rmb_01_homeroom_teacher(group: Record) -> Iterator[Finding]:
    """A class has a homeroom teacher."""
    if is_regular(group) and group.lacks("ptk_id"):
        yield group.missing("RMB-01", "ptk_id")


@reads(
    "RMB-02",
    "semester_id",
    others=(
        Others("ptk_id", "ptk", ID, ("nama", CONFIRMED)),
        Others("ptk_id", "ptk_terdaftar", "ptk_id", ("tahun_ajaran_id", "jenis_keluar_id")),
    ),
)
def rmb_02_teacher_on_duty(group: Record, school: School) -> Iterator[Finding]:
    """The homeroom teacher works here this year. For one nobody has confirmed, the assignment is still to come."""
    teacher = group.text("ptk_id")
    if not school.is_current_class(group.record_id) or teacher not in school.table("ptk"):
        return
    if school.is_on_duty(teacher):
        return
    if school.was_assigned(teacher) or school.is_confirmed("ptk", teacher):
        yield group.finding("RMB-02", "ptk_id", nama=school.name_of("ptk", teacher))
    else:
        yield group.awaiting("RMB-02", "ptk_id", DINAS, nama=school.name_of("ptk", teacher))


@reads("RMB-03", "nama", others=(Others(NAME_AND_KIND, "rombongan_belajar", NAME_AND_KIND, ("semester_id",)),))
def rmb_03_same_name(group: Record, school: School) -> Iterator[Finding]:
    """Class groups of a kind have names of their own."""
    if school.is_current_class(group.record_id) and school.namesakes(group) > 1:
        yield group.finding("RMB-03", "nama", nama=group.text("nama"))


@reads("RMB-04", "semester_id", others=(MEMBERS,))
def rmb_04_has_members(group: Record, school: School) -> Iterator[Finding]:
    """A class group has members."""
    if school.is_current_class(group.record_id) and school.members(group.record_id) == 0:
        yield group.finding("RMB-04", None)


@reads("RMB-05", "semester_id", "jenis_rombel", others=(MEMBERS,))
def rmb_05_not_too_full(group: Record, school: School) -> Iterator[Finding]:
    """A class has no more members than the kind of school allows."""
    limit = bentuk(school.context.bentuk_pendidikan_id).class_size
    if limit is None or not is_regular(group) or not school.is_current_class(group.record_id):
        return
    members = school.members(group.record_id)
    if members > limit:
        yield group.finding("RMB-05", None, jumlah=str(members), batas=str(limit))


def rmb_07_grade(group: Record) -> Iterator[Finding]:
    """The grade is one that the kind of school has."""
    kind = bentuk(group.context.bentuk_pendidikan_id)
    grade = group.number("tingkat_pendidikan_id")
    if kind.grades is None or grade is None or group.number("jenis_rombel") == EXTRACURRICULAR:
        return
    if grade not in kind.grades:
        yield group.finding("RMB-07", "tingkat_pendidikan_id", tingkat=str(grade), bentuk=kind.name)


RECORD_RULES: RecordRules = {"rombongan_belajar": (rmb_01_homeroom_teacher, rmb_07_grade)}
SCHOOL_RULES: SchoolRules = {
    "rombongan_belajar": (rmb_02_teacher_on_duty, rmb_03_same_name, rmb_04_has_members, rmb_05_not_too_full)
}
