"""The site takes in what central holds: every rule of protocol.md 3, its traps, then what holds for any record."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.entities.schema import Fields
from services.exchange.absorb import (
    Absorbed,
    Base,
    Conflict,
    NoConflict,
    Overruled,
    Replicated,
    absorb,
    clear_sent,
    decide,
    differs,
    type_over,
)
from services.exchange.canonical import same_fields

from .builders import CONFIRMED, MURID, NOTHING, WHOLE, a_record, a_spec, base
from .strategies import NAMES, bases, records, replicas, values

A = {"alamat": "a"}
B = {"alamat": "b"}
C = {"alamat": "c"}


def _absorb(record: Replicated, fields: Fields | None, version: int = 2) -> Absorbed:
    return absorb(record, base(fields, version), MURID)


def _marks(record: Replicated) -> set[str]:
    return set(record.conflict.fields) if record.conflict else set()


# ── pending, held, gone ──────────────────────────────────────────────────────────────────────────────────────────────


def test_a_record_is_pending_when_its_data_differ_from_base() -> None:
    assert not a_record(A).pending
    assert not a_record(A, {"alamat": "a", "hobi": None}).pending
    assert a_record(A, B).pending
    assert a_record(A, None).pending
    assert a_record(None, A).pending
    assert Replicated(NOTHING, {}).pending
    assert a_record({"rt": True}, {"rt": 1}).pending


def test_a_pending_record_in_conflict_is_held() -> None:
    assert a_record({"no_kk": "a"}, {"no_kk": "b"}, conflict={"no_kk"}).held
    assert not a_record(A, B).held


def test_a_record_created_sent_and_deleted_here_stays_a_pending_delete_while_in_doubt() -> None:
    in_doubt = a_record(None, None, version=0, sent=A)
    assert in_doubt.pending
    assert not in_doubt.gone
    assert not clear_sent(in_doubt).pending
    assert clear_sent(in_doubt).gone


def test_deleted_over_nothing_is_not_pending_and_its_row_may_go() -> None:
    assert not Replicated(NOTHING, None).pending
    assert Replicated(NOTHING, None).gone
    assert not a_record(None, None).gone, "a tombstone is central's, and stays"
    assert not Replicated(NOTHING, A).gone


# ── rules 1 and 2 ────────────────────────────────────────────────────────────────────────────────────────────────────


def test_the_base_is_what_central_holds_and_nothing_is_in_doubt_any_more() -> None:
    for sent in (A, B, None):
        after = _absorb(a_record(A, B, sent=sent), C).record
        assert after.base == base(C, 2)
        assert after.sent is None


def test_a_version_older_than_the_base_is_passed_over() -> None:
    record = a_record(A, B, version=5, sent=B)
    for version in (1, 4):
        assert absorb(record, base(C, version), MURID) == Absorbed(record, (), changed_data=False)


def test_a_record_that_nobody_touched_becomes_centrals() -> None:
    assert _absorb(a_record(A), B) == Absorbed(Replicated(base(B, 2), B), (), changed_data=True)
    assert _absorb(a_record(A), None).record.data is None
    assert absorb(Replicated(NOTHING, None), base(A, 1), MURID).record.data == A


def test_a_record_that_equals_centrals_is_in_conflict_no_longer() -> None:
    both = {"no_kk": "b"}
    absorbed = _absorb(a_record({"no_kk": "a"}, both, conflict={"no_kk"}), both)
    assert absorbed == Absorbed(Replicated(base(both, 2), both), (), changed_data=True)
    deleted_by_both = _absorb(a_record(A, None, conflict={WHOLE}), None)
    assert deleted_by_both.record.conflict is None


def test_a_record_of_an_entity_of_centrals_or_of_an_unknown_one_becomes_centrals_and_what_was_typed_is_logged() -> None:
    for spec in (a_spec(central=True), None):
        absorbed = absorb(a_record(A, B), base(C, 2), spec)
        assert absorbed.record.data == C
        assert absorbed.overruled == (Overruled("alamat", "b", "c"),)
        assert absorb(a_record(A), base(C, 2), spec).overruled == ()
        assert absorb(a_record(A), NOTHING, spec).record.data is None
        assert absorb(a_record(A, None), base(C, 2), spec).record == Replicated(base(C, 2), C)
        assert absorb(a_record(A, B), base(None, 2), spec).record == Replicated(base(None, 2), None)


# ── rule 3, field by field ───────────────────────────────────────────────────────────────────────────────────────────


def test_a_field_that_only_central_changed_becomes_centrals_and_one_that_only_the_operator_changed_stays() -> None:
    after = _absorb(a_record({"alamat": "a", "hobi": "h"}, {"alamat": "b", "hobi": "h"}), {"alamat": "a", "hobi": "i"})
    assert after.record.data == {"alamat": "b", "hobi": "i"}
    assert after.overruled == ()


def test_a_field_of_centrals_becomes_centrals_whatever_is_there_and_what_was_typed_is_logged() -> None:
    confirmed = {CONFIRMED: True, "nik": "3"}
    absorbed = _absorb(a_record({"nik": "1"}, {"nik": "2"}), confirmed)
    assert absorbed.record.data == confirmed
    assert absorbed.overruled == (Overruled("nik", "2", "3"),)


def test_a_field_of_centrals_that_nobody_typed_is_not_logged() -> None:
    record = a_record({"nisn": "8", "alamat": "a"}, {"nisn": "8", "alamat": "b"})
    assert _absorb(record, {"nisn": "9", "alamat": "a"}).overruled == ()


def test_a_once_field_is_logged_even_where_it_was_typed_back_to_what_it_had_been() -> None:
    in_doubt = a_record({"nik": "1", "hobi": "h"}, {"nik": "1"}, sent={"nik": "2", "hobi": "h"})
    assert _absorb(in_doubt, {CONFIRMED: True, "nik": "3", "hobi": "h"}).overruled == (Overruled("nik", "1", "3"),)


@pytest.mark.parametrize("name", ["alamat", "nik"])
def test_a_field_of_the_schools_that_both_changed_stays_the_schools(name: str) -> None:
    absorbed = _absorb(a_record({name: "a"}, {name: "b"}), {name: "c"})
    assert absorbed.record.data == {name: "b"}
    assert absorbed.record.conflict is None
    assert absorbed.record.pending


def test_a_shared_field_that_both_changed_stays_as_typed_and_is_in_conflict() -> None:
    absorbed = _absorb(a_record({"no_kk": "a"}, {"no_kk": "b"}), {"no_kk": "c"})
    assert absorbed.record == Replicated(base({"no_kk": "c"}, 2), {"no_kk": "b"}, None, Conflict(frozenset({"no_kk"})))
    assert absorbed.changed_data


def test_a_shared_field_that_both_gave_the_same_value_is_no_conflict() -> None:
    record = a_record({"no_kk": "a", "hobi": "h"}, {"no_kk": "b", "hobi": "i"})
    assert _absorb(record, {"no_kk": "b", "hobi": "h"}).record.conflict is None


def test_what_central_took_and_was_typed_on_since_is_neither_lost_nor_in_conflict() -> None:
    for name in ("alamat", "no_kk"):
        record = a_record({name: "a"}, {name: "c"}, sent={name: "b"})
        after = _absorb(record, {name: "b"}).record
        assert after == Replicated(base({name: "b"}, 2), {name: "c"})


def test_what_central_took_and_was_typed_back_since_is_not_lost() -> None:
    for name in ("alamat", "no_kk"):
        after = _absorb(a_record({name: "a"}, sent={name: "b"}), {name: "b"}).record
        assert after == Replicated(base({name: "b"}, 2), {name: "a"})


def test_what_was_typed_back_in_doubt_while_an_officer_wrote_something_else_is_not_lost() -> None:
    after = _absorb(a_record({"alamat": "a"}, sent={"alamat": "b"}), {"alamat": "c"}).record
    assert after.data == {"alamat": "a"}
    shared = _absorb(a_record({"no_kk": "a"}, sent={"no_kk": "b"}), {"no_kk": "c"}).record
    assert (shared.data, _marks(shared)) == ({"no_kk": "a"}, {"no_kk"})


def test_what_was_sent_and_what_central_took_is_the_base_from_then_on() -> None:
    took = _absorb(a_record(A, B, sent=B), B).record
    assert took == Replicated(base(B, 2), B)
    put_back = _absorb(took, A, 3).record
    assert put_back == Replicated(base(A, 3), A), "the officer's last word stands, it is not overruled a second time"


def test_a_field_that_was_not_sent_with_the_record_is_untouched_although_the_record_is_in_doubt() -> None:
    record = a_record({"alamat": "a", "hobi": "h"}, {"alamat": "b", "hobi": "h"}, sent={"alamat": "b", "hobi": "h"})
    assert _absorb(record, {"alamat": "a", "hobi": "i"}).record.data == {"alamat": "b", "hobi": "i"}


def test_a_record_typed_anew_while_its_delete_is_in_doubt_keeps_what_was_typed() -> None:
    record = a_record({"alamat": "a", "hobi": "h"}, {"alamat": "a"}, sent=None)
    absorbed = _absorb(record, {"alamat": "officer's", "hobi": "h"})
    assert absorbed.record.data == {"alamat": "a"}
    assert absorbed.overruled == ()


def test_centrals_part_of_a_record_typed_anew_was_not_typed() -> None:
    record = a_record({"nisn": "8", "alamat": "a"}, {"nisn": "8", "alamat": "b"}, sent=None)
    absorbed = _absorb(record, {"nisn": "9", "alamat": "a"})
    assert absorbed.record.data == {"nisn": "9", "alamat": "b"}
    assert absorbed.overruled == ()


def test_the_same_natural_key_typed_at_both_sides_meets_field_by_field() -> None:
    mine = Replicated(NOTHING, {"alamat": "b", "no_kk": "b", "hobi": "h"})
    after = absorb(mine, base({"alamat": "c", "no_kk": "c", "nisn": "9"}, 1), MURID).record
    assert after.data == {"alamat": "b", "no_kk": "b", "hobi": "h", "nisn": "9"}
    assert _marks(after) == {"no_kk"}


# ── conflicts that wait ──────────────────────────────────────────────────────────────────────────────────────────────

IN_CONFLICT = a_record({"no_kk": "c"}, {"no_kk": "b"}, version=2, conflict={"no_kk"})


def test_a_conflict_waits_through_whatever_else_central_changes() -> None:
    after = _absorb(IN_CONFLICT, {"no_kk": "c", "hobi": "i"}, 3)
    assert _marks(after.record) == {"no_kk"}
    assert after.record.data == {"no_kk": "b", "hobi": "i"}
    assert _marks(_absorb(IN_CONFLICT, {"no_kk": "d"}, 3).record) == {"no_kk"}


def test_a_conflict_ends_when_central_comes_to_the_operators_value() -> None:
    assert _absorb(IN_CONFLICT, {"no_kk": "b"}, 3).record.conflict is None
    more = a_record({"no_kk": "c"}, {"no_kk": "b", "hobi": "h"}, version=2, conflict={"no_kk"})
    assert _absorb(more, {"no_kk": "b"}, 3).record.conflict is None


def test_a_conflict_on_a_field_outlives_the_records_death_and_return() -> None:
    deleted = _absorb(IN_CONFLICT, None, 3).record
    assert _marks(deleted) == {WHOLE, "no_kk"}
    back = _absorb(deleted, {"no_kk": "c"}, 4).record
    assert (_marks(back), back.data) == ({"no_kk"}, {"no_kk": "b"})


# ── rule 4, deleted on one side ──────────────────────────────────────────────────────────────────────────────────────


def test_edited_here_and_deleted_there_is_a_conflict_on_the_whole_and_data_stay() -> None:
    after = _absorb(a_record(A, B), None).record
    assert after == Replicated(base(None, 2), B, None, Conflict(frozenset({WHOLE}), A))


def test_deleted_here_and_edited_there_is_a_conflict_on_the_whole_and_stays_deleted() -> None:
    after = _absorb(a_record(A, None), C).record
    assert after == Replicated(base(C, 2), None, None, Conflict(frozenset({WHOLE}), A))


def test_a_whole_conflict_waits_while_central_goes_on() -> None:
    edited = _absorb(_absorb(a_record(A, B), None).record, None, 4).record
    assert edited.conflict == Conflict(frozenset({WHOLE}), A)
    deleted = _absorb(_absorb(a_record(A, None), C).record, B, 3).record
    assert (_marks(deleted), deleted.data) == ({WHOLE}, None)


def test_what_only_ours_moved_is_no_conflict() -> None:
    refused_delete = _absorb(a_record(A, None, sent=None), A, 1).record
    assert refused_delete == Replicated(base(A, 1), None)
    our_delete = _absorb(a_record(A, B, sent=None), None).record
    assert our_delete == Replicated(base(None, 2), B), "typed anew: to be recreated"
    our_put = _absorb(a_record(A, None, sent=B), B).record
    assert our_put == Replicated(base(B, 2), None), "deleted since: to be deleted"
    refused_recreation = _absorb(a_record(None, B, sent=B), None, 1).record
    assert refused_recreation == Replicated(base(None, 1), B)


def test_a_record_created_and_sent_and_deleted_here_is_deleted_there_too() -> None:
    after = absorb(a_record(None, None, version=0, sent=A), base(A, 1), MURID).record
    assert after == Replicated(base(A, 1), None)
    assert after.pending


def test_what_an_officer_moved_as_well_is_a_conflict() -> None:
    with_centrals = {"nisn": "9", **A}
    confirmed = {CONFIRMED: True, **B}
    for record, theirs, version in (
        (a_record(A, None, sent=B), B, 3),
        (a_record(A, None, sent=B), C, 2),
        (a_record(A, None, sent=B), confirmed, 2),
        (a_record(with_centrals, None, sent={"nisn": "9", **B}), {"nisn": "8", **B}, 2),
        (a_record(None, None, version=0, sent=A), with_centrals, 1),
        (a_record({"nik": "1"}, None, sent={"nik": "2"}), {"nik": "1", CONFIRMED: True}, 2),
    ):
        assert _marks(_absorb(record, theirs, version).record) == {WHOLE}


def test_what_we_recreated_came_back_with_centrals_part() -> None:
    after = _absorb(a_record(None, None, sent=B), {"nisn": "9", **B}).record
    assert after == Replicated(base({"nisn": "9", **B}, 2), None)


def test_should_the_record_come_back_the_last_live_base_is_the_ancestor() -> None:
    before = {"alamat": "a", "hobi": "h", "no_kk": "a"}
    waiting = _absorb(a_record(before, {**before, "alamat": "b"}), None).record
    back = _absorb(waiting, {**before, "hobi": "i"}, 3).record
    assert back == Replicated(base({**before, "hobi": "i"}, 3), {"alamat": "b", "hobi": "i", "no_kk": "a"})
    moved = _absorb(a_record(before, {**before, "no_kk": "b"}), None).record
    assert _marks(_absorb(moved, {**before, "no_kk": "c"}, 3).record) == {"no_kk"}


# ── rule 5, central has nothing ──────────────────────────────────────────────────────────────────────────────────────


def test_of_what_central_has_not_its_own_part_leaves_and_the_rest_stays_pending() -> None:
    data = {"nisn": "9", CONFIRMED: True, "nik": "1", "alamat": "b", "baru": "x"}
    absorbed = absorb(a_record({**data, "alamat": "a"}, data, version=7), NOTHING, MURID)
    assert absorbed.record == Replicated(NOTHING, {"nik": "1", "alamat": "b"})
    assert absorbed.record.pending
    assert absorbed.overruled == ()


def test_a_refused_new_record_stays_as_it_was() -> None:
    assert absorb(a_record(None, A, version=0, sent=A), NOTHING, MURID) == Absorbed(
        Replicated(NOTHING, A), (), changed_data=False
    )


def test_deleted_over_nothing_leaves_no_row() -> None:
    for record in (a_record(A, None, sent=None), a_record(A, None, conflict={WHOLE}), a_record(None, None, sent=A)):
        assert absorb(record, NOTHING, MURID).record.gone


# ── the operator's hand ──────────────────────────────────────────────────────────────────────────────────────────────


def test_typing_puts_values_into_the_record_and_null_takes_them_out() -> None:
    after = type_over(a_record({"alamat": "a", "hobi": "h"}), {"alamat": "b", "hobi": None}, "upsert", MURID)
    assert after.data == {"alamat": "b"}
    assert after.base.fields == {"alamat": "a", "hobi": "h"}


def test_typing_keeps_what_is_in_doubt() -> None:
    record = a_record(A, B, sent=B)
    assert type_over(record, C, "upsert", MURID).sent == record.sent
    assert type_over(record, {}, "delete", MURID).sent == record.sent


def test_a_new_record_is_what_was_typed() -> None:
    assert type_over(Replicated(NOTHING, None), {"alamat": "a", "hobi": None}, "upsert", MURID).data == A
    assert type_over(Replicated(NOTHING, None), {}, "upsert", MURID).data == {}


def test_a_record_typed_anew_over_one_that_central_still_holds_keeps_centrals_part() -> None:
    held = {"nisn": "9", "alamat": "a", "nik": "1", "baru": "x"}
    assert type_over(a_record(held, None), {"alamat": "b"}, "upsert", MURID).data == {
        "nisn": "9",
        "alamat": "b",
        "baru": "x",
    }
    confirmed = {**held, CONFIRMED: True}
    typed = type_over(a_record(confirmed, None), {"alamat": "b"}, "upsert", MURID).data
    assert typed == {**confirmed, "alamat": "b"}
    assert type_over(a_record(held, None), {}, "upsert", None).data == held


def test_a_new_value_in_a_field_in_conflict_decides_it_and_leaves_the_others() -> None:
    record = a_record({"no_kk": "c", "hobi": "i"}, {"no_kk": "b", "hobi": "h"}, conflict={"no_kk", "hobi"})
    assert _marks(type_over(record, {"no_kk": "d"}, "upsert", MURID)) == {"hobi"}
    assert _marks(type_over(record, {"no_kk": "c"}, "upsert", MURID)) == {"hobi"}
    assert _marks(type_over(record, {"alamat": "z"}, "upsert", MURID)) == {"hobi", "no_kk"}


def test_what_repeats_the_present_values_decides_nothing() -> None:
    record = a_record({"no_kk": "c"}, {"no_kk": "b"}, conflict={"no_kk"})
    assert type_over(record, {"no_kk": "b", "hobi": None}, "upsert", MURID) is record
    deleted = a_record(A, None, conflict={WHOLE})
    assert type_over(deleted, {}, "delete", MURID) is deleted


def test_any_edit_of_a_record_in_conflict_as_a_whole_decides_it() -> None:
    edited = a_record(None, B, conflict={WHOLE}, ancestor=A)
    assert type_over(edited, C, "upsert", MURID) == Replicated(edited.base, C)
    assert type_over(edited, {}, "delete", MURID) == Replicated(edited.base, None)
    deleted = a_record(A, None, conflict={WHOLE})
    assert type_over(deleted, C, "upsert", MURID) == Replicated(deleted.base, C)


def test_deleting_a_record_with_a_field_in_conflict_decides_it() -> None:
    record = a_record({"no_kk": "c"}, {"no_kk": "b"}, conflict={"no_kk"})
    assert type_over(record, {}, "delete", MURID) == Replicated(record.base, None)


def test_deciding_for_mine_lifts_the_mark_and_leaves_the_record_pending() -> None:
    record = a_record({"no_kk": "c", "hobi": "i"}, {"no_kk": "b", "hobi": "h"}, conflict={"no_kk", "hobi"})
    after = decide(record, "no_kk", "mine")
    assert (after.data, _marks(after), after.pending) == (record.data, {"hobi"}, True)
    for data in (B, None):
        whole = a_record(None if data else A, data, conflict={WHOLE})
        assert decide(whole, WHOLE, "mine") == Replicated(whole.base, data)


def test_deciding_for_central_takes_its_value() -> None:
    record = a_record({"no_kk": "c", "hobi": "i"}, {"no_kk": "b", "hobi": "h"}, conflict={"no_kk"})
    assert decide(record, "no_kk", "central") == Replicated(record.base, {"no_kk": "c", "hobi": "h"})
    empty = a_record({}, {"no_kk": "b"}, conflict={"no_kk"})
    assert decide(empty, "no_kk", "central").data == {}
    for held in (None, A):
        whole = a_record(held, B if held is None else None, conflict={WHOLE})
        assert decide(whole, WHOLE, "central") == Replicated(whole.base, held)


def test_what_is_not_in_conflict_cannot_be_decided() -> None:
    whole = a_record(None, B, conflict={WHOLE, "no_kk"})
    for record, field in ((a_record(A, B), "alamat"), (IN_CONFLICT, "alamat"), (IN_CONFLICT, WHOLE), (whole, "no_kk")):
        with pytest.raises(NoConflict):
            decide(record, field, "mine")


# ── whatever comes in ────────────────────────────────────────────────────────────────────────────────────────────────


@st.composite
def newer(draw: st.DrawFn, record: Replicated) -> Base:
    """What central may hold, no older than the record's base; a version has one content only."""
    version = record.base.version + draw(st.integers(0 if record.base.version else 1, 2))
    return record.base if version == record.base.version else Base(version, version, draw(st.none() | records()))


