"""Migrations: additive, declared, patient, and never in the way of the release before."""

from __future__ import annotations

import asyncio
import sys

import asyncpg
import pytest
from alembic.script import ScriptDirectory
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import migrations, runtime, tables
from services.database import Database
from services.embedded.stack import Addresses
from services.runtime import NotSetUp, Service
from services.settings import ServiceSettings
from services.tables import Side, Tables
from tests.upgrade.rehearsal import rehearse
from tests.upgrade.release import Release
from tests.upgrade.system import SIDES, System

RECORDS = 20_000
MOST_WAITED_SECONDS = 1.5
"""LOCK_TIMEOUT, and what a busy machine adds."""


@pytest.fixture
async def empty(servers: Addresses) -> str:
    """The address of a database without tables."""
    name = "selaras_test_migrations"
    engine = create_async_engine(servers.administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
        await connection.execute(text(f"CREATE DATABASE {name}"))
    await engine.dispose()
    return make_url(servers.administrator).set(database=name).render_as_string(hide_password=False)


async def sql(url: str, statement: str) -> None:
    database = Database(url, pool=1)
    async with database.transaction() as transaction:
        await transaction.run(statement)
    await database.close()


async def read(url: str) -> Tables:
    database = Database(url, pool=1)
    try:
        async with database.transaction() as transaction:
            return await tables.read(transaction)
    finally:
        await database.close()


def scripts(side: Side) -> ScriptDirectory:
    return ScriptDirectory.from_config(migrations.config(side, ""))


def oldest_code(side: Side, revision: str) -> str:
    script = scripts(side).get_revision(revision)
    assert script is not None
    return str(script.module.oldest_code)


@pytest.mark.parametrize("side", SIDES)
def test_every_migration_declares_the_oldest_code_that_may_run_on_it(side: Side) -> None:
    revisions = [script.revision for script in reversed(list(scripts(side).walk_revisions()))]
    oldest = [oldest_code(side, revision) for revision in revisions]
    assert revisions == sorted(revisions)
    assert revisions[-1] == tables.NEEDED[side]
    assert oldest == sorted(oldest)
    assert all(code <= revision for code, revision in zip(oldest, revisions, strict=True))
    assert set(oldest) <= set(revisions)


@pytest.mark.parametrize("side", SIDES)
def test_the_release_before_may_run_on_the_tables_of_this_one(side: Side, release_before: Release) -> None:
    its = release_before.python_says(
        "-c",
        "import sys; from alembic.script import ScriptDirectory; from services import migrations;"
        "print(ScriptDirectory.from_config(migrations.config(sys.argv[1], '')).get_current_head())",
        side,
    ).strip()
    made = Tables(tables.NEEDED[side], oldest_code(side, tables.NEEDED[side]))
    assert tables.misfit(side, made, needed=its) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (Tables(None), "no tables yet: run `selaras migrate site`"),
        (Tables("0001"), "older than this release (revision 0001, it needs 0002): run `selaras migrate site`"),
        (Tables("0002", "0001"), None),
        (Tables("0002", "0002"), None),
        (Tables("0003", "0002"), None),
        (Tables("0003", "0003"), "of a newer release (revision 0003), on which this one (revision 0002) may not run"),
        (Tables("0003"), "of a newer release"),
    ],
)
def test_what_fits_is_told_by_the_revision_and_the_oldest_code(found: Tables, says: str | None) -> None:
    why = tables.misfit("site", found, needed="0002")
    assert (why is None) if says is None else (why is not None and says in why), why


async def test_the_oldest_code_is_left_in_the_database(empty: str) -> None:
    assert await read(empty) == Tables(None)
    assert await asyncio.to_thread(migrations.upgrade, "site", empty, "0001") == Tables("0001", "0001")
    assert await asyncio.to_thread(migrations.upgrade, "site", empty) == Tables(tables.NEEDED["site"], "0001")
    assert await asyncio.to_thread(migrations.upgrade, "site", empty) == Tables(tables.NEEDED["site"], "0001")


async def test_two_upgrades_at_once_wait_for_each_other(empty: str) -> None:
    command = (sys.executable, "-P", "-m", "services.cli", "migrate", "central")
    both = [
        await asyncio.create_subprocess_exec(*command, env={"SELARAS_CENTRAL_DATABASE_URL": empty}) for _ in range(2)
    ]
    assert [await one.wait() for one in both] == [0, 0]
    assert await read(empty) == Tables(tables.NEEDED["central"], "0001")


async def a_service_on(url: str, servers: Addresses) -> Service:
    settings = ServiceSettings(amqp_url=servers.amqp["central"])
    return Service("uji", settings, Database(url, pool=1), side="site")


async def test_a_service_starts_on_no_older_tables_and_says_what_to_run(empty: str, servers: Addresses) -> None:
    await asyncio.to_thread(migrations.upgrade, "site", empty, "0001")
    with pytest.raises(NotSetUp, match=r"older than this release .*: run `selaras migrate site`"):
        await runtime.run([await a_service_on(empty, servers)])


async def test_a_service_goes_on_with_newer_tables_that_only_add_and_says_so(
    empty: str, servers: Addresses, caplog: pytest.LogCaptureFixture
) -> None:
    await asyncio.to_thread(migrations.upgrade, "site", empty)
    await sql(empty, "UPDATE alembic_version SET version_num = '9998'")
    service = await a_service_on(empty, servers)
    await service.start()
    await service.stop()
    (said,) = [record for record in caplog.records if "of a newer release" in record.message]
    assert (vars(said)["tables"], vars(said)["needed"]) == ("9998", tables.NEEDED["site"])
    left = await asyncio.to_thread(migrations.upgrade, "site", empty)
    assert left.revision == "9998", "a migration of this release has nothing to do there"


async def test_nothing_runs_on_newer_tables_that_took_something_away(empty: str, servers: Addresses) -> None:
    await asyncio.to_thread(migrations.upgrade, "site", empty)
    await sql(empty, "UPDATE alembic_version SET version_num = '9998'")
    await sql(empty, tables.note("9997"))
    with pytest.raises(NotSetUp, match="start the newer release again, or put back the backup"):
        await runtime.run([await a_service_on(empty, servers)])
    with pytest.raises(migrations.TablesUnfit, match="may not run"):
        await asyncio.to_thread(migrations.upgrade, "site", empty)


async def test_a_migration_that_finds_its_tables_in_use_changes_nothing_and_names_who(empty: str) -> None:
    await asyncio.to_thread(migrations.upgrade, "site", empty, "0001")
    url = make_url(empty).set(drivername="postgresql").render_as_string(hide_password=False)
    holder = await asyncpg.connect(url, server_settings={"application_name": "laporan"})
    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE statement IN ACCESS SHARE MODE")
            with pytest.raises(migrations.TablesInUse, match=r"in use for 0 s and changed nothing: .* laporan, pid"):
                async with asyncio.timeout(30):
                    await asyncio.to_thread(migrations.upgrade, "site", empty, patience_seconds=0.2)
            assert await read(empty) == Tables("0001", "0001")
            assert not await holder.fetchval("SELECT to_regclass('stated') IS NOT NULL")
        assert (await asyncio.to_thread(migrations.upgrade, "site", empty)).revision == tables.NEEDED["site"]
    finally:
        await holder.close()


async def test_the_release_before_works_on_while_full_tables_are_migrated(system: System) -> None:
    figures = await rehearse(system, RECORDS)
    assert min(figures.records.values()) >= RECORDS
    assert figures.requests_meanwhile > 0
    assert max(figures.longest_wait.values()) < MOST_WAITED_SECONDS, figures
