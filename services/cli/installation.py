"""A school's installation: register, reinstall, and export what is unsent."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated

import orjson
import typer

from services import wire
from services.cli import files, show
from services.cli.arguments import AsJson, By, Code, Npsn, Wait
from services.cli.client import SOURCE, reach
from services.cli.outcomes import NOT_SET_UP, REFUSED, Stop
from services.cli.school import ask_session
from services.cli.settings import CommandSettings
from services.database import Database
from services.link.channel import SENDS, Channel
from services.messages import (
    Actor,
    FieldsChange,
    Problem,
    PullRequested,
    RestoreRequested,
    SchoolRegister,
    SchoolRegistered,
    SessionRefusal,
)
from services.problems import problem
from services.replica import registration
from services.replica.asking import Wanted
from services.replica.restoring import ListMoved
from services.replica.unsent import Unsent, unsent

ANSWER_SECONDS = 10.0
"""How long central may take for one answer, as it may where the services ask."""
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask: what is listed may be lost")]
Export = Annotated[
    Path | None, typer.Option("--export", help="First write what would be lost to this file (JSONL, for publish)")
]


def register(
    npsn: Npsn,
    code: Code,
    export: Export = None,
    yes: Yes = False,
    actor: By = "operator",
    wait: Wait = 600.0,
    json: AsJson = False,
) -> None:
    """Register this installation for a school, and bring its data in."""
    settings = CommandSettings()
    settings.need("amqp_url")  # for what follows: nothing is registered that could not be brought in then
    here = asyncio.run(_unsent(settings.need("site_database_url"), npsn))
    if here is not None:
        if not (yes or json):
            show.errors.print(f"{npsn} sudah terdaftar di instalasi ini · is registered here already.")
        _confirm(npsn, here, export, yes=yes, json=json)
    asked = None if here is None else Wanted(npsn, "restore", SOURCE, wire.new_id(), actor, here.revision)
    answer = asyncio.run(_register(settings, npsn, code, asked, wait))
    if isinstance(answer, Problem):
        raise _refused(answer, json=json)
    who = Actor(id=actor, role="operator")
    if not json:
        show.line(f"{answer.nama} ({npsn}) terdaftar di instalasi ini · registered; its data are being brought in")
    if here is not None and asked is not None:
        request = RestoreRequested(actor=who, revision=here.revision)
        ask_session("restore", npsn, request, wait, json, event_id=asked.event_id)
    else:
        ask_session("pull", npsn, PullRequested(actor=who), wait, json)


async def _register(
    settings: CommandSettings, npsn: str, code: str, asked: Wanted | None, wait: float
) -> SchoolRegistered | Problem:
    database = Database(settings.need("site_database_url"), pool=1)
    url = settings.need("central_amqp_url")
    central = Channel(url, source=SOURCE, answer_seconds=min(ANSWER_SECONDS, wait / SENDS))
    try:
        await reach(url)
        await central.start()
        answer = await central.ask("register", npsn, SchoolRegister(code=code))
        if isinstance(answer, SessionRefusal):
            return answer.problem
        assert isinstance(answer, SchoolRegistered)
        install_id, number = answer.install_id, answer.registration_no
        if asked is None:
            await registration.register(database, npsn, nama=answer.nama, install_id=install_id, registration_no=number)
        else:
            await registration.register_again(
                database, npsn, install_id=install_id, registration_no=number, restore=asked
            )
    except ListMoved:
        return problem("SYN-16")
    finally:
        await central.stop()
        await database.close()
    return answer


def reinstall(
    npsn: Npsn,
    export: Export = None,
    yes: Yes = False,
    actor: By = "operator",
    wait: Wait = 600.0,
    json: AsJson = False,
) -> None:
    """Give up what is here and bring back the last completed sync; lists first what would be lost."""
    here = asyncio.run(_unsent(CommandSettings().need("site_database_url"), npsn))
    if here is None:
        raise _not_here(npsn)
    _confirm(npsn, here, export, yes=yes, json=json)
    request = RestoreRequested(actor=Actor(id=actor, role="operator"), revision=here.revision)
    ask_session("restore", npsn, request, wait, json)


def export(
    npsn: Npsn,
    file: Annotated[Path, typer.Option("--unsent", help="Where to write what central has not got (JSONL)")],
    json: AsJson = False,
) -> None:
    """Write a school's unsent changes to a file that `selaras publish` takes, here or at another installation."""
    here = asyncio.run(_unsent(CommandSettings().need("site_database_url"), npsn))
    if here is None:
        raise _not_here(npsn)
    _write(file, here.changes)
    show.said(
        json,
        {"npsn": npsn, "changes": len(here.changes), "file": str(file)},
        f"{len(here.changes)} perubahan belum terkirim ditulis ke {file} · unsent changes written",
    )


async def _unsent(url: str, npsn: str) -> Unsent | None:
    database = Database(url, pool=1)
    try:
        return await unsent(database, npsn)
    finally:
        await database.close()


def _confirm(npsn: str, here: Unsent, export: Path | None, *, yes: bool, json: bool) -> None:
    """List what would be lost, write it down if that is asked for, and go on only with a person's consent."""
    if export is not None:
        _write(export, here.changes)
    if not json:
        show.table(
            f"{npsn}: belum terkirim, akan hilang · unsent, would be lost",
            ("Entitas", "Data", "", "Isian · fields"),
            [(c.entity, c.record_id, c.op, ", ".join(c.fields)) for c in here.changes],
        )
        if export is not None:
            show.line(f"Ditulis ke · written to {export}; setelahnya · afterwards: selaras publish {npsn} {export}")
    if yes:
        return
    if json or not sys.stdin.isatty():
        if json:
            show.as_json({"revision": here.revision, "unsent": [c.model_dump() for c in here.changes]})
        raise Stop("Tidak ada yang dihapus: setujui dengan --yes · nothing was wiped: consent with --yes.", REFUSED)
    typer.confirm("Hapus dan ambil kembali dari pusat? · wipe, and bring back from central?", abort=True)


def _write(file: Path, changes: list[FieldsChange]) -> None:
    files.write_new(file, (orjson.dumps(change.model_dump()) + b"\n" for change in changes))


def _refused(why: Problem, *, json: bool) -> Stop:
    if json:
        show.as_json(why.model_dump())
    else:
        show.problem(why)
    return Stop("", REFUSED)


def _not_here(npsn: str) -> Stop:
    return Stop(f"{npsn} is not registered here: run `selaras register {npsn} --code CODE`.", NOT_SET_UP)
