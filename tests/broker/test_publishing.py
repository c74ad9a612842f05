"""Publishing and taking while the network and the servers do what they do: nothing hangs, and nothing is lost."""

from __future__ import annotations

import asyncio
import json
import secrets
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import aio_pika
import pytest
from aio_pika.exceptions import AMQPError
from faststream.rabbit import RabbitExchange

from services import topology
from services.broker import HEARTBEAT_SECONDS, Publisher, PublishRefused, connect, user_of
from services.embedded.stack import OPERATOR, SITE, Addresses, Stack
from services.errors import BrokerAway, CentralAway
from services.link import Channel
from services.messages import ChangeAccepted, SchoolRegister, ValidationRequested
from tests.broker.desk import Desk, until
from tests.broker.proxy import Proxy

ADMINISTRATOR = "penguji"
MISSING = "selaras.tiada"
CONFIRM_SECONDS = 1.0
STOP_SECONDS = 3.0
CLOSE_SECONDS = 2.0
"""What SQLAlchemy gives a connection to close."""
MARGIN_SECONDS = 1.0
NOT_READY = 503

Publishing = Callable[[str], Coroutine[Any, Any, Publisher]]


@pytest.fixture
async def publishing() -> AsyncIterator[Publishing]:
    """A publisher to this address; closed afterwards."""
    brokers = []

    async def start(url: str) -> Publisher:
        broker = connect(url)
        brokers.append(broker)
        await broker.start()
        return Publisher(broker, user=user_of(url), source="/uji", confirm_seconds=CONFIRM_SECONDS)

    yield start
    for broker in brokers:
        await broker.stop()


@pytest.fixture
async def hop(servers: Addresses) -> AsyncIterator[Proxy]:
    """A hop before the broker, for an operator."""
    proxy = Proxy(servers.amqp[OPERATOR])
    await proxy.start()
    yield proxy
    await proxy.stop()


async def ask(publisher: Publisher, exchange: str = topology.COMMANDS, key: str = "validate.97999999") -> None:
    """Something harmless: about a school that is not there."""
    await publisher.announce(exchange, key, ValidationRequested(), subject="97999999")


async def goes_on(publisher: Publisher) -> None:
    """The same publisher is confirmed again, soon."""

    async def confirmed() -> bool | None:
        try:
            await ask(publisher)
        except BrokerAway:
            return None
        return True

    await until(confirmed)


async def test_a_missing_exchange_is_refused_and_the_publisher_goes_on(
    servers: Addresses, publishing: Publishing
) -> None:
    publisher = await publishing(servers.amqp[ADMINISTRATOR])
    publisher._exchanges[MISSING] = RabbitExchange(MISSING, declare=False)
    with pytest.raises(PublishRefused):
        await ask(publisher, MISSING)
    await goes_on(publisher)


async def test_what_one_may_not_publish_is_refused_and_the_publisher_goes_on(
    servers: Addresses, publishing: Publishing
) -> None:
    publisher = await publishing(servers.amqp[OPERATOR])
    with pytest.raises(PublishRefused):
        await ask(publisher, topology.EVENTS)
    await goes_on(publisher)


async def test_what_no_queue_takes_is_refused_unless_nobody_has_to_listen(
    servers: Addresses, publishing: Publishing
) -> None:
    publisher = await publishing(servers.amqp[ADMINISTRATOR])
    with pytest.raises(PublishRefused):
        await ask(publisher, topology.COMMANDS, "tiada.97999999")
    nobody = (topology.COMMANDS, "tiada.97999999")
    await publisher.announce(*nobody, ValidationRequested(), subject="97999999", mandatory=False)


async def test_a_full_queue_refuses_and_takes_again_when_there_is_room(
    servers: Addresses, publishing: Publishing
) -> None:
    publisher = await publishing(servers.amqp[ADMINISTRATOR])
    async with await aio_pika.connect(servers.amqp[ADMINISTRATOR]) as connection:
        channel = await connection.channel()
        limits: Any = {"x-max-length": 1, "x-overflow": "reject-publish"}
        queue = await channel.declare_queue(f"uji.{secrets.token_hex(4)}", exclusive=True, arguments=limits)
        await queue.bind(topology.COMMANDS, "penuh.*")
        await ask(publisher, topology.COMMANDS, "penuh.97999999")
        with pytest.raises(PublishRefused):
            await ask(publisher, topology.COMMANDS, "penuh.97999999")
        await queue.purge()
        await ask(publisher, topology.COMMANDS, "penuh.97999999")


async def test_a_listener_whose_queue_is_full_holds_up_no_announcement(
    servers: Addresses, publishing: Publishing
) -> None:
    publisher = await publishing(servers.amqp[ADMINISTRATOR])
    async with await aio_pika.connect(servers.amqp[ADMINISTRATOR]) as connection:
        channel = await connection.channel()
        full: Any = {"x-max-length": 1, "x-overflow": "reject-publish"}
        deaf = await channel.declare_queue(f"uji.{secrets.token_hex(4)}", exclusive=True, arguments=full)
        good = await channel.declare_queue(f"uji.{secrets.token_hex(4)}", exclusive=True)
        for queue in (deaf, good):
            await queue.bind(topology.COMMANDS, "siaran.*")
        for _ in range(3):
            await publisher.announce(
                topology.COMMANDS, "siaran.97999999", ValidationRequested(), subject="97999999", mandatory=False
            )
        there = await channel.declare_queue(good.name, passive=True)
        assert there.declaration_result.message_count == 3
        with pytest.raises(PublishRefused):
            await ask(publisher, topology.COMMANDS, "siaran.97999999")


