"""The floor: the rows straight into one PostgreSQL, by the fastest way in; where rows change, by way of a merge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import asyncpg

TABLE = """
CREATE TABLE IF NOT EXISTS {name} (
    npsn      text   NOT NULL,
    entity    text   NOT NULL,
    record_id text   NOT NULL,
    version   bigint NOT NULL,
    data      text   NOT NULL,
    PRIMARY KEY (npsn, entity, record_id)
)
"""
COLUMNS = ("npsn", "entity", "record_id", "version", "data")
Row = tuple[Any, ...]


class Floor:
    """One connection to a database of its own."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    @classmethod
    async def open(cls, dsn: str) -> Floor:
        """Connect, and make the table."""
        connection = await asyncpg.connect(dsn)
        await connection.execute(TABLE.format(name="floor"))
        return cls(connection)

    async def close(self) -> None:
        """Close the connection."""
        await self._connection.close()

    async def insert(self, rows: Sequence[Row]) -> None:
        """New rows: COPY, one transaction."""
        await self._connection.copy_records_to_table("floor", records=rows, columns=COLUMNS)

    async def merge(self, rows: Sequence[Row]) -> None:
        """Rows that may be there: COPY into a temporary table and merge, one transaction."""
        async with self._connection.transaction():
            await self._connection.execute("CREATE TEMP TABLE coming (LIKE floor) ON COMMIT DROP")
            await self._connection.copy_records_to_table("coming", records=rows, columns=COLUMNS)
            await self._connection.execute(
                """
                INSERT INTO floor SELECT * FROM coming
                ON CONFLICT (npsn, entity, record_id) DO UPDATE SET version = excluded.version, data = excluded.data
                WHERE floor.version < excluded.version
                """
            )

    async def one(self, row: Row) -> None:
        """A single row, committed."""
        await self._connection.execute(
            """
            INSERT INTO floor VALUES ($1, $2, $3, $4, $5)
            ON CONFLICT (npsn, entity, record_id) DO UPDATE SET version = excluded.version, data = excluded.data
            """,
            *row,
        )
