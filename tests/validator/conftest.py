"""Real servers for these tests, until tests/conftest.py brings them for all."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import pytest
from sqlalchemy import text

from services import migrations, topology
from services.database import Database
from services.embedded import Servers, private_servers

PASSWORD = "uji"
PEOPLE = ("operator-satu", "tetangga")


@dataclass(frozen=True)
class Private:
    """The servers, and an address on them for each broker user."""

    servers: Servers

    def amqp(self, user: str) -> str:
        return self.servers.amqp_url(user, PASSWORD)


@pytest.fixture(scope="session")
def private(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Private]:
    users = [*topology.service_users(), *(topology.person_user(name) for name in PEOPLE)]
    with private_servers(
        tmp_path_factory.mktemp("servers"),
        definitions=topology.definitions({user.name: (user, PASSWORD) for user in users}),
        databases={"site": ("site", PASSWORD)},
        fresh=True,
    ) as servers:
        yield Private(servers)


@pytest.fixture
async def site_database_url(private: Private) -> AsyncIterator[str]:
    """An empty replica of the test's own."""
    name = f"uji_{uuid.uuid4().hex[:12]}"
    admin = Database(private.servers.superuser_url)
    async with admin.engine.connect() as connection:
        await (await connection.execution_options(isolation_level="AUTOCOMMIT")).execute(
            text(f"CREATE DATABASE {name} OWNER site")
        )
    await admin.close()
    url = private.servers.database_url("site", PASSWORD, name)
    await migrations.upgrade_async("site", url)
    yield url


@pytest.fixture
async def site_database(site_database_url: str) -> AsyncIterator[Database]:
    database = Database(site_database_url)
    yield database
    await database.close()
