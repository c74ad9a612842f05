"""A hop of TCP on loopback that can go silent and be cut: what a network does to us."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from urllib.parse import urlsplit, urlunsplit

CHUNK_BYTES = 64 * 1024


class Proxy:
    """Stands before the server of `url`; its own address is `.url`. Runs in the event loop that started it."""

    def __init__(self, url: str) -> None:
        self._parts = urlsplit(url)
        self._passing = asyncio.Event()
        self._passing.set()
        self._open = True
        self._writers: set[asyncio.StreamWriter] = set()
        self.swallowed = asyncio.Event()
        """Set when something came from the client while silent."""

    async def start(self) -> None:
        """Listen on a port of our own."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", 0)
        port = self._server.sockets[0].getsockname()[1]
        login = self._parts.netloc.rpartition("@")[0]
        self.url = urlunsplit(self._parts._replace(netloc=f"{login}@127.0.0.1:{port}"))

    async def stop(self) -> None:
        """Close everything."""
        self._server.close()
        self.cut()

    def silence(self) -> None:
        """A black hole: connections stay, and nothing passes either way."""
        self.swallowed.clear()
        self._passing.clear()

    def go_on(self) -> None:
        """Pass on what was held, and let new connections in."""
        self._open = True
        self._passing.set()

    def cut(self) -> None:
        """Reset every connection."""
        for writer in self._writers:
            writer.transport.abort()

    def away(self) -> None:
        """The server is gone: every connection is reset, and new ones are too."""
        self._open = False
        self.cut()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError):
            if self._open:
                there = await asyncio.open_connection(self._parts.hostname, self._parts.port)
                self._writers.add(there[1])
                await asyncio.gather(self._pump(reader, there[1], client=True), self._pump(there[0], writer))
        writer.transport.abort()

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, client: bool = False) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK_BYTES):
                if client and not self._passing.is_set():
                    self.swallowed.set()
                await self._passing.wait()
                writer.write(data)
                await writer.drain()
        writer.transport.abort()
