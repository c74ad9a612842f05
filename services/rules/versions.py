"""Which of two rule sets is the newer one: versions are compared number by number, never as text.

A version is year.number ("2026.1"): 2026.2 comes before 2026.10, and that before 2027.1.
"""

from __future__ import annotations

import re

_FORM = re.compile(r"[0-9]{4}\.[1-9][0-9]{0,3}")


def is_version(text: str) -> bool:
    """Has it the form of a version?"""
    return _FORM.fullmatch(text) is not None


def is_older(version: str, than: str) -> bool:
    """Does `version` come before `than`, which is one? What has not the form of a version comes before all."""
    return not is_version(version) or _numbers(version) < _numbers(than)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in version.split("."))
