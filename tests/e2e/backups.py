"""Central's database copied aside and put back under the running services, as a restored dump comes back."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count

from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.demo.stage import Stage

_numbers = count(1)


@dataclass(frozen=True)
class Backup:
    """A copy of central's database, by its name."""

    name: str


async def back_up(stage: Stage) -> Backup:
    """Central's database as it is now."""
    backup = Backup(f"selaras_backup_{next(_numbers)}")
    await _without_anybody(
        stage, f"DROP DATABASE IF EXISTS {backup.name}", f"CREATE DATABASE {backup.name} TEMPLATE {_central(stage)}"
    )
    return backup


async def put_central_back(stage: Stage, backup: Backup) -> None:
    """Central's database is what it was at the backup; whoever was connected is thrown out."""
    central = _central(stage)
    await _without_anybody(
        stage,
        f"CREATE DATABASE {central}_new TEMPLATE {backup.name} ALLOW_CONNECTIONS false",
        f"DROP DATABASE {central} WITH (FORCE)",
        f"ALTER DATABASE {central}_new RENAME TO {central}",
    )


def _central(stage: Stage) -> str:
    return str(make_url(stage.stack.addresses.central_database).database)


async def _without_anybody(stage: Stage, *statements: str) -> None:
    """Run these while nobody can use central's database: the services wait, as for any database that is away."""
    central = _central(stage)
    await stage.registry.close()
    engine = create_async_engine(stage.stack.addresses.administrator, isolation_level="AUTOCOMMIT")
    try:
        async with engine.connect() as connection:
            await connection.execute(text(f"ALTER DATABASE {central} ALLOW_CONNECTIONS false"))
            await connection.execute(
                text("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"), {"name": central}
            )
            for statement in statements:
                await connection.execute(text(statement))
            await connection.execute(text(f"ALTER DATABASE {central} ALLOW_CONNECTIONS true"))
    finally:
        await engine.dispose()
