"""Requests that meet a running session, and requests that wait for change events: over the running system."""

from __future__ import annotations

import asyncio

from services import topology, wire
from services.cli.client import Client
from services.demo.stage import Stage
from services.messages import (
    Actor,
    ChangeSubmitted,
    PullRequested,
    SessionCompleted,
    SessionFailed,
    SessionProgressed,
    SessionRefused,
    SyncRequested,
)
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal, officer_corrects

PRINCIPAL = Actor(id="kepala sekolah", role="principal")
OPERATOR = Actor(id="operator", role="operator")
End = SessionCompleted | SessionRefused | SessionFailed


async def ends(client: Client, *requests: str) -> tuple[dict[str, End], dict[str, set[str]]]:
    """How all of these end, and the codes that each was told it waits under."""
    ended: dict[str, End] = {}
    told: dict[str, set[str]] = {request: set() for request in requests}
    async for event in client.events(None, seconds=60):
        cause = event.data.cause.id
        if isinstance(event.data, SessionProgressed) and event.data.waiting and cause in told:
            told[cause].add(event.data.waiting.code)
        if isinstance(event.data, End) and cause in told:
            ended[cause] = event.data
        if len(ended) == len(requests):
            return ended, told
    raise AssertionError("the events end by an exception")


async def test_a_sync_asked_for_while_one_runs_is_joined_to_it_and_told_so(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(5)])
        stage.stack.kill("central")
        first = await stage.ask(client, "sync", "principal")
        async for event in client.events(first, seconds=60):
            if isinstance(event.data, SessionProgressed) and event.data.waiting is not None:
                break
        second = await stage.ask(client, "sync", "principal")
        async for event in client.events(second, seconds=60):
            assert isinstance(event.data, SessionProgressed)
            assert event.data.waiting is not None
            assert event.data.waiting.code == "SYN-13"
            break
        await asyncio.to_thread(stage.stack.start, "central")
        await asyncio.to_thread(stage.stack.wait_ready, "central")
        ended, _ = await ends(client, first, second)
    both = [ended[first], ended[second]]
    assert all(isinstance(end, SessionCompleted) and end.sent == 5 for end in both)
    assert both[0].model_copy(update={"cause": both[1].cause}) == both[1], "one session, one receipt"
    assert ended[second].cause.id == second
    assert await are_equal(stage, school.npsn)


async def test_a_pull_asked_for_with_a_sync_brings_what_central_has(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 0, nama="Nama Dari Pusat")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(30)])
        sync = await stage.ask(client, "sync", "principal")
        pull = await stage.ask(client, "pull", "operator")
        ended, _ = await ends(client, sync, pull)
    end = ended[pull]
    assert isinstance(end, SessionCompleted)
    assert (end.kind, end.sent) == ("pull", 0)
    assert end.receipt["head_seq"] >= 1
    assert await are_equal(stage, school.npsn)


async def test_publish_then_sync_means_what_it_says(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        stage.stack.stop("validator")
        change = wire.new_id()
        for kind, request in (
            ("sync", SyncRequested(actor=PRINCIPAL, after=[change])),
            ("pull", PullRequested(actor=OPERATOR, after=[change])),
        ):
            await client.publish(topology.COMMANDS, f"{kind}.{school.npsn}", request, id=f"{kind}-{change}")
        await client.publish(
            topology.CHANGES,
            f"change.{school.npsn}",
            ChangeSubmitted(actor=OPERATOR, changes=[school.change(0, anak_keberapa=9)]),
            id=change,
        )
        await asyncio.to_thread(stage.stack.start, "validator")
        ended, _ = await ends(client, f"sync-{change}", f"pull-{change}")
    end = ended[f"sync-{change}"]
    assert isinstance(end, SessionCompleted)
    assert end.sent == 1
    assert isinstance(ended[f"pull-{change}"], SessionCompleted)


async def test_a_request_for_events_that_nobody_answers_is_refused_with_their_ids(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        request = SyncRequested(actor=PRINCIPAL, after=["tidak-pernah-datang"])
        end = await stage.end_of(client, await client.publish(topology.COMMANDS, f"sync.{school.npsn}", request))
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-17"
    assert "tidak-pernah-datang" in end.problem.text_en
