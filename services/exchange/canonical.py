"""One text for one record: RFC 8785 JSON of its fields, made where a value enters, then stored and hashed as it is.

Two programs that never met must come to the same bytes, so everything that readers of JSON disagree about is refused
instead of guessed: floats, whole numbers beyond 2^53, lone surrogates, NUL. Golden vectors: docs/canonical-form.md.
"""

from __future__ import annotations

import contextlib
import re
import unicodedata
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

import orjson

from services.entities import INTEGER_LIMIT, SPECS, Fields

Json: TypeAlias = "bool | int | str | list[Json] | dict[str, Json] | None"
"""A value as it travels. Decimals are texts; there are no floats."""

Reason = Literal["object", "name", "type", "number", "character", "depth"]
"""Not an object; a field's name; no JSON type of ours; beyond 2^53; NUL or a lone surrogate; too many levels."""

DEPTH_LIMIT = 32
"""Levels inside one field's value. Fields of ours have none; those of a newer release may."""

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")
_KNOWN_NAMES = frozenset(name for spec in SPECS.values() for name in spec.fields)
"""What nearly every record has only; any other name is looked at as text."""
_PLAIN = frozenset({str, int, bool})
"""Values whose order and form orjson gives as RFC 8785 does: no object inside, whose keys may be of any character."""


class NotCanonical(ValueError):
    """A record that has no canonical form: its field (empty: the record itself) and the reason, never the value."""

    def __init__(self, field: str, reason: Reason) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field[:60]!r} has no canonical form: {reason}")


def encode(fields: Mapping[str, Any]) -> str:
    """The canonical text. A null field is left out. Text is taken as it comes: `normalise` is for where it enters.

    Raises NotCanonical with the first field, in order of names, that has no canonical form.
    """
    if fields.keys() <= _KNOWN_NAMES and _PLAIN.issuperset(map(type, fields.values())):
        with contextlib.suppress(TypeError):  # a number or a character that has no canonical form: said below
            text = orjson.dumps(fields, option=orjson.OPT_SORT_KEYS | orjson.OPT_STRICT_INTEGER).decode()
            if "\\u0000" not in text:  # NUL, or a backslash before u0000: looked at below
                return text
    for name in fields:
        if not _is_name(name):
            raise NotCanonical(str(name), "name")
    ordered = {name: _ordered(name, fields[name], DEPTH_LIMIT) for name in sorted(fields) if fields[name] is not None}
    return orjson.dumps(ordered).decode()


def decode(text: str) -> Fields:
    """The fields of a stored text; `encode` gives the same text again.

    A text that is no JSON object raises NotCanonical. Whether it is the canonical one is not asked again: a row that
    was changed by hand is to be found by its hash, not to stop whoever reads it. At the edge, ask `is_canonical`.
    """
    try:
        fields = orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise NotCanonical("", "object") from error
    if not isinstance(fields, dict):
        raise NotCanonical("", "object")
    return fields


def is_canonical(text: str) -> bool:
    """Is this the very text that `encode` would make of its fields?"""
    try:
        return encode(decode(text)) == text
    except NotCanonical:
        return False


def normalise(fields: Mapping[str, Any]) -> Fields:
    """The same fields with every text in NFC, inside lists and objects too; nulls stay (they empty a field).

    Once, where a value enters, and never later: what Unicode composes may grow with its versions, a stored text may not
    change with them. Lengths are judged after this. Raises NotCanonical (`depth`, or `name` if two keys become one).
    """
    return {name: _composed(name, value, DEPTH_LIMIT) for name, value in fields.items()}


def composed(text: str) -> str:
    """A text in NFC, as `normalise` has it."""
    return text if text.isascii() else unicodedata.normalize("NFC", text)


def same(a: Any, b: Any) -> bool:
    """Are two values the same canonical text? Python's == takes true for 1, which here are two values."""
    if a is b:
        return True
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    return bool(a == b)


def same_fields(a: Mapping[str, Any] | None, b: Mapping[str, Any] | None) -> bool:
    """Are two records the same canonical text? None is a record that is not there; a null field is an absent one."""
    if a is b:
        return True
    if a is None or b is None:
        return False
    if a == b and _PLAIN.issuperset(kinds := [*map(type, a.values())]) and kinds == [type(b[name]) for name in a]:
        return True  # nearly always: flat, and not true for 1
    return all(same(a.get(name), b.get(name)) for name in a.keys() | b.keys())


def _is_name(name: Any) -> bool:
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def _ordered(field: str, value: Any, levels: int) -> Json:
    """`value`, checked, its objects' keys in the order of RFC 8785: by UTF-16 code unit."""
    if type(value) is str:
        if _FORBIDDEN.search(value):
            raise NotCanonical(field, "character")
        return value
    if value is None or type(value) is bool:
        return value
    if type(value) is int:
        if abs(value) > INTEGER_LIMIT:
            raise NotCanonical(field, "number")
        return value
    if type(value) is not list and type(value) is not dict:
        raise NotCanonical(field, "type")
    if levels == 0:
        raise NotCanonical(field, "depth")
    if type(value) is list:
        return [_ordered(field, item, levels - 1) for item in value]
    for key in value:
        if type(key) is not str:
            raise NotCanonical(field, "type")
        if _FORBIDDEN.search(key):
            raise NotCanonical(field, "character")
    return {key: _ordered(field, value[key], levels - 1) for key in sorted(value, key=_utf16)}


def _utf16(key: str) -> bytes:
    return key.encode("utf-16-be")


def _composed(field: str, value: Any, levels: int) -> Any:
    if isinstance(value, str):
        return composed(value)
    if not isinstance(value, list | dict):
        return value
    if levels == 0:
        raise NotCanonical(field, "depth")
    if isinstance(value, list):
        return [_composed(field, item, levels - 1) for item in value]
    items = {_composed(field, key, levels): _composed(field, item, levels - 1) for key, item in value.items()}
    if len(items) != len(value):
        raise NotCanonical(field, "name")
    return items
