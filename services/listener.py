"""Listening on a queue of one's own, as long as its connection lives: replies from central, events for a command."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable, Sequence
from typing import Any

from aio_pika.abc import AbstractIncomingMessage

from services import wire
from services.broker import Publisher, connect, user_of
from services.errors import MessageRefused
from services.messages import SCHEMA
from services.wire import Event

log = logging.getLogger(__name__)

PREFETCH = 100


class Listener:
    """A connection with an exclusive queue `<prefix>.<random>` and a publisher.

    Comes back by itself after a lost connection.
    """

    def __init__(
        self,
        url: str,
        *,
        prefix: str,
        bindings: Sequence[tuple[str, str]],
        heard: Callable[[Event[Any]], None],
        source: str,
        confirm_seconds: float = 10.0,
        patient: bool = True,
        middlewares: Sequence[Any] = (),
        unreadable: Callable[[str | None, MessageRefused], None] = lambda _correlation_id, _error: None,
    ) -> None:
        """`bindings`: (exchange, routing key pattern).

        `heard` gets each event; `unreadable` what could not be decoded. `patient`: wait for a broker that is not up.
        `middlewares` see what is published.
        """
        self.user = user_of(url)
        self._queue_name = f"{prefix}.{secrets.token_hex(8)}"
        self._bindings = bindings
        self._heard = heard
        self._unreadable = unreadable
        self._broker = connect(url, patient=patient, middlewares=middlewares)
        self.publisher = Publisher(self._broker, user=self.user, source=source, confirm_seconds=confirm_seconds)

    async def start(self) -> None:
        """Connect, declare and bind the queue, and listen. Raises an AMQP error if it is not patient."""
        await self._broker.start()
        connection = await self._broker.connect()
        channel = await connection.channel(publisher_confirms=False)
        await channel.set_qos(PREFETCH)
        queue = await channel.declare_queue(self._queue_name, durable=False, exclusive=True)
        for exchange, key in self._bindings:
            await queue.bind(exchange, key)
        await queue.consume(self._take, no_ack=True)

    async def stop(self) -> None:
        """Close the connection; the queue goes with it."""
        await self._broker.stop()

    async def _take(self, message: AbstractIncomingMessage) -> None:
        try:
            event = wire.decode(
                message.body,
                types=list(SCHEMA),
                sender=message.user_id or "",
                routing_key=message.routing_key or "",
                correlation_id=message.correlation_id,
                content_encoding=message.content_encoding or None,
                limit_bytes=wire.EXCHANGE_BODY_BYTES,
            )
        except MessageRefused as error:
            log.warning("what was heard is not readable", extra={"code": error.code})
            self._unreadable(message.correlation_id, error)
        else:
            self._heard(event)
