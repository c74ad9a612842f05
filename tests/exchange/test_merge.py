"""Central receives a change: every line of the table of protocol.md 3, then what holds for any change whatever."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.entities.schema import Fields, Owner
from services.exchange.canonical import same_fields
from services.exchange.change import WHOLE, Change
from services.exchange.merge import Held, Merged, Refusal, Verdict, expected, merge, refuses_delete

from .builders import CONFIRMED, MURID, a_spec
from .strategies import changes, helds


def _fine(_fields: Fields) -> list[str]:
    return []


def _no_x(fields: Fields) -> list[str]:
    """A record rule: no field may be x."""
    return [f"RULE {name}" for name in sorted(fields) if fields[name] == "x"]


def _put(base_version: int, **pairs: tuple[Any, Any]) -> Change:
    return Change("murid", "1", "put", base_version, pairs)


def _delete(base_version: int) -> Change:
    return Change("murid", "1", "delete", base_version)


def _merge(change: Change, held: Held | None) -> Merged[str]:
    return merge(change, held, MURID, _fine)


# ── a put ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_new_record_is_created_without_the_fields_that_are_centrals() -> None:
    merged = _merge(_put(0, nama=(None, "a"), alamat=(None, "Jl. A"), nik=(None, "1"), nisn=(None, "9")), None)
    assert merged == Merged(
        Verdict.APPLIED, {"alamat": "Jl. A", "nik": "1"}, moved=True, locked=("nama", "nisn"), carries_fields=False
    )


def test_a_put_on_a_version_that_central_never_had_is_refused_as_a_violated_invariant() -> None:
    for held in (None, Held(2, {"alamat": "a"}), Held(2, None, {"alamat": "a"})):
        merged = _merge(_put(3, alamat=("a", "b")), held)
        assert (merged.verdict, merged.refusal, merged.moved) == (
            Verdict.REFUSED,
            Refusal.NEVER_HAD_THAT_VERSION,
            False,
        )
        assert merged.invariant_violated
        assert merged.carries_fields


def test_so_is_a_delete_of_a_record_that_lives_at_an_older_version() -> None:
    assert _merge(_delete(3), Held(2, {"alamat": "a"})).refusal is Refusal.NEVER_HAD_THAT_VERSION


def test_a_tombstone_of_exactly_that_version_is_recreated_with_centrals_part_of_the_last_live_one() -> None:
    last = {"nisn": "9", "alamat": "old", "hobi": "old", "nik": "1", "baru": ["kept"]}
    merged = _merge(_put(4, alamat=(None, "new"), nik=(None, "2")), Held(4, None, last))
    assert merged.fields == {"nisn": "9", "alamat": "new", "nik": "2", "baru": ["kept"]}
    assert (merged.verdict, merged.moved, merged.carries_fields) == (Verdict.MERGED, True, True)


def test_a_recreated_person_who_was_confirmed_keeps_the_confirmed_identity() -> None:
    last = {CONFIRMED: True, "nik": "1", "alamat": "old"}
    merged = _merge(_put(4, alamat=(None, "new"), nik=(None, "2")), Held(4, None, last))
    assert merged.fields == {CONFIRMED: True, "nik": "1", "alamat": "new"}
    assert merged.locked == ("nik",)


def test_a_recreated_record_of_which_nothing_was_centrals_is_simply_applied() -> None:
    merged = _merge(_put(4, alamat=(None, "new")), Held(4, None, {"alamat": "old"}))
    assert merged == Merged(Verdict.APPLIED, {"alamat": "new"}, moved=True)


def test_a_newer_tombstone_is_a_conflict_on_the_whole_record() -> None:
    for base_version in (0, 3):
        merged = _merge(_put(base_version, alamat=("a", "b")), Held(4, None, {"alamat": "a"}))
        assert merged == Merged(Verdict.CONFLICT, None, carries_fields=True, conflicts=(WHOLE,))


def test_a_field_of_centrals_is_kept_and_named_while_the_others_are_still_judged() -> None:
    merged = _merge(_put(1, nisn=("9", "8"), alamat=("a", "b")), Held(1, {"nisn": "9", "alamat": "a"}))
    assert merged == Merged(Verdict.APPLIED, {"nisn": "9", "alamat": "b"}, moved=True, locked=("nisn",))


def test_a_field_that_this_release_does_not_know_is_centrals() -> None:
    merged = _merge(_put(1, baru=("1", "2")), Held(1, {"baru": "1"}))
    assert merged == Merged(Verdict.UNCHANGED, {"baru": "1"}, locked=("baru",))


def test_a_once_field_is_the_schools_until_an_officer_has_confirmed_the_record() -> None:
    change = _put(1, nik=("1", "2"))
    assert _merge(change, Held(1, {"nik": "1"})).fields == {"nik": "2"}
    assert _merge(change, Held(1, {"nik": "1", CONFIRMED: False})).fields == {"nik": "2", CONFIRMED: False}
    confirmed = _merge(change, Held(1, {"nik": "1", CONFIRMED: True}))
    assert confirmed == Merged(Verdict.UNCHANGED, {"nik": "1", CONFIRMED: True}, locked=("nik",))


@pytest.mark.parametrize("name", ["alamat", "no_kk", "nik"])
def test_a_field_that_is_as_the_school_saw_it_takes_the_new_value(name: str) -> None:
    merged = _merge(_put(2, **{name: ("a", "b")}), Held(2, {name: "a"}))
    assert merged == Merged(Verdict.APPLIED, {name: "b"}, moved=True)


@pytest.mark.parametrize("name", ["alamat", "nik"])
def test_a_field_of_the_schools_takes_the_new_value_whatever_an_officer_wrote(name: str) -> None:
    merged = _merge(_put(1, **{name: ("a", "b")}), Held(2, {name: "officer's"}))
    assert merged == Merged(Verdict.MERGED, {name: "b"}, moved=True, carries_fields=True)


def test_a_shared_field_that_an_officer_changed_is_a_conflict_and_the_others_are_applied() -> None:
    merged = _merge(_put(1, no_kk=("a", "b"), hobi=(None, "h")), Held(2, {"no_kk": "officer's"}))
    assert merged == Merged(
        Verdict.CONFLICT,
        {"no_kk": "officer's", "hobi": "h"},
        moved=True,
        carries_fields=True,
        conflicts=("no_kk",),
    )


def test_a_shared_field_that_an_officer_gave_the_same_value_is_no_conflict() -> None:
    merged = _merge(_put(1, no_kk=("a", "b")), Held(2, {"no_kk": "b"}))
    assert merged == Merged(Verdict.MERGED, {"no_kk": "b"}, carries_fields=True)


def test_true_is_not_one() -> None:
    merged = _merge(_put(1, no_kk=(1, 2)), Held(1, {"no_kk": True}))
    assert merged.conflicts == ("no_kk",)


def test_emptying_a_field_takes_it_out() -> None:
    assert _merge(_put(1, alamat=("a", None)), Held(1, {"alamat": "a", "hobi": "h"})).fields == {"hobi": "h"}


def test_what_a_rule_finds_invalid_is_refused_whole_and_nothing_changes() -> None:
    held = Held(2, {"hobi": "h", "no_kk": "a"})
    merged = merge(_put(2, alamat=(None, "x"), hobi=("h", "i")), held, MURID, _no_x)
    assert merged == Merged(Verdict.REFUSED, held.fields, findings=("RULE alamat",))


def test_rules_judge_what_would_be_written_not_what_was_pushed() -> None:
    locked = merge(_put(1, nisn=(None, "x"), alamat=(None, "b")), Held(1, {}), MURID, _no_x)
    assert locked.verdict is Verdict.APPLIED
    older = merge(_put(1, alamat=(None, "b")), Held(1, {"nisn": "x"}), MURID, _no_x)
    assert (older.verdict, older.findings) == (Verdict.REFUSED, ("RULE nisn",))


def test_rules_do_not_judge_what_central_holds_already() -> None:
    merged = merge(_put(1, alamat=("x", "x")), Held(1, {"alamat": "x"}), MURID, _no_x)
    assert merged.verdict is Verdict.UNCHANGED


def test_a_refusal_carries_the_record_if_the_site_built_on_another_version() -> None:
    merged = merge(_put(1, alamat=("a", "x")), Held(2, {"alamat": "b"}), MURID, _no_x)
    assert (merged.verdict, merged.carries_fields, merged.fields) == (Verdict.REFUSED, True, {"alamat": "b"})


# ── a delete ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_delete_of_exactly_the_held_version_leaves_a_tombstone() -> None:
    assert _merge(_delete(2), Held(2, {"alamat": "a"})) == Merged(Verdict.APPLIED, None, moved=True)


@pytest.mark.parametrize("base_version", [0, 1, 9])
def test_a_delete_of_what_is_not_there_or_is_deleted_changes_nothing(base_version: int) -> None:
    for held in (None, Held(2, None, {"alamat": "a"})):
        assert _merge(_delete(base_version), held) == Merged(Verdict.UNCHANGED, None)


def test_a_delete_of_what_somebody_changed_meanwhile_is_a_conflict() -> None:
    held = Held(3, {"alamat": "officer's"})
    assert _merge(_delete(2), held) == Merged(Verdict.CONFLICT, held.fields, carries_fields=True, conflicts=(WHOLE,))


def test_a_confirmed_person_is_not_deleted() -> None:
    for version in (2, 1):
        merged = _merge(_delete(version), Held(2, {CONFIRMED: True}))
        assert (merged.verdict, merged.refusal) == (Verdict.REFUSED, Refusal.MAY_NOT_BE_DELETED)
        assert merged.carries_fields == (version != 2)
    assert _merge(_delete(2), Held(2, {CONFIRMED: False})).verdict is Verdict.APPLIED


def test_an_entity_that_is_never_deleted_is_not() -> None:
    merged = merge(_delete(2), Held(2, {"alamat": "a"}), a_spec(deletable=False), _fine)
    assert merged == Merged(Verdict.REFUSED, {"alamat": "a"}, refusal=Refusal.MAY_NOT_BE_DELETED)
    assert refuses_delete(a_spec(deletable=False), {}) is Refusal.MAY_NOT_BE_DELETED
    assert refuses_delete(MURID, {CONFIRMED: True}) is Refusal.MAY_NOT_BE_DELETED
    assert refuses_delete(MURID, {}) is None


# ── what is wholly central's ─────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("held", [None, Held(2, {"alamat": "a"}), Held(2, None, {"alamat": "a"})])
@pytest.mark.parametrize("change", [_put(2, alamat=("a", "b")), _put(0, alamat=(None, "b")), _delete(2)])
def test_every_change_of_an_entity_of_centrals_or_of_one_it_does_not_know_is_refused(
    change: Change, held: Held | None
) -> None:
    for spec, refusal in ((a_spec(central=True), Refusal.CENTRALS_ENTITY), (None, Refusal.UNKNOWN_ENTITY)):
        merged = merge(change, held, spec, _fine)
        assert (merged.verdict, merged.refusal, merged.moved) == (Verdict.REFUSED, refusal, False)
        assert same_fields(merged.fields, held.fields if held else None)
    assert refuses_delete(a_spec(central=True), {}) is Refusal.CENTRALS_ENTITY


# ── whatever is pushed ───────────────────────────────────────────────────────────────────────────────────────────────


def _after(merged: Merged[str], held: Held | None) -> Held | None:
    """What central holds when the verdict is written."""
    if not merged.moved:
        return held
    last_live = merged.fields if merged.fields is not None else (held.fields if held else None)
    return Held((held.version if held else 0) + 1, merged.fields, last_live)


def _fields(held: Held | None) -> Fields | None:
    return held.fields if held else None


rules = st.sampled_from([_fine, _no_x])


@given(changes(), helds(), rules)
def test_a_repeat_of_any_change_moves_nothing_and_leaves_the_record_as_it_was(
    change: Change, held: Held | None, rule: Any
) -> None:
    first = merge(change, held, MURID, rule)
    after = _after(first, held)
    again = merge(change, after, MURID, rule)
    assert not again.moved
    assert same_fields(again.fields, _fields(after))


@given(changes(), helds(), rules)
def test_version_moves_exactly_when_the_record_changes(change: Change, held: Held | None, rule: Any) -> None:
    merged = merge(change, held, MURID, rule)
    assert merged.moved == (not same_fields(merged.fields, _fields(held)))
    if merged.verdict in (Verdict.REFUSED, Verdict.UNCHANGED):
        assert not merged.moved


@given(changes(), helds(), rules)
def test_no_change_touches_what_is_centrals(change: Change, held: Held | None, rule: Any) -> None:
    merged = merge(change, held, MURID, rule)
    if merged.fields is None:
        return
    before = (held.fields if held.fields is not None else held.last_live) if held else None
    for name in {*merged.fields, *(before or {}), *change.fields}:
        if MURID.is_central(name, before):
            assert merged.fields.get(name) == (before or {}).get(name)


@given(changes(), helds(), rules)
def test_no_change_touches_a_field_it_does_not_name(change: Change, held: Held | None, rule: Any) -> None:
    merged = merge(change, held, MURID, rule)
    if held is None or held.fields is None or merged.fields is None:
        return
    for name in {*held.fields, *merged.fields} - {*change.fields}:
        assert merged.fields.get(name) == held.fields.get(name)


@given(changes(), helds(), rules)
def test_every_field_of_a_put_is_taken_locked_or_in_conflict(change: Change, held: Held | None, rule: Any) -> None:
    merged = merge(change, held, MURID, rule)
    if merged.verdict is Verdict.REFUSED or change.op == "delete" or merged.conflicts == (WHOLE,):
        return
    assert merged.fields is not None
    for name, (_, new) in change.fields.items():
        assert name in (*merged.locked, *merged.conflicts) or merged.fields.get(name) == new
    assert not set(merged.locked) & set(merged.conflicts)


@given(changes(), helds(), rules)
def test_only_a_shared_field_that_neither_side_expected_is_in_conflict(
    change: Change, held: Held | None, rule: Any
) -> None:
    merged = merge(change, held, MURID, rule)
    assert bool(merged.conflicts) == (merged.verdict is Verdict.CONFLICT)
    for name in set(merged.conflicts) - {WHOLE}:
        assert MURID.fields[name].owner is Owner.SHARED
        assert held is not None
        assert held.fields is not None
        assert held.fields.get(name) not in change.fields[name]


@given(changes(), helds(), rules, st.data())
def test_where_no_fields_are_carried_the_site_computes_what_central_holds(
    change: Change, held: Held | None, rule: Any, data: st.DataObject
) -> None:
    """The site's base is central's record at the change's base_version: known here if that is the held one."""
    merged = merge(change, held, MURID, rule)
    assert merged.carries_fields or merged.verdict not in (Verdict.CONFLICT, Verdict.MERGED)
    if merged.carries_fields:
        assert merged.verdict not in (Verdict.APPLIED, Verdict.UNCHANGED)
        return
    base = _fields(held)
    if change.base_version != (held.version if held else 0):
        assert change.op == "delete"
        base = data.draw(st.none() | st.just({"alamat": "whatever"}))
    if merged.verdict is Verdict.REFUSED:
        assert same_fields(merged.fields, base)
    else:
        assert same_fields(expected(base, change, merged.locked), merged.fields)


@given(changes(), helds(), rules)
def test_a_refusal_always_says_why(change: Change, held: Held | None, rule: Any) -> None:
    merged = merge(change, held, MURID, rule)
    assert (merged.verdict is Verdict.REFUSED) == (merged.refusal is not None or bool(merged.findings))
