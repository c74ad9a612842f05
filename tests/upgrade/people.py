"""What people do at a school while releases change under them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date

from services.cli.client import Client
from services.demo.stage import End, Stage
from services.demo.synthetic import jsonl, synthetic_school
from services.messages import FieldsChange, SessionCompleted
from services.replica import records
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal, officer_corrects
from tests.upgrade.system import System


@asynccontextmanager
async def people_at(system: System) -> AsyncIterator[Stage]:
    """What people do with the system, and what can be read back."""
    stage = system.stage()
    stage.folder.mkdir(exist_ok=True)
    try:
        yield stage
    finally:
        await stage.close()


async def a_school(system: System, stage: Stage, npsn: str, pupils: int = 12) -> School:
    """A school with its baseline, in sync; whatever a test types is a change."""
    data = synthetic_school(7, npsn=npsn, today=date.today(), pupils=pupils, classes=6, teachers=8)  # noqa: DTZ011
    for pupil in data["peserta_didik"].values():
        pupil |= {"anak_keberapa": 1, "rt": 1}
    baseline = "".join(line + "\n" for line in jsonl(data))
    await stage.register(npsn, await asyncio.to_thread(system.add_school, npsn, baseline))
    async with stage.at(npsn) as client:
        completed(await stage.session(client, "pull", "operator"))
    return School(npsn, data)


def completed(end: End) -> SessionCompleted:
    """A session that ended well."""
    assert isinstance(end, SessionCompleted), end
    assert end.outcome == "completed", end
    return end


async def type_in(stage: Stage, client: Client, school: School, value: int, pupils: int = 2) -> None:
    """An operator types the same value for the first students."""
    changes: list[FieldsChange] = [school.change(number, anak_keberapa=value) for number in range(pupils)]
    assert await stage.publish(client, changes) == (pupils, [])


async def goes_both_ways(stage: Stage, client: Client, school: School, value: int) -> SessionCompleted:
    """A change here and one there, a sync; how it ended."""
    await type_in(stage, client, school, value)
    await officer_corrects(stage, school, 3, rt=value)
    end = completed(await stage.session(client, "sync", "principal"))
    assert (end.sent, end.received) == (2, 1)
    assert await are_equal(stage, school.npsn)
    return end


async def typed_at_central(stage: Stage, npsn: str, value: int) -> int:
    """How many students have this value at central."""
    async with stage.registry.transaction() as transaction:
        found: int = await transaction.value(
            """
            SELECT count(*) FROM record
            WHERE npsn = :npsn AND entity = 'peserta_didik' AND CAST(text AS jsonb) ->> 'anak_keberapa' = :value
            """,
            npsn=npsn,
            value=str(value),
        )
    return found


async def pending(stage: Stage, npsn: str) -> int:
    """How many records of the school are not sent, on any release's tables."""
    async with stage.replica.transaction() as transaction:
        return await records.count_pending(transaction, npsn)
