"""Two databases and two queues for the peers of bare, and somebody who looks into the queues."""

from __future__ import annotations

import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass

import aio_pika
import asyncpg
import pytest
from aio_pika.abc import AbstractChannel

from bench.pair import Pair, Peer, start_peer
from bench.speed import empty_database
from services.embedded.stack import Addresses


@dataclass
class Peers:
    """Where both are, whether they run or not; `central_side` looks into central's database."""

    amqp_url: str
    dsns: tuple[str, str]
    queues: tuple[str, str]
    central_side: asyncpg.Connection
    channel: AbstractChannel

    async def site(self) -> Peer:
        """Start the site's."""
        return await start_peer(self.amqp_url, self.dsns[0], *self.queues)

    async def central(self) -> Peer:
        """Start central's."""
        return await start_peer(self.amqp_url, self.dsns[1], *reversed(self.queues))


@pytest.fixture
async def peers(servers: Addresses) -> AsyncIterator[Peers]:
    """Nothing runs yet."""
    name = secrets.token_hex(4)
    dsns = [await empty_database(servers.administrator, f"bare_{side}_{name}") for side in ("site", "central")]
    central_side = await asyncpg.connect(dsns[1])
    queues = (f"bench.{name}.site", f"bench.{name}.central")
    broker = await aio_pika.connect(servers.amqp["penguji"])
    channel = await broker.channel()
    yield Peers(servers.amqp["penguji"], (dsns[0], dsns[1]), queues, central_side, channel)
    for queue in queues:
        await channel.queue_delete(queue)
    await broker.close()
    await central_side.close()


@pytest.fixture
async def pair(peers: Peers) -> AsyncIterator[Pair]:
    """Both run."""
    pair = Pair(await peers.site(), await peers.central())
    yield pair
    await pair.stop()
