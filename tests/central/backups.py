"""Central's tables copied aside and put back under its handlers: a backup without a second server."""

from __future__ import annotations

from services.central import lives
from services.database import Database, Transaction


async def back_up(database: Database) -> None:
    """Keep all that central's tables hold now."""
    async with database.transaction() as transaction:
        await transaction.run("DROP SCHEMA IF EXISTS kept CASCADE")
        await transaction.run("CREATE SCHEMA kept")
        for table in await _tables(transaction):
            await transaction.run(f"CREATE TABLE kept.{table} AS TABLE public.{table}")


async def put_back(database: Database) -> str:
    """What was kept is what there is; the life that begins by it."""
    async with database.transaction() as transaction:
        tables = await _tables(transaction)
        await transaction.run(f"TRUNCATE {', '.join(tables)}")
        for table in tables:
            names = await transaction.value(
                """
                SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
                WHERE table_schema = 'public' AND table_name = :table AND is_generated = 'NEVER'
                """,
                table=table,
            )
            await transaction.run(
                f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM kept.{table}"
            )
    return (await lives.restored(database)).incarnation


async def _tables(transaction: Transaction) -> list[str]:
    rows = await transaction.rows(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    return [row.tablename for row in rows]
