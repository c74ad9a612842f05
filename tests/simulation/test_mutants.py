"""Each safeguard is needed: with it taken out, and nothing else, some seed goes wrong."""

from __future__ import annotations

import pytest

from tests.simulation.mutants import SOURCE, TRAPS, mutant
from tests.simulation.safeguards import IN_ABSORB, Broken, Safeguard

SEEDS = 4000
"""Seeds among which one must go wrong. Most need some hundred."""


@pytest.mark.parametrize("safeguard", Safeguard, ids=lambda safeguard: safeguard.value)
def test_without_it_a_promise_is_broken(safeguard: Safeguard) -> None:
    changed = mutant(safeguard)
    with pytest.raises(Broken):
        changed.live(SEEDS)


def test_every_trap_of_absorb_is_taken_out() -> None:
    assert set(TRAPS) == {safeguard.value for safeguard in IN_ABSORB}
    assert sum("# trap" in line for line in SOURCE) == len(TRAPS)