@st.composite
def lived_records(draw: st.DrawFn) -> Replicated:
    """A record with a history: absorbed, typed into, sent, absorbed again."""
    record = draw(replicas())
    for _ in range(draw(st.integers(0, 3))):
        record = absorb(record, draw(newer(record)), MURID).record
        if draw(st.booleans()):
            typed = draw(st.dictionaries(st.sampled_from(["alamat", "hobi", "no_kk"]), values))
            record = type_over(record, typed, draw(st.sampled_from(["upsert", "upsert", "delete"])), MURID)
    return record


@st.composite
def in_conflict(draw: st.DrawFn) -> Replicated:
    """A record that waits for a person."""
    fields, others = draw(records()), draw(records())
    if draw(st.booleans()):
        deleted_here = draw(st.booleans())
        return a_record(fields if deleted_here else None, None if deleted_here else fields, conflict={WHOLE})
    return a_record({**fields, "no_kk": "c"}, {**others, "no_kk": "b"}, conflict={"no_kk"})


def _ancestor(record: Replicated) -> Fields:
    if record.base.fields is None and record.conflict is not None:
        return record.conflict.ancestor or {}
    return record.base.fields or {}


specs = st.sampled_from([MURID, MURID, MURID, a_spec(central=True), None])


@given(lived_records(), bases(), specs)
def test_absorbing_twice_is_absorbing_once(record: Replicated, theirs: Base, spec: Any) -> None:
    once = absorb(record, theirs, spec).record
    again = absorb(once, theirs, spec)
    assert again.record == once
    assert not again.overruled
    assert not again.changed_data


