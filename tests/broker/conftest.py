"""The running system seen from outside; see tests/e2e/conftest.py for `stage`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date

import pytest
from rich.console import Console

from services.calendar import today
from services.central import administration
from services.demo.stage import Stage
from services.demo.synthetic import jsonl, synthetic_school
from services.embedded.stack import Stack
from services.messages import SessionCompleted
from tests.broker.desk import Desk
from tests.e2e.conftest import stage as stage

NPSN = "97000001"


@pytest.fixture(scope="session")
async def desk(running: Stack) -> AsyncIterator[Desk]:
    """One small school for all of these tests, and a line to it."""
    stage = Stage(running, Console(quiet=True))
    data = synthetic_school(11, npsn=NPSN, today=date.today(), pupils=6, classes=1, teachers=3)  # noqa: DTZ011
    await stage.register(NPSN, await administration.add_school(stage.registry, NPSN, jsonl(data)))
    async with stage.at(NPSN) as client:
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
    desk = Desk(stage, NPSN, list(data["peserta_didik"]))
    await desk.open()
    yield desk
    await desk.close()
    await stage.close()


@pytest.fixture
async def at_central(stage: Stage, npsn: str) -> tuple[str, str]:
    """A school that central has, which no site has registered, and its root."""
    data = synthetic_school(3, npsn=npsn, today=today(), pupils=6, classes=1, teachers=2)
    await administration.add_school(stage.registry, npsn, jsonl(data))
    return npsn, (await stage.centre(npsn)).root