async def test_a_silent_broker_is_away_after_the_time_that_was_set(hop: Proxy, publishing: Publishing) -> None:
    publisher = await publishing(hop.url)
    await ask(publisher)
    hop.silence()
    began = time.monotonic()
    with pytest.raises(BrokerAway):
        await ask(publisher)
    assert CONFIRM_SECONDS <= time.monotonic() - began < CONFIRM_SECONDS + MARGIN_SECONDS
    hop.go_on()
    await goes_on(publisher)


async def test_a_connection_cut_while_waiting_for_the_confirm_is_away_and_comes_back(
    hop: Proxy, publishing: Publishing
) -> None:
    publisher = await publishing(hop.url)
    hop.silence()
    waiting = asyncio.create_task(ask(publisher))
    await hop.swallows()
    hop.cut()
    with pytest.raises(BrokerAway):
        await waiting
    hop.go_on()
    await goes_on(publisher)


async def test_a_broker_that_is_gone_is_away_and_comes_back(hop: Proxy, publishing: Publishing) -> None:
    publisher = await publishing(hop.url)
    hop.away()
    for _ in range(3):
        with pytest.raises(BrokerAway):
            await ask(publisher)
    hop.go_on()
    await goes_on(publisher)


async def test_a_publisher_that_is_told_to_stop_stops(hop: Proxy, publishing: Publishing) -> None:
    publisher = await publishing(hop.url)
    hop.silence()
    waiting = asyncio.create_task(ask(publisher))
    await hop.swallows()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    hop.go_on()


async def test_a_patient_connection_waits_and_an_impatient_one_says_so(hop: Proxy, publishing: Publishing) -> None:
    hop.away()
    impatient = connect(hop.url, patient=False)
    with pytest.raises((AMQPError, OSError)):
        await impatient.start()
    waiting = asyncio.create_task(publishing(hop.url))
    hop.go_on()
    await goes_on(await waiting)


@pytest.mark.parametrize("half_open", [False, True], ids=["cut", "half open"])
async def test_a_line_to_central_that_was_cut_is_answered_again(servers: Addresses, npsn: str, half_open: bool) -> None:
    """Half open: the broker still holds the old connection, and with it the queue for the answers."""
    hop = Proxy(servers.amqp[f"{SITE}-sync"])
    await hop.start()
    central = Channel(hop.url, source="/uji", answer_seconds=CONFIRM_SECONDS, confirm_seconds=CONFIRM_SECONDS)
    await central.start()
    try:
        first = await central.ask("register", npsn, SchoolRegister(code="salah"))
        hop.cut(half_open=half_open)
        if half_open:
            with pytest.raises(CentralAway):
                await central.ask("register", npsn, SchoolRegister(code="salah"))
            hop.cut()  # now the broker hears of it

        async def answered() -> Any:
            with suppress(CentralAway):
                return await central.ask("register", npsn, SchoolRegister(code="salah"))

        assert await until(answered) == first
    finally:
        await central.stop()
        await hop.stop()


# ── A service whose servers are away ─────────────────────────────────────────────────────────────────────────────────


@dataclass
class Behind:
    """The validator, behind a hop before its broker and one before its database."""

    stack: Stack
    broker: Proxy
    database: Proxy

    async def start(self) -> None:
        """Start it, and wait until it is ready."""
        self.stack.start(
            "validator",
            SELARAS_AMQP_URL=self.broker.url,
            SELARAS_SITE_DATABASE_URL=self.database.url,
            SELARAS_STOP_SECONDS=str(STOP_SECONDS),
            SELARAS_CONFIRM_SECONDS="2",
        )
        await asyncio.to_thread(self.stack.wait_ready, "validator")

    async def stop(self) -> int:
        """SIGTERM; the exit code."""
        return await asyncio.to_thread(self.stack.stop, "validator")

    async def troubles(self) -> dict[str, str]:
        """What /readyz says is wrong."""
        return await asyncio.to_thread(self._troubles)

    def _troubles(self) -> dict[str, str]:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.stack.ports['validator']}/readyz", timeout=5) as page:
                assert page.status == 200
                return {}
        except urllib.error.HTTPError as error:
            return dict(json.load(error)["trouble"]) if error.code == NOT_READY else {"http": str(error.code)}

    async def says(self, what: str) -> str:
        """Wait until /readyz is red for this."""

        async def red() -> str | None:
            return (await self.troubles()).get(what)

        return await until(red)

    async def is_well(self) -> None:
        """Wait until /readyz is green."""

        async def green() -> bool | None:
            return None if await self.troubles() else True

        await until(green)


