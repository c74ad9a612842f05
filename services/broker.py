"""The broker, as every service uses it: one way to take a message, one way to publish one.

Taking: strict decoding, who may speak, the handler, and the acknowledgement last. Trouble that passes holds the message
(and with it the queue) until it has passed; what cannot be handled goes to quarantine and the queue moves on.
Publishing: persistent, confirmed, with a real time limit.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar
from urllib.parse import unquote, urlsplit

import aiormq.exceptions
from aio_pika.abc import AbstractIncomingMessage
from aio_pika.exceptions import AMQPError, ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError, PublishError
from aiormq.exceptions import ChannelAccessRefused
from faststream import AckPolicy
from faststream.rabbit import Channel, ExchangeType, RabbitBroker, RabbitExchange, RabbitQueue
from faststream.rabbit.annotations import RabbitMessage
from yarl import URL

from services import lenient, logs, topology, tracing, wire
from services.errors import BrokerAway, MessageRefused, Permanent, SelarasError, Transient
from services.intake import Quarantine
from services.messages import Message
from services.wire import Event

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
Handler = Callable[[Event[Any]], Awaitable[None]]
RefusedHandler = Callable[["Delivery", MessageRefused], Awaitable[None]]
RECONNECT_SECONDS = 1.0
HEARTBEAT_SECONDS = 8
"""A connection of which nothing is heard is given up after 27 s here (aiormq waits three times), after 16 s there."""
FIRST_PAUSE_SECONDS = 0.2
LONGEST_PAUSE_SECONDS = 10.0
HOLD_SECONDS = 20 * 60
"""A message is held this long through trouble that passes; after 30 minutes RabbitMQ closes the channel."""
TRIES = 3
"""A handler that fails on a message for no known reason is tried this often before the message goes to quarantine."""


class PublishRefused(SelarasError):
    """The broker will not take the message: no such exchange, no right to it, no queue for it, or a full queue."""


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message as the broker gave it, or as quarantine kept it."""

    queue: str
    body: bytes
    sender: str
    routing_key: str
    content_encoding: str | None = None
    message_id: str | None = None
    reply_to: str | None = None
    correlation_id: str | None = None
    headers: Mapping[str, Any] = field(default_factory=dict)
    death: Mapping[str, Any] = field(default_factory=dict)
    """The broker's own account of how it took the message out of its queue, if it did."""

    @classmethod
    def of(cls, queue: str, message: AbstractIncomingMessage) -> Delivery:
        """What aio-pika gave, but for NUL: AMQP's texts may hold it, and quarantine's columns cannot."""
        return cls(
            queue=queue,
            body=message.body,
            sender=message.user_id or "",
            routing_key=_without_nul(message.routing_key or ""),
            content_encoding=_without_nul(message.content_encoding) or None,
            message_id=_without_nul(message.message_id),
            reply_to=_without_nul(message.reply_to),
            correlation_id=_without_nul(message.correlation_id),
            headers={
                _without_nul(name): _without_nul(value)
                for name, value in (message.headers or {}).items()
                if isinstance(value, str | int | bool)
            },
            death=_latest_death((message.headers or {}).get("x-death")),
        )

    @property
    def properties(self) -> dict[str, Any]:
        """What quarantine keeps beside the body."""
        return {
            "content_encoding": self.content_encoding,
            "message_id": self.message_id,
            "reply_to": self.reply_to,
            "correlation_id": self.correlation_id,
            "headers": dict(self.headers),
        }


T = TypeVar("T")


def _latest_death(told: Any) -> Mapping[str, Any]:
    """The broker puts the latest first; what follows, and the headers x-first-death-…, a sender may have made up."""
    return told[0] if isinstance(told, list) and told and isinstance(told[0], dict) else {}


def _without_nul(value: T) -> T:
    return value.replace("\x00", "\ufffd") if isinstance(value, str) else value  # type: ignore[return-value]


def user_of(url: str) -> str:
    """The broker user that an AMQP URL logs in as; messages carry it as user_id."""
    return unquote(urlsplit(url).username or "guest")


