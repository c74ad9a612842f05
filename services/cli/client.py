"""A person's line to a site or to central: publish an event and follow what becomes of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import aio_pika

from services import logs, topology, tracing, wire
from services.cli.outcomes import NoAnswer
from services.cli.settings import CommandSettings
from services.listener import Listener
from services.messages import Message
from services.wire import Event

CONNECT_SECONDS = 10.0
SPANS_SECONDS = 1.0
"""How long a command's end waits for its spans to be sent."""
SOURCE = "/perintah"
"""The source of every event of the command."""


class Client:
    """Publishes, and hears every event of one school. Made by `at_site` or `at_central`."""

    def __init__(self, url: str, npsn: str, bindings: Sequence[tuple[str, str]], *, see: str) -> None:
        """`see`: the command that shows how the school stands, for a person who waited in vain."""
        self.npsn = npsn
        self._see = see
        self._heard: asyncio.Queue[Event[Any]] = asyncio.Queue()
        self._listener = Listener(
            url,
            prefix="listen",
            bindings=bindings,
            heard=self._heard.put_nowait,
            source=SOURCE,
            patient=False,
        )

    async def start(self) -> None:
        """Connect. Raises an AMQP error or TimeoutError if the broker does not answer, or not this user."""
        tracing.start(CommandSettings().otlp_endpoint, service="perintah")
        async with asyncio.timeout(CONNECT_SECONDS):
            await self._listener.start()

    async def stop(self) -> None:
        """Close the connection."""
        await self._listener.stop()
        await asyncio.to_thread(tracing.stop, SPANS_SECONDS)

    async def publish(self, exchange: str, routing_key: str, message: Message, *, id: str | None = None) -> str:
        """Publish an event about the school; its id."""
        event_id = id or wire.new_id()
        with logs.about(npsn=self.npsn, event=event_id, type=message.type), tracing.span(f"command {message.type}"):
            await self._listener.publisher.announce(exchange, routing_key, message, subject=self.npsn, id=event_id)
        return event_id

    async def events(self, cause_id: str | None, *, seconds: float) -> AsyncIterator[Event[Any]]:
        """Events that answer `cause_id` (None: all of the school), as they come. Raises NoAnswer after `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                while True:
                    event = await self._heard.get()
                    if cause_id is None or event.data.cause.id == cause_id:
                        yield event
        except TimeoutError:
            raise NoAnswer(
                f"Belum selesai dalam {seconds:g} s, tidak ada yang hilang · not finished within {seconds:g} s,"
                f" nothing is lost: see `{self._see}`, and /readyz of the services."
            ) from None


async def reach(url: str) -> None:
    """Log in and out. Raises an AMQP error or TimeoutError if the broker does not answer, or not this user."""
    async with asyncio.timeout(CONNECT_SECONDS):
        connection = await aio_pika.connect(url)
        await connection.close()


@asynccontextmanager
async def at_site(url: str, npsn: str) -> AsyncIterator[Client]:
    """A client at a site: hears what the services announce about the school."""
    client = Client(url, npsn, [(topology.EVENTS, f"#.{npsn}")], see=f"selaras status {npsn}")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()


@asynccontextmanager
async def at_central(url: str, npsn: str) -> AsyncIterator[Client]:
    """An officer's client at central: hears the answers to officers' changes of the school."""
    answers = [(topology.OFFICERS, f"{answer}.{npsn}") for answer in ("accepted", "rejected")]
    client = Client(url, npsn, answers, see=f"selaras officer school show {npsn} --as-of head")
    await client.start()
    try:
        yield client
    finally:
        await client.stop()
