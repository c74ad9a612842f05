"""Who is right about a row, and how a site takes central's whatever a hand did to its own."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.entities import SPECS
from services.exchange.absorb import Base, Conflict, Replicated
from services.exchange.digest import bucket
from services.exchange.mend import Differing, Right, take, who_is_right

MINE, THEIRS, OTHER = b"m" * 32, b"t" * 32, b"o" * 32
SPEC = SPECS["peserta_didik"]


def row(mine: bytes | None = MINE, theirs: bytes | None = THEIRS, seq: int = 5) -> Differing:
    return Differing("peserta_didik", "x", mine, theirs, seq)


@given(st.sets(st.sampled_from([MINE, THEIRS, OTHER])), st.integers(1, 20))
def test_a_central_whose_past_holds_is_right_about_every_row(proven: set[bytes], seq: int) -> None:
    for one in (row(seq=seq), row(mine=None), row(theirs=None)):
        assert who_is_right(one, proven, past_holds=True, stated_seq=10) is Right.CENTRAL


@pytest.mark.parametrize(
    ("one", "proven", "right"),
    [
        (row(), {THEIRS}, Right.CENTRAL),
        (row(), {MINE}, Right.SITE),
        (row(theirs=None), {MINE}, Right.SITE),
        (row(mine=None), {THEIRS}, Right.CENTRAL),
        (row(mine=None), {OTHER}, Right.SITE),
        (row(), {OTHER}, Right.NOBODY),
        (row(seq=11), {OTHER}, Right.CENTRAL),
        (row(theirs=None), {OTHER}, Right.NOBODY),
        (row(), None, Right.NOBODY),
        (row(seq=11), None, Right.CENTRAL),
        (row(mine=None), None, Right.NOBODY),
    ],
)
def test_where_centrals_past_does_not_hold_a_row_is_his_who_can_prove_it(
    one: Differing, proven: set[bytes] | None, right: Right
) -> None:
    assert who_is_right(one, proven, past_holds=False, stated_seq=10) is right


def test_central_is_taken_whatever_version_a_hand_gave_the_base() -> None:
    theirs = Base(2, 7, {"nama": "A"})
    for version in (0, 1, 2, 3, 99):
        found = Replicated(Base(version, 1, {"nama": "palsu"}), {"nama": "palsu"})
        assert take(found, theirs, SPEC).record == Replicated(theirs, {"nama": "A"})


def test_what_an_operator_typed_stays_pending_over_the_mended_base() -> None:
    found = Replicated(Base(9, 1, {"nama": "palsu"}), {"nama": "A", "rt": 7})
    taken = take(found, Base(2, 7, {"nama": "A", "rt": 1}), SPEC)
    assert taken.record.base == Base(2, 7, {"nama": "A", "rt": 1})
    assert taken.record.data == {"nama": "A", "rt": 7}
    assert taken.record.pending


def test_a_conflict_that_waits_for_a_person_goes_on_waiting() -> None:
    found = Replicated(Base(9, 1, {"rt": 1}), {"rt": 7}, conflict=Conflict(frozenset({"rt"})))
    assert take(found, Base(2, 7, {"rt": 1}), SPEC).record.conflict == found.conflict


def test_what_central_never_had_leaves_the_data_if_it_is_centrals_and_stays_pending_if_it_is_the_schools() -> None:
    found = Replicated(Base(3, 1, {"nama": "A"}), {"nama": "A"})
    assert take(found, Base(0, 0, None), SPECS["ptk_terdaftar"]).record.gone
    kept = take(found, Base(0, 0, None), SPEC).record
    assert (kept.base, kept.data, kept.pending) == (Base(0, 0, None), {"nama": "A"}, True)


def test_buckets_spread_ids_that_begin_alike() -> None:
    ids = [f"019f1afa-0608-7a08-bd67-{n:012x}" for n in range(4096)]
    counts = [sum(bucket(one) == b for one in ids) for b in range(256)]
    assert min(counts) > 0
    assert max(counts) < 50


def test_a_deletion_that_was_passed_over_for_a_version_too_high_waits_as_a_conflict() -> None:
    found = Replicated(Base(9, 1, {"nama": "A"}), {"nama": "A", "rt": 7})
    kept = take(found, Base(3, 7, None), SPEC).record
    assert (kept.data, kept.conflict) == ({"nama": "A", "rt": 7}, Conflict(frozenset({"*"}), {"nama": "A"}))


def test_an_edit_that_was_passed_over_for_a_version_too_high_is_not_deleted_by_what_was_deleted_here() -> None:
    found = Replicated(Base(9, 1, {"nama": "A"}), None)
    kept = take(found, Base(3, 7, {"nama": "B"}), SPEC).record
    assert (kept.data, kept.conflict) == (None, Conflict(frozenset({"*"}), {"nama": "A"}))
