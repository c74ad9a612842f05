"""Judging: which rules run on which record, and in which order their findings come.

Pure. Site and central judge a record by the same `record_findings`; the site's gate asks `school_findings`.
Entities and fields this release does not know (a newer central's) are passed over.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date

from services.entities import SPECS, Fields
from services.rules import gtk, pembelajaran, peserta_didik, residu, rombel, sekolah, wajib
from services.rules.catalogue import CATALOGUE
from services.rules.findings import Context, Finding, Record, RecordRules
from services.rules.school import School, SchoolRules

TABS = (sekolah, peserta_didik, gtk, rombel, pembelajaran, residu)

RECORD_RULES: RecordRules = {
    entity: tuple(rule for tab in TABS for rule in tab.RECORD_RULES.get(entity, ())) for entity in SPECS
}
SCHOOL_RULES: SchoolRules = {
    entity: tuple(rule for tab in TABS for rule in tab.SCHOOL_RULES.get(entity, ())) for entity in SPECS
}

_RANK = {code: rank for rank, code in enumerate(CATALOGUE)}


def record_findings(entity: str, record_id: str, fields: Fields, context: Context) -> list[Finding]:
    """What the rules say of one record alone. Whether its school may sync is for `school_findings`."""
    if entity not in SPECS:
        return []
    return _judge(Record(SPECS[entity], record_id, fields, context))


def school_findings(school: Mapping[str, Mapping[str, Fields]], npsn: str, today: date) -> list[Finding]:
    """All findings of a school's live records (entity to record_id to fields): by entity, record and rule.

    What central's residu say comes last, by residu, each about the record that it names.
    """
    index = School(school, npsn, today)
    found: list[Finding] = []
    for entity, spec in SPECS.items():
        records = index.table(entity)
        for record_id in sorted(records):
            record = Record(spec, record_id, records[record_id], index.context)
            of_record = _judge(record)
            for rule in SCHOOL_RULES[entity]:
                of_record += rule(record, index)
            of_record += wajib.ref_01_there(record, index, [finding.field for finding in of_record])
            if len(of_record) > 1:
                of_record.sort(key=_order)
            found += of_record
    return found


def _judge(record: Record) -> list[Finding]:
    found: list[Finding] = []
    for rule in RECORD_RULES[record.entity]:
        found += rule(record)
    spoken_of = [finding.field for finding in found]
    found += wajib.wajib_01_required(record, spoken_of)
    found += wajib.format_01_form(record, spoken_of)
    return found


def _order(finding: Finding) -> tuple[int, str]:
    return _RANK.get(finding.rule, len(_RANK)), finding.field or ""
