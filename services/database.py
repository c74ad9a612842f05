"""One PostgreSQL database: transactions, and its troubles translated into ours.

A connection is held for a whole transaction. What passes by itself (server away, starting, read-only, deadlock) becomes
`DatabaseAway`; anything else is a fault of ours and stays as it is.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from asyncio import FIRST_COMPLETED
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

import asyncpg
import orjson
from asyncpg.pool import PoolConnectionProxy

from services import tracing
from services.errors import DatabaseAway

TRANSIENT_STATES = ("08", "53", "57", "40", "25006", "3D000", "55000", "55P03")
"""SQLSTATE classes that pass by themselves: connection, resources, shutdown, rollback, read-only, lock timeout; and
a database that is being put back: not there (3D000), takes nobody in, or is still being recovered (55000).
"""
CONNECT_SECONDS = 5
STATEMENT_SECONDS = 60
CLOSE_SECONDS = 2
LISTEN_AGAIN_SECONDS = 2
LISTEN_CHECK_SECONDS = 30
"""Who only listens sends nothing, and so never hears that the other side is gone: it asks."""
PREPARED_STATEMENTS = 300
"""Kept by each connection; a service has about half as many."""

FOREIGN = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError, OSError, TimeoutError)
"""What the driver raises."""
HAS_ENDED = "cannot switch to state"
"""How the driver says that the server has ended the connection between two statements, and it has only heard why."""

Statement = tuple[str, Callable[[Mapping[str, Any]], list[Any]]]
"""A statement as PostgreSQL takes it ($1, $2 …), and what puts named values in that order."""


class Row(asyncpg.Record):
    """A row of a query: its columns by name (`row.npsn`), or in order."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Transaction:
    """An open transaction: named statements in (`:name`), rows out."""

    def __init__(self, connection: PoolConnectionProxy[Row] | asyncpg.Connection[Row]) -> None:
        self._connection = connection

    async def run(self, sql: str, **values: Any) -> int:
        """Run a statement; the number of rows it touched."""
        statement, ordered = numbered(sql)
        status = await self._connection.execute(statement, *ordered(values))
        count = status.rpartition(" ")[2]
        return int(count) if count.isdecimal() else 0

    async def rows(self, sql: str, **values: Any) -> Sequence[Row]:
        """All rows of a query."""
        statement, ordered = numbered(sql)
        return await self._connection.fetch(statement, *ordered(values))

    async def row(self, sql: str, **values: Any) -> Row | None:
        """The first row of a query, or None."""
        rows = await self.rows(sql, **values)
        return rows[0] if rows else None

    async def value(self, sql: str, **values: Any) -> Any:
        """The first column of the first row, or None."""
        row = await self.row(sql, **values)
        return None if row is None else row[0]

    async def copy_out(self, query: str, take: Callable[[bytes], Coroutine[Any, Any, None]]) -> int:
        """Hand over the rows of a query in COPY's text format, in pieces that end anywhere; the number of rows."""
        try:
            status = await self._connection.copy_from_query(query, output=take)
        except asyncpg.InternalClientError as error:  # its word for a connection that was lost while nothing was asked
            raise DatabaseAway(type(error).__name__) from error
        return int(status.rpartition(" ")[2])

    async def copy_in(self, table: str, names: Sequence[str], pieces: AsyncIterator[bytes]) -> int:
        """Put rows in COPY's text format into the columns `names` of a table; the number of rows."""
        status = await self._connection.copy_to_table(table, source=pieces, columns=list(names), schema_name="public")
        return int(status.rpartition(" ")[2])


