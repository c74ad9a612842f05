"""What a person sees: Indonesian first, English beside it; JSON when asked; a bar on what takes a while."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from services.messages import Blocking, Problem, SessionProgressed

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def plain(value: object) -> str:
    """Somebody's text as the terminal may have it: no control characters, no reversal of the writing direction."""
    return _CONTROLS.sub("\ufffd", str(value))


def safe(value: object) -> str:
    """As `plain`, to be put into a line that has markup."""
    return escape(plain(value))


def line(text: str) -> None:
    """A line with no markup in it."""
    console.print(Text(plain(text)))


def said(json: bool, value: dict[str, Any], sentence: str) -> None:
    """What was done: the value as JSON if that is asked for, else the sentence."""
    if json:
        as_json(value)
    else:
        line(sentence)


def when(time: datetime | None) -> str:
    """A time as the clock on this wall shows it."""
    return "belum pernah · never" if time is None else f"{time.astimezone():%Y-%m-%d %H:%M:%S %Z}"


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table; says so when there is nothing in it."""
    if not rows:
        line(f"{title}: tidak ada · none")
        return
    shown = Table(
        title=Text(plain(title)),
        title_justify="left",
        box=None,
        header_style="bold",
        pad_edge=False,
        show_header=any(columns),
    )
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(Text("–" if cell is None else plain(cell)) for cell in row))
    console.print(shown)


def problem(why: Problem) -> None:
    """A problem with both texts and what to do."""
    console.print(f"[bold red]{safe(why.code)}[/] {safe(why.text_id)} · [dim]{safe(why.text_en)}[/]")
    console.print(f"   → {safe(why.next_id)} · [dim]{safe(why.next_en)}[/]")


def finding(found: Blocking, severity: str = "invalid") -> None:
    """A finding of a rule: where, what, and what to do. Not a row of a table: ids and sentences need the width."""
    colour = "red" if severity == "invalid" else "yellow"
    where = " ".join(safe(part) for part in (found.entity, found.record_id, found.field) if part)
    console.print(f"[bold {colour}]{safe(found.rule)}[/] {severity} · {where}")
    console.print(f"   {safe(found.text_id)} · [dim]{safe(found.text_en)}[/]")
    console.print(f"   → {safe(found.next_id)} · [dim]{safe(found.next_en)}[/]")


class Bars:
    """Two bars: received and sent."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._down = progress.add_task("diterima · received", total=None)
        self._up = progress.add_task("dikirim · sent", total=None)

    def update(self, done: SessionProgressed) -> None:
        """Show how far a session is."""
        waiting = f" ({done.waiting.code}: {done.waiting.text_id})" if done.waiting else ""
        self._progress.update(
            self._down,
            completed=done.received,
            total=done.to_receive or None,
            description=f"diterima · received{waiting}",
        )
        self._progress.update(self._up, completed=done.sent, total=done.to_send or None)


@contextmanager
def bars(*, shown: bool) -> Iterator[Bars]:
    """Live progress bars on standard error, so that standard output stays clean."""
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
        disable=not (shown and errors.is_terminal),
    )
    with progress:
        yield Bars(progress)
