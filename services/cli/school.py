"""A school's commands: publish, validate, sync, pull."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from services import topology
from services.cli import files, show
from services.cli.arguments import AsJson, By, Npsn, Wait
from services.cli.client import Client, at_site
from services.cli.outcomes import FAILED, REFUSED, USAGE, NoAnswer, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.messages import (
    Actor,
    Blocking,
    ChangeAccepted,
    ChangeRejected,
    ChangeSubmitted,
    Counts,
    FieldsChange,
    Kind,
    PullRequested,
    RestoreRequested,
    SessionCompleted,
    SessionFailed,
    SessionProgressed,
    SessionRefused,
    SessionStarted,
    SyncRequested,
    ValidationCompleted,
    ValidationRequested,
    VerifyRequested,
)
from services.replica import judging

Request = SyncRequested | PullRequested | RestoreRequested | VerifyRequested


def publish(
    npsn: Npsn,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON or JSONL files of changes")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Check the files, publish nothing")] = False,
    actor: By = "operator",
    wait: Wait = 60.0,
    json: AsJson = False,
) -> None:
    """Publish changes of a school's data and show what became of each."""
    given = files.changes(paths)
    if not given:
        raise Stop("Berkas tidak berisi perubahan · the files hold no changes.", USAGE)
    if complaints := files.complaints(given):
        if json:
            problems = [{"where": where, **why.model_dump()} for where, why in complaints]
            show.as_json({"changes": len(given), "published": False, "problems": problems})
        lines = [f"{where}: {why.code} {why.text_id} · {why.text_en}" for where, why in complaints]
        raise Stop("\n".join(["Tidak ada yang dikirim · nothing was published:", *lines]), REFUSED)
    if dry_run:
        show.said(
            json,
            {"changes": len(given), "published": False},
            f"{len(given)} perubahan terbaca, tidak ada yang dikirim · changes read, nothing was published",
        )
        return
    settings = CommandSettings()
    answers = asyncio.run(_publish(settings.need("amqp_url"), npsn, [change for _, change in given], actor, wait))
    accepted = sum(len(a.changes) for a in answers if isinstance(a, ChangeAccepted))
    rejections = [a for a in answers if isinstance(a, ChangeRejected)]
    if json:
        show.as_json([{"type": a.type, **a.model_dump()} for a in answers])
    else:
        show_answers(accepted, answers)
    if rejections:
        raise Stop("", REFUSED)


async def _publish(
    url: str, npsn: str, given: list[FieldsChange], actor: str, wait: float
) -> list[ChangeAccepted | ChangeRejected]:
    """Publish all of it, then hear what becomes of it: of each event at most one answer of either kind."""
    async with at_site(url, npsn) as client:
        asked = {}
        for changes in files.in_events(given):
            event = ChangeSubmitted(actor=Actor(id=actor, role="operator"), changes=changes)
            asked[await client.publish(topology.CHANGES, f"change.{npsn}", event)] = len(changes)
        return await answers_to(client, asked, wait)


async def answers_to(client: Client, asked: Mapping[str, int], wait: float) -> list[ChangeAccepted | ChangeRejected]:
    """The answers to events of so many changes or decisions, by event id: at most one of each kind to an event."""
    answers: dict[tuple[str, str], ChangeAccepted | ChangeRejected] = {}  # what is announced again counts once
    async for heard in client.events(None, seconds=wait):
        answer = heard.data
        if isinstance(answer, ChangeAccepted | ChangeRejected) and answer.cause.id in asked:
            answers[answer.cause.id, answer.type] = answer
            if sum(_covered(one, asked[one.cause.id]) for one in answers.values()) >= sum(asked.values()):
                break
    return list(answers.values())


def _covered(answer: ChangeAccepted | ChangeRejected, changes: int) -> int:
    """How many of its event's changes an answer speaks of; a problem of the event itself is one of all of them."""
    return changes if isinstance(answer, ChangeRejected) and answer.problems else len(answer.changes)


def show_answers(accepted: int | None, answers: Sequence[ChangeAccepted | ChangeRejected]) -> None:
    """How many changes or decisions were stored, which were not and why, and the school after them."""
    if accepted is not None:
        show.line(f"{accepted} perubahan tersimpan · stored")
    for answer in answers:
        if isinstance(answer, ChangeRejected):
            for why in answer.problems:
                show.problem(why)
            for rejected in answer.changes:
                show.line(f"ditolak · rejected: {rejected.entity} {rejected.record_id}")
                for why in rejected.problems:
                    show.problem(why)
    counts = answers[-1].counts if answers else None
    if counts is not None:
        show.line(f"Sekolah kini · the school now: {_counted(counts)}")


def _counted(counts: Counts) -> str:
    return (
        f"{counts.invalid} invalid, {counts.warning} peringatan · warnings, "
        f"{counts.pending} belum terkirim · not sent yet"
    )


def validate(npsn: Npsn, wait: Wait = 60.0, json: AsJson = False) -> None:
    """Judge the school now and list what is invalid."""
    settings = CommandSettings()
    verdict, found = asyncio.run(_validate(settings, npsn, wait))
    if isinstance(verdict, ChangeRejected):
        if json:
            show.as_json({"type": verdict.type, **verdict.model_dump()})
        else:
            show_answers(None, [verdict])
        raise Stop("", REFUSED)
    if json:
        listed = [{"severity": f.severity.value, **_blocking(f)} for f in found]
        show.as_json({"type": verdict.type, **verdict.model_dump(), "list": listed})
    else:
        show.line(_counted(verdict.counts))
        for f in found:
            show.finding(Blocking.model_validate(_blocking(f)), f.severity.value)
    if verdict.counts.invalid:
        raise Stop("", REFUSED)


