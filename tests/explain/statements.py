"""Every statement of the services: where it stands in the source, and what was sent from there in a story."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import services
from services import database
from services.database import Transaction
from services.topology import SIDES, Side

ROOT = Path(services.__file__).parent
SQL_OF: Mapping[str, tuple[Side, ...]] = {"central": ("central",), "replica": ("site",), "intake": SIDES}
"""All SQL stands in these folders, but for that of migrations and of whether a database is there and has its tables."""
METHODS = ("run", "rows", "row", "value")


@dataclass(frozen=True, order=True)
class Place:
    """A call of a transaction's method. `sql`: what stands there, None if it is put together."""

    file: str
    first: int
    last: int
    sql: str | None

    @property
    def sides(self) -> tuple[Side, ...]:
        """Whose databases it is for."""
        return SQL_OF[Path(self.file).parts[0]]

    def __str__(self) -> str:
        return f"services/{self.file}:{self.first}"


def places() -> list[Place]:
    """Every call in the source."""
    found = []
    for module in sorted(module for folder in SQL_OF for module in (ROOT / folder).rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(value=ast.Name(id="transaction"), attr=attr),
                    args=[sql, *_],
                    end_lineno=int(last),
                ) if attr in METHODS:
                    text = str(sql.value) if isinstance(sql, ast.Constant) else None
                    found.append(Place(str(module.relative_to(ROOT)), node.lineno, last, text))
    return found


@dataclass
class Recorded:
    """What was sent: by side and text, the values of the last time; and from which places."""

    sent: dict[tuple[Side, str], dict[str, Any]] = field(default_factory=dict)
    visited: set[tuple[str, int]] = field(default_factory=set)

    def was_visited(self, place: Place) -> bool:
        """Was anything sent from there?"""
        return any(place.file == file and place.first <= line <= place.last for file, line in self.visited)

    def note(self, frame: FrameType | None, sql: str, values: dict[str, Any]) -> None:
        """A statement is about to be sent; `frame` is where from, or what of `Transaction` is in between."""
        while frame is not None and frame.f_code.co_filename == database.__file__:
            frame = frame.f_back
        if frame is None or not Path(frame.f_code.co_filename).is_relative_to(ROOT):
            return
        file = Path(frame.f_code.co_filename).relative_to(ROOT)
        if file.parts[0] in SQL_OF:
            self.visited.add((str(file), frame.f_lineno))
            self.sent |= {(side, sql): values for side in SQL_OF[file.parts[0]]}


@contextmanager
def recording() -> Iterator[Recorded]:
    """Note all that this process sends by `Transaction`."""
    recorded = Recorded()

    def noting(method: Any) -> Any:
        async def noted(self: Transaction, sql: str, **values: Any) -> Any:
            recorded.note(sys._getframe(1), sql, values)
            return await method(self, sql, **values)

        return noted

    with pytest.MonkeyPatch.context() as patch:
        for name in METHODS:
            patch.setattr(Transaction, name, noting(getattr(Transaction, name)))
        yield recorded
