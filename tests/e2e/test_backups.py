"""Backups of the running system: a site put back is known by its marks, central starts on what is put back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from pyrage.x25519 import Identity
from rich.console import Console
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.backup import reading
from services.backup.taking import Wanted, take
from services.cli import backup as command
from services.database import Database
from services.demo.stage import Stage
from services.embedded.stack import Stack
from services.messages import SessionCompleted
from services.tables import Side
from tests.backup.conftest import content
from tests.e2e.conftest import School
from tests.e2e.test_installations import code, restored, sync_one, value_here
from tests.e2e.test_sync import are_equal

OF_SITE = ("validator", "syncer", "puller")


@pytest.fixture
async def empty(stage: Stage) -> AsyncIterator[str]:
    """The address of an empty database."""
    name = "selaras_test_backup_e2e"
    administrator = stage.stack.addresses.administrator
    engine = create_async_engine(administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        await connection.execute(text(f"CREATE DATABASE {name}"))
    yield make_url(administrator).set(database=name).render_as_string(hide_password=False)
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    await engine.dispose()


async def backed_up(database: Database, side: Side, folder: Path, key: Identity) -> Path:
    """A backup of a database that services work on."""
    made = await take(database, side, Wanted(folder, [key.to_public()], 1))
    assert made is not None
    return made.file


async def put_back(url: str, side: Side, file: Path, key: Identity) -> None:
    """As `selaras backup restore` does."""
    await command._restore(url, side, file, [key], reading.check(file, [key]))


async def restart(running: Stack, names: tuple[str, ...], **settings: str) -> None:
    """Stop services and start them anew."""
    for name in names:
        await asyncio.to_thread(running.stop, name)
    for name in names:
        running.start(name, **settings)
    await asyncio.to_thread(running.wait_ready, *names)


async def test_a_site_put_back_from_a_backup_is_refused_and_reinstalled(
    stage: Stage, running: Stack, school: School, empty: str, tmp_path: Path
) -> None:
    key = Identity.generate()
    await sync_one(stage, school, 0, anak_keberapa=2)
    file = await backed_up(stage.replica, "site", tmp_path, key)
    await sync_one(stage, school, 0, anak_keberapa=3)
    head = (await stage.centre(school.npsn)).head_seq
    await put_back(empty, "site", file, key)
    there = Stage(replace(running, addresses=replace(running.addresses, site_database=empty)), Console(quiet=True))
    try:
        await restart(running, OF_SITE, SELARAS_SITE_DATABASE_URL=empty)
        assert await value_here(there, school, 0, "anak_keberapa") == "2"
        assert await code(there, school, "sync", "principal") == "SYN-05"
        assert await code(there, school, "pull", "operator") == "SYN-05"
        assert (await there.centre(school.npsn)).head_seq == head, "nothing old was sent"
        assert isinstance(await restored(there, school), SessionCompleted)
        assert await value_here(there, school, 0, "anak_keberapa") == "3"
        await sync_one(there, school, 1, anak_keberapa=5)
        assert await are_equal(there, school.npsn)
    finally:
        await there.close()
        await restart(running, OF_SITE)


async def test_a_school_that_sent_nothing_since_the_backup_goes_on(
    stage: Stage, running: Stack, school: School, empty: str, tmp_path: Path
) -> None:
    key = Identity.generate()
    await sync_one(stage, school, 0, anak_keberapa=2)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(1, anak_keberapa=7)])
    file = await backed_up(stage.replica, "site", tmp_path, key)
    await put_back(empty, "site", file, key)
    there = Stage(replace(running, addresses=replace(running.addresses, site_database=empty)), Console(quiet=True))
    try:
        await restart(running, OF_SITE, SELARAS_SITE_DATABASE_URL=empty)
        assert await code(there, school, "sync", "principal") is None
        assert await value_here(there, school, 1, "anak_keberapa") == "7", "typed, not sent, and in the backup"
        assert await are_equal(there, school.npsn)
    finally:
        await there.close()
        await restart(running, OF_SITE)


async def test_central_starts_on_what_was_put_back_which_is_what_was_there(
    stage: Stage, running: Stack, school: School, empty: str, tmp_path: Path
) -> None:
    key = Identity.generate()
    await sync_one(stage, school, 0, anak_keberapa=2)
    await asyncio.to_thread(running.stop, "central")  # what it does by itself would be between the two
    try:
        before = await content(stage.registry)
        file = await backed_up(stage.registry, "central", tmp_path, key)
        await put_back(empty, "central", file, key)
        back = Database(empty)
        after = await content(back)
        await back.close()
        del before["sequences"][0], after["sequences"][0]  # that of the table `backup` counted this one
        lives = before.pop("incarnation"), after.pop("incarnation")
        assert len(lives[1]) == len(lives[0]) + 1, "another life has begun, so that nobody takes it for the old one"
        assert after == before
        assert any(school.npsn in row for row in after["record"])
        running.start("central", SELARAS_CENTRAL_DATABASE_URL=empty)
        await asyncio.to_thread(running.wait_ready, "central")
        assert "selaras_central_schools" in running.metrics("central")
    finally:
        await restart(running, ("central",))


async def test_what_was_signed_comes_back_to_a_central_put_back_from_a_backup(
    stage: Stage, running: Stack, school: School, empty: str, tmp_path: Path
) -> None:
    key = Identity.generate()
    await sync_one(stage, school, 0, anak_keberapa=2)
    file = await backed_up(stage.registry, "central", tmp_path, key)
    await sync_one(stage, school, 1, anak_keberapa=3)
    await put_back(empty, "central", file, key)
    there = Stage(replace(running, addresses=replace(running.addresses, central_database=empty)), Console(quiet=True))
    try:
        await restart(running, ("central",), SELARAS_CENTRAL_DATABASE_URL=empty)
        await sync_one(there, school, 2, anak_keberapa=4)
        assert await are_equal(there, school.npsn)
        for number, value in ((0, 2), (1, 3), (2, 4)):
            stored = await there.central_record(school.npsn, "peserta_didik", school.pupils[number])
            assert stored.fields is not None
            assert stored.fields["anak_keberapa"] == value
    finally:
        await there.close()
        await restart(running, ("central",))


async def test_a_service_makes_backups_as_scheduled_and_shows_them(
    stage: Stage, running: Stack, school: School, tmp_path: Path
) -> None:
    """Of the real validator and of central, with the settings as an operator sets them; nobody's data in their logs."""
    key = Identity.generate()
    nik = str(school.data["peserta_didik"][school.pupils[0]]["nik"])
    names = {"validator": "selaras_backup", "central": "selaras_central_backup"}
    for name in names:
        (tmp_path / name).mkdir()
        await restart(
            running, (name,), SELARAS_BACKUP_EVERY="24", SELARAS_BACKUP_FOLDER=str(tmp_path / name),
            SELARAS_BACKUP_RECIPIENTS=str(key.to_public()),
        )  # fmt: skip
    try:
        for name, metric in names.items():
            async with (stage.replica if name == "validator" else stage.registry).transaction() as transaction:
                await transaction.run("UPDATE backup SET begun_at = begun_at - CAST('2 days' AS interval)")
            for _ in range(300):
                files = list((tmp_path / name).glob("selaras-*"))
                if files:
                    break
                await asyncio.sleep(0.1)
            assert len(files) == 1
            assert reading.check(files[0], [key]).rows > 0
            for _ in range(100):
                if await stage.metric(name, f"{metric}_last_success_bytes") == files[0].stat().st_size:
                    break
                await asyncio.sleep(0.05)
            assert await stage.metric(name, f"{metric}_last_success_bytes") == files[0].stat().st_size
            assert await stage.metric(name, f"{metric}_schedule_seconds") == 86400
            assert nik not in running.log_file(name).read_text(encoding="utf-8")
            assert "a backup was made" in running.log_file(name).read_text(encoding="utf-8")
    finally:
        await restart(running, tuple(names))
