"""What a person sees: Indonesian first, English beside it; JSON when asked; a bar on what takes a while."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from services.messages import Blocking, Problem, SessionProgressed

console = Console(highlight=False)
errors = Console(stderr=True, highlight=False)


def as_json(value: Any) -> None:
    """One JSON document on standard output."""
    sys.stdout.write(json.dumps(value, ensure_ascii=False, indent=2, default=str) + "\n")


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A plain table; says so when there is nothing in it."""
    if not rows:
        console.print(f"{title}: tidak ada · none")
        return
    shown = Table(title=title, title_justify="left", box=None, header_style="bold", pad_edge=False)
    for column in columns:
        shown.add_column(column, overflow="fold")
    for row in rows:
        shown.add_row(*(str(cell) for cell in row))
    console.print(shown)


def problem(why: Problem) -> None:
    """A problem with both texts and what to do."""
    console.print(f"[bold red]{why.code}[/] {why.text_id} · [dim]{why.text_en}[/]", markup=True)
    console.print(f"   → {why.next_id} · [dim]{why.next_en}[/]", markup=True)


def findings(blocking: Sequence[Blocking], total: int | None = None) -> None:
    """What blocks a school, and what to do about each."""
    table(
        f"Data invalid · invalid records{'' if total is None else f' ({total})'}",
        ("Aturan", "Data", "Isian", "Keterangan", "Yang harus dilakukan"),
        [(f.rule, f"{f.entity}\n{f.record_id}", f.field or "", f.text_id, f.next_id) for f in blocking],
    )


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
