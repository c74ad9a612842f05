"""What a rule reads of the rest of the school, declared at the rule: so it is known which records a change can affect.

A rule sees its record's own fields, and follows equal values to others: a student's id to the registrations that name
it, a NIK to whoever bears the same. What is not declared here is not loaded and not judged again after a change
(`reach`), so a property test compares that with judging everything, and finds each declaration that is left out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from services.entities import CONFIRMED, Fields
from services.rules.findings import Finding, Record, text_of
from services.rules.school import School, class_name

ID = "id"
"""The key of the record itself, where a key is otherwise the name of a field that holds text."""
NAME_AND_KIND = "nama, jenis_rombel"
"""A class group's name and kind, as they are compared."""


@dataclass(frozen=True, slots=True)
class Others:
    """The records of `entity` whose key `theirs` is the reader's key `mine`; read are their `fields`, and `then`.

    That they exist, and their keys, are read in any case.
    """

    mine: str
    entity: str
    theirs: str
    fields: tuple[str, ...] = ()
    then: tuple[Others, ...] = ()


Check = Callable[[Record, School], Iterator[Finding]]


@dataclass(frozen=True, slots=True, eq=False)
class SchoolRule:
    """A rule that needs the rest of the school too: it finds only `code`, only about the record that it is given, and
    reads nothing but `fields` of that record, `others`, and what kind of school it is. Not to be named among `fields`:
    whether the record is confirmed, the keys by which it comes to others, and what it is itself among these.
    """

    code: str
    fields: tuple[str, ...]
    others: tuple[Others, ...]
    check: Check
    own: frozenset[str] = dataclasses.field(init=False, repr=False)
    """The keys and fields of its own record that it reads."""

    def __post_init__(self) -> None:
        """Asked for with every change."""
        object.__setattr__(self, "own", frozenset((CONFIRMED, *self.fields, *(other.mine for other in self.others))))

    def __call__(self, record: Record, school: School) -> Iterator[Finding]:
        """What it finds."""
        return self.check(record, school)


SchoolRules = Mapping[str, tuple[SchoolRule, ...]]
"""A tab's rules of that kind, by entity."""


def reads(code: str, *fields: str, others: tuple[Others, ...] = ()) -> Callable[[Check], SchoolRule]:
    """Makes a rule of a check, with what it reads."""
    return lambda check: SchoolRule(code, fields, others, check)


def value_of(key: str, record_id: str, fields: Fields) -> str:
    """A record's value under a key; the empty text, which is nobody's, where it has none."""
    if key == ID:
        return record_id
    if key == NAME_AND_KIND:
        name, kind = class_name(fields)
        return f"{name}\x1f{kind if kind is None else int(kind)}" if name else ""  # true, for once, is 1
    return text_of(fields, key)
