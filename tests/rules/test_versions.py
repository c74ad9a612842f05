"""Rule sets are compared as numbers, never as text."""

from __future__ import annotations

import pytest

from services.rules import RULES_VERSION
from services.rules.versions import is_older, is_version

IN_ORDER = ("2025.12", "2026.1", "2026.2", "2026.9", "2026.10", "2026.100", "2027.1")


def test_versions_are_ordered_by_year_and_number() -> None:
    for i, one in enumerate(IN_ORDER):
        for j, other in enumerate(IN_ORDER):
            assert is_older(one, other) == (i < j)


@pytest.mark.parametrize(
    "text", ["", "1", "2026", "2026.", "2026.0", "2026.01", "2026.1.1", "2026.1a", "v2026.1", "٢٠٢٦.١"]
)
def test_what_has_not_the_form_of_a_version_comes_before_all(text: str) -> None:
    assert not is_version(text)
    assert is_older(text, IN_ORDER[0])


def test_the_present_rule_set_has_the_form() -> None:
    assert is_version(RULES_VERSION)
