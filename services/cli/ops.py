"""The ops' commands: serve, migrate, topology, dead."""

from __future__ import annotations

import asyncio
import importlib
from typing import Annotated, Any, Literal

import typer

from services import declare, migrations, runtime, topology
from services.cli import show
from services.cli.outcomes import FAILED, NOT_SET_UP, REFUSED, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.intake import Quarantine
from services.settings import load

SERVICES = ("validator", "syncer", "puller", "central")
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output")]
SideOption = Annotated[
    Literal["site", "central"], typer.Option("--side", help="Whose database: the site's or central's")
]

dead = typer.Typer(help="Messages that no service could take (quarantine).", no_args_is_help=True)
topology_app = typer.Typer(help="The broker's exchanges, queues and bindings.", no_args_is_help=True)


def serve(
    service: Annotated[
        Literal["validator", "syncer", "puller", "central", "all"], typer.Argument(help="Which service to run")
    ],
) -> None:
    """Run a service until SIGTERM or Ctrl-C; `all` runs the four in one process."""
    names = SERVICES if service == "all" else (service,)
    try:
        asyncio.run(_serve(names))
    except runtime.NotSetUp as error:
        raise Stop(str(error), NOT_SET_UP) from error
    except runtime.Broken as error:
        raise Stop(str(error), FAILED) from error


async def _serve(names: tuple[str, ...]) -> None:
    built = []
    for number, name in enumerate(names):
        app = importlib.import_module(f"services.{name}.app")
        settings = load(app.Settings)
        if settings.http_port:  # one port each: the given one and those after it
            settings = settings.model_copy(update={"http_port": settings.http_port + number})
        runtime.configure_logging(settings.log_level)
        built.append(app.build(settings))
    await runtime.run(built)


def migrate(
    side: Annotated[Literal["site", "central", "all"], typer.Argument(help="Which database")] = "all",
) -> None:
    """Bring the tables of the site's database, central's, or both to this release."""
    settings = CommandSettings()
    for one in ("site", "central") if side == "all" else (side,):
        migrations.upgrade(one, settings.need(f"{one}_database_url"))
        show.console.print(f"{one}: tables are those of this release")


@topology_app.command("show")
def topology_show(json: AsJson = False) -> None:
    """Every exchange, queue and binding; with --json as RabbitMQ definitions without users."""
    if json:
        show.as_json(topology.definitions({}))
        return
    show.table("Exchanges", ("name", "type", "side"), [(e.name, e.type, e.side) for e in topology.EXCHANGES])
    show.table(
        "Queues",
        ("name", "side", "bound to", "dead letters to"),
        [(q.name, q.side, ", ".join(f"{e} {k}" for e, k in q.bindings), q.dead or "") for q in topology.QUEUES],
    )


@topology_app.command("declare")
def topology_declare() -> None:
    """Make the topology on the broker of SELARAS_AMQP_URL (a user with the right to configure)."""
    asyncio.run(declare.declare(CommandSettings().need("amqp_url")))
    show.console.print(f"{len(topology.EXCHANGES)} exchanges and {len(topology.QUEUES)} queues are there")


@topology_app.command("check")
def topology_check() -> None:
    """Say which exchanges and queues the broker lacks."""
    lacking = asyncio.run(declare.missing(CommandSettings().need("amqp_url")))
    if lacking:
        raise Stop(f"The broker lacks {', '.join(lacking)}: run `selaras topology declare`.", NOT_SET_UP)
    show.console.print("nothing is missing")


@dead.command("list")
def dead_list(side: SideOption = "site", json: AsJson = False) -> None:
    """What waits in quarantine; neither bodies nor senders are shown."""
    rows = asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.open()))
    listed = [(r.id, r.queue, r.code, r.cause, r.arrived_at) for r in rows]
    if json:
        show.as_json([dict(zip(("id", "queue", "code", "cause", "arrived_at"), row, strict=True)) for row in listed])
    else:
        show.table(
            "Karantina · quarantine", ("id", "antrean · queue", "kode", "sebab · cause", "sejak · since"), listed
        )


@dead.command("show")
def dead_show(
    row_id: Annotated[int, typer.Argument(metavar="ID")],
    side: SideOption = "site",
    body: Annotated[bool, typer.Option("--body", help="Show the body too: it may hold personal data")] = False,
    json: AsJson = False,
) -> None:
    """One message in quarantine, whole but for its body."""
    row = asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.get(row_id)))
    if row is None:
        raise Stop(f"There is no message {row_id} in quarantine.", REFUSED)
    shown: dict[str, Any] = {
        "id": row.id, "queue": row.queue, "code": row.code, "cause": row.cause, "sender": row.sender,
        "routing_key": row.routing_key, "arrived_at": row.arrived_at, "closed_as": row.closed_as,
        "properties": row.properties, "bytes": len(row.body),
    }  # fmt: skip
    if body:
        shown["body"] = row.body.decode(errors="replace")
    if json:
        show.as_json(shown)
    else:
        show.table(f"Pesan {row_id}", ("", ""), list(shown.items()))


@dead.command("replay")
def dead_replay(row_id: Annotated[int, typer.Argument(metavar="ID")], side: SideOption = "site") -> None:
    """Let the service that owns the queue handle the message again, with the sender that was stored."""
    if not asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.ask_replay(row_id))):
        raise Stop(f"There is no open message {row_id} in quarantine.", REFUSED)
    show.console.print(
        f"{row_id}: layanan akan menanganinya lagi · its service will handle it again (selaras dead show)"
    )


@dead.command("dismiss")
def dead_dismiss(row_id: Annotated[int, typer.Argument(metavar="ID")], side: SideOption = "site") -> None:
    """Close a message that needs no handling any more; it stays in the table."""
    if asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.get(row_id))) is None:
        raise Stop(f"There is no message {row_id} in quarantine.", REFUSED)
    asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.close(row_id, "dismissed")))
    show.console.print(f"{row_id}: ditutup · dismissed")


async def _with_quarantine(side: str, work: Any) -> Any:
    database = Database(CommandSettings().need(f"{side}_database_url"), pool=1)
    try:
        return await work(Quarantine(database))
    finally:
        await database.close()
