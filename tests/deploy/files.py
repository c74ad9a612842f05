"""The files of deploy/, read as they are: YAML, with nothing put in for a variable."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parent.parent.parent
DEPLOY = ROOT / "deploy"
OURS = ("validator", "syncer", "puller", "central")
ONCE = ("prepare", "migrate", "join")
TOOLS = ("selaras", "selaras-central")


def compose(name: str = "compose.yaml") -> dict[str, Any]:
    """One compose file."""
    read = yaml.safe_load((DEPLOY / name).read_text(encoding="utf-8"))
    assert isinstance(read, dict)
    return read


def services(name: str = "compose.yaml") -> dict[str, dict[str, Any]]:
    """Its services."""
    found = compose(name)["services"]
    assert isinstance(found, dict)
    return found


def strings(value: Any) -> Iterator[str]:
    """Every text in a YAML value."""
    if isinstance(value, dict):
        for one in value.values():
            yield from strings(one)
    elif isinstance(value, list):
        for one in value:
            yield from strings(one)
    elif isinstance(value, str):
        yield value


def knobs(name: str) -> dict[str, str | None]:
    """What a compose file takes from .env: ${NAME:-default}, and SELARAS_… without a value (its default is None)."""
    found: dict[str, str | None] = {}
    for text in strings(compose(name)):
        for variable, default in re.findall(r"\$\{([A-Z_]+)(?::-([^}]*))?\}", text):
            assert found.get(variable, default) == default, f"{variable} has two defaults"
            found[variable] = default
    for service in compose(name)["services"].values():
        environment = service.get("environment") or {}
        found |= {variable: None for variable, value in environment.items() if value is None}
    return found


def env_example() -> dict[str, str]:
    """The knobs that .env.example explains, each commented out with its default."""
    text = (DEPLOY / ".env.example").read_text(encoding="utf-8")
    return dict(re.findall(r"^#([A-Z_]+)=(.*)$", text, re.MULTILINE))
