"""The real servers, once for all tests: private ones in `.run/test`, or those that SELARAS_… name.

Tests of one package get databases of their own, emptied before each test. Tests of the whole system get the four
services as processes, and a school of their own each.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import migrations, topology
from services.database import Database
from services.embedded.stack import Addresses, Stack, stack

WORKER = os.environ.get("PYTEST_XDIST_WORKER", "")
"""Each of pytest-xdist's workers has servers of its own."""
RUN_DIR = Path(os.environ.get("SELARAS_TEST_RUN_DIR") or Path(__file__).parent.parent / ".run" / "test") / WORKER
ENVIRONMENT = {
    "SELARAS_LOG_FORMAT": "json",
    "SELARAS_LEASE_SECONDS": "2",
    "SELARAS_ANSWER_SECONDS": "2",
    "SELARAS_AFTER_SECONDS": "15",
    "SELARAS_BATCH_RECORDS": "10",
    "SELARAS_PAGE_RECORDS": "50",
    "SELARAS_JUDGE_AFTER_SECONDS": "0.2",
    "SELARAS_JUDGE_PER_MINUTE": "1200",
}
OTHERS = (
    *topology.link_users("lain"),  # another site
    topology.person_user("orang"),  # may publish, and has no account anywhere
    topology.administrator_user(),
    topology.User("penguji", configure=".*", write=".*", read=".*"),  # a broker's administrator
)
_numbers = count(1)
_areas: set[int] = set()


@pytest.fixture(scope="session")
def running() -> Iterator[Stack]:
    """Servers and the four services; small batches and short leases, so that a kill comes in the middle of many."""
    with stack(RUN_DIR, fresh=True, say=print, environment=ENVIRONMENT, others=OTHERS) as running:
        yield running


@pytest.fixture(scope="session")
def servers(running: Stack) -> Addresses:
    """Where the servers are."""
    return running.addresses


@pytest.fixture
def npsn() -> str:
    """A school that no other test uses, and whose synthetic people share no number with another's (`new_npsn`)."""
    return new_npsn()


def new_npsn() -> str:
    """The next NPSN of which `services.demo.synthetic` makes numbers of its own: a NISN tells 1,000 areas apart."""
    while True:
        npsn = f"98{next(_numbers):06d}"
        area = zlib.crc32(npsn.encode()) % 1000
        if area not in _areas:
            _areas.add(area)
            return npsn


@pytest.fixture(scope="session")
async def _site(servers: Addresses) -> AsyncIterator[Database]:
    async for database in _made(servers, "site"):
        yield database


@pytest.fixture(scope="session")
async def _central(servers: Addresses) -> AsyncIterator[Database]:
    async for database in _made(servers, "central"):
        yield database


@pytest.fixture
async def site_database(_site: Database) -> Database:
    """An empty replica that no service serves."""
    return await _emptied(_site)


@pytest.fixture
async def central_database(_central: Database) -> Database:
    """An empty registry that no service serves."""
    return await _emptied(_central)


async def _made(servers: Addresses, side: migrations.Side) -> AsyncIterator[Database]:
    name = f"selaras_test_{side}"
    engine = create_async_engine(servers.administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    url = make_url(servers.administrator).set(database=name).render_as_string(hide_password=False)
    await migrations.upgrade_async(side, url)
    database = Database(url)
    yield database
    await database.close()


async def _emptied(database: Database) -> Database:
    async with database.transaction() as transaction:
        names = await transaction.value(
            """
            SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables
            WHERE schemaname = 'public' AND tablename <> 'alembic_version'
            """
        )
        await transaction.run(f"TRUNCATE {names}")
    return database
