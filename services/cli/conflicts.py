"""A school's conflicts: what waits for a person, the log of what did not wait any longer, and the choice."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any, Literal

import typer

from services import topology
from services.cli import show
from services.cli.arguments import AsJson, By, ConflictField, Entity, Npsn, RecordId, Wait
from services.cli.client import at_site
from services.cli.outcomes import NOT_SET_UP, REFUSED, Stop
from services.cli.school import answers_to, show_answers
from services.cli.settings import CommandSettings
from services.database import Database
from services.entities import SPECS
from services.exchange.canonical import Json, same
from services.exchange.change import WHOLE
from services.messages import Actor, ChangeAccepted, ChangeRejected, ConflictDecided, DecidedConflict
from services.replica import conflicts as kept
from services.replica.conflicts import Logged, OpenConflict

FIELDS_SHOWN = 5
"""Fields named of a record that one side deleted and the other changed."""


def conflicts(
    npsn: Npsn,
    log: Annotated[bool, typer.Option("--log", help="Both values of every conflict that has ended")] = False,
    json: AsJson = False,
) -> None:
    """The conflicts that wait for a person, with what to type to decide each."""
    found = asyncio.run(_read(CommandSettings().need("site_database_url"), npsn, logged=log))
    if json:
        show.as_json([asdict(c) | ({"command": c.command(npsn)} if isinstance(c, OpenConflict) else {}) for c in found])
    elif not found:
        show.line("tidak ada konflik tercatat · none logged" if log else "tidak ada konflik · no conflicts")
    for conflict in () if json else found:
        if isinstance(conflict, OpenConflict):
            _show_open(conflict, npsn)
        else:
            _show_logged(conflict)


def decide(
    npsn: Npsn,
    entity: Entity,
    record_id: RecordId,
    field: ConflictField,
    choice: Annotated[Literal["mine", "central"], typer.Argument(metavar="mine|central", help="Whose value holds")],
    actor: By = "operator",
    wait: Wait = 60.0,
    json: AsJson = False,
) -> None:
    """Decide a conflict: mine, what stands here, goes to the centre; central takes the centre's value."""
    message = ConflictDecided(
        actor=Actor(id=actor, role="operator"),
        decisions=[DecidedConflict(entity=entity, record_id=record_id, field=field, choice=choice)],
    )
    answers = asyncio.run(_decide(CommandSettings().need("amqp_url"), npsn, message, wait))
    if json:
        show.as_json([{"type": a.type, **a.model_dump()} for a in answers])
    else:
        show_answers(sum(len(a.changes) for a in answers if isinstance(a, ChangeAccepted)), answers)
    if any(isinstance(a, ChangeRejected) for a in answers):
        raise Stop("", REFUSED)


async def _decide(url: str, npsn: str, message: ConflictDecided, wait: float) -> list[ChangeAccepted | ChangeRejected]:
    async with at_site(url, npsn) as client:
        event_id = await client.publish(topology.CHANGES, f"change.{npsn}", message)
        return await answers_to(client, {event_id: len(message.decisions)}, wait)


async def _read(url: str, npsn: str, *, logged: bool) -> list[OpenConflict | Logged]:
    database = Database(url, pool=1)
    try:
        found = await kept.read(database, npsn, logged=logged)
    finally:
        await database.close()
    if found is None:
        raise Stop(f"{npsn} is not registered here: run `selaras register {npsn} --code CODE`.", NOT_SET_UP)
    return list(found)


def _show_open(conflict: OpenConflict, npsn: str) -> None:
    show.line(f"{conflict.entity} {conflict.record_id} · {_label(conflict.entity, conflict.field)}")
    mine, theirs = (_side(side, conflict) for side in (conflict.mine, conflict.theirs))
    show.line(f"   di sini · mine: {mine}")
    show.line(f"   di pusat · central: {theirs}")
    show.line(f"   → {conflict.command(npsn)}")


def _show_logged(entry: Logged) -> None:
    by = f" · {entry.actor}" if entry.actor else ""
    channel = f" · {entry.channel}" if entry.channel else ""
    show.line(f"{show.when(entry.at)} {entry.entity} {entry.record_id} · {_label(entry.entity, entry.field)}")
    mine, theirs = (_logged_side(side, entry.field) for side in (entry.mine, entry.theirs))
    show.line(f"   {entry.how}{by}{channel}: di sini · mine {mine}; di pusat · central {theirs} (v{entry.version})")


def _label(entity: str, field: str) -> str:
    if field == WHOLE:
        return "seluruh data · the whole record"
    spec = SPECS.get(entity)
    known = spec.fields.get(field) if spec else None
    return f"{known.label} ({field})" if known else field


def _side(value: Json, conflict: OpenConflict) -> str:
    """A field's value; of a whole record, that it was deleted, or what was changed in it."""
    if conflict.field != WHOLE:
        return kept.shown(value)
    if not isinstance(value, Mapping):
        return "dihapus · deleted"
    changed = _changed(conflict.ancestor or {}, value)
    return f"diubah · changed: {changed}" if changed else "masih ada · is there"


def _logged_side(value: Json, field: str) -> str:
    if field == WHOLE:
        return "dihapus · deleted" if value is None else "masih ada · is there"
    return kept.shown(value)


def _changed(before: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    names = [name for name in sorted(before.keys() | now.keys()) if not same(before.get(name), now.get(name))]
    named = [f"{name} = {kept.shown(now.get(name))}" for name in names[:FIELDS_SHOWN]]
    return ", ".join(named) + (f" (+{len(names) - FIELDS_SHOWN})" if len(names) > FIELDS_SHOWN else "")
