"""A hop of TCP on loopback that can go silent and be cut: what a network does to us."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 64 * 1024
SWALLOW_SECONDS = 10.0


class Proxy:
    """Stands before the server of `url`; its own address is `.url`. Runs in the event loop that started it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._passing = asyncio.Event()
        self._passing.set()
        self._open = True
        self._half_open = False
        self._lingers = False
        self._ended = asyncio.Event()
        self._clients: list[asyncio.StreamWriter] = []
        self._servers: list[asyncio.StreamWriter] = []
        self._swallowed = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Listen on a port of our own."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        self.go_on()
        self.cut()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def connections(self) -> int:
        """How many clients have come so far."""
        return len(self._clients)

    async def swallows(self) -> None:
        """Wait until something came from a client while silent."""
        async with asyncio.timeout(SWALLOW_SECONDS):
            await self._swallowed.wait()

    def linger(self) -> None:
        """What the server ends stays open to its client, which has only the server's last words."""
        self._lingers = True

    async def ends(self) -> None:
        """Wait until the server has ended a connection, and its last words were passed on."""
        async with asyncio.timeout(SWALLOW_SECONDS):
            await self._ended.wait()

    def silence(self) -> None:
        """A black hole: connections stay, and nothing passes either way."""
        self._swallowed.clear()
        self._passing.clear()

    def go_on(self) -> None:
        """Pass on what was held, and let new connections in."""
        self._open = True
        self._passing.set()

    def cut(self, *, half_open: bool = False) -> None:
        """Reset every connection. `half_open`: the server does not hear of it yet."""
        self._half_open = half_open
        for writer in [*self._clients] if half_open else [*self._clients, *self._servers]:
            writer.transport.abort()

    def away(self) -> None:
        """The server is gone: every connection is reset, and new ones are too."""
        self._open = False
        self.cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._clients.append(writer)
        if not self._open:
            writer.transport.abort()
            return
        their_reader, their_writer = await asyncio.open_connection(self._parts.hostname, self._parts.port)
        self._servers.append(their_writer)
        await asyncio.gather(self._up(reader, their_writer), self._down(their_reader, writer))

    async def _up(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if not self._passing.is_set():
                    self._swallowed.set()
                await self._passing.wait()
                writer.write(data)
        if not self._half_open:
            writer.transport.abort()

    async def _down(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                await self._passing.wait()
                writer.write(data)
        self._ended.set()
        if not self._lingers:
            writer.transport.abort()
