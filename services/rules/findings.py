"""A finding: which rule speaks of which record and field. It holds no text; that is read from the catalogue when shown.

So a stored finding is small, holds no value of the record but what a text needs, and follows a corrected wording.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from services.entities import SPECS, EntitySpec, Fields, FieldSpec, Tab
from services.entities.patterns import describe
from services.rules.catalogue import AWAITS, AWAITS_TODO, CATALOGUE, CHANNEL_TODO, EXPLAINED, Severity
from services.rules.reading import is_empty, parse_date

Language = Literal["id", "en"]

AWAITED_CHANNEL = "awaits"
"""The param of a finding that only central can settle, for what is missing is central's: the channel that fills it."""

CHANGING_CHANNEL = "channel"
"""The param of any other finding about a field that is not the school's in this record: the channel that changes it."""


@dataclass(frozen=True, slots=True)
class Context:
    """What a record is judged in: the school, its kind if it is known, and the day."""

    npsn: str
    today: date
    bentuk_pendidikan_id: int | None


@dataclass(frozen=True, slots=True)
class Finding:
    """`field` is None where the whole record is meant: something that should refer to it is not there, or is twice."""

    rule: str
    severity: Severity
    entity: str
    record_id: str
    field: str | None
    params: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def tab(self) -> Tab | None:
        """The tab on which an operator looks for it."""
        rule, spec = EXPLAINED.get(self.rule), SPECS.get(self.entity)
        return rule.tab if rule is not None and rule.tab is not None else spec.tab if spec is not None else None

    def text(self, language: Language) -> str:
        """What is wrong. A code this release does not know (a newer central's) is named rather than hidden."""
        rule, words = EXPLAINED.get(self.rule), self._words(language)
        if rule is None:
            return f"{'Aturan' if language == 'id' else 'Rule'} {self.rule}: {words['label']}"
        text = rule.text_id if language == "id" else rule.text_en
        if AWAITED_CHANNEL in self.params:
            text += AWAITS[0] if language == "id" else AWAITS[1]
        elif self.severity is Severity.WARNING and rule.severity is Severity.INVALID:
            text = (rule.warning_id if language == "id" else rule.warning_en) or text
        return text.format_map(words)

    def todo(self, language: Language) -> str:
        """What to do about it, with the channel that may, where the school may not."""
        rule, words = EXPLAINED.get(self.rule), self._words(language)
        if AWAITED_CHANNEL in self.params:
            todo = AWAITS_TODO[0] if language == "id" else AWAITS_TODO[1]
            return todo.format(channel=self.params[AWAITED_CHANNEL])
        todo = "" if rule is None else (rule.todo_id if language == "id" else rule.todo_en).format_map(words)
        channel = self.params.get(CHANGING_CHANNEL)
        if channel is not None and channel not in todo:
            todo += (CHANNEL_TODO[0] if language == "id" else CHANNEL_TODO[1]).format(channel=channel)
        return todo.strip()

    def _words(self, language: Language) -> Mapping[str, str]:
        """What a text may hold: the params, the field's label, its expected form, the name of what it refers to."""
        entity = SPECS.get(self.entity)
        spec = entity.fields.get(self.field) if entity is not None and self.field is not None else None
        words = _Words(self.params)
        words["label"] = self._label(entity, spec)
        if spec is not None:
            words["expected"] = describe(spec, language)
            if spec.references is not None and spec.references in SPECS:
                words["target"] = SPECS[spec.references].label.lower()
        return words

    def _label(self, entity: EntitySpec | None, spec: FieldSpec | None) -> str:
        if spec is not None:
            return spec.label
        return self.field or (entity.label if entity is not None else self.entity)


class _Words(dict[str, str]):
    """A finding of another release may lack a param: the text shows a gap, and does not fail."""

    def __missing__(self, key: str) -> str:
        return "…"


class Record:
    """One record as the rules read it, and what they say about it."""

    __slots__ = ("context", "entity", "fields", "record_id", "spec")

    def __init__(self, spec: EntitySpec, record_id: str, fields: Fields, context: Context) -> None:
        self.spec = spec
        self.entity = spec.name
        self.record_id = record_id
        self.fields = fields
        self.context = context

    def text(self, name: str) -> str:
        """The field's text; the empty text where it is not filled in."""
        return text_of(self.fields, name)

    def number(self, name: str) -> int | None:
        """The field's whole number, if it holds one."""
        return number_of(self.fields, name)

    def date(self, name: str) -> date | None:
        """The field's date, if it holds one."""
        return parse_date(text_of(self.fields, name))

    def lacks(self, name: str) -> bool:
        """Is the field not filled in?"""
        return is_empty(self.fields.get(name))

    def finding(self, rule: str, name: str | None, *, severity: Severity | None = None, **params: str) -> Finding:
        """`rule` finds the field `name` wrong. Where it is not the school's to change, the finding says whose it is."""
        if name is not None and self.spec.is_central(name, self.fields):
            params[CHANGING_CHANNEL] = self.spec.channel_of(name)
        return Finding(rule, severity or CATALOGUE[rule].severity, self.entity, self.record_id, name, params)

    def missing(self, rule: str, name: str) -> Finding:
        """`rule` finds the field `name` empty: a warning where central fills it (unsent, it could never be filled)."""
        if self.spec.is_central(name, self.fields):
            return self.awaiting(rule, name, self.spec.channel_of(name))
        return self.finding(rule, name)

    def awaiting(self, rule: str, name: str | None, channel: str, **params: str) -> Finding:
        """`rule` finds something missing that only central can fill, through `channel`: a warning."""
        params[AWAITED_CHANNEL] = channel
        return Finding(rule, Severity.WARNING, self.entity, self.record_id, name, params)


RecordRule = Callable[[Record], Iterator[Finding]]
"""A rule that needs no more than the record."""

RecordRules = Mapping[str, tuple[RecordRule, ...]]
"""A tab's rules of that kind, by entity."""


def text_of(fields: Mapping[str, Any], name: str) -> str:
    """A field's text; the empty text where it is not filled in, or holds no text."""
    value = fields.get(name)
    return value if isinstance(value, str) and value and not value.isspace() else ""


def number_of(fields: Mapping[str, Any], name: str) -> int | None:
    """A field's whole number, if it holds one."""
    value = fields.get(name)
    return value if isinstance(value, int) else None
