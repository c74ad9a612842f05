"""Databases with something in them, empty ones to put it into, and keys."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import date
from pathlib import Path

import pytest
from pyrage.x25519 import Identity
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import migrations, tables
from services.backup import sealing
from services.backup.taking import Wanted
from services.central import administration, lives
from services.database import Database
from services.demo.synthetic import jsonl, synthetic_school
from services.embedded.stack import Addresses
from services.intake import Quarantine
from services.replica import registration
from services.tables import Side

NPSN = "99000010"
NewDatabase = Callable[[], Awaitable[str]]


@pytest.fixture
def key() -> Identity:
    """A key that backups are opened with."""
    return Identity.generate()


@pytest.fixture
def wanted(tmp_path: Path, key: Identity) -> Wanted:
    """A folder of its own, one recipient."""
    folder = tmp_path / "cadangan"
    folder.mkdir()
    return Wanted(folder, [key.to_public()], keep=3)


@pytest.fixture
def key_file(tmp_path: Path, key: Identity) -> Path:
    """The same key as a file."""
    file = tmp_path / "kunci.txt"
    file.write_text(f"# public key: {key.to_public()}\n{key}\n")
    assert str(sealing.identities(file)[0]) == str(key)
    return file


@pytest.fixture
async def new_database(servers: Addresses) -> AsyncIterator[NewDatabase]:
    """Makes empty databases; their addresses."""
    engine = create_async_engine(servers.administrator, isolation_level="AUTOCOMMIT")
    made: list[str] = []

    async def make() -> str:
        name = f"selaras_test_backup_{len(made)}"
        async with engine.connect() as connection:
            await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
            await connection.execute(text(f"CREATE DATABASE {name}"))
        made.append(name)
        return make_url(servers.administrator).set(database=name).render_as_string(hide_password=False)

    yield make
    async with engine.connect() as connection:
        for name in made:
            await connection.execute(text(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)"))
    await engine.dispose()


async def tables_in(url: str, side: Side, revision: str | None = None) -> Database:
    """The tables of a revision in an empty database."""
    await asyncio.to_thread(migrations.upgrade, side, url, revision or tables.NEEDED[side])
    return Database(url)


async def fill_site(database: Database) -> None:
    """A school, and rows with everything that a text format might trip over."""
    await registration.register(database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    awkward = 'tab\t baris\n balik\\ \\. \r "kutip" \u0301 \U0001f393'
    async with database.transaction() as transaction:
        await transaction.run(
            """
            INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data, refusal)
            SELECT :npsn, 'peserta_didik', CAST(gen_random_uuid() AS text), n % 3, n, nullif(:text || n, :text || '7'),
                   :text || n, CASE WHEN n % 5 = 0 THEN CAST('{"a": [1.50, null]}' AS jsonb) END
            FROM generate_series(1, 500) n
            """,
            npsn=NPSN, text=awkward,
        )  # fmt: skip
        await transaction.run(
            "INSERT INTO overruled (npsn, entity, record_id, field, version, how) "
            "SELECT :npsn, 'ptk', 'x', 'nama', n, 'overruled' FROM generate_series(1, 41) n",
            npsn=NPSN,
        )
    await Quarantine(database).put(
        queue="q", code="MSG-01", cause="c", sender="s", routing_key="r", properties={"a": 1},
        body=bytes(range(256)),
    )  # fmt: skip


async def fill_central(database: Database, npsn: str = NPSN, pupils: int = 40) -> None:
    """A school with its baseline, and an incarnation."""
    await lives.ensure(database)
    data = synthetic_school(7, npsn=npsn, today=date.today(), pupils=pupils, classes=2, teachers=5)  # noqa: DTZ011
    await administration.add_school(database, npsn, jsonl(data))


async def content(database: Database) -> dict[str, list[str]]:
    """Every row of every table as text, computed columns too, and where each sequence stands."""
    async with database.transaction() as transaction:
        names = await transaction.rows("SELECT tablename AS name FROM pg_tables WHERE schemaname = 'public'")
        found = {
            row.name: [
                r.text for r in await transaction.rows(f'SELECT t::text AS text FROM "{row.name}" t ORDER BY t::text')
            ]
            for row in names
        }
        sequences = await transaction.rows(
            "SELECT sequencename || ' ' || coalesce(last_value, 0) AS text FROM pg_sequences ORDER BY sequencename"
        )
    return found | {"sequences": [row.text for row in sequences]}
