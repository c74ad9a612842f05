"""The rules of the tab GTK: the staff and their assignments."""

from __future__ import annotations

from collections.abc import Iterator

from services.entities import CONFIRMED
from services.entities.channels import DINAS
from services.rules import reading
from services.rules.catalogue import Severity
from services.rules.findings import Finding, Record, RecordRules
from services.rules.reads import ID, Others, SchoolRules, reads
from services.rules.reference import CIVIL_SERVANTS, STAFF_AGE
from services.rules.school import School


def gtk_01_name(person: Record) -> Iterator[Finding]:
    """A name is there, has a vowel, and hardly any symbols."""
    name = person.text("nama")
    if person.lacks("nama"):
        yield person.missing("GTK-01", "nama")
    elif not reading.has_vowel(name):
        yield person.finding("GTK-01", "nama")
    elif reading.is_odd_name(name):
        yield person.finding("GTK-01", "nama", severity=Severity.WARNING)


def gtk_02_nik(person: Record) -> Iterator[Finding]:
    """A NIK is there, can be one, and should agree with birth date and sex."""
    nik = person.text("nik")
    if person.lacks("nik"):
        yield person.missing("GTK-02", "nik")
    elif not reading.is_possible_nik(nik):
        yield person.finding("GTK-02", "nik")
    elif not reading.nik_fits(nik, person.date("tanggal_lahir"), person.text("jenis_kelamin")):
        yield person.finding("GTK-02", "nik", severity=Severity.WARNING)


def gtk_03_nip(person: Record) -> Iterator[Finding]:
    """A civil servant has a NIP of 18 digits, which should agree with birth date and sex. PPPK's differ."""
    if person.number("status_kepegawaian_id") not in CIVIL_SERVANTS:
        return
    nip = person.text("nip")
    if not reading.is_nip(nip):
        yield person.finding("GTK-03", "nip")
    elif not reading.nip_fits(nip, person.date("tanggal_lahir"), person.text("jenis_kelamin")):
        yield person.finding("GTK-03", "nip", severity=Severity.WARNING)


def gtk_08_age(person: Record) -> Iterator[Finding]:
    """Staff are of working age."""
    born = person.date("tanggal_lahir")
    if born is None:
        return
    age = reading.months_between(born, person.context.today) // 12
    if not STAFF_AGE[0] <= age <= STAFF_AGE[1]:
        yield person.finding("GTK-08", "tanggal_lahir", usia=str(age))


@reads("GTK-09", others=(Others(ID, "ptk_terdaftar", "ptk_id", ("tahun_ajaran_id", "jenis_keluar_id")),))
def gtk_09_assigned(person: Record, school: School) -> Iterator[Finding]:
    """Who works here has an assignment this school year. Who is new waits for central, and must be sent to get one."""
    if school.is_assigned_this_year(person.record_id) or school.has_ended_duty(person.record_id):
        return
    if person.fields.get(CONFIRMED):
        yield person.finding("GTK-09", None)
    else:
        yield person.awaiting("GTK-09", None, DINAS)


def gtk_16_nuptk(person: Record) -> Iterator[Finding]:
    """A NUPTK is 16 digits; without one it stays empty."""
    nuptk = person.text("nuptk")
    if nuptk and not reading.is_nuptk(nuptk):
        yield person.finding("GTK-16", "nuptk")


RECORD_RULES: RecordRules = {"ptk": (gtk_01_name, gtk_02_nik, gtk_03_nip, gtk_08_age, gtk_16_nuptk)}
SCHOOL_RULES: SchoolRules = {"ptk": (gtk_09_assigned,)}
