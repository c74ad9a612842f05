"""Central as a service on a real broker: users, replies, quarantine, and what the broker itself took out."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from services import signing, topology, wire
from services.broker import Publisher, connect, user_of
from services.central import registry
from services.central.administration import add_school
from services.central.app import Settings, build
from services.database import Database
from services.embedded import private_servers
from services.intake import Accounts
from services.link import Channel
from services.messages import (
    PROTOCOL_VERSION,
    OfficerChangeSubmitted,
    SchoolRegister,
    SchoolRegistered,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPush,
    SessionRefusal,
    SessionResult,
    SessionVerify,
)
from services.migrations import upgrade_async
from services.runtime import Service
from tests.builders import NPSN
from tests.central.desk import baseline, corrects, expect, put

PASSWORD = "uji"


@dataclass
class Running:
    """A running central and how to reach its broker."""

    service: Service
    database: Database
    urls: dict[str, str]


@pytest.fixture(scope="module")
async def central(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Running]:
    users = [*topology.service_users(), *topology.link_users("situs"), topology.officer_user("dinas")]
    definitions = topology.definitions({user.name: (user, PASSWORD) for user in users})
    folder = Path(tmp_path_factory.mktemp("servers"))
    with private_servers(
        folder, definitions=definitions, databases={"central": ("central", PASSWORD)}, fresh=True
    ) as servers:
        url = servers.database_url("central", PASSWORD, "central")
        await upgrade_async("central", url)
        urls = {user.name: servers.amqp_url(user.name, PASSWORD) for user in users}
        signing.new(folder / "keys.json")
        service = build(
            Settings(amqp_url=urls["central"], central_database_url=url, signing_keys_file=folder / "keys.json")
        )
        await service.start()
        yield Running(service, service.database, urls)
        await service.stop()


async def test_a_whole_session_crosses_the_broker(central: Running) -> None:
    accounts = Accounts(central.database)
    await accounts.grant("situs-sync", "*", "site-sync")
    await accounts.grant("situs-pull", "*", "site-pull")
    await accounts.grant("dinas", "*", "officer")
    code = await add_school(central.database, NPSN, baseline(300))
    channel = Channel(central.urls["situs-sync"], source="/situs/syncer")
    await channel.start()
    try:
        registered = expect(await channel.ask("register", NPSN, SchoolRegister(code=code)), SchoolRegistered)
        opening = SessionOpen(
            install_id=registered.install_id, kind="sync", protocol_version=PROTOCOL_VERSION, rules_version="1",
            lineage=[], cursor=0, highest_seq=0, marks={}, clock="2026-08-03T01:00:00Z",
        )  # fmt: skip
        granted = expect(await channel.ask("open", NPSN, opening), SessionGranted)
        assert len(granted.page.rows) == 301
        named: dict[str, Any] = {"session": granted.session, "incarnation": granted.incarnation}
        push = SessionPush(**named, batch_no=1, changes=[put(1, 1, rt=(None, 7))], cursor=301, last=True)
        result = expect(await channel.ask("push", NPSN, push), SessionResult)
        assert [v.verdict for v in result.verdicts] == ["applied"]
        root = await _root(central.database)
        verify = SessionVerify(**named, cursor=302, root=root, unsent=0, held=0, refused=0)
        assert expect(await channel.ask("verify", NPSN, verify), SessionEqual).statement["head_seq"] == 302
    finally:
        await channel.stop()
    await _officer_and_answer(central)
    await _quarantine_and_the_next_good_message(central)
    await _refused_and_told_so(central)
    page = (await _get(central, "/metrics")).text
    assert 'selaras_central_sessions_total{kind="sync",site="pusat"} 1.0' in page
    assert 'selaras_dead_letters{queue="central.requests",reason="MSG-05",site="pusat"} 2.0' in page
    assert (await _get(central, "/readyz")).status_code == 200


async def _root(database: Database) -> str:
    async with database.transaction() as transaction:
        return (await registry.roots(transaction, NPSN)).root


async def _officer_and_answer(central: Running) -> None:
    """An officer's change is written though nobody listens to the answer."""
    broker = connect(central.urls["dinas"])
    await broker.start()
    publisher = Publisher(broker, user=user_of(central.urls["dinas"]), source="/dinas")
    event = OfficerChangeSubmitted(changes=[corrects(2, 1, rt=3)])
    await publisher.announce(topology.OFFICERS, f"change.{NPSN}", event, subject=NPSN)
    await _until(central.database, "SELECT head_seq = 303 FROM school")
    await broker.stop()


async def _quarantine_and_the_next_good_message(central: Running) -> None:
    """A puller that asks for a session's page of another site's gets nothing; what it sent is kept."""
    broker = connect(central.urls["situs-pull"])
    await broker.start()
    publisher = Publisher(broker, user="situs-pull", source="/situs/puller")
    fetch = SessionFetch(session=1, incarnation="x", cursor=0, limit=1)
    await publisher.announce(
        topology.CENTRAL, "situs-pull.fetch", fetch, subject=NPSN, reply_to="situs-sync.1", id=wire.new_id()
    )
    await _until(central.database, "SELECT count(*) = 1 FROM quarantine WHERE code = 'MSG-05'")
    await broker.stop()


async def _refused_and_told_so(central: Running) -> None:
    """A request that cannot be taken is answered, so that its site does not take central for away."""
    channel = Channel(central.urls["situs-pull"], source="/situs/puller", answer_seconds=10)
    await channel.start()
    opening = SessionOpen(
        install_id="i", kind="sync", protocol_version=PROTOCOL_VERSION, rules_version="1", lineage=[], cursor=0,
        highest_seq=0, marks={}, clock="2026-08-03T01:00:00Z",
    )  # fmt: skip
    try:
        refusal = expect(await channel.ask("open", NPSN, opening), SessionRefusal)
    finally:
        await channel.stop()
    assert refusal.problem.code == "MSG-05"


async def _until(database: Database, question: str) -> None:
    async with asyncio.timeout(10):
        while True:
            async with database.transaction() as transaction:
                if await transaction.value(question):
                    return
            await asyncio.sleep(0.05)


async def _get(central: Running, path: str) -> httpx.Response:
    async with httpx.AsyncClient() as client:
        return await client.get(f"http://127.0.0.1:{central.service.http_port}{path}")
