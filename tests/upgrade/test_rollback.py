"""Back again, as docs/operations.md describes it: the release before on the new tables, and backups put back."""

from __future__ import annotations

import asyncio
import os
import subprocess
from functools import partial
from pathlib import Path

from services.central import auditing
from services.demo.stage import Stage
from services.embedded import postgresql
from services.embedded.stack import SERVICES
from services.messages import SessionFailed, SessionRefused
from services.signing import PublicKeys
from services.tables import NEEDED, Side
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal
from tests.upgrade.people import a_school, completed, goes_both_ways, pending, people_at, type_in, typed_at_central
from tests.upgrade.system import PASSWORD, SIDES, System


async def test_the_release_before_takes_over_again_on_the_new_tables_and_nothing_is_lost(
    system: System, npsn: str
) -> None:
    async with people_at(system) as stage, stage.at(npsn) as client:
        school = await updated_and_used(system, stage, npsn)
        await type_in(stage, client, school, 4)  # not sent yet when the older release takes over
        await asyncio.to_thread(system.old, *SERVICES)
        assert completed(await stage.session(client, "sync", "principal")).sent == 2
        assert await typed_at_central(stage, npsn, 4) == 2
        assert (await goes_both_ways(stage, client, school, 5)).jws == ""
        completed(await stage.session(client, "pull", "operator"))

        await asyncio.to_thread(system.stack.stop, "puller")
        await asyncio.to_thread(
            system.new, "validator", "syncer", "central"
        )  # and forward again, with nothing to migrate
        assert (await goes_both_ways(stage, client, school, 6)).jws
        assert completed(await stage.session(client, "verify", "operator")).repaired == 0
        assert await are_equal(stage, npsn)
        assert await stage.metric("central", "selaras_central_invariant_violations_total") == 0
        audited = await auditing.audit(stage.registry, npsn, PublicKeys.read(system.keys.public), every=True)
        assert [trouble for trouble, _ in audited.troubles] == ["signature"] * 3, "two syncs and a pull, not signed"


async def test_backups_of_both_sides_are_put_back_together_and_one_alone_is_noticed(
    system: System, npsn: str, tmp_path: Path
) -> None:
    """Together, made while nothing ran, they are the system as it was. Alone, the other side has gone on."""
    async with people_at(system) as stage:
        school = await updated_and_used(system, stage, npsn, backups=tmp_path)
        await put_back(system, stage, "central", tmp_path, "syncer", "central")
        async with stage.at(npsn) as client:
            stopped = await stage.session(client, "sync", "principal")
            assert isinstance(stopped, SessionRefused | SessionFailed), stopped
            assert stopped.problem.code == "SYN-15", "central is behind what it had signed"

        await put_back(system, stage, "site", tmp_path, "validator", "syncer", "central")
        async with stage.at(npsn) as client:
            assert await pending(stage, npsn) == 2, "typed before the backup"
            assert completed(await stage.session(client, "sync", "principal")).sent == 2
            assert await typed_at_central(stage, npsn, 2) == 2
            assert await typed_at_central(stage, npsn, 3) == 0, "what came after the backup is gone at both sides"
            await goes_both_ways(stage, client, school, 4)

        await put_back(system, stage, "site", tmp_path, *SERVICES)
        async with stage.at(npsn) as client:
            refused = await stage.session(client, "sync", "principal")
            assert isinstance(refused, SessionRefused), refused
            assert refused.problem.code == "SYN-05"
            await asyncio.to_thread(partial(system.release_before.run, "reinstall", npsn, "--yes", **stage.site))
            assert await are_equal(stage, npsn)
            assert await typed_at_central(stage, npsn, 4) == 2, "what had been sent after the backup"
            await goes_both_ways(stage, client, school, 5)


async def updated_and_used(system: System, stage: Stage, npsn: str, *, backups: Path | None = None) -> School:
    """backup → update → use: a school whose two edits were typed before the backup, and two more after the update."""
    system.old("validator", "puller", "central")
    school = await a_school(system, stage, npsn)
    async with stage.at(npsn) as client:
        await type_in(stage, client, school, 2)
    await asyncio.to_thread(system.stack.stop_all)
    if backups is not None:
        for side in SIDES:
            await asyncio.to_thread(back_up, system, side, backups)
    await asyncio.to_thread(system.migrate)
    await asyncio.to_thread(system.new_topology)
    await asyncio.to_thread(system.new, "validator", "syncer", "central")
    async with stage.at(npsn) as client:
        assert completed(await stage.session(client, "sync", "principal")).sent == 2
        assert (await goes_both_ways(stage, client, school, 3)).jws
    return school


def back_up(system: System, side: Side, folder: Path) -> None:
    _run(system, "pg_dump", "--format=custom", f"--file={folder / side}", system.database(side))


async def put_back(system: System, stage: Stage, side: Side, folder: Path, *needed: str) -> None:
    """Stop everything, put one side back into a database made anew, and start what is `needed` of the release before.

    (`pg_restore --clean` knows nothing of the tables that came after the backup.)
    """
    await asyncio.to_thread(system.stack.stop_all)
    await (stage.replica if side == "site" else stage.registry).close()
    name = system.database(side)
    administrator = await system.as_superuser()
    try:
        await administrator.execute(f"DROP DATABASE IF EXISTS {name}_aside")
        await administrator.execute(f"ALTER DATABASE {name} RENAME TO {name}_aside")
        await administrator.execute(f"CREATE DATABASE {name} OWNER {name}")
    finally:
        await administrator.close()
    await asyncio.to_thread(
        _run, system, "pg_restore", "--exit-on-error", "--single-transaction", f"--dbname={name}", str(folder / side)
    )
    restored = await system.as_superuser(name)
    try:
        revision = await restored.fetchval("SELECT version_num FROM alembic_version")
        assert revision < NEEDED[side], "the tables of the release before"
    finally:
        await restored.close()
    await asyncio.to_thread(system.old, *needed)


def _run(system: System, program: str, *words: str) -> None:
    """One of PostgreSQL's programs as the owner of a side's database; they come with the private server."""
    name = next(system.database(side) for side in SIDES if any(system.database(side) in word for word in words))
    where = {"PGHOST": "127.0.0.1", "PGPORT": str(system.servers.postgresql_port), "PGUSER": name}
    ran = subprocess.run(
        [postgresql.binaries() / program, *words],
        env={**os.environ, **where, "PGPASSWORD": PASSWORD},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
