"""What a person sees: Indonesian first, English beside it; JSON when asked; a bar on what takes a while."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:  # whoever shows one of these has them
    from services.messages import Blocking, Problem, SessionProgressed, SessionStarted

    Told = SessionStarted | SessionProgressed

LONG = 10_000
"""A file or a pipe has no width: a line there is as long as it is, and a root is never cut in two."""


def _console(*, stderr: bool) -> Console:
    stream = sys.stderr if stderr else sys.stdout
    return Console(stderr=stderr, highlight=False, width=None if stream.isatty() or "COLUMNS" in os.environ else LONG)


console = _console(stderr=False)
errors = _console(stderr=True)
_CONTROLS = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    sys.stdout.write(json.dumps(value, ensure_ascii=ascii_only, indent=2, default=as_text) + "\n")


def as_text(value: object) -> str:
    """A value that JSON does not know: a time, or something with a text."""
    return value.isoformat() if isinstance(value, datetime) else str(value)


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
    """How far a session is: two bars, received and sent."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._down = progress.add_task("diterima · received", total=None)
        self._up = progress.add_task("dikirim · sent", total=None)

    def update(self, told: Told) -> None:
        """Show what the session tells of itself."""
        from services.messages import SessionStarted

        if isinstance(told, SessionStarted):
            return
        waiting = f" ({told.waiting.code}: {told.waiting.text_id})" if told.waiting else ""
        self._progress.update(
            self._down,
            completed=told.received,
            total=told.to_receive or None,
            description=f"diterima · received{waiting}",
        )
        self._progress.update(self._up, completed=told.sent, total=told.to_send or None)


class Lines:
    """The same where no bar can move: a line when the session begins, and one whenever it has to wait."""

    def update(self, told: Told) -> None:
        """Say it if it is one of those."""
        from services.messages import SessionStarted

        if isinstance(told, SessionStarted):
            if told.attempt == 1:
                _remark(f"{_KINDS[told.kind]} dimulai · the {told.kind} has begun")
        elif why := told.waiting:
            _remark(f"{why.code} {why.text_id} · {why.text_en}")
            _remark(f"   → {why.next_id} · {why.next_en}")


_KINDS = {
    "sync": "sinkronisasi",
    "pull": "tarik data",
    "restore": "pasang ulang",
    "verify": "verifikasi",
    "recover": "pemulihan",
}


def _remark(text: str) -> None:
    errors.print(Text(plain(text)))


@contextmanager
def progress(*, bars: bool) -> Iterator[Bars | Lines]:
    """How far a session is, on standard error, so that standard output stays clean; `bars`: if there is a terminal."""
    if not (bars and errors.is_terminal):
        yield Lines()
        return
    progress = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=errors,
        transient=True,
    )
    with progress:
        yield Bars(progress)