async def _validate(
    settings: CommandSettings, npsn: str, wait: float
) -> tuple[ValidationCompleted | ChangeRejected, list[Any]]:
    replica = settings.need("site_database_url")
    async with at_site(settings.need("amqp_url"), npsn) as client:
        event_id = await client.publish(topology.COMMANDS, f"validate.{npsn}", ValidationRequested())
        verdict = None
        async for event in client.events(event_id, seconds=wait):
            if isinstance(event.data, ValidationCompleted):
                verdict = event.data
                break
            if isinstance(event.data, ChangeRejected):
                return event.data, []
    assert verdict is not None
    database = Database(replica, pool=1)
    try:
        async with database.transaction() as transaction:
            return verdict, list(await judging.findings(transaction, npsn, None, 500))
    finally:
        await database.close()


def sync(
    npsn: Npsn,
    actor: By = "kepala sekolah",
    role: Annotated[
        Literal["principal", "operator"], typer.Option("--role", help="In which role; a sync needs principal")
    ] = "principal",
    wait: Wait = 600.0,
    json: AsJson = False,
) -> None:
    """Sinkronisasi: send what changed here, receive what changed at the centre, end exactly equal."""
    ask_session("sync", npsn, SyncRequested(actor=Actor(id=actor, role=role)), wait, json)


def pull(npsn: Npsn, actor: By = "operator", wait: Wait = 600.0, json: AsJson = False) -> None:
    """Tarik data: take the centre's updates; nothing is ever sent."""
    ask_session("pull", npsn, PullRequested(actor=Actor(id=actor, role="operator")), wait, json)


def ask_session(
    kind: Kind, npsn: str, request: Request, wait: float, json: bool, *, event_id: str | None = None
) -> None:
    """Ask for a session, follow it and show how it ends. Raises Stop unless it completes."""
    url = CommandSettings().need("amqp_url")
    end = asyncio.run(follow(url, kind, npsn, request, wait, shown=not json, event_id=event_id))
    if json:
        show.as_json({"type": end.type, **end.model_dump()})
    elif isinstance(end, SessionCompleted):
        show_completed(end)
    else:
        show.problem(end.problem)
        for blocking in end.findings if isinstance(end, SessionRefused) else ():
            show.finding(blocking)
    if isinstance(end, SessionRefused):
        raise Stop("", REFUSED)
    if isinstance(end, SessionFailed):
        raise Stop("", FAILED)


async def follow(
    url: str, kind: Kind, npsn: str, request: Request, wait: float, *, shown: bool, event_id: str | None = None
) -> SessionCompleted | SessionRefused | SessionFailed:
    """Ask for a session and follow it to its end, with live bars if `shown` and there is a terminal, else lines."""
    async with at_site(url, npsn) as client:
        with show.progress(bars=shown) as progress:
            asked = await client.publish(topology.COMMANDS, f"{kind}.{npsn}", request, id=event_id)
            async for event in client.events(asked, seconds=wait):
                if isinstance(event.data, SessionStarted | SessionProgressed):
                    progress.update(event.data)
                elif isinstance(event.data, SessionCompleted | SessionRefused | SessionFailed):
                    return event.data
    raise NoAnswer("The events stopped.")


def show_completed(end: SessionCompleted) -> None:
    """What a completed session did, and what its statement says."""
    receipt = end.receipt
    if end.kind == "sync":
        show.console.print(f"[bold green]Sinkronisasi selesai[/] · synced: {end.sent} dikirim, {end.received} diterima")
    elif end.kind == "restore":
        show.console.print(
            f"[bold green]Pasang ulang selesai[/] · restored as of the last completed sync: {end.received} diterima"
        )
    elif end.kind == "verify":
        show.console.print(f"[bold green]Verifikasi selesai[/] · verified: {end.received} diterima, 0 dikirim")
    else:
        show.console.print(f"[bold green]Tarik data selesai[/] · pulled: {end.received} diterima, 0 dikirim")
    if end.verdicts:
        show.console.print("  " + ", ".join(f"{name}: {n}" for name, n in sorted(end.verdicts.items())))
    show.console.print(f"  kedua sisi sama · both sides equal: seq {receipt['head_seq']}, root {receipt['root']}")
    if end.repaired:
        show.console.print(
            f"[yellow]{end.repaired} baris berubah di luar Selaras dan diperbaiki[/] · "
            "rows were altered outside Selaras and mended"
        )
    if end.kind == "pull" and end.unsent:
        show.console.print(
            f"[yellow]tarik data BUKAN sinkronisasi: {end.unsent} perubahan belum terkirim[/] · "
            f"a pull is NOT a sync: {end.unsent} changes are not sent yet"
        )
    if end.kind == "verify" and end.unsent:
        show.console.print(f"[yellow]{end.unsent} perubahan belum terkirim[/] · changes are not sent yet")
    if end.outcome == "needs_review":
        show.console.print(
            "[yellow]Ada konflik atau penolakan yang perlu dilihat[/] · conflicts or refusals to look at: "
            f"selaras conflicts {receipt['npsn']}, selaras validate {receipt['npsn']}"
        )
    elif end.kind == "sync" and end.unsent:
        show.console.print(f"[yellow]{end.unsent} perubahan diketik selama sinkronisasi, belum terkirim[/]")


def _blocking(f: Any) -> dict[str, Any]:
    return {
        "rule": f.rule, "entity": f.entity, "record_id": f.record_id, "field": f.field,
        "text_id": f.text("id"), "text_en": f.text("en"), "next_id": f.todo("id"), "next_en": f.todo("en"),
    }  # fmt: skip
