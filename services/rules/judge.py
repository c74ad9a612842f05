"""Judging: which rules run on which record, and in which order their findings come.

Pure. Site and central judge a record by the same `record_findings`; the site's gate asks `school_findings`, or after a
few changes `reach`, which runs the same rules on what the changes can affect.
Entities and fields this release does not know (a newer central's) are passed over.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import date

from services.entities import SPECS, Fields
from services.rules import gtk, pembelajaran, peserta_didik, residu, rombel, sekolah, wajib
from services.rules.catalogue import CATALOGUE, CONFLICT, DELETED_CONFLICT, REFUSED
from services.rules.findings import Context, Finding, Record, RecordRules
from services.rules.reads import SchoolRules
from services.rules.school import School

TABS = (sekolah, peserta_didik, gtk, rombel, pembelajaran)

RECORD_RULES: RecordRules = {
    entity: tuple(rule for tab in TABS for rule in tab.RECORD_RULES.get(entity, ())) for entity in SPECS
}
SCHOOL_RULES: SchoolRules = {
    entity: tuple(rule for tab in (*TABS, wajib) for rule in tab.SCHOOL_RULES.get(entity, ())) for entity in SPECS
}

_RANK = {code: rank for rank, code in enumerate(CATALOGUE)}
_OF_CONFLICTS, _OF_REFUSALS, _OF_RULES, _OF_CENTRAL = range(4)
_KIND = {code: _OF_RULES for code, rule in CATALOGUE.items() if rule.scope != "central"} | {
    CONFLICT.code: _OF_CONFLICTS,
    DELETED_CONFLICT.code: _OF_CONFLICTS,
    REFUSED.code: _OF_REFUSALS,
}
_ENTITY_RANK = {entity: rank for rank, entity in enumerate(SPECS)}


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
        rules = SCHOOL_RULES[entity]
        records = index.table(entity)
        for record_id in sorted(records):
            record = Record(spec, record_id, records[record_id], index.context)
            of_record = _judge(record)
            for rule in rules:
                of_record += rule.check(record, index)
            if entity == "residu":
                of_record += residu.central_found(record, index)
            if len(of_record) > 1:
                of_record.sort(key=_order)
            found += of_record
    return found


def is_of_residu(code: str) -> bool:
    """Does only a residu find this? Its code is central's to choose, so it may be one that no release here knows."""
    return code not in _KIND


def in_order(findings: Iterable[Finding]) -> list[Finding]:
    """Findings as people are shown them, whenever each was found: conflicts first, then what central refused, then what
    the rules find by entity, record, rule and field, and last what central found. Equals stay as they come.
    """
    return sorted(findings, key=_place)


def _place(finding: Finding) -> tuple[int, int, str, str, int, str]:
    kind, rank = _KIND.get(finding.rule, _OF_CENTRAL), _ENTITY_RANK.get(finding.entity, len(SPECS))
    of_record = (0, "") if kind < _OF_RULES else _order(finding)  # central lists its own findings in its own order
    return kind, rank, finding.entity, finding.record_id, *of_record


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
