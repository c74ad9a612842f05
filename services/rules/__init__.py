"""The validation rules: what is wrong with a school's data, how bad it is, what to do about it. Pure, without a clock.

Read `catalogue.py` for the rules in words, the file of a tab for their conditions, `judge.py` for how they are run,
`reference.py` for the reference data they stand on. `reads.py` is how a rule says what it needs of the rest of the
school, `reach.py` what follows from that: which of them a change affects. `docs/rules.md` is generated from the
catalogue.
"""

from services.rules.catalogue import CATALOGUE, CONFLICT, DELETED_CONFLICT, REFUSED, RULES_VERSION, Rule, Severity
from services.rules.findings import AWAITED_CHANNEL, CHANGING_CHANNEL, Context, Finding
from services.rules.judge import in_order, record_findings, school_findings
from services.rules.reference import active_semester, school_year

__all__ = [
    "AWAITED_CHANNEL",
    "CATALOGUE",
    "CHANGING_CHANNEL",
    "CONFLICT",
    "DELETED_CONFLICT",
    "REFUSED",
    "RULES_VERSION",
    "Context",
    "Finding",
    "Rule",
    "Severity",
    "active_semester",
    "in_order",
    "record_findings",
    "school_findings",
    "school_year",
]
