"""The ops' commands: serve, migrate, topology, dead.

What only `serve` and `migrate` need is imported by them: the others start sooner.
"""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Awaitable, Callable
from typing import Annotated, Any, Literal, TypeVar

import typer

from services import declare, logs, tables, topology, tracing
from services.cli import show
from services.cli.arguments import AsJson, RowId
from services.cli.client import reach
from services.cli.outcomes import FAILED, NOT_SET_UP, REFUSED, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.intake import Quarantine
from services.settings import load

T = TypeVar("T")
SERVICES = ("validator", "syncer", "puller", "central")
SPANS_SECONDS = 3.0
"""How long the end of a service waits for its last spans to be sent."""
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
    from services import runtime

    names = SERVICES if service == "all" else (service,)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(names))
    except runtime.NotSetUp as error:
        raise Stop(str(error), NOT_SET_UP) from error
    except runtime.Broken as error:
        raise Stop(str(error), FAILED) from error
    finally:
        tracing.stop(SPANS_SECONDS)


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop, where there is one (not on Windows): services spend much of their time between sockets."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(names: tuple[str, ...]) -> None:
    from services import runtime

    built = []
    for number, name in enumerate(names):
        app = importlib.import_module(f"services.{name}.app")
        settings = load(app.Settings)
        if settings.http_port:  # one port each: the given one and those after it
            settings = settings.model_copy(update={"http_port": settings.http_port + number})
        logs.configure(settings.log_level, settings.log_format)
        if not number:
            tracing.start(settings.otlp_endpoint, service="-".join(names), site=settings.site)
        built.append(app.build(settings))
    await runtime.run(built)


def migrate(
    side: Annotated[Literal["site", "central", "all"], typer.Argument(help="Which database")] = "all",
    json: AsJson = False,
) -> None:
    """Bring the tables of the site's database, central's, or both to this release; again is harmless."""
    from services import migrations

    settings = CommandSettings()
    sides: tuple[tables.Side, ...] = ("site", "central") if side == "all" else (side,)
    urls = {one: settings.need(f"{one}_database_url") for one in sides}
    for one, url in urls.items():
        try:
            found = migrations.upgrade(one, url)
        except (migrations.TablesInUse, migrations.TablesUnfit) as error:
            raise Stop(str(error), NOT_SET_UP) from error
        if json:
            continue
        if tables.newer(one, found):
            show.line(
                f"{one}: tabelnya dari rilis yang lebih baru, dibiarkan · its tables are of a newer release (revision "
                f"{found.revision}), on which this one may run: left as they are"
            )
        else:
            show.line(f"{one}: tabelnya sesuai rilis ini · its tables are those of this release")
    if json:
        show.as_json({"migrated": list(urls)})


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
def topology_declare(json: AsJson = False) -> None:
    """Make the topology on the broker of SELARAS_AMQP_URL (a user with the right to configure)."""
    asyncio.run(_at_broker(declare.declare))
    exchanges, queues = len({e.name for e in topology.EXCHANGES}), len(topology.QUEUES)
    show.said(json, {"exchanges": exchanges, "queues": queues}, f"{exchanges} exchanges and {queues} queues are there")


@topology_app.command("check")
def topology_check(json: AsJson = False) -> None:
    """Say which exchanges and queues the broker lacks."""
    lacking = asyncio.run(_at_broker(declare.missing))
    if json:
        show.as_json({"missing": lacking})
    if lacking:
        raise Stop(f"The broker lacks {', '.join(lacking)}: run `selaras topology declare`.", NOT_SET_UP)
    if not json:
        show.line("tidak ada yang kurang · nothing is missing")


async def _at_broker(work: Callable[[str], Awaitable[T]]) -> T:
    url = CommandSettings().need("amqp_url")
    await reach(url)
    return await work(url)


@dead.command("list")
def dead_list(side: SideOption = "site", json: AsJson = False) -> None:
    """What waits in quarantine; neither bodies nor senders are shown."""
    rows = asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.open()))
    listed = [(r.id, r.queue, r.code, r.cause, r.arrived_at) for r in rows]
    if json:
        show.as_json([dict(zip(("id", "queue", "code", "cause", "arrived_at"), row, strict=True)) for row in listed])
    else:
        show.table(
            "Karantina · quarantine",
            ("id", "antrean · queue", "kode", "sebab · cause", "sejak · since"),
            [(*row[:-1], show.when(row[-1])) for row in listed],
        )


@dead.command("show")
def dead_show(
    row_id: RowId,
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
        what = {**shown.pop("properties"), **shown, "arrived_at": show.when(row.arrived_at)}
        first = [(name, what.pop(name)) for name in ("id", "queue", "code", "cause", "sender")]
        show.table(f"Pesan · message {row_id}", ("", ""), [*first, *((n, v) for n, v in what.items() if v)])


@dead.command("replay")
def dead_replay(row_id: RowId, side: SideOption = "site", json: AsJson = False) -> None:
    """Let the service that owns the queue handle the message again, with the sender that was stored."""
    if not asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.ask_replay(row_id))):
        raise Stop(f"There is no open message {row_id} in quarantine.", REFUSED)
    show.said(
        json,
        {"id": row_id, "replay_asked": True},
        f"{row_id}: layanan akan menanganinya lagi · its service will handle it again (selaras dead show {row_id})",
    )


@dead.command("dismiss")
def dead_dismiss(row_id: RowId, side: SideOption = "site", json: AsJson = False) -> None:
    """Close a message that needs no handling any more; it stays in the table."""
    row = asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.get(row_id)))
    if row is None or row.closed_as is not None:
        raise Stop(f"There is no open message {row_id} in quarantine.", REFUSED)
    asyncio.run(_with_quarantine(side, lambda quarantine: quarantine.close(row_id, "dismissed")))
    show.said(json, {"id": row_id, "closed_as": "dismissed"}, f"{row_id}: ditutup · dismissed")


async def _with_quarantine(side: str, work: Any) -> Any:
    database = Database(CommandSettings().need(f"{side}_database_url"), pool=1)
    try:
        return await work(Quarantine(database))
    finally:
        await database.close()
