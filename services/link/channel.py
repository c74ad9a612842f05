"""Requests to central and their answers, over one reply queue of this process.

The queue is exclusive and named at random; it is bound to `selaras.replies` under `<user>.<process>`, which is the
`reply_to` of every request. Central's broker lets no other user read it or write to it.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Sequence
from typing import Any

from aio_pika.exceptions import AMQPError

from services import tls, topology, tracing, wire
from services.broker import PublishRefused, user_of
from services.errors import BrokerAway, CentralAway, MessageRefused
from services.listener import Listener
from services.messages import Message
from services.wire import Event

log = logging.getLogger(__name__)

SENDS = 3
"""A request is sent this often under the same id before central counts as out of reach; every request may be
repeated.
"""
REFUSED_PAUSE_SECONDS = 0.5
CONNECT_AGAIN_SECONDS = 5.0


class Channel:
    """One process's requests to central. `url` is central's broker as this site's own user."""

    def __init__(
        self,
        url: str,
        *,
        source: str,
        answer_seconds: float = 10.0,
        confirm_seconds: float = 10.0,
        middlewares: Sequence[Any] = (),
    ) -> None:
        self._url = url
        self._untrusted: str | None = None
        self._answer_seconds = answer_seconds
        self._reply_to = f"{user_of(url)}.{secrets.token_hex(8)}"
        self._waiting: dict[str, asyncio.Future[Message]] = {}
        self._connected = asyncio.Event()
        self._connecting: asyncio.Task[None] | None = None
        self._listener = Listener(
            url,
            prefix="reply",
            bindings=[(topology.REPLIES, self._reply_to)],
            heard=self._answered,
            unreadable=self._not_readable,
            source=source,
            confirm_seconds=confirm_seconds,
            middlewares=middlewares,
        )

    async def start(self) -> None:
        """Begin to connect, and return: a site works on while central's broker is away."""
        self._connecting = asyncio.create_task(self._connect())

    async def stop(self) -> None:
        """Close the connection."""
        if self._connecting is not None:
            self._connecting.cancel()
            await asyncio.wait([self._connecting])
        await self._listener.stop()

    async def _connect(self) -> None:
        while not self._connected.is_set():
            if await self._distrusts():
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)
                continue
            try:
                await self._listener.start()
                self._connected.set()
            except (AMQPError, OSError) as error:
                log.warning("no line to central", extra={"error": type(error).__name__})
                await asyncio.sleep(CONNECT_AGAIN_SECONDS)

    async def _distrusts(self) -> bool:
        """Is what answers there not central's broker? It is said once."""
        wrong = await tls.trouble(self._url)
        if wrong is not None and wrong != self._untrusted:
            log.error("no line to central", extra={"why": wrong})
        self._untrusted = wrong
        return wrong is not None

    async def ask(self, verb: str, npsn: str, request: Message, *, id: str | None = None) -> Message:
        """Send `request` (routing key `<user>.<verb>`) and wait for its answer, sending it again under the same id.

        Raises CentralAway when nothing answers `SENDS` times `answer_seconds`, MessageRefused for an unreadable answer.
        """
        with tracing.step(f"ask {verb}", "client", npsn=npsn, verb=verb):
            return await self._ask(verb, npsn, request, id or wire.new_id())

    async def _ask(self, verb: str, npsn: str, request: Message, request_id: str) -> Message:
        answer: asyncio.Future[Message] = asyncio.get_running_loop().create_future()
        self._waiting[request_id] = answer
        trouble = "no connection"
        try:
            for _ in range(SENDS):
                try:
                    async with asyncio.timeout(self._answer_seconds):
                        await self._connected.wait()
                    trouble = "no answer"
                    await self._listener.publisher.announce(
                        topology.CENTRAL,
                        f"{self._listener.user}.{verb}",
                        request,
                        subject=npsn,
                        id=request_id,
                        reply_to=self._reply_to,
                        correlation_id=request_id,
                    )
                    async with asyncio.timeout(self._answer_seconds):
                        return await asyncio.shield(answer)
                except TimeoutError:
                    continue
                except (BrokerAway, PublishRefused) as error:
                    trouble = str(error)
                    await asyncio.sleep(REFUSED_PAUSE_SECONDS)
        finally:
            del self._waiting[request_id]
        raise CentralAway(self._untrusted or trouble)

    def _answered(self, event: Event[Any]) -> None:
        """Late answers, and the second answer to a request that was sent twice, find nobody waiting."""
        waiting = self._waiting.get(event.correlation_id or "")
        if waiting is not None and not waiting.done():
            waiting.set_result(event.data)

    def _not_readable(self, correlation_id: str | None, error: MessageRefused) -> None:
        waiting = self._waiting.get(correlation_id or "")
        if waiting is not None and not waiting.done():
            waiting.set_exception(error)