def connect(
    url: str, *, stop_seconds: float = 20.0, patient: bool = True, middlewares: Sequence[Any] = ()
) -> RabbitBroker:
    """A connection that comes back by itself; if `patient`, it waits for a broker that is not up yet."""
    lenient.install()
    return RabbitBroker(
        URL(url) % {"heartbeat": HEARTBEAT_SECONDS, **URL(url).query},
        fail_fast=not patient,
        reconnect_interval=RECONNECT_SECONDS,
        default_channel=Channel(publisher_confirms=True, on_return_raises=True),
        graceful_timeout=stop_seconds,
        logger=None,
        apply_types=True,
        middlewares=middlewares,
    )


class Publisher:
    """One way to publish: persistent, confirmed within `confirm_seconds`, by default refused if no queue takes it."""

    def __init__(self, broker: RabbitBroker, *, user: str, source: str, confirm_seconds: float = 10.0) -> None:
        self._broker = broker
        self.user = user
        self.source = source
        self._confirm_seconds = confirm_seconds
        self._exchanges = {
            e.name: RabbitExchange(e.name, type=ExchangeType(e.type), declare=False) for e in topology.EXCHANGES
        }

    async def announce(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        subject: str,
        id: str | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
        mandatory: bool = True,
    ) -> None:
        """Publish `message` about the school `subject`.

        Raises BrokerAway (unconfirmed: it may have arrived) or PublishRefused.
        `mandatory=False` is for announcements, which have any number of listeners, none included: one whose queue is
        full holds up nobody else.
        """
        event_id = id or wire.new_id()
        event = wire.encode(message, subject=subject, source=self.source, id=event_id, correlation=logs.correlation())
        body, content_encoding = wire.compress(event)
        with tracing.step(f"publish {message.type}", "producer", npsn=subject, event=event_id):
            await self._publish(
                body,
                exchange=self._exchanges[exchange],
                routing_key=routing_key,
                mandatory=mandatory,
                reply_to=reply_to,
                correlation_id=correlation_id,
                message_id=event_id,
                content_encoding=content_encoding,
                headers=tracing.headers(),
            )

    async def _publish(self, body: bytes, **options: Any) -> None:
        """The wrapped call: FastStream passes over the timeout, and a dying connection may raise CancelledError."""
        try:
            async with asyncio.timeout(self._confirm_seconds):
                await self._broker.publish(
                    body, persist=True, user_id=self.user, content_type=wire.CONTENT_TYPE, **options
                )
        except DeliveryError as error:
            if options["mandatory"] or isinstance(error, PublishError):
                raise PublishRefused(f"{options['routing_key']}: {type(error).__name__}") from error
            log.warning("a listener's queue did not take an announcement", extra={"event": options["message_id"]})
        except (
            ChannelAccessRefused,
            ChannelNotFoundEntity,
            ChannelPreconditionFailed,
        ) as error:
            raise PublishRefused(f"{options['routing_key']}: {type(error).__name__}") from error
        except (AMQPError, aiormq.exceptions.AMQPError, ConnectionError, TimeoutError, RuntimeError) as error:
            raise BrokerAway(type(error).__name__) from error
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                raise
            raise BrokerAway("connection lost while waiting for the confirm") from None


