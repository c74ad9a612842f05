"""What became of a school's sessions."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import asdict
from typing import Annotated, Literal

import typer

from services.cli import show
from services.cli.arguments import AsJson, Npsn
from services.cli.outcomes import NOT_SET_UP, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.replica import history as past
from services.replica.history import Entry, History

Sessions = Literal["sync", "pull", "restore", "verify", "recover"]


def history(
    npsn: Npsn,
    kind: Annotated[Sessions | None, typer.Option("--kind", help="Only sessions of this kind")] = None,
    failed: Annotated[bool, typer.Option("--failed", help="Only those that failed")] = False,
    limit: Annotated[int, typer.Option("--limit", min=1, max=10_000, help="So many, the newest")] = 20,
    json: AsJson = False,
) -> None:
    """A school's sessions, newest first: asked by whom and when, how each ended, and what central stated."""
    found = asyncio.run(_read(CommandSettings().need("site_database_url"), npsn, limit, kind, failed=failed))
    if json:
        show.as_json(asdict(found))
        return
    for sentence in _words(found):
        show.line(sentence)


async def _read(url: str, npsn: str, limit: int, kind: str | None, *, failed: bool) -> History:
    database = Database(url, pool=1)
    try:
        found = await past.history(database, npsn, limit=limit, kind=kind, failed=failed)
    finally:
        await database.close()
    if found is None:
        raise Stop(f"{npsn} is not registered here: run `selaras register {npsn} --code CODE`.", NOT_SET_UP)
    return found


def _words(found: History) -> Iterator[str]:
    since, number = show.when(found.registered_at), found.registration_no
    yield (
        f"{found.nama} ({found.npsn}): terdaftar di sini sejak · registered here since {since}, "
        f"registrasi ke-{number} · registration {number}"
    )
    if found.restoring_since:
        yield f"pasang ulang sejak · restoring since {show.when(found.restoring_since)}"
    for entry in found.entries:
        yield from _entry(entry, found.npsn)
    yield f"{len(found.entries)} dari {found.total} sesi · of {found.total} sessions" + (
        "; --limit menampilkan lebih · shows more" if len(found.entries) < found.total else ""
    )


def _entry(entry: Entry, npsn: str) -> Iterator[str]:
    ended = entry.outcome or entry.state
    code = f" {entry.reason or (entry.problem or {}).get('code') or ''}".rstrip()
    yield f"{show.when(entry.asked_at)}  {entry.kind}  {ended}{code}  oleh · by {entry.actor}"
    if entry.problem:
        yield f"   {entry.problem['text_id']} · {entry.problem['text_en']}"
        yield f"   → {entry.problem['next_id']} · {entry.problem['next_en']}"
    yield f"   {', '.join(_facts(entry))}"
    if stated := entry.statement:
        number = f"sesi · session {stated.session}, seq {stated.seq}, root {stated.root}"
        yield f"   {number}" if stated.signed else f"   {number} (tidak ditandatangani · not signed)"
        if stated.signed:
            life = "" if stated.is_alone else f" --life {stated.incarnation}"
            yield f"   → selaras receipt show {npsn} --session {stated.session}{life}"


def _facts(entry: Entry) -> Iterator[str]:
    """Durations and counts, as far as there is something to say."""
    if entry.joined:
        yield "ikut sesi lain · joined another session"
    if entry.attempts > 1:
        yield f"{entry.attempts} percobaan · attempts"
    if entry.seconds is not None:
        yield f"selesai dalam · ended after {entry.seconds:.1f} s"
    elif entry.started_at is not None:
        yield f"dimulai · started {show.when(entry.started_at)}"
    else:
        yield "belum dimulai · not started"
    verdicts = ", ".join(f"{number} {verdict}" for verdict, number in sorted(entry.verdicts.items()) if number)
    yield f"dikirim · sent {entry.sent}" + (f" ({verdicts})" if verdicts else "")
    yield f"diterima · received {entry.received}"
    if entry.repaired:
        yield f"diperbaiki · mended {entry.repaired}"
    if entry.unsent:
        yield f"belum terkirim · not sent {entry.unsent}"
    if entry.findings:
        yield f"temuan · findings {entry.findings}"
