"""How long a worker waits before it asks central again."""

from __future__ import annotations

import pytest

from services.link.workers import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, _pause


@pytest.mark.parametrize("attempt", [1, 2, 9, 10, 11, 1025, 10**9])
def test_a_pause_grows_and_stays_within_its_bounds(attempt: int) -> None:
    longest = min(FIRST_RETRY_SECONDS * 2 ** min(attempt - 1, 20), LONGEST_RETRY_SECONDS)
    for _ in range(100):
        assert longest / 2 <= _pause(attempt) <= longest
