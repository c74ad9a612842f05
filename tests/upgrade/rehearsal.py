"""Migrations forward on full databases, while the release before goes on working: measured.

`make upgrade-rehearsal` has a million records on each side, which take minutes to make; `make test` a few thousand.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import asyncpg

from services.demo.stage import Stage
from services.embedded.stack import SERVICES
from tests.conftest import ENVIRONMENT, new_npsn
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal
from tests.upgrade.people import a_school, completed, people_at, type_in
from tests.upgrade.release import previous
from tests.upgrade.system import SIDES, System, old_system, servers_for_upgrades

SCHOOLS = 3
"""Schools that are at work meanwhile."""
SLOW_READER_SECONDS = 3.0
"""A reader that does not let the tables go when the migrations begin: a report, a backup."""
SAMPLE_SECONDS = 0.01
FILL = {
    "central": """
        INSERT INTO school (npsn, nama, registration_code_hash, lineage, head_seq, confirmed_seq)
        SELECT format('N%s', lpad(n::text, 7, '0')), 'Sekolah Uji', '', lineage, head_seq, head_seq
        FROM school, generate_series(1, $2::integer) AS n WHERE npsn = $1;
        INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by)
        SELECT format('N%s', lpad(n::text, 7, '0')), entity, record_id, version, seq, text, written_by
        FROM record, generate_series(1, $2::integer) AS n WHERE npsn = $1;
        INSERT INTO statement (npsn, incarnation, session, head_seq, kind, root, body, ordinal)
        SELECT format('N%s', lpad(n::text, 7, '0')), incarnation, session + m, head_seq, kind, root, body, ordinal + m
        FROM statement, generate_series(1, $2::integer) AS n, generate_series(1, 10) AS m WHERE npsn = $1
    """,
    "site": """
        INSERT INTO school (npsn, nama, install_id, registration_no, cursor, settled, highest_seq, lineage)
        SELECT format('N%s', lpad(n::text, 7, '0')), nama, install_id, 1, cursor, settled, highest_seq, lineage
        FROM school, generate_series(1, $2::integer) AS n WHERE npsn = $1;
        INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data)
        SELECT format('N%s', lpad(n::text, 7, '0')), entity, record_id, base_version, base_seq, base, data
        FROM record, generate_series(1, $2::integer) AS n WHERE npsn = $1;
        INSERT INTO statement (npsn, incarnation, session, kind, head_seq, root, body)
        SELECT format('N%s', lpad(n::text, 7, '0')), incarnation, session + m, kind, head_seq, root, body
        FROM statement, generate_series(1, $2::integer) AS n, generate_series(1, 10) AS m WHERE npsn = $1
    """,
}
"""The records of one school ($1) once more for many others ($2): the texts are real, the hashes the database's own."""
WHOLE = {
    side: f"""
        SELECT count(*), bit_xor(CAST('x' || encode(substring({column} FOR 8), 'hex') AS bit(64)))::text
        FROM record WHERE npsn LIKE 'N%'
    """
    for side, column in (("central", "row_hash"), ("site", "base_hash"))
}
WAITS = """
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - l.waitstart)), 0)
    FROM pg_locks l JOIN pg_stat_activity a ON a.pid = l.pid
    WHERE NOT l.granted AND a.datname = $1 AND a.application_name <> ''
"""
"""How long a service has waited for a lock by now (a migration gives no application_name)."""


@dataclass
class Figures:
    """What was measured; times in seconds."""

    records: dict[str, int] = field(default_factory=dict)
    migrated: dict[str, float] = field(default_factory=dict)
    longest_wait: dict[str, float] = field(default_factory=dict)
    requests: int = 0
    requests_meanwhile: int = 0
    slowest_request: float = 0.0


async def rehearse(system: System, records: int, say: Callable[[str], None] = lambda _text: None) -> Figures:
    """Fill the tables of the release before, work with it, migrate both sides under it. Raises what a request raised.

    Each side is migrated while a reader holds its tables for SLOW_READER_SECONDS.
    """
    figures = Figures()
    system.old(*SERVICES)
    async with people_at(system) as stage:
        schools = [await a_school(system, stage, new_npsn()) for _ in range(SCHOOLS)]
        for side in SIDES:
            began = time.monotonic()
            figures.records[side] = await _fill(system, side, schools[0].npsn, records)
            say(f"{side}: {figures.records[side]:,} records in {time.monotonic() - began:.0f} s")
        before = {side: await _whole(system, side) for side in SIDES}
        stop = asyncio.Event()
        working = [asyncio.create_task(_work(stage, school, figures, stop)) for school in schools]
        try:
            await _requests_more(figures, working, 2 * SCHOOLS)
            begun = figures.requests
            for side in SIDES:
                async with _watched(system, side, figures), _slow_reader(system, side):
                    began = time.monotonic()
                    await asyncio.to_thread(system.migrate, side)
                    figures.migrated[side] = time.monotonic() - began
            figures.requests_meanwhile = figures.requests - begun
            await _requests_more(figures, working, 2 * SCHOOLS)
        finally:
            stop.set()
            await asyncio.gather(*working)
        assert {side: await _whole(system, side) for side in SIDES} == before
        for school in schools:
            assert await are_equal(stage, school.npsn)
    return figures