@given(lived_records(), bases(), specs)
def test_nothing_an_operator_typed_is_dropped_silently(record: Replicated, theirs: Base, spec: Any) -> None:
    absorbed = absorb(record, theirs, spec)
    mine, after, before = record.data or {}, absorbed.record.data or {}, _ancestor(record)
    logged = {overruled.field: overruled for overruled in absorbed.overruled}
    for name in {*NAMES, CONFIRMED}:
        if same_fields({name: mine.get(name)}, {name: before.get(name)}):
            continue
        kept = after.get(name) == mine.get(name)
        assert kept or logged[name] == Overruled(name, mine.get(name), after.get(name))


@given(lived_records(), bases())
def test_only_what_is_centrals_takes_the_place_of_what_was_typed(record: Replicated, theirs: Base) -> None:
    for overruled in absorb(record, theirs, MURID).overruled:
        assert MURID.is_central(overruled.field, theirs.fields)


@given(lived_records(), st.data())
def test_after_it_base_is_central_and_centrals_fields_are_centrals(record: Replicated, data: st.DataObject) -> None:
    theirs = data.draw(newer(record))
    after = absorb(record, theirs, MURID).record
    assert after.base == theirs
    assert after.sent is None
    if theirs.fields is not None and after.data is not None:
        for name in {*NAMES, CONFIRMED}:
            if MURID.is_central(name, theirs.fields):
                assert after.data.get(name) == theirs.fields.get(name)