@pytest.fixture
async def behind(_behind: Behind) -> AsyncIterator[Behind]:
    """In the place of the stack's own validator; after each test both hops pass, and it runs."""
    yield _behind
    _behind.broker.go_on()
    _behind.database.go_on()
    if _behind.stack.processes["validator"].poll() is not None:
        await _behind.start()


@pytest.fixture(scope="module")
async def _behind(running: Stack, desk: Desk) -> AsyncIterator[Behind]:
    addresses = running.addresses
    made = Behind(running, Proxy(addresses.amqp["validator"]), Proxy(addresses.site_database))
    await made.broker.start()
    await made.database.start()
    await made.stop()
    await made.start()
    yield made
    await made.stop()
    await made.broker.stop()
    await made.database.stop()
    await asyncio.to_thread(running.start, "validator")
    await asyncio.to_thread(running.wait_ready, "validator")


async def test_a_consumer_that_was_cut_off_goes_on_by_itself(behind: Behind, desk: Desk) -> None:
    for _ in range(2):
        behind.broker.cut()
        await desk.a_good_one_is_taken()
    await behind.is_well()


async def test_a_message_waits_for_its_database_and_the_service_says_so(behind: Behind, desk: Desk) -> None:
    last = await desk.latest()
    event = desk.envelope([desk.change(4, anak_keberapa=2)])
    behind.database.away()
    await desk.send(event)
    assert "DatabaseAway" in await behind.says("messages")
    for _ in range(5):
        assert await _ready_messages(desk) == 0, "it was given back"
        assert await behind.troubles()
    assert desk.answers(event["id"]) == []
    behind.database.go_on()
    assert isinstance(await desk.answer(event["id"]), ChangeAccepted)
    await behind.is_well()
    assert await desk.latest() == last


async def test_a_service_without_its_database_stops_when_told_and_loses_nothing(behind: Behind, desk: Desk) -> None:
    events = [desk.envelope([desk.change(4, anak_keberapa=number)]) for number in range(3, 9)]
    behind.database.away()
    for event in events:
        await desk.send(event)
    await behind.says("messages")
    assert await behind.stop() == 0
    behind.database.go_on()
    await behind.start()
    for event in events:
        assert isinstance(await desk.answer(event["id"]), ChangeAccepted)


async def test_a_silent_database_is_seen_and_does_not_hold_up_the_stop(behind: Behind, desk: Desk) -> None:
    event = desk.envelope([desk.change(4, anak_keberapa=9)])
    behind.database.silence()
    await behind.says("database")
    await desk.send(event)
    await behind.database.swallows()
    began = time.monotonic()
    assert await behind.stop() == 0
    assert time.monotonic() - began < STOP_SECONDS + CLOSE_SECONDS + 2 * MARGIN_SECONDS
    behind.database.cut()
    behind.database.go_on()
    await behind.start()
    assert isinstance(await desk.answer(event["id"]), ChangeAccepted)


async def test_an_announcement_that_nobody_confirms_is_made_again(behind: Behind, desk: Desk) -> None:
    """The change is stored, the broker falls silent: the message comes back, and its stored answer is announced."""
    event = desk.envelope([desk.change(4, anak_keberapa=8)])
    await desk.send(event)
    behind.broker.silence()
    await behind.broker.swallows()
    behind.broker.cut()
    behind.broker.go_on()
    assert isinstance(await desk.answer(event["id"]), ChangeAccepted)
    await desk.a_good_one_is_taken()
    assert len({answer.id for answer in desk.answers(event["id"])}) == 1


async def test_a_service_told_to_stop_in_the_middle_of_its_work_loses_nothing(behind: Behind, desk: Desk) -> None:
    events = [desk.envelope([desk.change(5, anak_keberapa=number)]) for number in range(1, 41)]
    for event in events:
        await desk.send(event)
    await desk.answer(events[3]["id"])
    assert await behind.stop() == 0
    answered = sum(bool(desk.answers(event["id"])) for event in events)
    await behind.start()
    for event in events:
        assert isinstance(await desk.answer(event["id"]), ChangeAccepted)
    assert answered < len(events), "it had finished before it was told"
    revisions = [desk.answers(event["id"])[0].data.revision for event in events]
    assert revisions == sorted(revisions), "in their order"
    assert len(set(revisions)) == len(events), "each once"


async def _ready_messages(desk: Desk) -> int:
    """What lies in the change queues and is in nobody's hand."""
    async with await aio_pika.connect(desk.stage.stack.addresses.amqp[ADMINISTRATOR]) as connection:
        channel = await connection.channel()
        queues = [await channel.declare_queue(name, passive=True) for name in topology.VALIDATOR_CHANGES]
        return sum(queue.declaration_result.message_count or 0 for queue in queues)


async def test_a_connection_of_which_nothing_is_heard_is_given_up_within_half_a_minute(servers: Addresses) -> None:
    for given, expected in (("", HEARTBEAT_SECONDS), ("?heartbeat=30", 30)):
        broker = connect(servers.amqp[OPERATOR] + given)
        await broker.start()
        assert int((await broker.connect()).url.query["heartbeat"]) == expected
        await broker.stop()
    assert 3 * (HEARTBEAT_SECONDS + 1) < 30
