"""Memory while messages wait: so many are published while nobody takes them; then the service is started.

changes  events of one change each, of 20 schools, at the validator's queues
syncs    requests for a sync of these schools, at the syncer's
pulls    requests for a pull, at the puller's

Looked at until the queues are empty, or for so many seconds; what had been taken by then is told.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aio_pika
from aio_pika.abc import AbstractChannel
from rich.console import Console

from bench import plot
from bench.figures import MEGA, SERVICES
from bench.measure import forget_peak, peak_bytes
from bench.ours import Ours, WentWrong
from bench.records import UNUSED, batches, new_npsn
from bench.report import Data, Table
from bench.speed import USER, Say
from services import calendar, topology, wire
from services.broker import user_of
from services.demo.stage import Stage
from services.embedded.stack import Stack, stack
from services.messages import Actor, ChangeSubmitted, FieldsChange, Message, PullRequested, SyncRequested

SCHOOLS = 20
PUPILS = 100
AT_ONCE = 1000
LOOK_SECONDS = 1.0
VALUES = 75
"""How many values a change takes in turn."""
_OPERATOR = Actor(id="operator", role="operator")
_PRINCIPAL = Actor(id="kepala", role="principal")


@dataclass(frozen=True)
class Kind:
    """Messages of one kind: who takes them, from which queues; `message` is the n-th of a school."""

    service: str
    queues: Sequence[str]
    exchange: str
    verb: str
    message: Callable[[Sequence[str], int], Message]


def _change(pupils: Sequence[str], number: int) -> Message:
    turn, place = divmod(number, len(pupils))
    change = FieldsChange(entity="peserta_didik", record_id=pupils[place], fields={"rt": UNUSED + turn % VALUES})
    return ChangeSubmitted(actor=_OPERATOR, changes=[change])


KINDS: Mapping[str, Kind] = {
    "changes": Kind("validator", topology.VALIDATOR_CHANGES, topology.CHANGES, "change", _change),
    "syncs": Kind(
        "syncer", [topology.SYNCER_REQUESTS], topology.COMMANDS, "sync", lambda *_: SyncRequested(actor=_PRINCIPAL)
    ),
    "pulls": Kind(
        "puller", [topology.PULLER_REQUESTS], topology.COMMANDS, "pull", lambda *_: PullRequested(actor=_OPERATOR)
    ),
}


@dataclass
class Backlog:
    """What was seen of one kind. `seen`: seconds since the start, messages that wait, bytes of each service."""

    messages: int
    drained: int = 0
    seconds: float = 0.0
    peak_bytes: dict[str, int] = field(default_factory=dict)
    seen: list[tuple[float, int, dict[str, int]]] = field(default_factory=list)


def measure(run_dir: Path, messages: int, seconds: float, kinds: Collection[str], say: Say) -> dict[str, Any]:
    """One kind after the other."""
    with stack(run_dir, fresh=True, say=say, others=[USER]) as running:
        found = asyncio.run(_measure(running, messages, seconds, [kind for kind in KINDS if kind in kinds], say))
    return {
        "messages": messages,
        "backlogs": {
            kind: {
                "drained": backlog.drained,
                "seconds": round(backlog.seconds, 1),
                "peak_megabytes": _megabytes(backlog.peak_bytes),
                "seen": [[round(at, 1), waiting, _megabytes(sizes)] for at, waiting, sizes in backlog.seen],
            }
            for kind, backlog in found.items()
        },
    }


def _megabytes(sizes: Mapping[str, int]) -> dict[str, float]:
    return {name: round(size / MEGA, 1) for name, size in sizes.items()}


async def _measure(running: Stack, messages: int, seconds: float, kinds: Sequence[str], say: Say) -> dict[str, Backlog]:
    stage = Stage(running, Console(quiet=True))
    ours = await Ours.begin(stage, calendar.today())
    pupils: dict[str, list[str]] = {}
    for _ in range(SCHOOLS):
        school = await ours.school(npsn := new_npsn(), pupils=PUPILS, classes=6, teachers=8)
        pupils[npsn] = list(school["peserta_didik"])
    await ours.stop()  # it would hear every answer
    connection = await aio_pika.connect(running.addresses.amqp[USER.name])
    found = {}
    try:
        channel = await connection.channel()
        for name in kinds:
            kind = KINDS[name]
            await asyncio.to_thread(running.stop, kind.service)
            say(f"{name}: publishing {messages:,}")
            await _publish(running.addresses.of_site_command()["SELARAS_AMQP_URL"], kind, pupils, messages)
            say(f"{name}: {await _waiting(channel, kind):,} wait; the {kind.service} starts")
            found[name] = await _drain(running, channel, kind, messages, seconds)
            say(f"{name}: {found[name].drained:,} taken in {found[name].seconds:.0f} s")
            if name == "changes" and found[name].drained == messages >= SCHOOLS * PUPILS:
                for npsn in pupils:
                    await _until_all_are_pending(stage, npsn)
    finally:
        await connection.close()
        await stage.close()
    return found


async def _publish(url: str, kind: Kind, pupils: Mapping[str, Sequence[str]], messages: int) -> None:
    """Confirmed, a thousand under way at once; the schools take turns."""
    connection = await aio_pika.connect(url)
    channel = await connection.channel(on_return_raises=True)
    exchange = await channel.get_exchange(kind.exchange, ensure=False)
    user = user_of(url)

    async def one(number: int) -> None:
        turn, place = divmod(number, len(pupils))
        npsn = list(pupils)[place]
        body = wire.encode(kind.message(pupils[npsn], turn), subject=npsn, source="/bench")
        message = aio_pika.Message(
            body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT, user_id=user, content_type=wire.CONTENT_TYPE
        )
        await exchange.publish(message, f"{kind.verb}.{npsn}")

    for some in batches(list(range(messages)), AT_ONCE):
        await asyncio.gather(*(one(number) for number in some))
    await connection.close()


async def _drain(running: Stack, channel: AbstractChannel, kind: Kind, messages: int, seconds: float) -> Backlog:
    """Start the service and look on."""
    for name in SERVICES:
        if name != kind.service:
            forget_peak(running.processes[name].pid)
    began = time.perf_counter()
    running.start(kind.service)
    found = Backlog(messages)
    while True:
        waiting = await _waiting(channel, kind)
        found.seconds, found.drained = time.perf_counter() - began, messages - waiting
        found.seen.append((found.seconds, waiting, dict(_sizes(running))))
        if not waiting or found.seconds > seconds:
            break
        await asyncio.sleep(LOOK_SECONDS)
    running.wait_ready(kind.service)
    found.peak_bytes = {name: peak_bytes(running.processes[name].pid) for name in SERVICES}
    return found


def _sizes(running: Stack) -> Iterator[tuple[str, int]]:
    """What each service has in memory now."""
    for name in SERVICES:
        with suppress(OSError):
            pages = int(Path(f"/proc/{running.processes[name].pid}/statm").read_text().split()[1])
            yield name, pages * 4096


async def _waiting(channel: AbstractChannel, kind: Kind) -> int:
    """Messages that lie in the queues."""
    queues = [await channel.declare_queue(name, passive=True) for name in kind.queues]
    return sum(queue.declaration_result.message_count or 0 for queue in queues)


async def _until_all_are_pending(stage: Stage, npsn: str) -> None:
    """Every pupil was changed; those in hand when the queue was empty are stored in a moment."""
    for _ in range(100):
        if (await stage.here(npsn)).pending == PUPILS:
            return
        await asyncio.sleep(0.1)
    raise WentWrong(f"{npsn}: {(await stage.here(npsn)).pending} of {PUPILS} pupils are changed")


def tables(data: Data) -> list[Table]:
    """A line for each kind."""
    rows = [
        [
            f"{name}: {of['drained']:,} of {data['messages']:,} taken in {of['seconds']:.0f} s",
            *(f"{of['peak_megabytes'][service]:.0f}" for service in SERVICES),
        ]
        for name, of in data["backlogs"].items()
    ]
    return [Table("Peak memory with messages waiting, MB", ("", *SERVICES), rows)]


def drawn(data: Data) -> str:
    """The memory of who takes them, over time."""
    plots = []
    for name, of in data["backlogs"].items():
        service = KINDS[name].service
        memory = [(at, sizes[service]) for at, _, sizes in of["seen"] if service in sizes]
        waiting = [(at, waiting / 1000) for at, waiting, _ in of["seen"]]
        plots.append(
            plot.lines(f"{data['messages']:,} {name} wait: the {service}", "seconds", "MB", {service: memory}, ticks=6)
        )
        plots.append(plot.lines(f"{name} that wait", "seconds", "thousands", {"waiting": waiting}, ticks=6))
    return plot.stacked(plots)
