"""What each broker user may do, tried for real with the definitions that a private node loads."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractChannel, AbstractQueue
from aio_pika.exceptions import ChannelPreconditionFailed, ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused, ChannelLockedResource

from services import topology, wire
from services.demo.stage import Stage
from services.embedded.stack import OFFICER, OPERATOR, SITE, Addresses, users
from services.link import Channel
from services.listener import Listener
from services.messages import (
    PROTOCOL_VERSION,
    ChangeRejected,
    ChangeSubmitted,
    FieldsChange,
    GivenRecord,
    HistoryAnswered,
    HistoryRefused,
    HistoryRequested,
    Kind,
    Message,
    OfficerChange,
    OfficerChangeRejected,
    PushedChange,
    RecordKey,
    SchoolRegister,
    SessionBuckets,
    SessionFetch,
    SessionGive,
    SessionMend,
    SessionOpen,
    SessionPush,
    SessionRecords,
    SessionRefused,
    SessionRollback,
    SessionRows,
    SessionVerify,
    ValidationRequested,
)
from services.wire import Event
from tests.broker.refusing import refused
from tests.conftest import new_npsn

SYNC, PULL = f"{SITE}-sync", f"{SITE}-pull"
OTHER = "lain-sync"
SERVICE_QUEUES = {
    "validator": {*topology.VALIDATOR_CHANGES, topology.VALIDATOR_REQUESTS, topology.DEAD_SITE},
    "syncer": {topology.SYNCER_REQUESTS},
    "puller": {topology.PULLER_REQUESTS},
    "central": {topology.CENTRAL_REQUESTS, topology.CENTRAL_OFFICERS, topology.DEAD_CENTRAL},
}
USERS = [user.name for user in users()]
DEFAULT_EXCHANGE = ""

MEDDLING: tuple[Callable[[AbstractQueue], Awaitable[Any]], ...] = (
    lambda queue: queue.consume(_unwanted),
    lambda queue: queue.get(fail=False),
    lambda queue: queue.bind(topology.REPLIES, f"{SYNC}.0"),
    lambda queue: queue.purge(),
    lambda queue: queue.delete(if_empty=False),
)

LogIn = Callable[[str], Awaitable[AbstractChannel]]


@pytest.fixture
async def log_in(servers: Addresses) -> AsyncIterator[LogIn]:
    """A channel of one user, on a connection of its own; all closed afterwards."""
    if len(set(servers.amqp.values())) < len(servers.amqp):
        pytest.skip("SELARAS_AMQP_URL names one user for all: there are no permissions to try")
    connections = []

    async def enter(user: str) -> AbstractChannel:
        connections.append(await aio_pika.connect(servers.amqp[user]))
        return await connections[-1].channel(on_return_raises=True)

    yield enter
    for connection in connections:
        await connection.close()


async def publish(channel: AbstractChannel, exchange: str, key: str, *, user_id: str | None = None) -> None:
    there = await channel.get_exchange(exchange, ensure=False) if exchange else channel.default_exchange
    await there.publish(aio_pika.Message(b"", user_id=user_id), routing_key=key)


@pytest.mark.parametrize(
    ("user", "exchange", "key"),
    [
        # a puller's user asks; it neither pushes nor registers, nor speaks under another's name
        (PULL, topology.CENTRAL, f"{PULL}.push"),
        (PULL, topology.CENTRAL, f"{PULL}.mend"),
        (PULL, topology.CENTRAL, f"{PULL}.rollback"),
        (PULL, topology.CENTRAL, f"{PULL}.give"),
        (PULL, topology.CENTRAL, f"{PULL}.register"),
        (PULL, topology.CENTRAL, f"{SYNC}.push"),
        (PULL, topology.CENTRAL, f"{SYNC}.open"),
        (PULL, topology.CENTRAL, f"{PULL}.open.x"),
        (PULL, topology.CENTRAL, f"x{PULL}.open"),
        # a site's user: neither another's, nor replies, nor anything of a site's own broker or of the officers
        (SYNC, topology.CENTRAL, f"{PULL}.open"),
        (SYNC, topology.CENTRAL, f"{OTHER}.open"),
        (SYNC, topology.CENTRAL, f"{SYNC}.other"),
        (SYNC, topology.REPLIES, f"{SYNC}.0"),
        (SYNC, topology.REPLIES, f"{OTHER}.0"),
        (SYNC, topology.OFFICERS, "change.98000000"),
        (SYNC, topology.CHANGES, "change.98000000"),
        (SYNC, topology.COMMANDS, "sync.98000000"),
        (SYNC, topology.EVENTS, "accepted.98000000"),
        (SYNC, DEFAULT_EXCHANGE, topology.CENTRAL_REQUESTS),
        # an operator: changes and commands only
        (OPERATOR, topology.EVENTS, "accepted.98000000"),
        (OPERATOR, topology.CENTRAL, f"{OPERATOR}.open"),
        (OPERATOR, topology.CENTRAL, f"{SYNC}.push"),
        (OPERATOR, topology.OFFICERS, "change.98000000"),
        (OPERATOR, topology.REPLIES, f"{SYNC}.0"),
        (OPERATOR, topology.CHANGES, "other.98000000"),
        (OPERATOR, topology.COMMANDS, "other.98000000"),
        (OPERATOR, topology.CHANGES_HASH, "change.98000000"),
        (OPERATOR, topology.DEAD, topology.DEAD_SITE),
        (OPERATOR, DEFAULT_EXCHANGE, topology.VALIDATOR_CHANGES[0]),
        # an officer: central's changes only, and no answers to them
        (OFFICER, topology.CHANGES, "change.98000000"),
        (OFFICER, topology.COMMANDS, "sync.98000000"),
        (OFFICER, topology.OFFICERS, "accepted.98000000"),
        (OFFICER, topology.OFFICERS, "answered.98000000"),
        (OFFICER, topology.REPLIES, f"{OFFICER}.0"),
        (OFFICER, topology.EVENTS, "accepted.98000000"),
        (OFFICER, topology.CENTRAL, f"{SYNC}.push"),
        (OFFICER, DEFAULT_EXCHANGE, topology.CENTRAL_OFFICERS),
        # the services announce, and ask nothing
        ("validator", topology.CHANGES, "change.98000000"),
        ("validator", topology.CENTRAL, "validator.push"),
        ("validator", topology.DEAD, topology.DEAD_SITE),
        ("syncer", topology.CHANGES, "change.98000000"),
        ("syncer", topology.CENTRAL, f"{SYNC}.push"),
        ("puller", topology.COMMANDS, "sync.98000000"),
        ("puller", topology.CENTRAL, f"{PULL}.open"),
        ("central", topology.EVENTS, "accepted.98000000"),
        ("central", topology.OFFICERS, "change.98000000"),
        ("central", topology.CENTRAL, f"{SYNC}.push"),
    ],
)
async def test_a_user_publishes_only_what_is_its_own(log_in: LogIn, user: str, exchange: str, key: str) -> None:
    channel = await log_in(user)
    with pytest.raises(ChannelAccessRefused):
        await publish(channel, exchange, key, user_id=user)


@pytest.mark.parametrize("user", USERS)
async def test_a_user_reads_no_service_queue_but_a_services_own(log_in: LogIn, user: str) -> None:
    for queue in topology.QUEUES:
        if queue.name not in SERVICE_QUEUES.get(user, ()):
            channel = await log_in(user)
            with pytest.raises(ChannelAccessRefused):
                await (await channel.get_queue(queue.name, ensure=False)).consume(_unwanted)
            channel = await log_in(user)
            with pytest.raises(ChannelAccessRefused):
                await (await channel.get_queue(queue.name, ensure=False)).get(fail=False)


@pytest.mark.parametrize("user", USERS)
async def test_nobody_changes_the_topology(log_in: LogIn, user: str) -> None:
    async def refused(act: Callable[[AbstractChannel], Awaitable[Any]]) -> None:
        channel = await log_in(user)
        with pytest.raises(ChannelAccessRefused):
            await act(channel)

    await refused(lambda channel: channel.declare_queue("apa-saja"))
    await refused(lambda channel: channel.declare_exchange("apa-saja"))
    await refused(lambda channel: channel.exchange_delete(topology.EVENTS, if_unused=True))
    for queue in topology.QUEUES:
        await refused(_deleting(queue))
        await refused(_declaring(queue))


def _deleting(queue: topology.Queue) -> Callable[[AbstractChannel], Awaitable[Any]]:
    return lambda channel: channel.queue_delete(queue.name, if_empty=True)


def _declaring(queue: topology.Queue) -> Callable[[AbstractChannel], Awaitable[Any]]:
    return lambda channel: channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)


@pytest.mark.parametrize(
    ("user", "name"),
    [
        *((service, f"{prefix}.00") for service in SERVICE_QUEUES for prefix in ("reply", "listen")),
        (SYNC, "listen.00"),
        (SYNC, "reply.xyz"),
        (SYNC, "reply.00.x"),
        (PULL, "listen.00"),
        (OPERATOR, "reply.00"),
        (OFFICER, "reply.00"),
    ],
)
async def test_a_queue_of_ones_own_has_the_name_that_is_ones_own(log_in: LogIn, user: str, name: str) -> None:
    channel = await log_in(user)
    with pytest.raises(ChannelAccessRefused):
        await channel.declare_queue(name, exclusive=True)


@pytest.mark.parametrize(
    ("user", "exchange", "key"),
    [
        (SYNC, topology.REPLIES, f"{OTHER}.*"),
        (SYNC, topology.REPLIES, f"{PULL}.0"),
        (SYNC, topology.REPLIES, "#"),
        (SYNC, topology.REPLIES, "*.*"),
        (SYNC, topology.REPLIES, f"{SYNC}.#"),
        (SYNC, topology.CENTRAL, "#"),
        (SYNC, topology.OFFICERS, "#"),
        (SYNC, topology.EVENTS, "#"),
        (SYNC, topology.CHANGES, "#"),
        (PULL, topology.REPLIES, f"{SYNC}.0"),
        (OPERATOR, topology.CHANGES, "#"),
        (OPERATOR, topology.COMMANDS, "#"),
        (OPERATOR, topology.CENTRAL, "#"),
        (OPERATOR, topology.REPLIES, "#"),
        (OPERATOR, topology.OFFICERS, "#"),
        (OPERATOR, topology.DEAD, topology.DEAD_SITE),
        (OFFICER, topology.OFFICERS, "#"),
        (OFFICER, topology.OFFICERS, "change.*"),
        (OFFICER, topology.CENTRAL, "#"),
        (OFFICER, topology.REPLIES, "#"),
        (OFFICER, topology.REPLIES, f"{OFFICER}.#"),
        (OFFICER, topology.REPLIES, f"{OFFICER}.*"),
        (OFFICER, topology.REPLIES, f"{SYNC}.0"),
        (OFFICER, topology.EVENTS, "#"),
    ],
)
async def test_nobody_listens_to_what_is_anothers(log_in: LogIn, user: str, exchange: str, key: str) -> None:
    channel = await log_in(user)
    prefix = "reply" if user in (SYNC, PULL) else "listen"
    queue = await channel.declare_queue(f"{prefix}.{secrets.token_hex(8)}", exclusive=True)
    with pytest.raises(ChannelAccessRefused):
        await queue.bind(exchange, key)


@pytest.mark.parametrize("intruder", [SYNC, PULL, OTHER])
async def test_a_reply_queue_is_its_connections_own(log_in: LogIn, intruder: str) -> None:
    name = f"reply.{secrets.token_hex(8)}"
    await (await log_in(SYNC)).declare_queue(name, exclusive=True)
    for act in MEDDLING:
        queue = await (await log_in(intruder)).get_queue(name, ensure=False)
        with pytest.raises((ChannelLockedResource, ChannelAccessRefused)):
            await act(queue)


async def test_no_site_has_its_replies_sent_back_to_central_as_requests(log_in: LogIn) -> None:
    """Who writes to one exchange and reads another may bind the one to the other: no verb is a key of a reply."""
    for verb in topology.SYNC_VERBS:
        channel = await log_in(SYNC)
        central = await channel.get_exchange(topology.CENTRAL, ensure=False)
        with pytest.raises(ChannelAccessRefused):
            await central.bind(topology.REPLIES, f"{SYNC}.{verb}")


@pytest.mark.parametrize(
    ("user", "exchange", "key"),
    [
        (OPERATOR, topology.CHANGES, "change.98000000"),
        (OPERATOR, topology.COMMANDS, "sync.98000000"),
        (SYNC, topology.CENTRAL, f"{SYNC}.open"),
        (PULL, topology.CENTRAL, f"{PULL}.open"),
        (OFFICER, topology.OFFICERS, "change.98000000"),
        ("validator", topology.EVENTS, "accepted.98000000"),
        ("central", topology.REPLIES, f"{SYNC}.0"),
    ],
)
async def test_nobody_speaks_as_another(log_in: LogIn, user: str, exchange: str, key: str) -> None:
    for claimed in ("validator" if user != "validator" else "central", OTHER, "guest"):
        channel = await log_in(user)
        with pytest.raises(ChannelPreconditionFailed):
            await publish(channel, exchange, key, user_id=claimed)


@pytest.mark.parametrize("password", ["guest", "", "salah"])
async def test_nobody_logs_in_as_guest(servers: Addresses, password: str) -> None:
    scheme, _, rest = servers.amqp[OPERATOR].partition("://")
    broker = rest.rpartition("@")[2]
    for user in ("guest", OPERATOR):
        assert isinstance(await refused(f"{scheme}://{user}:{password}@{broker}"), ProbableAuthenticationError)


# ── What each must be able to do ─────────────────────────────────────────────────────────────────────────────────────


async def test_an_operator_is_answered_on_every_exchange_that_is_theirs(stage: Stage, npsn: str) -> None:
    change = FieldsChange(entity="peserta_didik", record_id="018f0000-0000-7000-8000-000000000001", fields={})
    requests: list[tuple[str, str, Message]] = [
        (topology.CHANGES, "change", ChangeSubmitted(changes=[change])),
        (topology.COMMANDS, "validate", ValidationRequested()),
    ]
    async with stage.at(npsn) as client:
        for exchange, verb, message in requests:
            event_id = await client.publish(exchange, f"{verb}.{npsn}", message)
            async for event in client.events(event_id, seconds=10):
                assert isinstance(event.data, ChangeRejected)
                assert event.data.problems[0].code == "UBAH-08"
                break
        sessions: list[tuple[Kind, str]] = [("sync", "principal"), ("pull", "operator")]
        for kind, role in sessions:
            end = await stage.session(client, kind, role)
            assert isinstance(end, SessionRefused)
            assert end.problem.code == "SYN-11"


@pytest.mark.parametrize(("user", "verbs"), [(SYNC, topology.SYNC_VERBS), (PULL, topology.PULL_VERBS)])
async def test_a_sites_users_are_answered_whatever_they_may_ask(
    servers: Addresses, stage: Stage, npsn: str, user: str, verbs: tuple[str, ...]
) -> None:
    named: dict[str, Any] = {"session": 1, "incarnation": "tiada"}
    change = PushedChange(entity="ptk", record_id="018f0000-0000-7000-8000-000000000001", op="delete", base_version=1)
    requests: dict[str, Message] = {
        "register": SchoolRegister(code="salah"),
        "open": SessionOpen(
            install_id=wire.new_id(), kind="sync" if user == SYNC else "pull", protocol_version=PROTOCOL_VERSION,
            rules_version="1", lineage=[], cursor=0, highest_seq=0, marks={}, clock=wire.now_text(),
        ),
        "fetch": SessionFetch(**named, cursor=0, limit=1),
        "push": SessionPush(**named, batch_no=1, changes=[change], cursor=0, last=True),
        "buckets": SessionBuckets(**named, entities=["ptk"]),
        "rows": SessionRows(**named, entity="ptk", buckets=[0]),
        "records": SessionRecords(**named, entity="ptk", record_ids=[change.record_id]),
        "mend": SessionMend(**named, statement="", entity="ptk", digests={}, hashes="", records=[], last=True),
        "rollback": SessionRollback(**named, records=[RecordKey("ptk", change.record_id)], as_of=0),
        "give": SessionGive(**named, batch_no=1, records=[GivenRecord("ptk", change.record_id, 1, None)]),
        "verify": SessionVerify(**named, cursor=0, root="0" * 64, unsent=0, held=0, refused=0),
    }  # fmt: skip
    central = Channel(servers.amqp[user], source="/uji")
    await central.start()
    try:
        for verb in verbs:
            answer = await central.ask(verb, npsn, requests[verb])
            assert answer.type in ("session.refused.v1", "session.stale.v1"), verb
    finally:
        await central.stop()


async def test_an_officer_is_answered(stage: Stage, npsn: str) -> None:
    change = OfficerChange(entity="ptk", record_id="018f0000-0000-7000-8000-000000000001", version=0, fields={})
    answer = await stage.officer(npsn, [change])
    assert isinstance(answer, OfficerChangeRejected)
    assert answer.problems[0].code == "PUSAT-04"


async def test_an_officer_asks_for_the_past_and_is_answered_at_its_own_key(
    servers: Addresses, at_central: tuple[str, str]
) -> None:
    npsn, root = at_central
    answers: asyncio.Queue[Event[Any]] = asyncio.Queue()
    key = f"{OFFICER}.{secrets.token_hex(8)}"
    ear = Listener(
        servers.amqp[OFFICER], prefix="listen", bindings=[(topology.REPLIES, key)], heard=answers.put_nowait,
        source="/uji",
    )  # fmt: skip
    await ear.start()
    try:
        for asked, about in ((npsn, HistoryAnswered), (new_npsn(), HistoryRefused)):
            await ear.publisher.announce(
                topology.OFFICERS, f"history.{asked}", HistoryRequested(as_of="head", limit=3), subject=asked,
                reply_to=key, correlation_id=asked,
            )  # fmt: skip
            async with asyncio.timeout(30):
                answer = await answers.get()
            assert (type(answer.data), answer.correlation_id, answer.sender) == (about, asked, "central")
            if isinstance(answer.data, HistoryAnswered):
                assert [row.seq for row in answer.data.rows] == [1, 2, 3]
                assert answer.data.root == root
    finally:
        await ear.stop()


async def _unwanted(_message: object) -> None:
    raise AssertionError("a message of somebody else's")
