"""What a change can affect, judged, and all the rest left as it was, is what judging the whole school finds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.rules import Finding, reference, school_findings
from services.rules.judge import SCHOOL_RULES, in_order
from services.rules.reach import Change, Key, Reach
from services.rules.reads import Others, SchoolRule, SchoolRules
from tests.builders import NPSN, TODAY, Records
from tests.rules.moves import a_move, a_moving_school, after, look_up


@pytest.fixture(autouse=True)
def small_classes(monkeypatch: pytest.MonkeyPatch) -> None:
    """More than one member is too many: so few records are enough for every rule."""
    small = {kind: replace(one, class_size=one.class_size and 1) for kind, one in reference.BENTUK.items()}
    monkeypatch.setattr(reference, "BENTUK", small)


def carried(
    before: list[Finding],
    school: Records,
    moves: Mapping[Key, Change],
    rules: SchoolRules = SCHOOL_RULES,
    random: Random | None = None,
) -> list[Finding] | None:
    """The findings of `school`, which `moves` has made, from those before; None where it is all to be judged."""
    reach = Reach(NPSN, TODAY, moves, rules)
    while asked := reach.wanted():
        reach.take(asked, look_up(school, asked, random))
    if reach.is_everything:
        return None
    judged = reach.judge()
    assert {(f.entity, f.record_id) for f in judged.findings} <= judged.touched
    assert all(judged.replaces(finding) for finding in judged.findings)
    return in_order([*(one for one in before if not judged.replaces(one)), *judged.findings])


def whole(school: Records) -> list[Finding]:
    return in_order(school_findings(school, NPSN, TODAY))


@settings(max_examples=400, deadline=None)
@given(seed=st.integers(0, 2**63))
def test_a_school_judged_change_by_change_is_as_it_is_judged_whole(seed: int) -> None:
    random = Random(seed)
    school = a_moving_school(random, random.choice([0, 0.1]))
    found = whole(school)
    for _ in range(8):
        moves = a_move(random, school)
        school = after(school, moves)
        now = carried(found, school, moves, random=random)
        found = whole(school)
        assert now is None or now == found


# ── a rule that says less than it reads is found out ─────────────────────────────────────────────────────────────────


Step = tuple[list[Finding], Records, Mapping[Key, Change], list[Finding]]
"""The findings before, the school after, what changed in between, and the findings after."""


@cache
def moved() -> list[Step]:
    """Many schools, each changed some times."""
    random = Random(7)
    steps: list[Step] = []
    while len(steps) < 2500:
        school = a_moving_school(random, 0)
        found = whole(school)
        for _ in range(10):
            moves = a_move(random, school)
            school = after(school, moves)
            then = whole(school)
            steps.append((found, school, moves, then))
            found = then
    return steps


def differs(rules: SchoolRules) -> bool:
    return any(carried(found, school, moves, rules) not in (None, then) for found, school, moves, then in moved())


def less(rule: SchoolRule) -> Iterator[tuple[str, SchoolRule]]:
    """The rule with each thing that it says it reads left out."""
    for name in rule.fields:
        yield name, replace(rule, fields=tuple(one for one in rule.fields if one != name))
    for place, other in enumerate(rule.others):
        rest = (*rule.others[:place], *rule.others[place + 1 :])
        yield other.entity, replace(rule, others=rest)
        for what, without in less_of(other):
            yield what, replace(rule, others=(*rest, without))


def less_of(other: Others) -> Iterator[tuple[str, Others]]:
    for name in other.fields:
        yield f"{other.entity}.{name}", replace(other, fields=tuple(one for one in other.fields if one != name))
    for place, step in enumerate(other.then):
        rest = (*other.then[:place], *other.then[place + 1 :])
        yield f"{other.entity}, {step.entity}", replace(other, then=rest)
        for what, without in less_of(step):
            yield f"{other.entity}, {what}", replace(other, then=(*rest, without))


LESS = [
    pytest.param(entity, rule, without, id=f"{rule.code} {entity}: {what}")
    for entity, rules in SCHOOL_RULES.items()
    for rule in rules
    for what, without in less(rule)
]


def test_what_the_rules_say_they_read_is_enough_for_these_changes() -> None:
    assert not differs(SCHOOL_RULES)
    assert sum(carried(*step[:3]) is not None for step in moved()) > 0.9 * len(moved())


@pytest.mark.parametrize(("entity", "rule", "without"), LESS)
def test_all_that_a_rule_says_it_reads_it_has_to_say(entity: str, rule: SchoolRule, without: SchoolRule) -> None:
    rules = {**SCHOOL_RULES, entity: tuple(without if one is rule else one for one in SCHOOL_RULES[entity])}
    assert differs(rules)
