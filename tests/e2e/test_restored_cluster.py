"""Central on a PostgreSQL cluster of its own that is put back physically under the running services."""

from __future__ import annotations

import asyncio
import urllib.error
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import pytest
from rich.console import Console

from services import migrations
from services.demo.stage import Stage
from services.embedded.stack import Stack, seed_accounts
from services.messages import SessionCompleted
from tests.clusters import Cluster, Clusters, clusters, until
from tests.e2e.conftest import MakeSchool, School
from tests.e2e.test_backups import restart
from tests.e2e.test_installations import code, sync_one
from tests.e2e.test_restored_central import recovers, value_there
from tests.e2e.test_sync import are_equal


@dataclass
class Physical:
    """The running system with central on `primary`, whose address every later server of its takes over."""

    many: Clusters
    primary: Cluster
    stage: Stage

    async def replaced_by(self, other: Cluster) -> None:
        """The primary ends, and another takes its address; who was connected is thrown out."""
        await self.stage.registry.close()
        await asyncio.to_thread(self.primary.stop)
        other.port, self.primary = self.primary.port, other


def _a_primary(many: Clusters) -> Cluster:
    cluster = many.new().archiving()
    cluster.start()
    cluster.run("CREATE DATABASE central")
    migrations.upgrade("central", cluster.url())
    return cluster


@pytest.fixture
async def physical(running: Stack, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Physical]:
    """Central is moved to an empty cluster, and afterwards back to its own database."""
    with clusters(tmp_path_factory.mktemp("clusters") / "run") as many:
        primary = await asyncio.to_thread(_a_primary, many)
        addresses = replace(running.addresses, central_database=primary.url())
        await seed_accounts(addresses)
        stage = Stage(replace(running, addresses=addresses), Console(quiet=True))
        try:
            await restart(running, ("central",), SELARAS_CENTRAL_DATABASE_URL=primary.url())
            yield Physical(many, primary, stage)
        finally:
            await stage.close()
            await restart(running, ("central",))


@pytest.fixture
async def stage(physical: Physical) -> Stage:
    """The system as people meet it, for the fixtures of schools."""
    return physical.stage


@pytest.fixture
async def school(make_school: MakeSchool) -> School:
    """A school with its baseline, in sync."""
    return await make_school()


async def test_a_point_in_time_recovery_under_the_running_services_loses_nothing_that_was_signed(
    physical: Physical, school: School
) -> None:
    stage = physical.stage
    await sync_one(stage, school, 0, anak_keberapa=2)
    copy = await asyncio.to_thread(physical.many.backup, physical.primary)
    await sync_one(stage, school, 1, anak_keberapa=3)
    await asyncio.to_thread(physical.primary.restore_point, "here")
    await sync_one(stage, school, 2, anak_keberapa=4)
    central = stage.stack.processes["central"].pid
    await physical.replaced_by(copy)
    await asyncio.to_thread(copy.recover, target="here")
    assert [await value_there(stage, school, n, "anak_keberapa") for n in (1, 2)] == [3, 1]
    end = await sync_one(stage, school, 3, anak_keberapa=5)
    assert [await value_there(stage, school, n, "anak_keberapa") for n in range(4)] == [2, 3, 4, 5]
    assert len(end.receipt["lineage"]) == 2
    assert await recovers(stage, school) == 1
    assert await are_equal(stage, school.npsn)
    assert stage.stack.processes["central"].poll() is None
    assert stage.stack.processes["central"].pid == central


async def test_a_standby_is_not_served_from_before_it_is_promoted_and_forgets_nothing_it_had(
    physical: Physical, school: School
) -> None:
    stage = physical.stage
    standby = await asyncio.to_thread(physical.many.backup, physical.primary, "--write-recovery-conf")
    await asyncio.to_thread(standby.start)
    receipt = (await sync_one(stage, school, 0, anak_keberapa=2)).receipt
    written = await asyncio.to_thread(physical.primary.run, "SELECT pg_current_wal_flush_lsn()::text")
    await asyncio.to_thread(until, lambda: standby.run(f"SELECT pg_last_wal_replay_lsn() >= '{written}'") is True)
    await asyncio.to_thread(standby.stop)
    await physical.replaced_by(standby)
    await asyncio.to_thread(standby.start)
    async with stage.at(school.npsn) as client:
        sync = await stage.ask(client, "sync", "principal")
        await asyncio.to_thread(stage.stack.stop, "central")
        log = stage.stack.log_file("central")
        before = log.stat().st_size
        stage.stack.start("central")
        await asyncio.to_thread(until, lambda: b"answers" in log.read_bytes()[before:])
        await asyncio.to_thread(until, lambda: _waits_for_the_database(stage))
        assert (await stage.here(school.npsn)).open, "the sync waits"
        assert standby.port == physical.primary.port
        await asyncio.to_thread(standby.run, "SELECT pg_promote()")
        end = await stage.end_of(client, sync)
    assert isinstance(end, SessionCompleted), end
    await asyncio.to_thread(stage.stack.wait_ready, "central")
    assert end.receipt["lineage"][:-1] == receipt["lineage"]
    assert await recovers(stage, school) == 0, "nothing was forgotten"
    assert await code(stage, school, "pull", "operator") is None
    assert await are_equal(stage, school.npsn)


def _waits_for_the_database(stage: Stage) -> bool:
    """Does central live, and say why it is not ready?"""
    assert stage.stack.processes["central"].poll() is None, "it has ended"
    try:
        stage.stack.page("central", "readyz")
    except urllib.error.HTTPError as error:
        return error.code == 503 and b"waiting for the database" in error.read()
    except OSError:
        return False
    return False
