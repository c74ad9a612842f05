"""Which decisions of conflicts hold, and what the log keeps of those that ended: pure, on records made up here."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from services.entities import CONFIRMED, SPECS, Fields
from services.exchange.absorb import Base, Conflict, Overruled, Replicated, type_over
from services.exchange.change import WHOLE
from services.messages import DecidedConflict
from services.replica.choosing import CHOICES, Settled, choices, choose, settled
from services.replica.records import Key

ID = "11111111-1111-4111-8111-111111111111"
PUPIL: Key = ("peserta_didik", ID)
SPEC = SPECS["peserta_didik"]
CENTRAL: Fields = {"nama": "Ani", "no_kk": "9900000000000001", "alamat_jalan": "Jalan Pusat"}
MINE: Fields = {**CENTRAL, "no_kk": "9900000000000009", "alamat_jalan": "Jalan Sekolah"}


def in_conflict(*fields: str, data: Fields | None = MINE, base: Fields | None = CENTRAL) -> Replicated:
    return Replicated(Base(4, 9, base), data, None, Conflict(frozenset(fields), CENTRAL if WHOLE in fields else None))


def decided(field: str, choice: Literal["mine", "central"], entity: str = "peserta_didik") -> DecidedConflict:
    return DecidedConflict(entity=entity, record_id=ID, field=field, choice=choice)


def codes(*decisions: DecidedConflict, held: Replicated | None) -> dict[int, list[str]]:
    outcome = choose(decisions, {PUPIL: held} if held else {})
    return {index: [p.code for p in problems] for index, problems in outcome.rejected.items()}


def test_each_field_is_decided_by_itself_in_the_order_of_the_event() -> None:
    record = in_conflict("no_kk", "alamat_jalan")
    outcome = choose([decided("no_kk", "central"), decided("alamat_jalan", "mine")], {PUPIL: record})
    assert (outcome.stored, outcome.rejected) == ([0, 1], {})
    after = outcome.records[PUPIL]
    assert (after.data, after.conflict) == ({**MINE, "no_kk": CENTRAL["no_kk"]}, None)
    assert after.pending
    assert not after.held


def test_for_central_nothing_is_left_to_send() -> None:
    outcome = choose([decided("no_kk", "central"), decided("alamat_jalan", "central")],
                     {PUPIL: in_conflict("no_kk", "alamat_jalan")})  # fmt: skip
    assert outcome.records[PUPIL] == Replicated(Base(4, 9, CENTRAL), CENTRAL)


@pytest.mark.parametrize(
    ("decision", "held"),
    [
        (decided("nama", "mine"), in_conflict("no_kk")),
        (decided(WHOLE, "mine"), in_conflict("no_kk")),
        (decided("no_kk", "mine"), in_conflict("no_kk", WHOLE, base=None)),
        (decided("no_kk", "central"), Replicated(Base(4, 9, CENTRAL), MINE)),
        (decided("no_kk", "central"), None),
        (decided("x" * 200, "central", entity="entitas_rilis_baru"), None),
    ],
)
def test_what_is_in_conflict_no_longer_cannot_be_decided(decision: DecidedConflict, held: Replicated | None) -> None:
    assert codes(decision, held=held) == {0: ["UBAH-13"]}


def test_a_second_decision_of_one_field_finds_no_conflict_and_changes_nothing() -> None:
    outcome = choose([decided("no_kk", "mine"), decided("no_kk", "central")], {PUPIL: in_conflict("no_kk")})
    assert (outcome.stored, list(outcome.rejected)) == ([0], [1])
    assert outcome.records[PUPIL].data == MINE


@pytest.mark.parametrize("choice", CHOICES)
def test_a_record_edited_here_and_deleted_there_comes_back_or_goes(choice: Literal["mine", "central"]) -> None:
    outcome = choose([decided(WHOLE, choice)], {PUPIL: in_conflict(WHOLE, base=None)})
    after = outcome.records[PUPIL]
    assert (after.data, after.conflict) == (MINE if choice == "mine" else None, None)
    assert after.pending == (choice == "mine")


@pytest.mark.parametrize("choice", CHOICES)
def test_a_record_deleted_here_and_edited_there_goes_or_comes_back(choice: Literal["mine", "central"]) -> None:
    outcome = choose([decided(WHOLE, choice)], {PUPIL: in_conflict(WHOLE, data=None)})
    after = outcome.records[PUPIL]
    assert (after.data, after.conflict) == (None if choice == "mine" else CENTRAL, None)
    assert after.pending == (choice == "mine")


def test_a_delete_that_central_would_refuse_is_not_offered() -> None:
    held = in_conflict(WHOLE, data=None, base={**CENTRAL, CONFIRMED: True})
    assert choices("peserta_didik", held, WHOLE) == ("central",)
    (problem,) = choose([decided(WHOLE, "mine")], {PUPIL: held}).rejected[0]
    assert (problem.code, problem.field, problem.channel) == ("UBAH-14", WHOLE, "VervalPD")
    assert "{" not in problem.text_id + problem.next_id + problem.text_en + problem.next_en
    assert codes(decided(WHOLE, "central"), held=held) == {}


def test_to_keep_a_confirmed_person_here_is_offered() -> None:
    assert choices("peserta_didik", in_conflict(WHOLE, base=None), WHOLE) == CHOICES


def log(before: Replicated, after: Replicated) -> list[Settled]:
    return list(settled(before, after))


def test_both_values_of_a_decision_are_logged_with_whose_it_was() -> None:
    before = in_conflict("no_kk", "alamat_jalan")
    after = choose([decided("no_kk", "central"), decided("alamat_jalan", "mine")], {PUPIL: before}).records[PUPIL]
    assert log(before, after) == [
        Settled(Overruled("alamat_jalan", "Jalan Sekolah", "Jalan Pusat"), "decided mine"),
        Settled(Overruled("no_kk", "9900000000000009", "9900000000000001"), "decided central"),
    ]


def test_of_a_whole_record_both_records_are_logged() -> None:
    before = in_conflict(WHOLE, base=None)
    for choice, how in (("mine", "decided mine"), ("central", "decided central")):
        after = choose([decided(WHOLE, choice)], {PUPIL: before}).records[PUPIL]  # type: ignore[arg-type]
        assert log(before, after) == [Settled(Overruled(WHOLE, dict(MINE), None), how)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ({"alamat_jalan": "Jalan Ketiga"}, [("Jalan Ketiga", "decided mine")]),
        ({"alamat_jalan": "Jalan Pusat"}, [("Jalan Sekolah", "decided central")]),
        ({"alamat_jalan": "Jalan Sekolah"}, []),
        ({"nama": "Ana"}, []),
    ],
)
def test_typing_decides_and_is_logged_as_what_it_comes_to(
    typed: dict[str, Any], kept: list[tuple[str, Literal["decided mine", "decided central"]]]
) -> None:
    before = in_conflict("alamat_jalan")
    assert log(before, type_over(before, typed, "upsert", SPEC)) == [
        Settled(Overruled("alamat_jalan", mine, "Jalan Pusat"), how) for mine, how in kept
    ]


def test_nothing_is_logged_where_nothing_was_in_conflict() -> None:
    record = Replicated(Base(4, 9, CENTRAL), MINE)
    assert log(record, type_over(record, {"nama": "Ana"}, "upsert", SPEC)) == []


def test_nobody_decides_for_central_while_it_is_not_known_what_it_holds() -> None:
    given, held = [decided("no_kk", "central")], {PUPIL: in_conflict("no_kk")}
    outcome = choose(given, held, {PUPIL})
    assert (outcome.stored, [one.code for one in outcome.rejected[0]]) == ([], ["UBAH-16"])
    assert choose([decided("no_kk", "mine")], held, {PUPIL}).stored == [0]
    assert choose(given, held).stored == [0]
