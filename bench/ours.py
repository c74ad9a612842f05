"""Selaras under load: people and officers publish events, as anybody may; the rest is the running system."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from bench.records import ENTITY, batches
from services import topology, wire
from services.central import administration
from services.database import Database
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
    """The running system, and two lines to it: as somebody at the site and as an officer."""

    def __init__(self, stage: Stage, today: date) -> None:
        self.stage = stage
        self.today = today
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        amqp = stage.stack.addresses
        self._site = self._listener(amqp.of_site_command()["SELARAS_AMQP_URL"], [(topology.EVENTS, "#")])
        answers = [(topology.OFFICERS, f"{answer}.*") for answer in ("accepted", "rejected")]
        self._central = self._listener(amqp.of_officer_command()["SELARAS_OFFICER_AMQP_URL"], answers)

    @classmethod
    async def begin(cls, stage: Stage, today: date) -> Ours:
        """Listen."""
        ours = cls(stage, today)
        await ours._site.start()
        await ours._central.start()
        return ours

    async def stop(self) -> None:
        """Hang up."""
        await self._site.stop()
        await self._central.stop()

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

    async def change_and_sync(self, npsn: str, change: FieldsChange, committed: Database) -> tuple[float, float]:
        """One change, published with the request for a sync that waits for it: seconds until central has committed
        it, and until the receipt.
        """
        began = time.perf_counter()
        event_id = wire.new_id()
        submitted = ChangeSubmitted(actor=_OPERATOR, changes=[change])
        publish = self._ask(self._site, topology.CHANGES, f"change.{npsn}", npsn, submitted, id=event_id)
        receipt = asyncio.create_task(self._timed(began, self.sync(npsn, after=[event_id])))
        answered = asyncio.create_task(publish)
        head = await _head(committed, npsn)
        while await _head(committed, npsn) == head:
            if receipt.done():
                receipt.result()
                raise WentWrong(f"{npsn}: a receipt, and nothing came to central")
        durable = time.perf_counter() - began
        await answered
        return durable, await receipt

    @staticmethod
    async def _timed(began: float, work: Any) -> float:
        await work
        return time.perf_counter() - began

    async def _ask(
        self, line: Listener, exchange: str, key: str, npsn: str, message: Message, *, id: str | None = None
    ) -> Message:
        event_id = id or wire.new_id()
        answer = self._waiting[event_id] = asyncio.get_running_loop().create_future()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await line.publisher.announce(exchange, key, message, subject=npsn, id=event_id)
            return await answer


async def _head(database: Database, npsn: str) -> int:
    async with database.transaction() as transaction:
        return int(await transaction.value("SELECT head_seq FROM school WHERE npsn = :npsn", npsn=npsn))
