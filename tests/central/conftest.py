"""Central's handlers over a real database, with what they announce caught."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator

import pytest

from services.central.schools import ensure_incarnation
from services.database import Database
from services.migrations import upgrade_async
from tests.central.desk import Desk

URL = os.environ.get("SELARAS_CENTRAL_DATABASE_URL", "postgresql+asyncpg://postgres@/central?host=/tmp/cpg")


@pytest.fixture(scope="session")
async def migrated() -> AsyncIterator[Database]:
    await upgrade_async("central", URL)
    database = Database(URL)
    yield database
    await database.close()


@pytest.fixture
async def central_database(migrated: Database) -> Database:
    async with migrated.transaction() as transaction:
        await transaction.run(
            "TRUNCATE incarnation, school, record, history, last_batch, statement, account, answer, quarantine"
        )
    return migrated


@pytest.fixture
async def desk(central_database: Database) -> Desk:
    """Central with one school, registered at the site `situs`."""
    await ensure_incarnation(central_database)
    return await Desk.of(central_database)