class Handlers:
    """A service's handlers: for each queue, one function per message type.

    handlers = Handlers()

    @handlers.on(topology.SYNCER_REQUESTS, SyncRequested)
    async def on_sync_requested(event: Event[SyncRequested]) -> None: ...
    """

    def __init__(self) -> None:
        self.routes: dict[str, dict[str, Handler]] = {}
        self._refused: dict[str, RefusedHandler] = {}

    def on(
        self, queues: str | Sequence[str], message: type[M]
    ) -> Callable[[Callable[[Event[M]], Awaitable[None]]], Callable[[Event[M]], Awaitable[None]]]:
        """Let a function take `message` from `queues`. It returns when all its effects are durable and announced."""

        def register(handler: Callable[[Event[M]], Awaitable[None]]) -> Callable[[Event[M]], Awaitable[None]]:
            for queue in [queues] if isinstance(queues, str) else queues:
                self.routes.setdefault(queue, {})[message.type] = handler
            return handler

        return register

    def on_refused(self, queues: str | Sequence[str]) -> Callable[[RefusedHandler], RefusedHandler]:
        """Let a function tell the sender that its message cannot be taken, before quarantine keeps it."""

        def register(handler: RefusedHandler) -> RefusedHandler:
            for queue in [queues] if isinstance(queues, str) else queues:
                self._refused[queue] = handler
            return handler

        return register

    async def refuse(self, delivery: Delivery, refused: MessageRefused) -> None:
        """Tell the sender, if the queue has a function for that."""
        if delivery.queue in self._refused:
            await self._refused[delivery.queue](delivery, refused)

    async def handle(self, delivery: Delivery, *, limit_bytes: int) -> None:
        """Decode a delivery and run its handler. Raises MessageRefused, Transient, or whatever the handler raised."""
        routes = self.routes[delivery.queue]
        if not delivery.sender:
            raise MessageRefused("MSG-04")
        event = wire.decode(
            delivery.body,
            types=list(routes),
            sender=delivery.sender,
            routing_key=delivery.routing_key,
            reply_to=delivery.reply_to,
            correlation_id=delivery.correlation_id,
            content_encoding=delivery.content_encoding,
            limit_bytes=limit_bytes,
        )
        logs.add(type=event.type, npsn=event.subject, event=event.id, correlation=event.correlation)
        with tracing.span(f"take {event.type}", "consumer", parent=delivery.headers.get(tracing.HEADER)):
            began = time.monotonic()
            await routes[event.type](event)
            log.info("message taken", extra={"duration_seconds": round(time.monotonic() - began, 4)})


