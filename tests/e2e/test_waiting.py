"""Central has room for one session, and it is taken: a school waits in line, and is told so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from services.central import administration
from services.demo.stage import Stage
from services.demo.synthetic import jsonl
from services.messages import SessionCompleted, SessionProgressed
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal


@pytest.fixture
async def full(stage: Stage, school: School) -> AsyncIterator[str]:
    """Central with room for one, and another school in it; that school."""
    other = f"97{school.npsn[2:]}"
    await administration.add_school(stage.registry, other, jsonl(school.data))
    await inside(stage, other, inside=True)
    stage.stack.stop("central")
    await asyncio.to_thread(stage.stack.start, "central", SELARAS_LIVE_SESSIONS="1", SELARAS_SLOT_SECONDS="2")
    await asyncio.to_thread(stage.stack.wait_ready, "central")
    yield other
    stage.stack.stop("central")
    await asyncio.to_thread(stage.stack.start, "central")
    await asyncio.to_thread(stage.stack.wait_ready, "central")


async def inside(stage: Stage, npsn: str, *, inside: bool) -> None:
    """Put a school's session among the live ones, alone, or take it away."""
    async with stage.registry.transaction() as transaction:
        await transaction.run("UPDATE school SET session_active_at = NULL WHERE session_active_at IS NOT NULL")
        await transaction.run(
            "UPDATE school SET session_active_at = now() + interval '1 h' WHERE npsn = :npsn AND :inside",
            npsn=npsn,
            inside=inside,
        )


async def test_a_school_waits_in_line_and_says_so_and_then_syncs(stage: Stage, school: School, full: str) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
        request = await stage.ask(client, "sync", "principal")
        told = None
        async for event in client.events(request, seconds=60):
            if isinstance(event.data, SessionProgressed) and event.data.waiting is not None:
                told = event.data.waiting
                break
        assert told is not None
        assert told.code == "SYN-09"
        assert "number 1 in line" in told.text_en
        assert await stage.metric("central", "selaras_admission_deferred_total", reason="capacity") >= 1
        for _ in range(200):  # between two knocks it is exchanging
            (waiting,) = (await stage.here(school.npsn)).open
            if waiting.state == "waiting_slot":
                break
            await asyncio.sleep(0.02)
        assert (waiting.kind, waiting.state) == ("sync", "waiting_slot")
        assert waiting.waiting is not None
        assert waiting.waiting["code"] == "SYN-09"
        await inside(stage, full, inside=False)
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    assert end.sent == 1
    assert await are_equal(stage, school.npsn)
