"""Central's handlers over a real database, with what they announce caught."""

from __future__ import annotations

import pytest

from services.central import lives
from services.database import Database
from services.intake import Accounts
from tests.central.desk import Desk
from tests.central.neighbours import Neighbour
from tests.central.numbers import A, B, C


@pytest.fixture
async def desk(central_database: Database) -> Desk:
    """Central with one school, registered at the site `situs`."""
    await lives.ensure(central_database)
    return await Desk.of(central_database)


@pytest.fixture
async def central(central_database: Database) -> Database:
    """Central with the accounts of the site `situs` and of an officer."""
    await lives.ensure(central_database)
    accounts = Accounts(central_database)
    await accounts.grant("situs-sync", "*", "site-sync")
    await accounts.grant("dinas", "*", "officer")
    return central_database


@pytest.fixture
async def a(central: Database) -> Neighbour:
    """A school with nothing but its own record."""
    return await Neighbour.at(central, A)


@pytest.fixture
async def b(central: Database) -> Neighbour:
    """A school with nothing but its own record."""
    return await Neighbour.at(central, B)


@pytest.fixture
async def c(central: Database) -> Neighbour:
    """A school with nothing but its own record."""
    return await Neighbour.at(central, C)
