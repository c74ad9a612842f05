"""What a site pushes, and in which order."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from services.exchange.canonical import same_fields
from services.exchange.change import Change, diff, push_order
from services.exchange.merge import expected

from .builders import a_spec

records = st.dictionaries(
    st.sampled_from("abcd"), st.sampled_from([None, True, 1, 0, False, "", "x", [1], [True]]), max_size=4
)


@given(st.none() | records, st.none() | records)
def test_a_change_put_into_its_base_gives_what_was_wanted(
    base: dict[str, Any] | None, wanted: dict[str, Any] | None
) -> None:
    assert same_fields(expected(base, diff("murid", "1", 1, base, wanted), ()), wanted)


@given(st.none() | records, records)
def test_only_what_differs_travels_each_with_its_old_value(base: dict[str, Any] | None, wanted: dict[str, Any]) -> None:
    change = diff("murid", "1", 1, base, wanted)
    for name, (old, new) in change.fields.items():
        assert not same_fields({"a": old}, {"a": new})
        assert same_fields({"a": old}, {"a": (base or {}).get(name)})
        assert same_fields({"a": new}, {"a": wanted.get(name)})


def test_over_nothing_and_over_a_tombstone_all_olds_are_null() -> None:
    assert diff("murid", "1", 0, None, {"a": "x"}).fields == {"a": (None, "x")}
    assert diff("murid", "1", 4, None, {"a": "x"}) == Change("murid", "1", "put", 4, {"a": (None, "x")})


def test_a_delete_carries_no_fields() -> None:
    assert diff("murid", "1", 3, {"a": "x"}, None) == Change("murid", "1", "delete", 3)


def test_emptying_a_field_is_a_change_to_null() -> None:
    assert diff("murid", "1", 3, {"a": "x", "b": 1}, {"b": 1}).fields == {"a": ("x", None)}


def test_a_field_that_a_newer_release_added_does_not_travel() -> None:
    base = {"a": "x", "baru": {"x": [1]}}
    assert diff("murid", "1", 3, base, {**base, "a": "y"}).fields == {"a": ("x", "y")}


def test_parents_go_before_what_refers_to_them_and_deletes_last_the_other_way_round() -> None:
    specs = {"rombel": a_spec("rombel", order=10), "anggota": a_spec("anggota", order=30)}
    changes = [
        Change("rombel", "9", "delete", 1),
        Change("anggota", "2", "delete", 1),
        Change("anggota", "1", "put", 0),
        Change("rombel", "8", "put", 0),
        Change("rombel", "1", "put", 0),
    ]
    assert [(c.entity, c.record_id, c.op) for c in push_order(changes, specs)] == [
        ("rombel", "1", "put"),
        ("rombel", "8", "put"),
        ("anggota", "1", "put"),
        ("anggota", "2", "delete"),
        ("rombel", "9", "delete"),
    ]


def test_an_unknown_entity_counts_as_a_child_of_all() -> None:
    specs = {"rombel": a_spec("rombel", order=10)}
    changes = [Change(entity, "1", op, 1) for entity in ("asing", "rombel") for op in ("delete", "put")]
    assert [(c.entity, c.op) for c in push_order(changes, specs)] == [
        ("rombel", "put"),
        ("asing", "put"),
        ("asing", "delete"),
        ("rombel", "delete"),
    ]
