"""The rules of the tab Sekolah."""

from __future__ import annotations

from collections.abc import Iterator

from services.rules.findings import Finding, Record, RecordRules
from services.rules.reading import parse_decimal
from services.rules.reads import SchoolRules
from services.rules.reference import LATITUDES, LONGITUDES


def skl_01_coordinates(school: Record) -> Iterator[Finding]:
    """Where the school lies, by its coordinates."""
    for name, (low, high) in (("lintang", LATITUDES), ("bujur", LONGITUDES)):
        if school.lacks(name):
            yield school.missing("SKL-01", name)
        else:
            degrees = parse_decimal(school.text(name))
            if degrees is None or degrees == 0 or not low <= degrees <= high:
                yield school.finding("SKL-01", name)


def skl_05_licence(school: Record) -> Iterator[Finding]:
    """A school has an operating licence."""
    if school.lacks("sk_izin_operasional"):
        yield school.missing("SKL-05", "sk_izin_operasional")


RECORD_RULES: RecordRules = {"sekolah": (skl_01_coordinates, skl_05_licence)}
SCHOOL_RULES: SchoolRules = {}
