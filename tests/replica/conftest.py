"""A school of a replica, as sessions find it."""

from __future__ import annotations

import pytest

from services.database import Database
from services.replica import registration
from services.replica.requests import Requests
from services.replica.sessions import Replica
from tests.builders import TODAY

NPSN = "97000001"


@pytest.fixture
async def replica(site_database: Database) -> Replica:
    """A registered school without records."""
    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    return Replica(Requests(site_database, lease_seconds=60), lambda: TODAY)
