"""Compare now: one school with central, all schools of the site, and central's own past with what it signed."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from services.central import auditing, overview
from services.central.auditing import Audited, Trouble
from services.cli import school, show
from services.cli.arguments import AsJson, By, Npsn, Wait
from services.cli.outcomes import FAILED, USAGE, NoAnswer, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.messages import Actor, SessionCompleted, SessionFailed, SessionRefused, VerifyRequested
from services.replica import registration
from services.signing import KeysUnusable, PublicKeys

Rate = Annotated[float, typer.Option("--rate", min=0.01, max=1000, help="Schools begun in a second, at most")]
End = SessionCompleted | SessionRefused | SessionFailed

TROUBLES: dict[Trouble, str] = {
    "signature": "pernyataan tidak ditandatangani kunci ini · a statement is not signed by these keys",
    "content": "teks pernyataan bukan yang ditandatangani · a statement's text is not what was signed",
    "chain": "rantai pernyataan putus · the chain of statements is broken",
    "past": "keadaan saat itu bukan yang ditandatangani · the state as of it is not the one that was signed",
    "seq": "seq berlubang · seq has holes",
}


def verify(npsn: Npsn, actor: By = "operator", wait: Wait = 600.0, json: AsJson = False) -> None:
    """Compare a school with central now and mend what differs; nothing that anybody typed is sent."""
    school.ask_session("verify", npsn, _request(actor), wait, json)


def _request(actor: str) -> VerifyRequested:
    return VerifyRequested(actor=Actor(id=actor, role="operator"))


def audit(rate: Rate = 2.0, actor: By = "operator", wait: Wait = 600.0, json: AsJson = False) -> None:
    """Verify every school of this site, one after the other; ends with 0 only if all were equal untouched."""
    settings = CommandSettings()
    ends = asyncio.run(_audit(settings, rate, actor, wait))
    rows = [_audited(npsn, end) for npsn, end in ends.items()]
    trouble = [row for row in rows if row[1] != "equal" or row[2]]
    if json:
        show.as_json([dict(zip(("npsn", "result", "repaired", "code"), row, strict=True)) for row in rows])
    else:
        if trouble:
            show.table(
                "Perlu dilihat · to look at",
                ("NPSN", "hasil · result", "diperbaiki · mended", "kode · code"),
                trouble,
            )
        show.line(
            f"{len(rows)} sekolah · schools: {len(rows) - len(trouble)} sama tanpa perbaikan · equal as they were, "
            f"{sum(row[2] for row in rows)} baris diperbaiki · rows mended"
        )
    if trouble:
        raise Stop("", FAILED)


async def _audit(settings: CommandSettings, rate: float, actor: str, wait: float) -> dict[str, End | None]:
    database = Database(settings.need("site_database_url"), pool=1)
    try:
        listed = await registration.registered(database)
    finally:
        await database.close()
    url = settings.need("amqp_url")
    ends: dict[str, End | None] = {}
    async for npsn in _paced(listed, rate):
        try:
            ends[npsn] = await school.follow(url, "verify", npsn, _request(actor), wait, shown=False)
        except NoAnswer:
            ends[npsn] = None
    return ends


def _audited(npsn: str, end: End | None) -> tuple[str, str, int, str]:
    """(npsn, result, rows mended, code)."""
    if isinstance(end, SessionCompleted):
        return npsn, "equal", end.repaired, ""
    if end is None:
        return npsn, "unfinished", 0, ""
    return npsn, "refused" if isinstance(end, SessionRefused) else "failed", 0, end.problem.code


def officer_audit(
    key_file: Annotated[Path, typer.Option("--keys", help="Central's public keys (JWKS)")],
    rate: Rate = 20.0,
    every: Annotated[
        bool, typer.Option("--every", help="The state as of every statement, not of each school's last alone")
    ] = False,
    json: AsJson = False,
) -> None:
    """Check central's own past against what it signed: signatures, chain, and the state as of each school's last."""
    try:
        keys = PublicKeys.read(key_file)
    except KeysUnusable as error:
        raise Stop(str(error), USAGE) from error
    found = asyncio.run(_officer_audit(CommandSettings().need("central_database_url"), keys, rate, every=every))
    trouble = [one for one in found if one.troubles]
    if json:
        show.as_json([asdict(one) for one in found])
    else:
        if trouble:
            show.table(
                "Perlu dilihat · to look at",
                ("NPSN", "sesi · session", "masalah · trouble"),
                [(one.npsn, session or None, TROUBLES[what]) for one in trouble for what, session in one.troubles],
            )
        show.line(
            f"{len(found)} sekolah · schools, {sum(one.statements for one in found)} pernyataan · statements: "
            f"{len(trouble)} sekolah perlu dilihat · schools to look at"
        )
        unsigned = sum(one.unsigned for one in found)
        if unsigned:
            show.line(
                f"{unsigned} pernyataan tidak ditandatangani · statements are unsigned (rilis lama · older release)"
            )
    if trouble:
        raise Stop("", FAILED)


async def _officer_audit(url: str, keys: PublicKeys, rate: float, *, every: bool) -> list[Audited]:
    database = Database(url, pool=1)
    try:
        listed = await overview.schools(database)
        return [await auditing.audit(database, npsn, keys, every=every) async for npsn in _paced(listed, rate)]
    finally:
        await database.close()


async def _paced(listed: list[str], rate: float, clock: Callable[[], float] = time.monotonic) -> AsyncIterator[str]:
    """One after the other, at most `rate` in a second."""
    due = clock()
    for one in listed:
        await asyncio.sleep(max(0.0, due - clock()))
        due = max(due, clock()) + 1 / rate
        yield one
