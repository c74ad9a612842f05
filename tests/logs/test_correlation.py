"""One id from the operator's event to central and back: in the log lines of every service and in what is announced."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aio_pika
import pytest

from services import topology, wire
from services.demo.stage import Stage
from services.embedded.stack import OPERATOR
from services.listener import Listener
from services.messages import SessionCompleted, SessionRefused
from services.wire import Event
from tests.e2e.conftest import School
from tests.e2e.test_sync import officer_corrects
from tests.logs.reading import about, ended, lines

ENDS = ("sync.completed.v1", "sync.refused.v1")


@asynccontextmanager
async def everything(stage: Stage, npsn: str) -> AsyncIterator[asyncio.Queue[Event[Any]]]:
    """All that the site announces about a school."""
    heard: asyncio.Queue[Event[Any]] = asyncio.Queue()
    listener = Listener(
        stage.stack.addresses.amqp[OPERATOR],
        prefix="listen",
        bindings=[(topology.EVENTS, f"#.{npsn}")],
        heard=heard.put_nowait,
        source="/uji",
    )
    await listener.start()
    yield heard
    await listener.stop()


async def until_end(heard: asyncio.Queue[Event[Any]]) -> list[Event[Any]]:
    """What is announced, up to the end of a sync."""
    events: list[Event[Any]] = []
    async with asyncio.timeout(30):
        while not events or events[-1].type not in ENDS:
            events.append(await heard.get())
    return events


async def publish(stage: Stage, npsn: str, verb: str, **envelope: Any) -> None:
    """An event as some other client than ours would publish it."""
    event = {"specversion": "1.0", "source": "/impor", "subject": npsn, **envelope}
    async with await aio_pika.connect(stage.stack.addresses.amqp[OPERATOR]) as line:
        channel = await line.channel(on_return_raises=True)
        exchange = await channel.get_exchange(topology.CHANGES if verb == "change" else topology.COMMANDS, ensure=False)
        message = aio_pika.Message(json.dumps(event).encode(), user_id=OPERATOR, message_id=envelope["id"])
        await exchange.publish(message, routing_key=f"{verb}.{npsn}")


async def test_the_id_of_a_sync_is_in_the_logs_of_syncer_and_central_and_in_what_is_announced(
    stage: Stage, school: School
) -> None:
    async with stage.at(school.npsn) as client, everything(stage, school.npsn) as heard:
        await stage.publish(client, [school.change(1, anak_keberapa=4)])
        await officer_corrects(stage, school, 2, nama="Nama Dari Pusat")  # else all of it is one message
        await asyncio.wait_for(heard.get(), 30)
        request = await stage.ask(client, "sync", "principal")
        assert isinstance(await stage.end_of(client, request), SessionCompleted)
        events = await until_end(heard)
    assert {event.type.split(".")[1] for event in events} >= {"started", "progressed", "completed"}
    assert {event.correlation for event in events} == {request}
    end = await ended(stage.stack, "syncer", request)
    said = about(stage.stack, request)
    assert [line["message"] for line in said["syncer"]] == ["message taken", "session begun", "session ended"]
    assert (end["npsn"], end["kind"], end["outcome"], end["sent"]) == (school.npsn, "sync", "completed", 1)
    assert end["verdicts"] == {"applied": 1}
    assert [(line["type"], line["answer"]) for line in said["central"]] == [
        ("session.open.v1", "session.granted.v1"),
        ("session.push.v1", "session.result.v1"),
        ("session.verify.v1", "session.equal.v1"),
    ]
    assert {line["session"] for line in said["central"]} == {end["session"]}
    assert said["validator"] == said["puller"] == []


async def test_a_small_sync_is_one_line_at_central_that_tells_all_of_it(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(1, anak_keberapa=4), school.change(2, anak_keberapa=4)])
        request = await stage.ask(client, "sync", "principal")
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    await ended(stage.stack, "syncer", request)
    (line,) = about(stage.stack, request)["central"]
    assert (line["type"], line["answer"], line["outcome"]) == ("session.open.v1", "session.granted.v1", "granted")
    assert (line["received"], line["verdicts"], line["sent"]) == (2, {"applied": 2}, 0)
    assert line["seq"] == end.receipt["head_seq"]


async def test_a_change_and_its_answer_have_the_changes_id(stage: Stage, school: School) -> None:
    event_id = wire.new_id()
    async with everything(stage, school.npsn) as heard:
        data = {"changes": [{**school.change(0, anak_keberapa=3).model_dump()}]}
        await publish(stage, school.npsn, "change", id=event_id, type="change.submitted.v1", data=data)
        answer = await asyncio.wait_for(heard.get(), 30)
    assert (answer.type, answer.correlation) == ("change.accepted.v1", event_id)
    (line,) = about(stage.stack, event_id)["validator"]
    assert (line["type"], line["stored"]) == ("change.submitted.v1", 1)


@pytest.mark.parametrize("own", [True, False])
async def test_an_id_that_is_no_uuid_is_not_repeated_and_a_given_correlation_is_kept(
    stage: Stage, school: School, own: bool
) -> None:
    """Somebody's import may take a person's number for an id."""
    nik, given = "9900011234567890", str(uuid.uuid4())
    event_id = f"{nik}-{own}"
    expected = given if own else wire.correlation_of("/impor", event_id)
    more = {"correlationid": given} if own else {}
    async with everything(stage, school.npsn) as heard:
        await publish(stage, school.npsn, "sync", id=event_id, type="sync.requested.v1", data={}, **more)
        events = await until_end(heard)
    assert {event.correlation for event in events} == {expected}
    await ended(stage.stack, "syncer", expected)
    said = about(stage.stack, expected)
    assert len(said["syncer"]) == 3
    assert len(said["central"]) == 1
    for service in ("syncer", "central"):
        assert nik not in json.dumps(lines(stage.stack, service))


async def test_a_refused_sync_is_found_by_its_id_with_the_code(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        request = await stage.ask(client, "sync", "operator")
        assert isinstance(await stage.end_of(client, request), SessionRefused)
    line = await ended(stage.stack, "syncer", request)
    assert (line["outcome"], line["code"]) == ("refused", "SYN-02")


async def test_an_event_says_its_correlation_beside_the_body_that_was_promised(stage: Stage) -> None:
    """Only an addition: a peer of a release before reads past it."""
    from services.messages import SessionStale

    bare = json.loads(wire.encode(SessionStale(), subject="98000001", source="/x", id="1"))
    told = json.loads(wire.encode(SessionStale(), subject="98000001", source="/x", id="1", correlation="2"))
    assert told.pop("correlationid") == "2"
    assert {**told, "time": ""} == {**bare, "time": ""}
