"""Whatever operator, officers and network do to one record: in the end both sides are equal and no edit is lost.

And each safeguard is needed: taken out, one of the first few thousand schedules goes wrong.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType
from typing import get_args

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.exchange import absorb

from .model import ACTIONS, STARTS, Broken, Safeguard, Step, World, a_schedule

SEEDS = 8_000
"""Schedules among which one must go wrong without a safeguard. Most need some hundred."""

SOURCE = Path(absorb.__file__).read_text(encoding="utf-8").splitlines()
TRAPS = {
    match[2]: number
    for number, line in enumerate(SOURCE)
    if (match := re.match(r"( +)return .*  # trap: ([^.]+)\.", line))
}
"""Name and line of every trap of `absorb`."""

steps = st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 23)), max_size=40)
choices = st.lists(st.integers(0, 3), max_size=6)


@settings(max_examples=1500)
@given(st.integers(0, STARTS - 1), steps, choices)
def test_when_the_edits_stop_both_sides_become_equal_and_nothing_typed_is_lost(
    start: int, schedule: list[Step], decisions: list[int]
) -> None:
    World(start).play(schedule).settle(decisions)


def test_the_schedules_that_find_the_traps_go_right_with_all_of_them() -> None:
    _play_all(range(SEEDS // 2))


@pytest.mark.parametrize("name", get_args(Safeguard))
def test_a_session_needs_each_of_its_safeguards(name: Safeguard) -> None:
    with pytest.raises(Broken):
        _play_all(range(SEEDS), leave_out=[name])


def test_every_trap_of_absorb_is_marked() -> None:
    assert set(TRAPS) == {"deleted in doubt", "typed back in doubt", "central took ours", "only ours moved it"}
    assert sum("# trap" in line for line in SOURCE) == len(TRAPS)


@pytest.mark.parametrize("trap", TRAPS)
def test_absorb_needs_each_of_its_traps(trap: str, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = _without(TRAPS[trap], monkeypatch)
    with pytest.raises(Broken):
        _play_all(range(SEEDS), absorbing=changed)


def _play_all(seeds: range, *, leave_out: Iterable[Safeguard] = (), absorbing: ModuleType = absorb) -> None:
    for seed in seeds:
        start, schedule, decisions = a_schedule(seed)
        World(start, leave_out=leave_out, absorbing=absorbing).play(schedule).settle(decisions)


def _without(number: int, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """`absorb` with one of its lines taken out."""
    line = SOURCE[number]
    source = [*SOURCE]
    source[number] = line[: len(line) - len(line.lstrip())] + "pass"
    changed = ModuleType("absorb_with_a_line_less")
    monkeypatch.setitem(sys.modules, changed.__name__, changed)
    exec(compile("\n".join(source), absorb.__file__, "exec"), changed.__dict__)  # noqa: S102  our own source
    return changed