@given(lived_records(), st.data())
def test_what_is_in_conflict_is_pending_and_disagrees(record: Replicated, data: st.DataObject) -> None:
    theirs = data.draw(newer(record))
    after = absorb(record, theirs, MURID).record
    if after.conflict is None:
        return
    assert after.held
    if after.conflict.whole:
        assert (after.data is None) != (theirs.fields is None)
    else:
        for name in after.conflict.fields:
            assert (after.data or {}).get(name) != (theirs.fields or {}).get(name)


@given(in_conflict(), st.data())
def test_a_conflict_ends_only_by_agreement(record: Replicated, data: st.DataObject) -> None:
    theirs = data.draw(newer(record))
    after = absorb(record, theirs, MURID).record
    for name in _marks(record) - _marks(after) - {WHOLE}:
        mine, now = after.data or {}, theirs.fields or {}
        assert mine.get(name) == now.get(name)
    if WHOLE in _marks(record) - _marks(after):
        assert (after.data is None) == (theirs.fields is None)


@given(lived_records(), bases(), specs)
def test_the_revision_counts_exactly_what_an_operator_sees_change(record: Replicated, theirs: Base, spec: Any) -> None:
    absorbed = absorb(record, theirs, spec)
    after = absorbed.record
    assert absorbed.changed_data == differs(record, after)
    unchanged = same_fields(record.data, after.data) and record.conflict == after.conflict
    shown = after.conflict is not None and not same_fields(record.base.fields, after.base.fields)
    assert absorbed.changed_data == (not unchanged or shown)


@given(lived_records(), bases())
def test_the_arguments_are_left_as_they_were(record: Replicated, theirs: Base) -> None:
    before = repr((record, theirs))
    absorb(record, theirs, MURID)
    type_over(record, {"alamat": "b", "hobi": None}, "upsert", MURID)
    assert repr((record, theirs)) == before
