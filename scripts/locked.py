"""Prints a part of requirements.lock, with its hashes: `python scripts/locked.py run-time tracing`, `… build`.

`run-time` is what the services need, `build` what makes the wheel, anything else an extra of pyproject.toml. Uses the
standard library alone, for the image is built with it.
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE if (HERE / "requirements.lock").exists() else HERE.parent
_NAME = re.compile(r"[A-Za-z0-9._-]+")


def normal(requirement: str) -> str:
    """A package's name as pip compares it."""
    found = _NAME.match(requirement.strip())
    if found is None:
        raise ValueError(f"no package: {requirement!r}")
    return re.sub(r"[-_.]+", "-", found[0]).lower()


def entries(lock: str) -> Iterator[tuple[str, str, set[str]]]:
    """(name, text, the names of those that ask for it) of every package of the lock."""
    for text in re.split(r"\n(?=[A-Za-z0-9])", lock.strip()):
        via = text.partition("# via")[2]
        yield normal(text), text, {normal(line.strip(" #")) for line in via.splitlines() if line.strip(" #")}


def part(lock: str, roots: Iterable[str]) -> str:
    """The packages that `roots` need, directly or not, as the lock has them."""
    every = list(entries(lock))
    wanted = {normal(root) for root in roots}
    missing = wanted - {name for name, _, _ in every}
    if missing:
        raise ValueError(f"not in requirements.lock: {', '.join(sorted(missing))}")
    while more := {name for name, _, asked_by in every if asked_by & wanted} - wanted:
        wanted |= more
    return "".join(text + "\n" for name, text, _ in every if name in wanted)


def roots(*which: str) -> list[str]:
    """What pyproject.toml names under `run-time`, `build`, or an extra."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    named: dict[str, list[str]] = {
        "run-time": project["project"]["dependencies"],
        "build": project["build-system"]["requires"],
        **project["project"]["optional-dependencies"],
    }
    return [requirement for one in which for requirement in named[one]]


if __name__ == "__main__":
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    sys.stdout.write(part(lock, roots(*sys.argv[1:])))
