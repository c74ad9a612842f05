"""What a session costs central: one request for a little, and three when something changed at both sides."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from services.demo.stage import Stage
from services.link import Channel
from services.messages import Message, SessionCompleted, SessionGranted
from services.runtime import Service
from services.settings import load
from services.syncer.app import Settings, build
from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal, officer_corrects


@pytest.fixture
async def asked(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[str]]:
    """The verbs of every request to central, from a syncer in this process that stands in for the stack's own."""
    verbs: list[str] = []
    ask = Channel.ask

    async def noted(self: Channel, verb: str, npsn: str, request: Message, *, id: str | None = None) -> Message:
        verbs.append(verb)
        return await ask(self, verb, npsn, request, id=id)

    for name, value in {**ENVIRONMENT, **stage.stack.addresses.of_service("syncer")}.items():
        monkeypatch.setenv(name, value)
    stage.stack.stop("syncer")
    syncer: Service = build(load(Settings))
    await syncer.start()
    monkeypatch.setattr(Channel, "ask", noted)
    yield verbs
    await syncer.stop()


async def test_an_unchanged_school_costs_one_request(stage: Stage, school: School, asked: list[str]) -> None:
    async with stage.at(school.npsn) as client:
        asked.clear()
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert asked == ["open"]


async def test_a_few_changes_are_sent_taken_and_proven_in_one_round_trip(
    stage: Stage, school: School, asked: list[str]
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(5)])
        asked.clear()
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert (end.sent, end.verdicts, end.unsent) == (5, {"applied": 5}, 0)
    assert asked == ["open"]
    assert await are_equal(stage, school.npsn)


async def test_where_central_has_something_new_a_session_takes_three_round_trips(
    stage: Stage, school: School, asked: list[str]
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(5)])
        await officer_corrects(stage, school, 7, nama="Nama Dari Pusat")
        asked.clear()
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert (end.sent, end.received) == (5, 1)
    assert asked == ["open", "push", "verify"]
    assert await are_equal(stage, school.npsn)


async def test_a_blocked_school_asks_central_nothing(stage: Stage, school: School, asked: list[str]) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None)])
        asked.clear()
        await stage.session(client, "sync", "principal")
    assert asked == []


async def test_many_records_travel_in_batches_and_pages(stage: Stage, school: School, asked: list[str]) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(25)])
        asked.clear()
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert asked == ["open", "push", "push", "push", "verify"]


async def test_what_a_central_of_the_release_before_hides_is_seen_by_opening_once_more(
    stage: Stage, school: School, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Central has taken the changes; what answers the OPEN as it comes again knows nothing of that."""
    ask = Channel.ask

    async def as_before(self: Channel, verb: str, npsn: str, request: Message, *, id: str | None = None) -> Message:
        answer = await ask(self, verb, npsn, request, id=id)
        if isinstance(answer, SessionGranted):
            assert answer.result is not None or asked.count("open") > 1
            return answer.model_copy(update={"result": None, "equal": None, "tried_taken": None})
        return answer

    monkeypatch.setattr(Channel, "ask", as_before)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(5)])
        asked.clear()
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert asked == ["open", "open", "verify"], "nothing is sent a second time"
    assert (end.sent, end.received, end.unsent) == (5, 0, 0)
    assert await are_equal(stage, school.npsn)
    for pupil in school.pupils[:5]:
        assert (await stage.central_record(school.npsn, "peserta_didik", pupil)).version == 2
