"""Backups by schedule: one for all processes, tried again with pauses, shown from the database."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from pyrage.x25519 import Identity

from services.backup import archive, folder, reading, taking
from services.backup.serving import Backups
from services.backup.settings import BackupSettings
from services.backup.taking import Wanted
from services.database import Database
from tests.backup.conftest import fill_site
from tests.broker.desk import until

LOOK_SECONDS = 0.05


class Process:
    """What a process of a service has: its registry, its loop, connections of its own."""

    def __init__(self, url: str, into: Path, key: Identity, every: str | None = "24") -> None:
        self.registry = CollectorRegistry()
        self.database = Database(url, pool=3)
        settings = BackupSettings(
            amqp_url="amqp://a:b@127.0.0.1/", backup_every=every, backup_folder=into,
            backup_recipients=str(key.to_public()), backup_keep=2,
        )  # fmt: skip
        self.backups = Backups(self.database, "site", settings, self.registry, look_seconds=LOOK_SECONDS)

    async def metric(self, name: str, **labels: str) -> float | None:
        """As a scrape would find it."""
        await self.backups.refresh()
        return self.registry.get_sample_value(f"selaras_backup_{name}", {"site": "situs", **labels})


@asynccontextmanager
async def working(*processes: Process) -> AsyncIterator[None]:
    """Their loops run until the block ends, and end then."""
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(process.backups.work(stopping)) for process in processes]
    try:
        yield
    finally:
        stopping.set()
        async with asyncio.timeout(20):
            await asyncio.gather(*tasks)
        for process in processes:
            await process.database.close()


async def attempts(database: Database) -> list[tuple[str | None, str | None]]:
    """(outcome, reason) of each, in order."""
    async with database.transaction() as transaction:
        return [(r.outcome, r.reason) for r in await transaction.rows("SELECT * FROM backup ORDER BY id")]


def counted(database: Database, number: int) -> Callable[[], Awaitable[bool | None]]:
    """So many attempts have come to an end."""

    async def found() -> bool | None:
        return sum(outcome is not None for outcome, _ in await attempts(database)) >= number or None

    return found


async def age(database: Database, **interval: int) -> None:
    """As if all that was tried had been tried so much earlier."""
    async with database.transaction() as transaction:
        await transaction.run(
            "UPDATE backup SET begun_at = begun_at - make_interval(hours => :hours, mins => :minutes)",
            hours=interval.get("hours", 0), minutes=interval.get("minutes", 0),
        )  # fmt: skip


async def test_several_processes_make_one_backup_at_once_and_one_when_it_is_due(
    site_database: Database, wanted: Wanted, key: Identity
) -> None:
    await fill_site(site_database)
    processes = [Process(site_database.url, wanted.folder, key) for _ in range(4)]
    async with working(*processes):
        await until(counted(site_database, 1))
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert await attempts(site_database) == [("completed", None)]
        await age(site_database, hours=25)
        await until(counted(site_database, 2))
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert await attempts(site_database) == [("completed", None)] * 2
        assert sum([await one.metric("attempts_total") or 0 for one in processes]) == 2
    for one in folder.kept(wanted.folder):
        assert reading.check(one.file, [key]).manifest.tables["record"].rows == 500


async def test_what_fails_is_counted_and_tried_again_after_a_pause_until_it_succeeds(
    site_database: Database, wanted: Wanted, key: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    into = wanted.folder / "belum-ada"
    process = Process(site_database.url, into, key)
    async with working(process):
        await until(counted(site_database, 1))
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert await attempts(site_database) == [("failed", "CAD-02")], "a minute's pause"
        assert await process.metric("failing") == 1
        await age(site_database, minutes=2)
        await until(counted(site_database, 2))
        await asyncio.sleep(10 * LOOK_SECONDS)
        await age(site_database, minutes=1)
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert len(await attempts(site_database)) == 2, "two minutes' pause"
        assert await process.metric("failures_total", reason="CAD-02") == 2
        assert await process.metric("last_success_timestamp_seconds") == 0
        into.mkdir()
        await age(site_database, minutes=2)
        await until(counted(site_database, 3))

        async def mended() -> bool | None:
            return await process.metric("failing") == 0 or None

        await until(mended)
        assert (await process.metric("last_success_timestamp_seconds") or 0) > 0
    said = [vars(record) for record in caplog.records if record.message == "a backup failed"]
    assert [one["code"] for one in said] == ["CAD-02", "CAD-02"]
    assert all("belum-ada: No such file or directory" in one["why"] for one in said)


async def test_the_states_are_the_databases_and_not_a_process_s(
    site_database: Database, wanted: Wanted, key: Identity
) -> None:
    made = await taking.take(site_database, "site", wanted)
    assert made is not None
    later = Process(site_database.url, wanted.folder, key, every="0.5")
    assert await later.metric("last_success_bytes") == made.file.stat().st_size
    assert await later.metric("schedule_seconds") == 1800
    assert (await later.metric("last_success_duration_seconds") or 0) > 0
    assert await later.metric("attempts_total") == 0
    unscheduled = Process(site_database.url, wanted.folder, key, every=None)
    assert await unscheduled.metric("schedule_seconds") == 0
    async with working(unscheduled):
        await asyncio.sleep(5 * LOOK_SECONDS)
    await later.database.close()
    assert len(await attempts(site_database)) == 1, "nobody asked for another"


async def test_an_attempt_whose_process_died_counts_as_failed_for_the_next(
    site_database: Database, wanted: Wanted, key: Identity
) -> None:
    async with site_database.transaction() as transaction:
        await transaction.run("INSERT INTO backup DEFAULT VALUES")
    process = Process(site_database.url, wanted.folder, key)
    async with working(process):
        await asyncio.sleep(10 * LOOK_SECONDS)
        assert await attempts(site_database) == [(None, None)], "a minute's pause"
        await age(site_database, minutes=2)
        await until(counted(site_database, 1))


async def test_a_service_that_stops_breaks_its_backup_off_without_a_trace(
    site_database: Database, wanted: Wanted, key: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill_site(site_database)
    stopping, original = asyncio.Event(), archive.Writer.rows

    def rows(self: archive.Writer, table: str, piece: bytes) -> None:
        loop.call_soon_threadsafe(stopping.set)
        original(self, table, piece)

    loop = asyncio.get_running_loop()
    monkeypatch.setattr(archive.Writer, "rows", rows)
    process = Process(site_database.url, wanted.folder, key)
    async with asyncio.timeout(20):
        await process.backups.work(stopping)
    await process.database.close()
    assert await attempts(site_database) == []
    assert list(wanted.folder.iterdir()) == []


async def test_a_database_that_is_away_stops_nothing(
    wanted: Wanted, key: Identity, caplog: pytest.LogCaptureFixture
) -> None:
    process = Process("postgresql+asyncpg://a:b@127.0.0.1:1/tidak-ada", wanted.folder, key)
    async with working(process):

        async def said() -> bool | None:
            return any(record.message == "a backup waits" for record in caplog.records) or None

        await until(said)
