"""The cut-off: all schools as of one moment, in a file."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import aclosing, contextmanager, suppress
from pathlib import Path
from typing import Annotated, Any, BinaryIO

import orjson
import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from services.central import cutoff, moments
from services.central.cutoff import Wanted
from services.cli import registry, show
from services.cli.arguments import AsJson
from services.cli.outcomes import USAGE, Stop
from services.database import Database

QUICK_SECONDS = 1.0
"""What takes longer shows how far it is."""


def snapshot(
    moment: Annotated[
        str,
        typer.Argument(metavar="DATE", help="2026-11-30 (the end of that day, WIB), a time, or confirmed, head"),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="A new file; else standard output")] = None,
    held: Annotated[
        bool, typer.Option("--held", help="All that central held then, not what each school's last sync had confirmed")
    ] = False,
    entity: Annotated[
        list[str] | None, typer.Option("--entity", help="Records of this entity only; again for more")
    ] = None,
    counts: Annotated[bool, typer.Option("--counts", help="A line for each school, without its records")] = False,
    json: AsJson = False,
) -> None:
    """The cut-off: all schools as readers saw them at the end of a day, as JSONL that shows whether it is whole."""
    if json and out is None:
        raise Stop("--json sums up what --out wrote: standard output takes the file itself.", USAGE)

    async def write(database: Database) -> bytes:
        found = moments.parse(moment)
        if not isinstance(found, moments.AtTime | moments.Now):
            raise Stop("snapshot: tanggal, waktu, confirmed atau head · a date, a time, confirmed or head.", USAGE)
        wanted = Wanted(found, held, tuple(entity or ()), records=not counts)
        last = b""
        with _written(out) as file, _progress() as told:
            async with aclosing(cutoff.lines(database, wanted, told)) as parts:
                async for part in parts:
                    file.write(part)
                    last = part or last
        return last

    totals = orjson.loads(registry.at(write, json))
    if out is None:
        return
    show.said(json, {"file": str(out), **totals}, f"{out}: {', '.join(_words(totals))}")


def _words(totals: dict[str, Any]) -> Iterator[str]:
    yield f"{totals['schools']} sekolah · schools"
    yield f"{totals['records']} data · records"
    yield f"{totals['not_there']} belum ada saat itu · not there yet"
    if totals["forgotten"]:
        yield f"{totals['forgotten']} mungkin tidak lengkap · may have been forgotten"
    yield f"sha256 {totals['sha256']}"


@contextmanager
def _written(out: Path | None) -> Iterator[BinaryIO]:
    """Standard output; or a new file, of which nothing is seen under its name before it is whole and on the disk."""
    if out is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    exists = Stop(f"{out}: sudah ada, tidak ditimpa · is there already, and is not overwritten.", USAGE)
    if out.exists():
        raise exists
    try:
        descriptor, name = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")  # its owner's alone
    except OSError as error:
        raise _unwritten(out, error) from error
    try:
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(name, out)  # unlike a rename it takes nobody's place
        except FileExistsError as error:
            raise exists from error
    except OSError as error:  # the disk is full, or knows no links
        raise _unwritten(out, error) from error
    finally:
        with suppress(FileNotFoundError):
            Path(name).unlink()


def _unwritten(out: Path, error: OSError) -> Stop:
    return Stop(f"{out}: {error.strerror}", USAGE)


@contextmanager
def _progress() -> Iterator[cutoff.Progress]:
    """A bar on standard error, if it is a terminal and this takes a while."""
    bar = Progress(
        TextColumn("sekolah · schools"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=show.errors,
        transient=True,
    )
    task = bar.add_task("", total=None)
    began = time.monotonic()

    def told(done: int, total: int) -> None:
        bar.update(task, completed=done, total=total)
        if show.errors.is_terminal and time.monotonic() - began > QUICK_SECONDS:
            bar.start()

    try:
        yield told
    finally:
        if bar.live.is_started:
            bar.stop()
