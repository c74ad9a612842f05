"""The canonical form: against an independent RFC 8785 implementation, and what it refuses."""

from __future__ import annotations

import unicodedata
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from services.exchange.canonical import (
    DEPTH_LIMIT,
    NotCanonical,
    decode,
    encode,
    is_canonical,
    normalise,
    same,
    same_fields,
)

LIMIT = 2**53 - 1
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20)
scalars = st.none() | st.booleans() | st.integers(-LIMIT, LIMIT) | texts
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
names = st.from_regex(r"[a-z][a-z0-9_]{0,12}", fullmatch=True)
records = st.dictionaries(names, values, max_size=6)


@given(records)
def test_the_text_is_that_of_an_independent_rfc_8785_without_the_nulls(fields: dict[str, Any]) -> None:
    assert encode(fields).encode() == rfc8785.dumps({k: v for k, v in fields.items() if v is not None})


@given(st.text(st.characters(max_codepoint=0xFF, exclude_characters="\x00")))
def test_every_escape_is_that_of_rfc_8785(text: str) -> None:
    assert encode({"a": text}).encode() == rfc8785.dumps({"a": text})


@given(records)
def test_what_is_decoded_encodes_to_the_same_text(fields: dict[str, Any]) -> None:
    text = encode(fields)
    assert encode(decode(text)) == text
    assert is_canonical(text)


@given(records, st.randoms(use_true_random=False))
def test_the_order_of_the_fields_is_of_no_matter(fields: dict[str, Any], random: Any) -> None:
    items = list(fields.items())
    random.shuffle(items)
    assert encode(dict(items)) == encode(fields)


@given(records, records)
def test_two_records_are_the_same_exactly_if_their_texts_are(a: dict[str, Any], b: dict[str, Any]) -> None:
    assert same_fields(a, b) == (encode(a) == encode(b))
    assert same_fields(a, dict(reversed(a.items())))


def test_nested_keys_are_in_order_of_their_utf_16_code_units() -> None:
    assert encode({"a": {"\ufb33": 1, "\U0001f600": 2}}) == '{"a":{"\U0001f600":2,"\ufb33":1}}'


@pytest.mark.parametrize(
    ("fields", "field", "reason"),
    [
        ({"a": 1.0}, "a", "type"),
        ({"a": float("nan")}, "a", "type"),
        ({"a": [{"x": 0.5}]}, "a", "type"),
        ({"a": b"x"}, "a", "type"),
        ({"a": ("x",)}, "a", "type"),
        ({"a": {1: "x"}}, "a", "type"),
        ({"a": 2**53}, "a", "number"),
        ({"a": -(2**53)}, "a", "number"),
        ({"a": "x\x00"}, "a", "character"),
        ({"a": "\ud800"}, "a", "character"),
        ({"a": {"\udfff": 1}}, "a", "character"),
        ({"Nama": "x"}, "Nama", "name"),
        ({"1a": "x"}, "1a", "name"),
        ({"": "x"}, "", "name"),
        ({1: "x"}, "1", "name"),
        ({"a\n": "x"}, "a\n", "name"),
        ({"á": "x"}, "á", "name"),
        ({"Nama": None}, "Nama", "name"),
    ],
)
def test_what_readers_disagree_about_is_refused_with_field_and_reason(
    fields: dict[Any, Any], field: str, reason: str
) -> None:
    with pytest.raises(NotCanonical) as refused:
        encode(fields)
    assert (refused.value.field, refused.value.reason) == (field, reason)


def test_a_refusal_never_shows_the_value() -> None:
    with pytest.raises(NotCanonical) as refused:
        encode({"nik": "3578\x00"})
    assert "3578" not in str(refused.value)


def _nested(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = [value]
    return value


def _nested_keys(levels: int) -> Any:
    value: Any = "x"
    for _ in range(levels):
        value = {"k": value}
    return value


def test_values_nest_up_to_the_limit_and_no_deeper() -> None:
    for deep in (_nested(DEPTH_LIMIT), _nested_keys(DEPTH_LIMIT)):
        assert decode(encode(normalise({"a": deep}))) == {"a": deep}
    for function in (encode, normalise):
        with pytest.raises(NotCanonical, match="depth"):
            function({"a": _nested(100_000)})


@pytest.mark.parametrize("text", ["", "null", "[]", '"a"', "{", "{} {}", '{"a":NaN}'])
def test_a_text_that_is_no_object_is_not_decoded(text: str) -> None:
    with pytest.raises(NotCanonical, match="object"):
        decode(text)
    assert not is_canonical(text)


@pytest.mark.parametrize(
    "text", ['{"b":1,"a":2}', '{"a": 1}', '{"a":null}', '{"a":1.0}', '{"a":1e2}', '{"a":"\\u0041"}', '{"a":1,"a":1}']
)
def test_another_spelling_of_an_object_is_read_but_is_not_canonical(text: str) -> None:
    decode(text)
    assert not is_canonical(text)


@given(st.dictionaries(names, st.recursive(st.text(max_size=8), lambda i: st.lists(i, max_size=3), max_leaves=5)))
def test_every_text_is_brought_to_nfc_wherever_it_stands(fields: dict[str, Any]) -> None:
    def check(value: Any) -> None:
        if isinstance(value, str):
            assert unicodedata.is_normalized("NFC", value)
        else:
            for item in value:
                check(item)

    normal = normalise(fields)
    check(list(normal.values()))
    assert normalise(normal) == normal


def test_normalising_keeps_nulls_and_numbers_and_brings_nested_keys_along() -> None:
    entering = {"a": None, "b": 1, "c": True, "d": {"e\u0301": ["e\u0301"]}}
    assert normalise(entering) == {"a": None, "b": 1, "c": True, "d": {"é": ["é"]}}


def test_two_keys_that_become_one_are_refused() -> None:
    with pytest.raises(NotCanonical, match="name"):
        normalise({"a": {"e\u0301": 1, "é": 2}})


@pytest.mark.parametrize(
    ("a", "b"), [(True, 1), (0, False), ("1", 1), ([1], [True]), ([1], [1, 2]), ({"a": 1}, {"a": True}), (None, "")]
)
def test_other_values_are_told_apart_also_where_python_takes_them_for_equal(a: Any, b: Any) -> None:
    assert not same(a, b)
    assert same(a, a)


def test_a_null_field_is_an_absent_one_and_no_record_is_not_an_empty_one() -> None:
    assert same_fields({"a": None}, {})
    assert not same_fields({}, None)
    assert not same_fields(None, {})
    assert same_fields(None, None)
