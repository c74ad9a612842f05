"""How both sides of the twin judge: by the real rules, of which central's newer release has one more."""

from __future__ import annotations

from collections.abc import Mapping

from services.central.pushing import as_problem
from services.entities import Fields, natural_key
from services.messages import Problem
from services.rules import Context, Finding, Severity, record_findings, school_findings
from tests.builders import TODAY, a_school
from tests.simulation.entities import Key

REFUSED = "Jalan Ditolak"
REFUSED_HOURS = 4
"""An address, and hours of a lesson, that pass the gate and that central refuses."""


def findings_at_central(entity: str, record_id: str, fields: Fields, context: Context) -> list[Finding]:
    """What central's release finds in a record, in place of `services.rules.record_findings`."""
    found = record_findings(entity, record_id, fields, context)
    for name, refused in (("alamat_jalan", REFUSED), ("jam_mengajar_per_minggu", REFUSED_HOURS)):
        if fields.get(name) == refused:
            found.append(Finding("UJI-01", Severity.INVALID, entity, record_id, name))
    return found


def invalid_at_central(npsn: str, entity: str, record_id: str, fields: Fields) -> list[Problem]:
    """Why central would refuse the record."""
    sekolah = a_school()["sekolah"][natural_key("sekolah", npsn)]
    context = Context(npsn, TODAY, sekolah["bentuk_pendidikan_id"])
    found = findings_at_central(entity, record_id, fields, context)
    return [as_problem(finding) for finding in found if finding.severity is Severity.INVALID]


def broken_records(npsn: str, live: Mapping[Key, Fields]) -> int:
    """The records with an invalid finding of the site's rules."""
    school: dict[str, dict[str, Fields]] = {}
    for (entity, record_id), fields in live.items():
        school.setdefault(entity, {})[record_id] = fields
    found = school_findings(school, npsn, TODAY)
    return len({(f.entity, f.record_id) for f in found if f.severity is Severity.INVALID})
