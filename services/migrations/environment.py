"""How Alembic reaches a database: the services' own driver, one transaction per migration, one upgrade at a time."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from alembic import context
from alembic.runtime.migration import MigrationInfo
from alembic.script import Script
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import tables

ADVISORY_LOCK = 5_311_127
"""Two upgrades of one database at once wait for each other."""
LOCK_TIMEOUT = "500ms"
"""Whoever wants the table meanwhile waits as long. Less than PostgreSQL's deadlock_timeout (1 s): where a migration and
a service wait for each other, it is the migration that gives up.
"""


def run() -> None:
    """Run the migrations that Alembic's context asks for."""
    asyncio.run(_run(context.config.attributes["url"]))


async def _run(url: str) -> None:
    engine = create_async_engine(url, poolclass=pool.NullPool)
    try:
        async with engine.begin() as connection:
            await connection.run_sync(_upgrade)
    finally:
        await engine.dispose()


def _upgrade(connection: Connection) -> None:
    connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": ADVISORY_LOCK})
    connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
    oldest_code: list[str] = []

    def applied(*, step: MigrationInfo, **_: object) -> None:
        oldest_code.append(cast(Script, step.up_revision).module.oldest_code)

    context.configure(
        connection=connection,
        transactional_ddl=True,
        version_table=tables.VERSION_TABLE,
        on_version_apply=cast(Any, applied),
    )
    with context.begin_transaction():
        context.run_migrations()
    if oldest_code:  # another upgrade may have done it while this one waited
        connection.execute(text(tables.note(oldest_code[-1])))
