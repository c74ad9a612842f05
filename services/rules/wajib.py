"""The rules every entity has, read from its declaration: required fields are filled, values have their form, what is
referred to is there. They speak only of fields that no other rule has spoken of.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import Any

from services.entities import INTEGER_LIMIT, SPECS, FieldSpec
from services.rules.findings import Finding, Record
from services.rules.reading import is_empty, parse_date
from services.rules.reads import ID, Others, SchoolRules, reads
from services.rules.school import School

_FORMATS: Mapping[str, Callable[[str], object]] = {
    "date": parse_date,
    "uuid": re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}").fullmatch,
    "digits": re.compile(r"[0-9]+").fullmatch,
    "decimal": re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,12})?").fullmatch,
    "email": re.compile(r"[^@\s]+@[^@\s.]+(\.[^@\s.]+)+").fullmatch,
}


Form = tuple[type, Callable[[Any], object]]
"""The type of a field's values, and what tells whether one that is filled in has the field's form."""


def _form(spec: FieldSpec) -> Form:
    """The pattern, where there is one, says more than the format."""
    if spec.type is str:
        return str, re.compile(spec.pattern).fullmatch if spec.pattern else _FORMATS.get(spec.format or "", len)
    low = -INTEGER_LIMIT if spec.minimum is None else spec.minimum
    high = INTEGER_LIMIT if spec.maximum is None else spec.maximum
    return spec.type, range(low, high + 1).__contains__


_REQUIRED: Mapping[str, tuple[str, ...]] = {
    entity: tuple(name for name, field in spec.fields.items() if field.required) for entity, spec in SPECS.items()
}
_FORMS: Mapping[str, Mapping[str, Form]] = {
    entity: {name: _form(field) for name, field in spec.fields.items()} for entity, spec in SPECS.items()
}
_REFERENCES: Mapping[str, tuple[tuple[str, str], ...]] = {
    entity: tuple((name, field.references) for name, field in spec.fields.items() if field.references)
    for entity, spec in SPECS.items()
}


def wajib_01_required(record: Record, spoken_of: Collection[str | None]) -> Iterator[Finding]:
    """A required field is filled in."""
    for name in _REQUIRED[record.entity]:
        if is_empty(record.fields.get(name)) and name not in spoken_of:
            yield record.missing("WAJIB-01", name)


def format_01_form(record: Record, spoken_of: Collection[str | None]) -> Iterator[Finding]:
    """What is filled in has the form its field declares. A field this release does not know has none."""
    forms = _FORMS[record.entity]
    for name, value in record.fields.items():
        if name in forms:
            kind, has_form = forms[name]
            if not (type(value) is kind and has_form(value)) and not is_empty(value) and name not in spoken_of:
                yield record.finding("FORMAT-01", name)


def ref_01_there(record: Record, school: School) -> Iterator[Finding]:
    """What a field refers to is there. Of one that has not the form of an id, FORMAT-01 has spoken."""
    forms = _FORMS[record.entity]
    for name, target in _REFERENCES[record.entity]:
        reference = record.text(name)
        if reference and reference not in school.table(target) and forms[name][1](reference):
            yield record.finding("REF-01", name)


SCHOOL_RULES: SchoolRules = {
    entity: (reads("REF-01", others=tuple(Others(name, target, ID) for name, target in references))(ref_01_there),)
    for entity, references in _REFERENCES.items()
    if references
}
