"""Bare does what it says, so that what it is compared with is worth something."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
import zstandard
from aio_pika.exceptions import ChannelPreconditionFailed

from bench.bare import BATCH
from bench.pair import Pair, Peer
from tests.bench.conftest import Peers

NPSN = "69900001"
MANY = 2 * BATCH + 1
PATIENCE_SECONDS = 30


def rows(number: int, version: int = 1, data: str = "x") -> list[tuple[Any, ...]]:
    """Records of one school."""
    return [(NPSN, "ptk", f"{n:06d}", version, f"{data}{n}") for n in range(number)]


async def end(peer: Peer) -> None:
    """Its input ends, and so does it."""
    assert peer.process.stdin is not None
    peer.process.stdin.close()
    async with asyncio.timeout(PATIENCE_SECONDS):
        assert await peer.process.wait() == 0


async def until(holds: Callable[[], Awaitable[Any]]) -> None:
    """Look until it is so."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await holds():  # noqa: ASYNC110  it happens in another process
            await asyncio.sleep(0.002)


async def arrived(peer: Peer, records: int) -> bool:
    """Has it so many, whoever took them?"""
    return (await peer.sum([NPSN]))[0] == records


async def test_every_record_that_is_marked_arrives_and_no_other(pair: Pair) -> None:
    await pair.site.hold(rows(MANY), 1)
    await pair.site.hold([(NPSN, "sekolah", "1", 1, "not marked")], None)
    sent, taken = await asyncio.gather(pair.site.send(1), pair.central.taken(MANY))
    assert (sent, taken) == (MANY, MANY)
    assert (await pair.site.sum([NPSN]))[0] == MANY + 1
    assert (await pair.central.sum([NPSN]))[0] == MANY


async def test_both_directions_at_once(pair: Pair) -> None:
    both = rows(MANY)
    await pair.site.hold(both[::2], 1)
    await pair.central.hold(both[1::2], 1)
    await asyncio.gather(pair.site.send(1), pair.central.send(1))
    await asyncio.gather(pair.site.taken(len(both[1::2])), pair.central.taken(len(both[::2])))
    assert (await pair.site.sum([NPSN])) == (await pair.central.sum([NPSN]))
    assert (await pair.site.sum([NPSN]))[0] == MANY


async def test_the_highest_version_stays_whatever_comes_again_or_late(pair: Pair) -> None:
    await pair.site.hold(rows(10, 2, "new"), 1)
    for _ in range(2):
        await asyncio.gather(pair.site.send(1), pair.central.taken(10))
    before = await pair.central.sum([NPSN])
    assert before == await pair.site.sum([NPSN])
    await pair.site.hold(rows(10, 1, "old"), 2)
    await asyncio.gather(pair.site.send(2), pair.central.taken(10))
    assert await pair.central.sum([NPSN]) == before


async def test_a_message_has_500_records_and_lies_persistent_on_a_quorum_queue(peers: Peers) -> None:
    site = await peers.site()
    await site.hold(rows(MANY), 1)
    await site.send(1)
    await end(site)
    with pytest.raises(ChannelPreconditionFailed, match="x-queue-type"):
        await peers.channel.declare_queue(peers.queues[1], durable=True, arguments={"x-queue-type": "classic"})
    await peers.channel.reopen()
    queue = await peers.channel.declare_queue(peers.queues[1], durable=True, arguments={"x-queue-type": "quorum"})
    messages = [await queue.get() for _ in range(math.ceil(MANY / BATCH))]
    assert [message.delivery_mode for message in messages] == [2] * len(messages)
    found = [orjson.loads(zstandard.ZstdDecompressor().decompress(message.body)) for message in messages]
    assert sorted(map(len, found)) == [1, BATCH, BATCH]
    assert sorted(tuple(row) for message in found for row in message) == rows(MANY)


async def test_what_the_broker_does_not_take_is_not_called_sent(peers: Peers) -> None:
    site = await peers.site()
    await site.hold(rows(1), 1)
    await peers.channel.queue_delete(peers.queues[1])
    with pytest.raises(RuntimeError, match="has ended"):
        await site.send(1)
    assert await site.process.wait() != 0


async def test_a_peer_killed_before_it_commits_has_acknowledged_nothing_and_nothing_is_lost(peers: Peers) -> None:
    site, central = await peers.site(), await peers.central()
    await site.hold(rows(MANY), 1)
    async with peers.central_side.transaction():
        await peers.central_side.execute("LOCK TABLE bare IN SHARE MODE")  # it may read, and cannot write
        await site.send(1)
        central.process.kill()
        await central.process.wait()
        await until(lambda: are_waiting(peers, math.ceil(MANY / BATCH)))
    again = await peers.central()
    await until(lambda: arrived(again, MANY))
    assert await again.sum([NPSN]) == await site.sum([NPSN])
    await end(again)
    await end(site)


async def test_a_peer_killed_amid_many_messages_loses_none(peers: Peers) -> None:
    site, central = await peers.site(), await peers.central()
    many = 20 * BATCH
    await site.hold(rows(many), 1)
    sending = asyncio.create_task(site.send(1))
    await until(lambda: peers.central_side.fetchval("SELECT count(*) FROM bare"))
    central.process.kill()
    await central.process.wait()
    await sending
    again = await peers.central()
    await until(lambda: arrived(again, many))
    assert await again.sum([NPSN]) == await site.sum([NPSN])
    await end(again)
    await end(site)


async def are_waiting(peers: Peers, messages: int) -> bool:
    """Do so many messages lie ready in central's queue?"""
    queue = await peers.channel.declare_queue(peers.queues[1], passive=True)
    return queue.declaration_result.message_count == messages
