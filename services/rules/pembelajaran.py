"""The rules of the tab Pembelajaran: who teaches what, and for how many hours."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules.findings import Finding, Record, RecordRules, number_of, text_of
from services.rules.reads import ID, Others, SchoolRules, reads
from services.rules.reference import WEEKLY_HOURS_LIMIT, bentuk
from services.rules.rombel import is_regular
from services.rules.school import School

LESSONS = Others(ID, "pembelajaran", "ptk_terdaftar_id", ("semester_id", "jam_mengajar_per_minggu"))
ASSIGNMENT = Others("ptk_terdaftar_id", "ptk_terdaftar", ID, ("jenis_keluar_id", "tahun_ajaran_id"))


@reads(
    "PBL-01",
    "jenis_rombel",
    "semester_id",
    others=(Others(ID, "pembelajaran", "rombongan_belajar_id", ("semester_id",)),),
)
def pbl_01_class_is_taught(group: Record, school: School) -> Iterator[Finding]:
    """Somebody teaches each class, where the kind of school has a weekly grid (PAUD has none)."""
    if (
        is_regular(group)
        and school.is_current_class(group.record_id)
        and school.lessons(group.record_id) == 0
        and bentuk(school.context.bentuk_pendidikan_id).timetabled
    ):
        yield group.finding("PBL-01", None)


@reads("PBL-04", others=(Others(ID, "ptk_terdaftar", "ptk_id", then=(LESSONS,)),))
def pbl_04_hours(person: Record, school: School) -> Iterator[Finding]:
    """Nobody teaches all week."""
    hours = school.hours(person.record_id)
    if hours > WEEKLY_HOURS_LIMIT:
        yield person.finding("PBL-04", None, jam=str(hours))


@reads("PBL-05", "semester_id", others=(ASSIGNMENT,))
def pbl_05_teacher_on_duty(lesson: Record, school: School) -> Iterator[Finding]:
    """The teacher's assignment is of this school year and has not ended."""
    assignment = school.table("ptk_terdaftar").get(lesson.text("ptk_terdaftar_id"))
    if assignment is None or lesson.text("semester_id") != school.semester:
        return
    if text_of(assignment, "jenis_keluar_id") or number_of(assignment, "tahun_ajaran_id") != school.year:
        yield lesson.finding("PBL-05", "ptk_terdaftar_id")


def pbl_06_teaching_order(lesson: Record) -> Iterator[Finding]:
    """Teaching is backed by an SK with a date."""
    for name in ("sk_mengajar", "tanggal_sk_mengajar"):
        if lesson.lacks(name):
            yield lesson.missing("PBL-06", name)


RECORD_RULES: RecordRules = {"pembelajaran": (pbl_06_teaching_order,)}
SCHOOL_RULES: SchoolRules = {
    "rombongan_belajar": (pbl_01_class_is_taught,),
    "ptk": (pbl_04_hours,),
    "pembelajaran": (pbl_05_teacher_on_duty,),
}
