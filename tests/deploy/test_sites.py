"""Sites let in, shown and shut out on a running broker and registry."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import urlsplit

import aio_pika
import pytest
from aio_pika.exceptions import ProbableAuthenticationError
from aiormq.exceptions import ChannelAccessRefused

from services import topology
from services.database import Database
from services.deploy import certificates, sites
from services.deploy.joining import Joining
from services.deploy.management import Management, ManagementRefused
from services.embedded.stack import Addresses
from services.intake import Accounts
from tests.broker.refusing import refused

ADMINISTRATOR = topology.ADMINISTRATOR_USER


@dataclass(frozen=True)
class Office:
    """Where an administrator of central works."""

    management: Management
    accounts: Accounts
    central: sites.Central
    broker: str

    async def add(self, name: str, *, rotate: bool = False) -> Joining | None:
        return await sites.add(self.management, self.accounts, name, self.central, rotate=rotate)

    def here(self, url: str) -> str:
        """The same user at the tests' broker, which speaks no TLS."""
        parts = urlsplit(url)
        return f"amqp://{parts.username}:{parts.password}@{self.broker}/"


def management_url(servers: Addresses) -> str:
    if servers.servers is None:
        pytest.skip("SELARAS_AMQP_URL names servers whose management interface is not known")
    password = urlsplit(servers.amqp[ADMINISTRATOR]).password
    return f"http://{ADMINISTRATOR}:{password}@127.0.0.1:{servers.servers.management_port}/"


@pytest.fixture
def office(servers: Addresses, central_database: Database) -> Office:
    authority, _ = certificates.new_authority("pusat", certificates.now())
    return Office(
        Management(management_url(servers)),
        Accounts(central_database),
        sites.Central("pusat.example:5671", '{"keys": []}', authority.decode()),
        urlsplit(servers.amqp[ADMINISTRATOR]).netloc.rpartition("@")[2],
    )


async def test_a_site_that_is_added_may_do_exactly_what_the_topology_says(office: Office) -> None:
    joining = await office.add("barat")
    assert joining is not None
    assert {(one.user_name, one.npsn, one.role) for one in await office.accounts.every()} == {
        ("barat-sync", "*", "site-sync"),
        ("barat-pull", "*", "site-pull"),
    }
    connection = await aio_pika.connect(office.here(joining.pull_url))
    async with connection:
        channel = await connection.channel()
        exchange = await channel.get_exchange(topology.CENTRAL, ensure=False)
        await exchange.publish(aio_pika.Message(b"", user_id="barat-pull"), "barat-pull.open")
        with pytest.raises(ChannelAccessRefused):
            await exchange.publish(aio_pika.Message(b"", user_id="barat-pull"), "barat-pull.push")
    exported = office.management._ask("GET", "definitions")
    for user in topology.link_users("barat"):
        (limits,) = [one["limits"] for one in exported["users"] if one["name"] == user.name]
        assert limits == {"max-connections": user.max_connections}
        (given,) = [one for one in exported["permissions"] if one["user"] == user.name]
        assert (given["configure"], given["write"], given["read"]) == (user.configure, user.write, user.read)
        topics = {one["exchange"]: (one["write"], one["read"]) for one in exported["topic_permissions"]
                  if one["user"] == user.name}  # fmt: skip
        assert topics == user.topics


async def test_adding_again_changes_no_password_and_rotating_changes_both_and_ends_the_old_connections(
    office: Office,
) -> None:
    first = await office.add("timur")
    assert first is not None
    assert await office.add("timur") is None
    connection = await aio_pika.connect(office.here(first.sync_url))
    closed = asyncio.Event()
    connection.close_callbacks.add(lambda *_: closed.set())
    second = await office.add("timur", rotate=True)
    assert second is not None
    async with asyncio.timeout(15):
        await closed.wait()
    for url in (first.sync_url, first.pull_url):
        assert isinstance(await refused(office.here(url)), ProbableAuthenticationError)
    for url in (second.sync_url, second.pull_url):
        await (await aio_pika.connect(office.here(url))).close()


async def test_a_site_that_is_removed_is_shut_out_and_leaves_no_account(office: Office) -> None:
    joining = await office.add("selatan")
    assert joining is not None
    assert "selatan" in sites.names(office.management)
    await sites.remove(office.management, office.accounts, "selatan")
    assert "selatan" not in sites.names(office.management)
    assert await office.accounts.every() == []
    assert isinstance(await refused(office.here(joining.sync_url)), ProbableAuthenticationError)
    with pytest.raises(sites.NotASite):
        await sites.remove(office.management, office.accounts, "selatan")


async def test_users_that_site_add_did_not_make_are_left_alone(office: Office) -> None:
    for rotate in (False, True):
        with pytest.raises(sites.NotASite):
            await office.add("situs", rotate=rotate)
    with pytest.raises(sites.NotASite):
        await sites.remove(office.management, office.accounts, "situs")
    assert await office.accounts.every() == []


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda url: url.replace(f"{ADMINISTRATOR}:", f"{ADMINISTRATOR}:x"), "refuses this user or password"),
        (lambda _url: "http://a:b@127.0.0.1:1/", "does not answer"),
    ],
)
def test_a_management_interface_out_of_reach_is_said_in_a_sentence(servers: Addresses, change, words: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ManagementRefused, match=words) as refused:
        Management(change(management_url(servers))).names()
    assert (urlsplit(servers.amqp[ADMINISTRATOR]).password or "?") not in str(refused.value)
