"""An AMQP client that puts any bytes into a message's properties, as somebody else's may."""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

from pamqp import commands, frame

METHOD, HEADER, BODY = 1, 2, 3
CHANNEL = 1
BASIC = 60
FLAGS = {
    "content_type": 15, "content_encoding": 14, "headers": 13, "delivery_mode": 12, "priority": 11,
    "correlation_id": 10, "reply_to": 9, "expiration": 8, "message_id": 7, "timestamp": 6, "type": 5, "user_id": 4,
    "app_id": 3,
}  # fmt: skip
"""The bit of each property, in the order in which they follow each other."""


def short(text: bytes) -> bytes:
    """A short string."""
    return bytes([len(text)]) + text


def long(data: bytes) -> bytes:
    """What is preceded by its length: a long string, a table, an array."""
    return struct.pack(">I", len(data)) + data


class Raw:
    """One connection with one channel in confirm mode."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def log_in(self, user: str, password: str) -> None:
        """AMQP's greeting, a channel, confirms."""
        self._writer.write(b"AMQP\x00\x00\x09\x01")
        await self._answer()
        self._send(
            commands.Connection.StartOk(
                client_properties={}, mechanism="PLAIN", response=f"\0{user}\0{password}", locale="en_US"
            ),
            channel=0,
        )
        tune = await self._answer()
        self._send(commands.Connection.TuneOk(tune.channel_max, tune.frame_max, 0), channel=0)
        self._send(commands.Connection.Open("/"), channel=0)
        await self._answer()
        for request in (commands.Channel.Open(), commands.Confirm.Select()):
            self._send(request)
            await self._answer()

    async def publish(self, exchange: str, key: bytes, properties: Mapping[str, bytes], body: bytes) -> str:
        """Publish with these encoded properties; the name of the broker's answer."""
        flags = sum(1 << FLAGS[name] for name in properties)
        encoded = b"".join(properties[name] for name in FLAGS if name in properties)
        self._frame(METHOD, struct.pack(">HHH", BASIC, 40, 0) + short(exchange.encode()) + short(key) + b"\x01")
        self._frame(HEADER, struct.pack(">HHQH", BASIC, 0, len(body), flags) + encoded)
        self._frame(BODY, body)
        return str((await self._answer()).name)

    def _send(self, method: Any, channel: int = CHANNEL) -> None:
        self._writer.write(frame.marshal(method, channel))

    def _frame(self, kind: int, payload: bytes) -> None:
        self._writer.write(struct.pack(">BHI", kind, CHANNEL, len(payload)) + payload + b"\xce")

    async def _answer(self) -> Any:
        head = await self._reader.readexactly(7)
        rest = await self._reader.readexactly(struct.unpack(">I", head[3:])[0] + 1)
        return frame.unmarshal(head + rest)[2]


@asynccontextmanager
async def raw(url: str) -> AsyncIterator[Raw]:
    """Logged in at `url`."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    client = Raw(reader, writer)
    try:
        await client.log_in(unquote(parts.username or ""), unquote(parts.password or ""))
        yield client
    finally:
        writer.close()
