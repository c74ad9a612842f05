"""Central's handlers over a real database, with what they announce caught."""

from __future__ import annotations

import pytest

from services.central.schools import ensure_incarnation
from services.database import Database
from tests.central.desk import Desk


@pytest.fixture
async def desk(central_database: Database) -> Desk:
    """Central with one school, registered at the site `situs`."""
    await ensure_incarnation(central_database)
    return await Desk.of(central_database)
