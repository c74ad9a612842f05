"""Central's officers: schools, and changes to their records."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from services import topology
from services.central import administration, judging, registry
from services.cli import checks, files, past, show
from services.cli.arguments import LARGEST, AsJson, By, Entity, Npsn, RecordId, Wait
from services.cli.client import at_central
from services.cli.outcomes import REFUSED, USAGE, Stop
from services.cli.registry import at as at_registry
from services.cli.settings import CommandSettings
from services.database import Database
from services.messages import Actor, OfficerChange, OfficerChangeAccepted, OfficerChangeRejected, OfficerChangeSubmitted

app = typer.Typer(help="Central's officers: schools, and changes to their records.", no_args_is_help=True)
school = typer.Typer(help="Schools at central.", no_args_is_help=True)
app.add_typer(school, name="school")
app.command("audit")(checks.officer_audit)
app.command("as-of")(past.as_of)
app.command("diff")(past.diff)
app.command("receipt")(past.receipt)


@school.command("add")
def school_add(
    npsn: Npsn,
    baseline: Annotated[Path, typer.Option("--baseline", help="JSONL: one {entity, record_id, fields} a line")],
    nama: Annotated[str | None, typer.Option("--nama", help="The school's name, if its baseline has none")] = None,
    json: AsJson = False,
) -> None:
    """Register a school with its baseline; prints its registration code once."""
    try:
        lines = baseline.open("rb")
    except OSError as error:
        raise Stop(f"{baseline}: {error.strerror}", USAGE) from error
    with lines:
        code = at_registry(lambda database: administration.add_school(database, npsn, lines, nama=nama), json)
    _show_code(npsn, code, json)


@school.command("code")
def school_code(npsn: Npsn, json: AsJson = False) -> None:
    """A new registration code; the old one is void."""
    _show_code(npsn, at_registry(lambda database: administration.new_registration_code(database, npsn), json), json)


@school.command("show")
def school_show(
    npsn: Npsn,
    as_of: Annotated[str, typer.Option("--as-of", help="confirmed (what readers see), head, or a seq")] = "confirmed",
    json: AsJson = False,
) -> None:
    """A school as central has it."""
    if as_of not in ("confirmed", "head") and not (as_of.isdecimal() and int(as_of) <= LARGEST):
        raise Stop("--as-of takes confirmed, head or a seq.", USAGE)
    when: Any = int(as_of) if as_of.isdecimal() else as_of
    found = at_registry(lambda database: administration.describe(database, npsn, when), json)
    if json:
        show.as_json({**asdict(found), "pulled_not_synced": found.pulled_not_synced})
        return
    rows = [(name, value) for name, value in asdict(found).items() if name not in ("counts", "verdict")]
    show.table(f"{found.nama} ({npsn})", ("", ""), [*rows, *found.counts.items()])
    _show_verdict(found.verdict)


def _show_verdict(verdict: judging.Verdict | None) -> None:
    """Central's own verdict; what is invalid there did not come through a gate, or has become so since."""
    if verdict is None:
        show.line("Validasi pusat: belum ada · central's own verdict: none yet")
        return
    show.line(
        f"Validasi pusat (seq {verdict.seq}, {verdict.date}, aturan · rules {verdict.rules_version}): "
        f"{verdict.invalid} invalid, {verdict.warning} peringatan · warnings"
    )
    rules = [
        (rule, severity, number)
        for severity, counted in (("invalid", verdict.invalid_rules), ("warning", verdict.warning_rules))
        for rule, number in counted.items()
    ]
    if rules:
        show.table("", ("aturan · rule", "", "temuan · findings"), rules)


@app.command("record")
def record(npsn: Npsn, entity: Entity, record_id: RecordId) -> None:
    """One record as central has it, with the version that a change must name (JSON)."""

    async def read(database: Database) -> registry.Stored | None:
        async with database.transaction() as transaction:
            return (await registry.read(transaction, npsn, [(entity, record_id)])).get((entity, record_id))

    stored = at_registry(read)
    if stored is None:
        raise Stop(f"Central has no {entity} {record_id} of {npsn}.", REFUSED)
    found = {"version": stored.version, "seq": stored.seq, "fields": stored.fields}
    show.as_json({"entity": entity, "record_id": record_id, **found})


@app.command("change")
def change(
    npsn: Npsn,
    paths: Annotated[list[Path], typer.Argument(metavar="FILE...", help="JSON or JSONL files of officers' changes")],
    actor: By = "petugas",
    wait: Wait = 60.0,
    json: AsJson = False,
) -> None:
    """Add, correct, confirm or remove records of a school; all of them or none."""
    _submit(npsn, files.officer_changes(paths), actor, wait, json)


@app.command("confirm")
def confirm(
    npsn: Npsn,
    entity: Entity,
    record_id: RecordId,
    version: Annotated[int, typer.Option("--version", min=0, max=LARGEST, help="The record's version as you read it")],
    actor: By = "petugas",
    wait: Wait = 60.0,
    json: AsJson = False,
) -> None:
    """Confirm one person's identity: from then on it is central's."""
    one = OfficerChange(entity=entity, record_id=record_id, op="confirm", version=version)
    _submit(npsn, [one], actor, wait, json)


def _submit(npsn: str, changes: list[OfficerChange], actor: str, wait: float, json: bool) -> None:
    answer = asyncio.run(submit(CommandSettings().need("officer_amqp_url"), npsn, changes, actor, wait))
    if json:
        show.as_json({"type": answer.type, **answer.model_dump()})
    elif isinstance(answer, OfficerChangeAccepted):
        show.line(f"{len(answer.changes)} perubahan tersimpan di pusat · stored, seq {answer.head_seq}")
    else:
        for why in answer.problems:
            show.problem(why)
        for rejected in answer.changes:
            show.line(f"ditolak · rejected: {rejected.entity} {rejected.record_id}")
            for why in rejected.problems:
                show.problem(why)
    if isinstance(answer, OfficerChangeRejected):
        raise Stop("", REFUSED)


async def submit(
    url: str, npsn: str, changes: list[OfficerChange], actor: str, wait: float
) -> OfficerChangeAccepted | OfficerChangeRejected:
    """Publish an officer's changes and wait for central's answer."""
    async with at_central(url, npsn) as client:
        event_id = await client.publish(
            topology.OFFICERS,
            f"change.{npsn}",
            OfficerChangeSubmitted(actor=Actor(id=actor, role="officer"), changes=changes),
        )
        async for event in client.events(event_id, seconds=wait):
            if isinstance(event.data, OfficerChangeAccepted | OfficerChangeRejected):
                return event.data
    raise AssertionError("the events end by an exception")


def _show_code(npsn: str, code: str, json: bool) -> None:
    if json:
        show.as_json({"npsn": npsn, "code": code})
    else:
        show.console.print(f"Kode registrasi {npsn}: [bold]{code}[/] (ditampilkan sekali saja · shown only once)")