async def _work(stage: Stage, school: School, figures: Figures, stop: asyncio.Event) -> None:
    """An operator types, a principal syncs, an operator pulls; over and over, and each must end well."""
    async with stage.at(school.npsn) as client:
        value = 2
        while not stop.is_set():
            for step in ("type", "sync", "pull"):
                began = time.monotonic()
                if step == "type":
                    value = value % 9 + 1
                    await type_in(stage, client, school, value)
                elif step == "sync":
                    assert completed(await stage.session(client, "sync", "principal")).sent == 2
                else:
                    completed(await stage.session(client, "pull", "operator"))
                figures.requests += 1
                figures.slowest_request = max(figures.slowest_request, time.monotonic() - began)


async def _requests_more(figures: Figures, working: list[asyncio.Task[None]], more: int) -> None:
    """Wait until so many requests more have ended; raises what stopped one."""
    enough = figures.requests + more
    async with asyncio.timeout(120):
        while figures.requests < enough:
            done, _ = await asyncio.wait(working, timeout=SAMPLE_SECONDS)
            for task in done:
                task.result()


@asynccontextmanager
async def _watched(system: System, side: str, figures: Figures) -> AsyncIterator[None]:
    """Sample how long any service waits for a lock of this side meanwhile."""
    connection = await system.as_superuser()

    async def watch() -> None:
        while True:
            waited = float(await connection.fetchval(WAITS, system.database(side)))
            figures.longest_wait[side] = max(figures.longest_wait.get(side, 0.0), waited)
            await asyncio.sleep(SAMPLE_SECONDS)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        watching.cancel()
        with suppress(asyncio.CancelledError):
            await watching
        await connection.close()


@asynccontextmanager
async def _slow_reader(system: System, side: str) -> AsyncIterator[None]:
    """Somebody reads the table that is to be altered, in a transaction that stays open for a while."""
    connection = await system.as_superuser(system.database(side))

    async def reads() -> None:
        async with connection.transaction():
            await connection.fetchval("SELECT count(*) FROM statement")
            reading.set()
            await asyncio.sleep(SLOW_READER_SECONDS)

    reading = asyncio.Event()
    task = asyncio.create_task(reads())
    await reading.wait()
    try:
        yield
    finally:
        await task
        await connection.close()


async def _fill(system: System, side: str, npsn: str, records: int) -> int:
    connection = await system.as_superuser(system.database(side))
    try:
        each = await connection.fetchval("SELECT count(*) FROM record WHERE npsn = $1", npsn)
        for statement in FILL[side].split(";"):
            await connection.execute(statement, npsn, -(-records // each))
        await connection.execute("ANALYZE")
        return int(await connection.fetchval("SELECT count(*) FROM record"))
    finally:
        await connection.close()


async def _whole(system: System, side: str) -> tuple[Any, ...]:
    """What the filled records come to: how many, and all their hashes in one."""
    connection: asyncpg.Connection = await system.as_superuser(system.database(side))
    try:
        found = await connection.fetchrow(WHOLE[side])
        assert found is not None
        return tuple(found)
    finally:
        await connection.close()


async def _main(records: int, run_dir: Path) -> None:
    with servers_for_upgrades(run_dir) as found:
        async with old_system("latihan", *found, previous(), ENVIRONMENT) as system:
            figures = await rehearse(system, records, say=lambda text: print(text, flush=True))
    for side in SIDES:
        print(
            f"{side}: migrated in {figures.migrated[side]:.2f} s ({SLOW_READER_SECONDS:g} s of it behind a reader); "
            f"a service waited {figures.longest_wait[side]:.2f} s for a lock at most"
        )
    print(
        f"{figures.requests} requests of the release before, {figures.requests_meanwhile} during the migrations; "
        f"all ended well, the slowest after {figures.slowest_request:.2f} s"
    )


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), Path(".run/rehearsal").resolve()))
