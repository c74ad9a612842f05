"""One PostgreSQL database: transactions, and its troubles translated into ours.

A connection is held for a whole transaction. What passes by itself (server away, starting, read-only, deadlock) becomes
`DatabaseAway`; anything else is a fault of ours and stays as it is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from sqlalchemy import Row, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from services import tracing
from services.errors import DatabaseAway

TRANSIENT_STATES = ("08", "53", "57", "40", "25006", "55P03")
"""SQLSTATE classes that pass by themselves: connection, resources, shutdown, rollback, read-only, lock timeout."""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60


class Transaction:
    """An open transaction: named statements in, rows out."""

    def __init__(self, connection: AsyncConnection) -> None:
        self._connection = connection

    async def run(self, sql: str, **values: Any) -> int:
        """Run a statement; the number of rows it touched."""
        result = await self._connection.execute(text(sql), values)
        return result.rowcount

    async def rows(self, sql: str, **values: Any) -> Sequence[Row[Any]]:
        """All rows of a query."""
        return (await self._connection.execute(text(sql), values)).all()

    async def row(self, sql: str, **values: Any) -> Row[Any] | None:
        """The first row of a query, or None."""
        return (await self._connection.execute(text(sql), values)).first()

    async def value(self, sql: str, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.row(sql, **values)
        return None if row is None else row[0]


class Database:
    """A pool of connections to one database. `url` begins with postgresql+asyncpg://."""

    def __init__(self, url: str, *, pool: int = 10, name: str = "selaras") -> None:
        self.engine: AsyncEngine = create_async_engine(
            url,
            pool_size=pool,
            max_overflow=0,
            hide_parameters=True,
            pool_timeout=STATEMENT_SECONDS,
            connect_args={
                "timeout": CONNECT_SECONDS,
                "command_timeout": STATEMENT_SECONDS,
                "server_settings": {"application_name": name, "jit": "off"},
            },
        )

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that commits at the end of the block. Raises DatabaseAway for what passes by itself."""
        try:
            with tracing.step("transaction"):
                async with self.engine.begin() as connection:
                    yield Transaction(connection)
        except (SQLAlchemyError, OSError, TimeoutError) as error:
            if is_transient(error):
                raise DatabaseAway(type(getattr(error, "orig", None) or error).__name__) from error
            raise

    async def ping(self) -> None:
        """Raises DatabaseAway if the database does not answer."""
        async with self.transaction() as transaction:
            await transaction.value("SELECT 1")

    async def close(self) -> None:
        """Close every connection."""
        await self.engine.dispose()


def is_transient(error: BaseException) -> bool:
    """Does this trouble pass by itself?"""
    if not isinstance(error, SQLAlchemyError):
        return True  # the socket: refused, reset, timed out
    if not isinstance(error, DBAPIError):
        return type(error).__name__ == "TimeoutError"  # the pool is exhausted
    if error.connection_invalidated:
        return True
    state = getattr(error.orig, "sqlstate", None) or getattr(error.orig, "pgcode", None)
    if state:
        return str(state).startswith(TRANSIENT_STATES)
    return type(error).__name__ == "InterfaceError" or "connection" in str(error.orig).lower()


def to_json(value: Any) -> str:
    """A value for a jsonb column: `CAST(:name AS jsonb)`."""
    return orjson.dumps(value).decode()


def from_json(value: Any) -> Any:
    """What a jsonb column gave (the driver hands it over as text)."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def columns(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[str, list[Any]]:
    """Rows turned into one array per column, for `unnest`."""
    return {name: [row[name] for row in rows] for name in names}
