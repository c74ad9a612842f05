"""What central found (its entity `residu`), told about the record that it names. It warns, whatever its code."""

from __future__ import annotations

from collections.abc import Iterator

from services.entities import SPECS
from services.entities.residu import OPEN
from services.rules.catalogue import Severity
from services.rules.findings import Finding, Record
from services.rules.school import School


def central_found(residu: Record, school: School) -> Iterator[Finding]:
    """An open residu speaks of its record's field. If that record is gone here, it is settled with the next sync."""
    entity, record_id = residu.text("entitas"), residu.text("data_id")
    fields = school.table(entity).get(record_id)
    if residu.text("keadaan") != OPEN or fields is None or entity not in SPECS or residu.lacks("kode"):
        return
    about = Record(SPECS[entity], record_id, fields, school.context)
    yield about.finding(
        residu.text("kode"),
        residu.text("isian") or None,
        severity=Severity.WARNING,
        sekolah=residu.text("sekolah_lain"),
    )
