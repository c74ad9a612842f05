"""Central was put back: what it takes back of a record, what the site makes of the answer; nothing typed is lost."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from services.entities.schema import EntitySpec, Fields
from services.exchange.absorb import Base, Conflict, Replicated, Sent
from services.exchange.canonical import same, same_fields
from services.exchange.change import WHOLE
from services.exchange.giving import Given, Now, give_back, judge

from .builders import CONFIRMED, MURID, NOTHING, a_spec, base
from .strategies import bases, maybe_records, replicas

HASH, OTHER = b"a" * 32, b"b" * 32


# ── central ──────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("held", "proven", "now", "becomes"),
    [
        (True, {HASH}, Now(3, 30), Given.SAME),
        (True, set(), Now(9, 90), Given.SAME),
        (False, set(), None, Given.UNPROVEN),
        (False, {OTHER}, Now(2, 20), Given.UNPROVEN),
        (False, {HASH}, None, Given.TAKEN),
        (False, {HASH}, Now(2, 50), Given.TAKEN),
        (False, {HASH}, Now(2, 51), Given.MOVED),
        (False, {HASH}, Now(3, 50), Given.MOVED),
        (False, {HASH}, Now(4, 10), Given.MOVED),
    ],
)
def test_central_takes_back_what_it_signed_and_nobody_has_written_since(
    held: bool, proven: set[bytes], now: Now | None, becomes: Given
) -> None:
    assert judge(HASH, 3, now, held=held, proven=proven, parted=50) is becomes


# ── the site ─────────────────────────────────────────────────────────────────────────────────────────────────────────

SHARED = {"alamat": "x", "no_kk": "x", "nisn": "x", "nik": "x"}
"""The record at the backup."""
WAS = {"alamat": "y", "no_kk": "y", "nisn": "y", "nik": "x"}
"""As central signed it later: what was set aside."""


def rolled_back(data: Fields | None, shared: Base | None = None, **more: Any) -> Replicated:
    """The record whose base was WAS at version 2 and is now that of the backup."""
    return Replicated(base(SHARED) if shared is None else shared, data, **more)


ASIDE = Base(2, 20, WAS)


def centre(version: int, **changed: Any) -> Base:
    """What central holds now, beside what it held at the backup."""
    fields = {name: value for name, value in {**SHARED, **changed}.items() if value is not None}
    return Base(version, 77, fields)


@pytest.mark.parametrize(
    ("typed", "theirs", "data", "conflict"),
    [
        # central has it again: the base is what it was
        ({}, replace(ASIDE, seq=99), WAS, None),
        ({"alamat": "z"}, replace(ASIDE, seq=99), {**WAS, "alamat": "z"}, None),
        ({"no_kk": "z"}, replace(ASIDE, seq=99), {**WAS, "no_kk": "z"}, None),
        # central has only what it had at the backup: what was the school's is pending again, what is central's is not
        ({}, centre(1), {**WAS, "nisn": "x"}, None),
        ({"alamat": "z"}, centre(1), {**WAS, "nisn": "x", "alamat": "z"}, None),
        ({"no_kk": "x"}, centre(1), {**WAS, "nisn": "x", "no_kk": "x"}, None),
        # somebody has written another field since: the same
        ({}, centre(2, hobi="neu"), {**WAS, "nisn": "x", "hobi": "neu"}, None),
        # somebody has written a field that shows what was set aside: a person chooses, whoever owns it
        ({}, centre(2, alamat="neu"), {**WAS, "nisn": "x"}, {"alamat"}),
        ({}, centre(2, no_kk="neu"), {**WAS, "nisn": "x"}, {"no_kk"}),
        ({}, centre(2, nisn="neu"), {**WAS, "nisn": "neu"}, None),
        # the operator has typed over it: as usual, the school's is the school's and the shared one is a conflict
        ({"alamat": "z"}, centre(2, alamat="neu"), {**WAS, "nisn": "x", "alamat": "z"}, None),
        ({"no_kk": "z"}, centre(2, no_kk="neu"), {**WAS, "nisn": "x", "no_kk": "z"}, {"no_kk"}),
        # and what somebody has written again as it was is no conflict at all
        ({}, centre(2, alamat="y", no_kk="y"), {**WAS, "nisn": "x"}, None),
    ],
)
def test_what_the_operator_sees_after_centrals_answer(
    typed: Fields, theirs: Base, data: Fields, conflict: set[str] | None
) -> None:
    found = give_back(rolled_back({**WAS, **typed}), ASIDE, theirs, MURID).record
    assert (found.base, found.data) == (theirs, data)
    assert found.conflict == (Conflict(frozenset(conflict)) if conflict else None)


def test_a_record_that_central_has_no_more_is_the_schools_to_make_anew() -> None:
    found = give_back(rolled_back(WAS, NOTHING), ASIDE, NOTHING, MURID).record
    assert (found.base, found.data, found.conflict) == (NOTHING, {"alamat": "y", "no_kk": "y", "nik": "x"}, None)
    assert found.pending


def test_a_record_of_an_entity_of_centrals_is_as_central_has_it() -> None:
    for theirs in (centre(1), Base(3, 77, None)):
        found = give_back(rolled_back(WAS), ASIDE, theirs, a_spec(central=True)).record
        assert (found.base, found.data, found.pending) == (theirs, theirs.fields, False)
        unknown = give_back(rolled_back(WAS), ASIDE, theirs, None).record
        assert unknown.data == theirs.fields


def test_a_delete_that_central_has_forgotten_is_a_delete_again() -> None:
    gone = Base(2, 20, None)
    found = give_back(rolled_back(None), gone, centre(1), MURID).record
    assert (found.data, found.pending, found.conflict) == (None, True, None)
    again = give_back(rolled_back(None), gone, replace(gone, seq=99), MURID).record
    assert (again.base, again.pending) == (replace(gone, seq=99), False)


def test_a_delete_that_central_would_refuse_by_now_waits_for_a_person() -> None:
    confirmed = {**WAS, CONFIRMED: True}
    aside = Base(2, 20, confirmed)
    found = give_back(rolled_back(None), aside, replace(aside, seq=99), MURID).record
    assert found.conflict == Conflict(frozenset({WHOLE}), confirmed)
    free = give_back(rolled_back(None), ASIDE, replace(ASIDE, seq=99), MURID).record
    assert (free.conflict, free.pending) == (None, True)


def test_deleted_here_and_written_at_central_since_is_a_conflict_as_a_whole() -> None:
    found = give_back(rolled_back(None), ASIDE, centre(2, alamat="neu"), MURID).record
    assert found.conflict is not None
    assert found.conflict.whole


def test_a_conflict_that_is_undecided_stays_and_one_that_is_no_more_goes() -> None:
    marked = Conflict(frozenset({"no_kk"}))
    typed = {**WAS, "no_kk": "z"}
    assert give_back(rolled_back(typed, conflict=marked), ASIDE, ASIDE, MURID).record.conflict == marked
    assert give_back(rolled_back(typed, conflict=marked), ASIDE, centre(1), MURID).record.conflict == marked
    assert give_back(rolled_back(WAS, conflict=marked), ASIDE, ASIDE, MURID).record.conflict is None


def test_what_is_in_doubt_stays_in_doubt_when_the_base_is_back() -> None:
    sent = Sent({**WAS, "alamat": "z"})
    found = give_back(rolled_back({**WAS, "alamat": "z"}, sent=sent), ASIDE, replace(ASIDE, seq=99), MURID).record
    assert found.sent == sent


# ── for any record ───────────────────────────────────────────────────────────────────────────────────────────────────


def as_central_says(record: Replicated, spec: EntitySpec) -> Replicated:
    """The record with central's part of it as its base has that: an operator cannot type it."""
    held, data = record.base.fields, record.data
    if data is None or held is None:
        return record
    kept = {name: value for name, value in data.items() if not spec.is_central(name, held)}
    return replace(record, data={**kept, **{n: v for n, v in held.items() if spec.is_central(n, held)}})


