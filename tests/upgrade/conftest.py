"""Servers for these tests alone, for their broker and their tables begin as the release before had them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from itertools import count

import pytest

from services.embedded import Servers
from services.embedded.stack import Keys
from tests.conftest import ENVIRONMENT, RUN_DIR
from tests.upgrade.release import NoPrevious, Release, previous
from tests.upgrade.system import System, old_system, servers_for_upgrades

_numbers = count(1)


@pytest.fixture(scope="session")
def release_before() -> Release:
    """The release before, installed."""
    try:
        return previous()
    except NoPrevious as why:
        pytest.fail(str(why), pytrace=False)


@pytest.fixture(scope="session")
def upgrade_servers() -> Iterator[tuple[Servers, Keys]]:
    """Servers, and central's keys."""
    with servers_for_upgrades(RUN_DIR / "upgrade") as found:
        yield found


@pytest.fixture
async def system(upgrade_servers: tuple[Servers, Keys], release_before: Release) -> AsyncIterator[System]:
    """The release before with empty tables and its own topology; no service runs yet."""
    async with old_system(f"uji{next(_numbers)}", *upgrade_servers, release_before, ENVIRONMENT) as system:
        yield system