class Consumer:
    """Runs a service's handlers over a connection of its own, and keeps what they cannot take."""

    def __init__(
        self,
        broker: RabbitBroker,
        handlers: Handlers,
        quarantine: Quarantine,
        *,
        prefetch: Mapping[str, int],
        limit_bytes: Mapping[str, int] | None = None,
        dead_queue: str | None = None,
        trouble: Callable[[str | None], None] = lambda _reason: None,
    ) -> None:
        """`prefetch`: messages in hand per queue (1 keeps their order). `limit_bytes`: a body's largest size per queue,
        unpacked, where it is not MAX_BODY_BYTES. `dead_queue`: what the broker itself took out of
        this side's queues; it is drained into quarantine. `trouble` is told why nothing is taken, then None.
        """
        self._handlers = handlers
        self._quarantine = quarantine
        self._limit_bytes = limit_bytes or {}
        self._trouble = trouble
        self._stopping = asyncio.Event()
        for queue in handlers.routes:
            self._subscribe(broker, queue, prefetch.get(queue, 1), self._settle)
        if dead_queue is not None:
            self._subscribe(broker, dead_queue, 1, self._bury)

    def _subscribe(
        self, broker: RabbitBroker, queue: str, prefetch: int, settle: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        @broker.subscriber(
            RabbitQueue(queue, declare=False),
            channel=Channel(prefetch_count=prefetch),
            ack_policy=AckPolicy.MANUAL,
            decoder=_undecoded,
            no_reply=True,
        )
        async def take(message: RabbitMessage) -> None:
            delivery = Delivery.of(queue, message.raw_message)
            with logs.about(queue=queue, event=delivery.message_id):
                await self._take(delivery, message.raw_message, settle)

    def _limit(self, queue: str) -> int:
        return self._limit_bytes.get(queue, wire.MAX_BODY_BYTES)

    def stop(self) -> None:
        """Give back what is being held; what is in hand is finished."""
        self._stopping.set()

    async def _take(
        self, delivery: Delivery, message: AbstractIncomingMessage, settle: Callable[[Delivery], Awaitable[None]]
    ) -> None:
        deadline = asyncio.get_running_loop().time() + HOLD_SECONDS
        pause, tries = FIRST_PAUSE_SECONDS, 0
        while True:
            try:
                await settle(delivery)
                break
            except Transient as error:
                self._trouble(f"{type(error).__name__}: {error}")
                log.warning("a message is held", extra={"error": type(error).__name__})
            except Exception as error:
                tries += 1
                log.exception("handler failed", extra={"attempt": tries})
                if tries >= TRIES and await self._quarantined(delivery, "MSG-11", type(error).__name__):
                    break
            if self._stopping.is_set() or asyncio.get_running_loop().time() > deadline:
                await _settled(message.nack(requeue=True))
                return
            await self._wait(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)
        self._trouble(None)
        await _settled(message.ack())

    async def _settle(self, delivery: Delivery) -> None:
        try:
            await self._handlers.handle(delivery, limit_bytes=self._limit(delivery.queue))
        except Permanent as refused:
            if isinstance(refused, MessageRefused):
                await self._handlers.refuse(delivery, refused)
            await self._put(delivery, refused.code, refused.detail)

    async def _bury(self, delivery: Delivery) -> None:
        """Keep a message that the broker took out of its queue, under that queue's name and with the key it had."""
        death = delivery.death
        keys = death.get("routing-keys") or [delivery.routing_key]
        before = replace(
            delivery, queue=str(death.get("queue", delivery.queue)), routing_key=_without_nul(str(keys[0]))
        )
        await self._put(before, "MSG-12", str(death.get("reason", "unknown")))

    async def _quarantined(self, delivery: Delivery, code: str, cause: str) -> bool:
        """Is it kept? While quarantine itself is in trouble the message is held, and its queue with it."""
        try:
            await self._put(delivery, code, cause)
        except Exception as error:
            self._trouble(f"quarantine: {type(error).__name__}")
            log.exception("a message could not be kept in quarantine, and is held")
            return False
        return True

    async def _put(self, delivery: Delivery, code: str, cause: str) -> None:
        row_id = await self._quarantine.put(
            queue=delivery.queue,
            code=code,
            cause=cause,
            sender=delivery.sender,
            routing_key=delivery.routing_key,
            properties=delivery.properties,
            body=delivery.body,
        )
        log.warning("kept in quarantine", extra={"queue": delivery.queue, "code": code, "quarantine": row_id})

    async def _wait(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass

    async def replay(self) -> int:
        """Run the handlers on the quarantined messages whose replay was asked for; how many were done with."""
        done = 0
        for row in await self._quarantine.to_replay(list(self._handlers.routes)):
            delivery = Delivery(
                queue=row.queue,
                body=row.body,
                sender=row.sender,
                routing_key=row.routing_key,
                content_encoding=row.properties.get("content_encoding"),
                message_id=row.properties.get("message_id"),
                reply_to=row.properties.get("reply_to"),
                correlation_id=row.properties.get("correlation_id"),
                headers=row.properties.get("headers") or {},
            )
            with logs.about(queue=row.queue, event=delivery.message_id, quarantine=row.id):
                done += await self._replayed(delivery, row.id)
        return done

    async def _replayed(self, delivery: Delivery, row_id: int) -> bool:
        try:
            await self._handlers.handle(delivery, limit_bytes=self._limit(delivery.queue))
        except Transient:
            raise
        except Permanent as refused:
            await self._quarantine.failed_again(row_id, refused.code, refused.detail)
            log.warning("a replay was refused", extra={"code": refused.code})
            return False
        except Exception as error:
            log.exception("a replay failed", extra={"code": "MSG-11"})
            await self._quarantine.failed_again(row_id, "MSG-11", type(error).__name__)
            return False
        await self._quarantine.close(row_id, "replayed")
        log.info("replayed")
        return True


async def _settled(answer: Awaitable[None]) -> None:
    """Tell the broker. If the connection is gone the message comes again, and finds its work done."""
    try:
        await answer
    except (AMQPError, aiormq.exceptions.AMQPError, ConnectionError, RuntimeError) as error:
        log.warning("not acknowledged, so it will come again", extra={"error": type(error).__name__})


async def _undecoded(message: RabbitMessage) -> None:
    """Handlers get the raw body: FastStream's own decoding would guess."""
    return
