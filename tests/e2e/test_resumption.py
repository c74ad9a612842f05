"""A syncer or puller killed (kill -9) after any request to central: it goes on, and sends one batch again at most.

A tap on central's exchange sees every request, and the kill comes as soon as the n-th has passed: central may or may
not have taken it by then.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from services import topology
from services.demo.stage import Stage
from services.listener import Listener
from services.messages import (
    Actor,
    RestoreRequested,
    SessionCompleted,
    SessionFetch,
    SessionOpen,
    SessionPush,
    SessionVerify,
)
from services.wire import Event
from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal

BATCH = int(ENVIRONMENT["SELARAS_BATCH_RECORDS"])
PAGE = int(ENVIRONMENT["SELARAS_PAGE_RECORDS"])


class Tap:
    """Every request of one school to central, each once however often it was sent again under its id."""

    def __init__(self, npsn: str) -> None:
        self._npsn = npsn
        self._passed = asyncio.Event()
        self._at = 0
        self.requests: dict[str, Event[Any]] = {}

    def heard(self, event: Event[Any]) -> None:
        """A request has passed the broker."""
        if event.subject == self._npsn:
            self.requests[event.id] = event
            if len(self.requests) >= self._at:
                self._passed.set()

    async def passes(self, number: int) -> None:
        """Wait for so many requests from now on."""
        self._at = len(self.requests) + number
        self._passed.clear()
        async with asyncio.timeout(60):
            await self._passed.wait()

    def of(self, kind: type[Any]) -> list[Any]:
        """The requests of one type so far, in order."""
        return [event.data for event in self.requests.values() if isinstance(event.data, kind)]


@asynccontextmanager
async def tapped(stage: Stage, npsn: str, user: str) -> AsyncIterator[Tap]:
    tap = Tap(npsn)
    listener = Listener(
        stage.stack.addresses.amqp["penguji"],
        prefix="tap",
        bindings=[(topology.CENTRAL, f"{user}.#")],
        heard=tap.heard,
        source="/uji",
    )
    await listener.start()
    try:
        yield tap
    finally:
        await listener.stop()


async def killed_at(stage: Stage, service: str, tap: Tap, number: int) -> None:
    """kill -9 as soon as the n-th request has passed, and a new process."""
    await tap.passes(number)
    stage.stack.kill(service)
    await asyncio.to_thread(stage.stack.start, service)


async def test_a_syncer_killed_after_any_request_sends_at_most_one_batch_again(stage: Stage, school: School) -> None:
    pupils = len(school.pupils)
    batches = -(-pupils // BATCH)
    points = range(1, batches + 3)  # OPEN, the batches, VERIFY
    resumed = 0
    for point in points:
        async with stage.at(school.npsn) as client, tapped(stage, school.npsn, "situs-sync") as tap:
            changes = [school.change(i, kode_pos=f"9{point:04d}") for i in range(pupils)]
            assert await stage.publish(client, changes) == (pupils, [])
            kill = asyncio.create_task(killed_at(stage, "syncer", tap, point))
            request = await stage.ask(client, "sync", "principal")
            await kill
            end = await stage.end_of(client, request)
        assert isinstance(end, SessionCompleted), (point, end)
        pushed = [len(push.changes) for push in tap.of(SessionPush)]
        assert sum(pushed) <= pupils + BATCH, (point, pushed)
        assert len(pushed) <= batches + 1, (point, pushed)
        assert len(tap.of(SessionOpen)) <= 3, point
        resumed += len(tap.of(SessionOpen)) > 1
        assert await are_equal(stage, school.npsn), point
        async with stage.registry.transaction() as transaction:
            versions = await transaction.rows(
                "SELECT DISTINCT version FROM record WHERE npsn = :npsn AND entity = 'peserta_didik'", npsn=school.npsn
            )
        assert [row.version for row in versions] == [point + 1], f"{point}: no value is written twice"
    assert resumed >= batches, "the kills came in the middle"


async def test_a_syncer_killed_over_a_small_sync_sends_it_at_most_once_more(stage: Stage, school: School) -> None:
    for attempt in range(1, 4):
        async with stage.at(school.npsn) as client, tapped(stage, school.npsn, "situs-sync") as tap:
            changes = [school.change(i, kode_pos=f"9{attempt:04d}") for i in range(3)]
            assert await stage.publish(client, changes) == (3, [])
            kill = asyncio.create_task(killed_at(stage, "syncer", tap, 1))
            request = await stage.ask(client, "sync", "principal")
            await kill
            end = await stage.end_of(client, request)
        assert isinstance(end, SessionCompleted), end
        sent = [len(one.early.changes) for one in tap.of(SessionOpen) if one.early]
        assert sent[0] == 3, "it went with the OPEN"
        assert sum(sent) + sum(len(push.changes) for push in tap.of(SessionPush)) <= 6
        assert await are_equal(stage, school.npsn)
        for one in school.pupils[:3]:
            there = await stage.central_record(school.npsn, "peserta_didik", one)
            assert there.version == attempt + 1, "no value is written twice"


async def test_a_puller_killed_after_any_request_of_a_restore_asks_for_two_pages_again_at_most(
    stage: Stage, school: School
) -> None:
    whole = await stage.here(school.npsn)
    pages = -(-whole.cursor // PAGE)
    assert pages > 3
    for point in range(1, pages + 2):  # OPEN with the first page, the others, VERIFY
        async with stage.at(school.npsn) as client, tapped(stage, school.npsn, "situs-pull") as tap:
            revision = (await stage.here(school.npsn)).revision
            wanted = RestoreRequested(actor=Actor(id="operator", role="operator"), revision=revision)
            kill = asyncio.create_task(killed_at(stage, "puller", tap, point))
            request = await client.publish(topology.COMMANDS, f"restore.{school.npsn}", wanted)
            await kill
            end = await stage.end_of(client, request)
        assert isinstance(end, SessionCompleted), (point, end)
        asked = [
            event.data.cursor for event in tap.requests.values() if isinstance(event.data, SessionOpen | SessionFetch)
        ]
        backwards = [n for n, cursor in enumerate(asked[1:], 1) if cursor < asked[n - 1]]
        assert len(backwards) <= 1, (point, asked)  # the page that was being stored, and the one asked for meanwhile
        assert len([cursor for cursor in asked if cursor < whole.cursor]) <= pages + 2, (point, asked)
        assert len(tap.of(SessionVerify)) <= 2, point
        here = await stage.here(school.npsn)
        assert (here.cursor, here.root, here.restoring_since) == (whole.cursor, whole.root, None), point
