"""Takes the change events that were parked while their school was restored: in order, once it is complete.

As a handler does: decide, write, commit, announce; only then is the event no longer parked. One that cannot be handled
goes to quarantine, so that it does not hold up those behind it for ever.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable
from datetime import date
from typing import Any

from services import logs, topology, wire
from services.broker import Publisher
from services.database import Database
from services.errors import MessageRefused, Transient
from services.intake import Quarantine
from services.messages import SCHEMA, ChangeRejected
from services.replica import changes, parking
from services.replica.parking import Parked
from services.validator.answering import announce, asked_by
from services.validator.submitted import Submitted, cause_of, not_registered, speaks_for, take_in, why
from services.wire import Event

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
QUEUE = topology.VALIDATOR_CHANGES[0]
"""The queue that a parked event is put into quarantine under; the handler of each of them is the same."""


class ParkedEvents:
    """The sweep over `parked`; several validators may run it, for each event is answered once."""

    def __init__(
        self, replica: Database, publisher: Publisher, quarantine: Quarantine, today: Callable[[], date]
    ) -> None:
        self._replica = replica
        self._publisher = publisher
        self._quarantine = quarantine
        self._today = today

    async def work(self, stopping: asyncio.Event) -> None:
        """Sweep until told to stop."""
        while not stopping.is_set():
            with contextlib.suppress(Transient):
                while not stopping.is_set() and await self.take_ready():
                    pass
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await stopping.wait()

    async def take_ready(self) -> int:
        """Take the oldest event of each school that may go on; how many were taken. Raises Transient."""
        taken = 0
        for parked in await parking.ready(self._replica):
            with logs.about(type=parked.type, npsn=parked.npsn, event=parked.id):
                taken += await self._take(parked)
        return taken

    async def _take(self, parked: Parked) -> bool:
        event = _event(parked)
        try:
            if not await self._answer(parked, event):
                return False
            log.info("parked message taken")
        except Transient:
            raise
        except Exception as error:
            log.exception("a parked message failed")
            row_id = await self._quarantine.put(
                queue=QUEUE,
                code="MSG-11",
                cause=type(error).__name__,
                sender=parked.sender,
                routing_key=parked.routing_key,
                properties={"message_id": parked.id, "headers": {}},
                body=wire.encode(event.data, subject=event.subject, source=event.source, id=event.id),
            )
            log.warning("kept in quarantine", extra={"queue": QUEUE, "code": "MSG-11", "quarantine": row_id})
        await parking.done(self._replica, parked)
        return True

    async def _answer(self, parked: Parked, event: Submitted) -> bool:
        """False: another validator has taken it, or it has to wait again."""
        async with self._replica.transaction() as transaction:
            if not await changes.lock(transaction, event.subject):
                answer = not_registered(event)
            elif not await parking.is_next(transaction, parked):
                return False
            else:
                try:
                    account = await speaks_for(transaction, event.sender, event.subject)
                    answer = await take_in(transaction, event, account, self._today())
                except MessageRefused as refused:
                    answer = [ChangeRejected(cause=cause_of(event), problems=[why(refused)])]
        await announce(self._publisher, asked_by(event), answer)
        return True


def _event(parked: Parked) -> Submitted:
    event: Event[Any] = Event(
        type=parked.type,
        id=parked.id,
        source=parked.source,
        subject=parked.npsn,
        data=SCHEMA[parked.type].model_validate(parked.data),
        sender=parked.sender,
        routing_key=parked.routing_key,
        correlation=wire.correlation_of(parked.source, parked.id),
        content_hash=parked.content_hash,
    )
    return event