class Database:
    """A pool of connections to one database. `url` begins with postgresql+asyncpg://."""

    def __init__(self, url: str, *, pool: int = 10, name: str = "selaras") -> None:
        self.url = url
        self._size = pool
        self._name = name
        self._pool: asyncpg.Pool[Row] | None = None

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[Transaction]:
        """A transaction that commits at the end of the block. Raises DatabaseAway for what passes by itself."""
        async with self._connection() as connection, _committed(connection):
            yield Transaction(connection)

    @asynccontextmanager
    async def statement(self) -> AsyncIterator[Transaction]:
        """A transaction of one statement, which begins and commits it by itself: one way there and back, not three.
        Raises DatabaseAway.
        """
        async with self._connection() as connection:
            yield Transaction(connection)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[PoolConnectionProxy[Row]]:
        """A connection for the block. That of a server that has fallen silent, or of whoever is cancelled, is thrown
        away: to roll back might take as long as the server likes.
        """
        try:
            with tracing.step("transaction"):
                pool = self._pool or await self._open()
                connection = await pool.acquire(timeout=STATEMENT_SECONDS)
                try:
                    yield connection
                except (asyncio.CancelledError, TimeoutError, OSError, asyncpg.InternalClientError):
                    connection.terminate()
                    raise
                finally:
                    await pool.release(connection)
        except FOREIGN as error:
            if is_transient(error):
                raise DatabaseAway(type(error).__name__) from error
            raise

    @asynccontextmanager
    async def alone(self, *, snapshot: bool = False) -> AsyncIterator[Transaction]:
        """A transaction over a connection of its own whose statements may take any time. `snapshot`: it only reads,
        and all that it reads is of one moment. Raises DatabaseAway for what passes by itself.
        """
        try:
            connection = await asyncpg.connect(
                driver_url(self.url),
                timeout=CONNECT_SECONDS,
                record_class=Row,
                server_settings={"application_name": self._name, "jit": "off"},
            )
            try:
                transaction = (
                    connection.transaction(isolation="repeatable_read", readonly=True)
                    if snapshot
                    else connection.transaction()
                )
                await transaction.start()
                yield Transaction(connection)
                await transaction.commit()
            finally:
                connection.terminate()  # which rolls back whatever was not committed, at once
        except FOREIGN as error:
            if is_transient(error):
                raise DatabaseAway(type(error).__name__) from error
            raise

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Transaction]:
        """A transaction that only reads, and sees the database as it is at its beginning, however long it takes."""
        async with self.transaction() as transaction:
            await transaction.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            yield transaction

    async def ping(self) -> None:
        """Raises DatabaseAway if the database does not answer."""
        async with self.transaction() as transaction:
            await transaction.value("SELECT 1")

    async def listen(self, channel: str, heard: Callable[[str], None], stopping: asyncio.Event) -> None:
        """Hand over the payload of every notice on `channel` until told to stop, over a connection of its own.

        A notice may be missed, while there is no connection or through a pooler: whoever listens looks by himself, too.
        """
        while not stopping.is_set():
            with contextlib.suppress(*FOREIGN):
                await self._listen(channel, heard, stopping)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(LISTEN_AGAIN_SECONDS):
                    await stopping.wait()

    async def _listen(self, channel: str, heard: Callable[[str], None], stopping: asyncio.Event) -> None:
        connection = await asyncpg.connect(
            driver_url(self.url),
            timeout=CONNECT_SECONDS,
            command_timeout=CONNECT_SECONDS,
            server_settings={"application_name": f"{self._name} listens"},
        )
        ended = asyncio.Event()
        waiting = [asyncio.ensure_future(event.wait()) for event in (stopping, ended)]
        try:
            connection.add_termination_listener(lambda _connection: ended.set())
            await connection.add_listener(channel, lambda _connection, _pid, _channel, payload: heard(str(payload)))
            while not (await asyncio.wait(waiting, timeout=LISTEN_CHECK_SECONDS, return_when=FIRST_COMPLETED))[0]:
                await connection.execute("SELECT 1")
        finally:
            for one in waiting:
                one.cancel()
            connection.terminate()

    async def close(self) -> None:
        """Close every connection; whoever uses the database again opens new ones."""
        pool, self._pool = self._pool, None
        if pool is not None:
            try:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await pool.close()
            except TimeoutError:  # somebody is at work still, or the server does not answer
                pool.terminate()

    async def _open(self) -> asyncpg.Pool[Row]:
        """Connections are made when they are needed, none here."""
        pool = asyncpg.create_pool(
            driver_url(self.url),
            min_size=0,
            max_size=self._size,
            record_class=Row,
            reset=_nothing_to_reset,
            timeout=CONNECT_SECONDS,
            command_timeout=STATEMENT_SECONDS,
            statement_cache_size=PREPARED_STATEMENTS,
            server_settings={"application_name": self._name, "jit": "off"},
        )
        self._pool = pool
        await pool
        return pool


@asynccontextmanager
async def _committed(connection: PoolConnectionProxy[Row]) -> AsyncIterator[None]:
    """A transaction, rolled back if the connection is still of use."""
    transaction = connection.transaction()
    try:
        await transaction.start()
        yield
        await transaction.commit()
    except (asyncio.CancelledError, TimeoutError, OSError):
        raise
    except BaseException:
        try:
            await transaction.rollback()
        except FOREIGN:
            connection.terminate()
        raise


async def _nothing_to_reset(_connection: Any) -> None:
    """A transaction leaves nothing behind in its session: no setting, no lock, no cursor, nothing listened to."""


def driver_url(url: str) -> str:
    """An address as the driver takes it. `ssl=` is what SQLAlchemy, and so `selaras migrate`, calls `sslmode=`."""
    parts = urlsplit(url)
    query = [("sslmode" if name == "ssl" else name, value) for name, value in parse_qsl(parts.query)]
    return parts._replace(scheme="postgresql", query=urlencode(query)).geturl()


_NAMED = re.compile(r"'[^']*'|::|:([a-z_][a-z0-9_]*)")


@lru_cache(maxsize=1024)
def numbered(sql: str) -> Statement:
    """A statement with named values as PostgreSQL takes it."""
    names: dict[str, int] = {}

    def number(found: re.Match[str]) -> str:
        name = found[1]
        return found[0] if name is None else f"${names.setdefault(name, len(names) + 1)}"

    statement = _NAMED.sub(number, sql)
    order = list(names)

    return statement, lambda values: [values[name] for name in order]


def is_transient(error: BaseException) -> bool:
    """Does this trouble pass by itself?"""
    if isinstance(error, asyncpg.InvalidCachedStatementError):
        return True  # the tables were migrated meanwhile; the driver has forgotten the statement, and knows it anew
    if isinstance(error, asyncpg.PostgresError):
        return str(error.sqlstate or "").startswith(TRANSIENT_STATES)
    if isinstance(error, asyncpg.InternalClientError):
        return str(error).startswith(HAS_ENDED)
    if isinstance(error, asyncpg.InterfaceError):
        return not isinstance(error, ValueError)  # a value of a type that the statement does not take: a fault of ours
    return isinstance(error, OSError | TimeoutError)  # the socket, or no connection of the pool is free


def to_json(value: Any) -> str:
    """A value for a jsonb column: `CAST(:name AS jsonb)`."""
    return orjson.dumps(value).decode()


def from_json(value: Any) -> Any:
    """What a jsonb column gave (the driver hands it over as text)."""
    return orjson.loads(value) if isinstance(value, str | bytes) else value


def columns(rows: Sequence[Mapping[str, Any]], *names: str) -> dict[str, list[Any]]:
    """Rows turned into one array per column, for `unnest`."""
    return {name: [row[name] for row in rows] for name in names}
