"""Selaras under load: people and officers publish events, as anybody may; the rest is the running system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Mapping, Sequence
from datetime import date
from typing import Any

import asyncpg

from bench.records import ENTITY, batches
from services import topology, wire
from services.central import administration
from services.database import driver_url
from services.demo.stage import Stage
from services.demo.synthetic import Records, jsonl, synthetic_school
from services.entities import Fields
from services.listener import Listener
from services.messages import (
    Actor,
    ChangeAccepted,
    ChangeRejected,
    ChangeSubmitted,
    FieldsChange,
    Message,
    OfficerChange,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    OfficerChangeSubmitted,
    PullRequested,
    SessionCompleted,
    SessionFailed,
    SessionRefused,
    SyncRequested,
)
from services.wire import Event

EVENT_CHANGES = 500
OFFICER_CHANGES = 1000
PATIENCE_SECONDS = 300.0
WATCH_SECONDS = 0.0005
"""How often central is asked whether it has committed a single change; half of it is added to what is found."""
_QUIET = """
SELECT NOT EXISTS (SELECT 1 FROM school WHERE unjudged_since IS NOT NULL) AND NOT EXISTS (SELECT 1 FROM follow_up)
"""
_OPERATOR = Actor(id="operator", role="operator")
_PRINCIPAL = Actor(id="kepala", role="principal")
_OFFICER = Actor(id="petugas", role="officer")
_ANSWERS = (
    SessionCompleted, SessionFailed, SessionRefused, ChangeAccepted, ChangeRejected, OfficerChangeAccepted,
    OfficerChangeRejected,
)  # fmt: skip


class WentWrong(Exception):
    """The system did not do what is measured; a figure would be about something else."""


class Ours:
    """The running system, and lines to it: as somebody at the site, as an officer, and to look on at central."""

    def __init__(self, stage: Stage, today: date, watch: asyncpg.Connection) -> None:
        self.stage = stage
        self.today = today
        self._watch = watch
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        amqp = stage.stack.addresses
        self._site = self._listener(amqp.of_site_command()["SELARAS_AMQP_URL"], [(topology.EVENTS, "#")])
        answers = [(topology.OFFICERS, f"{answer}.*") for answer in ("accepted", "rejected")]
        self._central = self._listener(amqp.of_officer_command()["SELARAS_OFFICER_AMQP_URL"], answers)

    @classmethod
    async def begin(cls, stage: Stage, today: date) -> Ours:
        """Listen."""
        ours = cls(stage, today, await connected(stage.stack.addresses.central_database))
        await ours._site.start()
        await ours._central.start()
        return ours

    async def stop(self) -> None:
        """Hang up."""
        await self._site.stop()
        await self._central.stop()
        await self._watch.close()

    @property
    def watching(self) -> int:
        """The process of PostgreSQL that only looks on."""
        return int(self._watch.get_server_pid())

    def _listener(self, url: str, bindings: Sequence[tuple[str, str]]) -> Listener:
        return Listener(url, prefix="listen", bindings=bindings, heard=self._heard, source="/bench", patient=False)

    def _heard(self, event: Event[Any]) -> None:
        if isinstance(event.data, _ANSWERS):
            waiting = self._waiting.pop(event.data.cause.id, None)
            if waiting is not None:
                waiting.set_result(event.data)

    # ── schools ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def school(self, npsn: str, *, pupils: int, classes: int, teachers: int) -> Records:
        """A school at central, registered at the site, its baseline fetched."""
        records = synthetic_school(1, npsn=npsn, today=self.today, pupils=pupils, classes=classes, teachers=teachers)
        await self.stage.register(npsn, await administration.add_school(self.stage.registry, npsn, jsonl(records)))
        await self.pull(npsn)
        return records

    # ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────

    async def publish(self, npsn: str, changes: Sequence[FieldsChange], *, size: int = EVENT_CHANGES) -> None:
        """Change events of so many changes each, all under way at once; returns when the last is answered."""
        await asyncio.gather(*(self._publish(npsn, some) for some in batches(list(changes), size)))

    async def _publish(self, npsn: str, changes: Sequence[FieldsChange]) -> None:
        submitted = ChangeSubmitted(actor=_OPERATOR, changes=list(changes))
        answer = await self._ask(self._site, topology.CHANGES, f"change.{npsn}", npsn, submitted)
        if not isinstance(answer, ChangeAccepted) or len(answer.changes) != len(changes):
            raise WentWrong(f"{npsn}: {answer.type}")

    async def officer(self, npsn: str, fields: Mapping[str, Fields], version: int) -> None:
        """An officer changes records that all have this version."""
        for some in batches(list(fields.items()), OFFICER_CHANGES):
            changes = [
                OfficerChange(entity=ENTITY, record_id=one, version=version, fields=changed) for one, changed in some
            ]
            submitted = OfficerChangeSubmitted(actor=_OFFICER, changes=changes)
            answer = await self._ask(self._central, topology.OFFICERS, f"change.{npsn}", npsn, submitted)
            if not isinstance(answer, OfficerChangeAccepted):
                raise WentWrong(f"{npsn}: {answer.type}")

    async def sync(self, npsn: str, *, after: Sequence[str] = ()) -> SessionCompleted:
        """A principal's sync, to the receipt."""
        return await self._session("sync", npsn, SyncRequested(actor=_PRINCIPAL, after=list(after)))

    async def pull(self, npsn: str) -> SessionCompleted:
        """An operator's pull."""
        return await self._session("pull", npsn, PullRequested(actor=_OPERATOR))

    async def _session(self, kind: str, npsn: str, request: Message) -> SessionCompleted:
        answer = await self._ask(self._site, topology.COMMANDS, f"{kind}.{npsn}", npsn, request)
        if not isinstance(answer, SessionCompleted) or answer.outcome != "completed":
            raise WentWrong(f"{npsn}: {answer.type} {answer.model_dump()}")
        return answer

    async def change_and_sync(self, npsn: str, change: FieldsChange) -> tuple[float, float]:
        """One change, published with the request for a sync that waits for it: seconds until central has committed
        it, and until the receipt.
        """
        before = await self._head(npsn)
        began = time.perf_counter()
        event_id = wire.new_id()
        submitted = ChangeSubmitted(actor=_OPERATOR, changes=[change])
        publish = self._ask(self._site, topology.CHANGES, f"change.{npsn}", npsn, submitted, id=event_id)
        receipt = asyncio.create_task(self._seconds_since(began, self.sync(npsn, after=[event_id])))
        await publish
        while await self._head(npsn) == before:
            if receipt.done():
                receipt.result()
                raise WentWrong(f"{npsn}: a receipt, and nothing came to central")
            await asyncio.sleep(WATCH_SECONDS)
        durable = time.perf_counter() - began
        return durable, await receipt

    @staticmethod
    async def _seconds_since(began: float, work: Awaitable[Any]) -> float:
        await work
        return time.perf_counter() - began

    async def _head(self, npsn: str) -> int:
        return int(await self._watch.fetchval("SELECT head_seq FROM school WHERE npsn = $1", npsn))

    async def quiet(self) -> None:
        """Wait until central has done by itself what follows from what came before: judged the schools whose records
        moved (some seconds later, so many in a minute), and looked for residu.
        """
        async with asyncio.timeout(PATIENCE_SECONDS):
            while not await self._watch.fetchval(_QUIET):  # noqa: ASYNC110  another process does it
                await asyncio.sleep(0.1)

    # ── what came of it ──────────────────────────────────────────────────────────────────────────────────────────────

    async def is_equal(self, npsn: str, **counts: int) -> None:
        """Both sides hold the same, nothing waits, and central has so many live records of these entities. Raises
        WentWrong.
        """
        here, there = await self.stage.here(npsn), await self.stage.centre(npsn, "head")
        if (here.cursor, here.root, here.pending) != (there.head_seq, there.root, 0):
            raise WentWrong(f"{npsn}: not equal, {here.pending} waiting")
        if wrong := {name: there.counts.get(name) for name, n in counts.items() if there.counts.get(name) != n}:
            raise WentWrong(f"{npsn}: {wrong} at central, not {counts}")

    async def has_pending(self, npsn: str, records: int) -> None:
        """So many records wait to be sent. Raises WentWrong."""
        if (here := await self.stage.here(npsn)).pending != records:
            raise WentWrong(f"{npsn}: {here.pending} waiting, not {records}")

    async def _ask(
        self, line: Listener, exchange: str, key: str, npsn: str, message: Message, *, id: str | None = None
    ) -> Message:
        event_id = id or wire.new_id()
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[event_id] = answer
        async with asyncio.timeout(PATIENCE_SECONDS):
            await line.publisher.announce(exchange, key, message, subject=npsn, id=event_id)
            return await answer


async def connected(url: str) -> asyncpg.Connection:
    """A connection of one's own to a database, whose address is given as to a service."""
    return await asyncpg.connect(driver_url(url))