@given(replicas(), bases())
def test_taken_the_base_is_what_it_was_and_all_that_the_operator_had_stays(record: Replicated, shared: Base) -> None:
    before = as_central_says(record, MURID)
    aside = before.base
    assume(shared.version <= aside.version)  # it was rolled back to what came before
    back = give_back(replace(before, base=shared), aside, replace(aside, seq=99), MURID)
    assert back.record.base == replace(aside, seq=99)
    assert same_fields(back.record.data, before.data)
    assert back.record.sent == before.sent
    assert back.record.pending == before.pending
    assert back.overruled == ()


@given(replicas(), bases(), bases())
def test_nothing_that_was_typed_is_lost(record: Replicated, shared: Base, theirs: Base) -> None:
    before = as_central_says(record, MURID)
    aside = before.base
    back = give_back(replace(before, base=shared), aside, theirs, MURID)
    if 0 < theirs.version < shared.version:
        return  # an answer from before: passed over
    mine, was, shown = before.data or {}, aside.fields or {}, back.record.data or {}
    logged = {one.field: (one.mine, one.theirs) for one in back.overruled}
    for name in mine.keys() | was.keys():
        typed = not same(mine.get(name), was.get(name))
        if typed and not same(mine.get(name), shown.get(name)):
            assert logged.get(name) == (mine.get(name), shown.get(name)), name


@given(maybe_records, maybe_records, st.none() | maybe_records)
def test_what_was_signed_and_is_not_back_is_seen_by_a_person_or_pending(
    was: Fields | None, shared: Fields | None, theirs: Fields | None
) -> None:
    aside = Base(3, 30, was)
    back = give_back(Replicated(Base(1, 10, shared), was), aside, Base(2, 99, theirs), MURID).record
    if was is None or theirs is None:
        same_now = same_fields(back.data, theirs)
        assert same_now or back.pending
        return
    for name in was:
        if MURID.is_central(name, theirs) or same(was.get(name), theirs.get(name)):
            continue
        if same(was.get(name), (shared or {}).get(name)):
            continue  # it is of before the backup, and central's later word about it is taken as ever
        assert same(back.data and back.data.get(name), was[name]), "it is shown as it was signed"
        assert back.pending
        by_central = not same(theirs.get(name), (shared or {}).get(name))
        assert (back.conflict is not None and name in back.conflict.fields) == by_central, name


def test_what_was_typed_over_an_empty_record_back_to_what_both_share_is_not_lost() -> None:
    """It is no untouched field, though it equals what the record was rolled back to."""
    record = rolled_back({"alamat": "x"}, base({"alamat": "x"}))
    after = give_back(record, Base(2, 20, {}), Base(2, 77, {"alamat": "neu"}), MURID).record
    assert (after.data, after.conflict, after.pending) == ({"alamat": "x"}, None, True)


def test_a_base_that_is_later_and_still_shared_does_not_go_back() -> None:
    """Set aside in a life before; since then the site has heard more, of a history that was not forgotten."""
    record = Replicated(base({"alamat": "neu"}, version=5), {"alamat": "neu"})
    after = give_back(record, Base(2, 20, {}), Base(2, 77, {}), MURID)
    assert (after.record, after.changed_data) == (record, False)
