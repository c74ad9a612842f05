"""Schools of their own for tests of the whole system: at central, registered at the site, with their baseline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from datetime import date

import pytest
from rich.console import Console

from services.central import administration
from services.demo.stage import Stage
from services.demo.synthetic import Records, jsonl, synthetic_school
from services.embedded.stack import SERVICES, Stack
from services.messages import FieldsChange, SessionCompleted


@dataclass(frozen=True)
class School:
    """A synthetic school of a test."""

    npsn: str
    data: Records

    @property
    def pupils(self) -> list[str]:
        """The record_ids of its students."""
        return list(self.data["peserta_didik"])

    def change(self, number: int, **fields: object) -> FieldsChange:
        """An operator's change of the n-th student."""
        return FieldsChange(entity="peserta_didik", record_id=self.pupils[number], fields=fields)


@pytest.fixture
async def stage(running: Stack) -> AsyncIterator[Stage]:
    """The running system; whatever service a test killed is up again afterwards."""
    stage = Stage(running, Console(quiet=True))
    yield stage
    await stage.close()
    for name in SERVICES:
        if running.processes[name].poll() is not None:
            running.start(name)
    running.wait_ready()


MakeSchool = Callable[..., Awaitable[School]]


@pytest.fixture
def make_school(stage: Stage, npsn: str) -> MakeSchool:
    """Registers a school with 60 students and brings its baseline in; another one, if it is given an NPSN."""

    async def make(npsn: str = npsn) -> School:
        data = synthetic_school(7, npsn=npsn, today=date.today(), pupils=60, classes=6, teachers=8)  # noqa: DTZ011
        for pupil in data["peserta_didik"].values():
            pupil["anak_keberapa"] = 1  # whatever else a test types is a change
        await stage.register(npsn, await administration.add_school(stage.registry, npsn, jsonl(data)))
        async with stage.at(npsn) as client:
            end = await stage.session(client, "pull", "operator")
        assert isinstance(end, SessionCompleted), end
        return School(npsn, data)

    return make


@pytest.fixture
async def school(make_school: MakeSchool) -> School:
    """A school with its baseline, in sync."""
    return await make_school()
