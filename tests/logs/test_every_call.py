"""Every call that writes a line, read in the source: its message is constant, and its fields are listed."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from services import logs

SERVICES = Path(logs.__file__).parent
LEVELS = ("debug", "info", "warning", "error", "exception", "critical", "log")
PUTS = ("add", "about")


def calls(tree: ast.AST, name: str, methods: tuple[str, ...]) -> Iterator[ast.Call]:
    """`name.method(…)`."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id=found), attr=attr)) if found == name and attr in methods:
                yield node


def faults(text: str) -> list[str]:
    """What is wrong with the calls of a module."""
    tree, found = ast.parse(text), []
    for call in calls(tree, "log", LEVELS):
        where = f"line {call.lineno}"
        if len(call.args) != 1 or not (isinstance(call.args[0], ast.Constant) and isinstance(call.args[0].value, str)):
            found.append(f"{where}: the message is not constant")
        for keyword in call.keywords:
            if keyword.arg == "extra" and isinstance(keyword.value, ast.Dict):
                names = [str(key.value) for key in keyword.value.keys if isinstance(key, ast.Constant)]
                found += [f"{where}: {name} is not listed" for name in names if name not in logs.FIELDS]
            elif keyword.arg not in ("extra", "exc_info"):
                found.append(f"{where}: {keyword.arg}")
    for call in calls(tree, "logs", PUTS):
        names = [keyword.arg for keyword in call.keywords if keyword.arg is not None]
        found += [f"line {call.lineno}: {name} is not listed" for name in names if name not in logs.FIELDS]
    found += [f"line {call.lineno}: past the module's logger" for call in calls(tree, "logging", LEVELS)]
    return found


@pytest.mark.parametrize("module", sorted(SERVICES.rglob("*.py")), ids=lambda path: str(path.relative_to(SERVICES)))
def test_a_message_is_constant_and_its_fields_are_listed(module: Path) -> None:
    assert faults(module.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "bad",
    [
        'log.info("%s taken", nama)', 'log.info(f"{nama} taken")', 'log.info("taken " + nama)', "log.info(nama)",
        'log.info("taken", extra={"nama": nama})', "logs.add(nama=nama)", 'logging.info("taken")',
    ],
)  # fmt: skip
def test_this_test_finds(bad: str) -> None:
    assert len(faults(bad)) == 1
