"""Statements with named values, the driver's troubles, and notices."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from services import database
from services.database import Database, driver_url, is_transient, numbered
from services.errors import DatabaseAway
from tests.broker.proxy import Proxy


def test_named_values_become_numbers_once_each_and_nothing_else_does() -> None:
    statement, ordered = numbered("SELECT :b, CAST(:a AS text[]), :b, ''::bytea, now()::date, ':c', x = :a_b, y = :a1")
    assert statement == "SELECT $1, CAST($2 AS text[]), $1, ''::bytea, now()::date, ':c', x = $3, y = $4"
    assert ordered({"a": 1, "b": 2, "a_b": 3, "a1": 4}) == [2, 1, 3, 4]
    with pytest.raises(KeyError):
        ordered({"a": 1, "b": 2})


def test_an_address_is_given_to_the_driver_in_its_own_words() -> None:
    url = "postgresql+asyncpg://user:p%40ss@127.0.0.1:5432/site?ssl=require&host=/run/pg"
    assert driver_url(url) == "postgresql://user:p%40ss@127.0.0.1:5432/site?sslmode=require&host=%2Frun%2Fpg"


async def test_rows_and_counts(site_database: Database) -> None:
    async with site_database.transaction() as transaction:
        row = await transaction.row("SELECT CAST(:a AS bigint) AS a, 'x' AS b", a=5)
        assert row is not None
        assert (row.a, row.b, *row) == (5, "x", 5, "x")
        with pytest.raises(AttributeError):
            _ = row.c
        assert await transaction.row("SELECT 1 WHERE false") is None
        assert await transaction.run("INSERT INTO account (user_name, npsn, role) VALUES ('a', '*', 'x')") == 1
        assert await transaction.run("UPDATE account SET role = 'y' WHERE user_name = 'nobody'") == 0


async def test_a_value_that_a_statement_does_not_take_is_a_fault_of_ours(site_database: Database) -> None:
    with pytest.raises(asyncpg.DataError):
        async with site_database.transaction() as transaction:
            await transaction.value("SELECT CAST(:a AS bigint)", a="five")


def test_what_passes_by_itself() -> None:
    server = (asyncpg.DeadlockDetectedError, asyncpg.CannotConnectNowError, asyncpg.ReadOnlySQLTransactionError)
    for passes in (
        *(kind("") for kind in server),
        asyncpg.InterfaceError("closed"),
        asyncpg.InternalClientError("cannot switch to state 12; another operation (2) is in progress"),
        ConnectionResetError(),
        TimeoutError(),
    ):
        assert is_transient(passes), passes
    for stays in (
        asyncpg.UniqueViolationError(""),
        asyncpg.UndefinedTableError(""),
        asyncpg.InternalClientError(""),
        ValueError(),
    ):
        assert not is_transient(stays), stays


async def test_a_database_that_is_not_there_is_away() -> None:
    nowhere = Database("postgresql+asyncpg://a:b@127.0.0.1:1/c")
    with pytest.raises(DatabaseAway):
        await nowhere.ping()
    await nowhere.close()


async def test_a_database_that_was_closed_opens_again(site_database: Database) -> None:
    await site_database.ping()
    await site_database.close()
    await site_database.ping()


@pytest.mark.parametrize("statements", ["in a transaction", "by themselves"])
async def test_a_connection_that_the_server_ended_between_two_statements_is_a_database_that_is_away(
    site_database: Database, statements: str
) -> None:
    proxy = Proxy(site_database.url)
    await proxy.start()
    proxy.linger()
    through = Database(proxy.url, pool=1)

    async def is_ended_meanwhile() -> None:
        async with through.transaction() if statements == "in a transaction" else through.statement() as transaction:
            pid = await transaction.value("SELECT pg_backend_pid()")
            async with site_database.transaction() as other:
                await other.value("SELECT pg_terminate_backend(:pid)", pid=pid)
            await proxy.ends()
            await asyncio.sleep(0.05)  # the driver reads the last words
            await transaction.value("SELECT 1")

    with pytest.raises(DatabaseAway):
        await is_ended_meanwhile()
    await through.ping()
    await through.close()
    await proxy.stop()


async def test_notices_are_heard_also_after_the_connection_was_lost(
    site_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "LISTEN_AGAIN_SECONDS", 0.1)
    stopping = asyncio.Event()
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(site_database.listen("uji", heard.put_nowait, stopping))
    for notice in ("a", "b"):
        async with asyncio.timeout(20):
            while heard.empty():
                async with site_database.transaction() as transaction:
                    await transaction.run("SELECT pg_notify('uji', :notice)", notice=notice)
                await asyncio.sleep(0.05)
            assert await heard.get() == notice
        while not heard.empty():
            heard.get_nowait()
        if notice == "a":
            async with site_database.transaction() as transaction:
                assert await transaction.rows(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE '% listens'"
                )
            await asyncio.sleep(0.05)
            while not heard.empty():
                heard.get_nowait()
    stopping.set()
    async with asyncio.timeout(5):
        await listening


async def test_who_listens_to_a_server_that_fell_silent_connects_again(
    site_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("LISTEN_AGAIN_SECONDS", "LISTEN_CHECK_SECONDS"):
        monkeypatch.setattr(database, name, 0.1)
    monkeypatch.setattr(database, "CONNECT_SECONDS", 2)
    proxy = Proxy(site_database.url)
    await proxy.start()
    stopping = asyncio.Event()
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(Database(proxy.url).listen("uji", heard.put_nowait, stopping))
    await _is_heard("a", site_database, heard)
    proxy.silence()
    await proxy.swallows()
    async with asyncio.timeout(20):
        while proxy.connections < 2:  # noqa: ASYNC110  of a proxy, which tells nobody
            await asyncio.sleep(0.05)
    proxy.go_on()
    await _is_heard("b", site_database, heard)
    stopping.set()
    async with asyncio.timeout(20):
        await listening
    await proxy.stop()


async def test_who_stops_listening_leaves_nothing_behind(site_database: Database) -> None:
    before = asyncio.all_tasks()
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(site_database.listen("uji", heard.put_nowait, asyncio.Event()))
    await _is_heard("a", site_database, heard)
    listening.cancel()
    await asyncio.wait([listening])
    await asyncio.sleep(0)
    assert asyncio.all_tasks() <= before


async def _is_heard(notice: str, site_database: Database, heard: asyncio.Queue[str]) -> None:
    """Say it until it is."""
    async with asyncio.timeout(20):
        while heard.empty() or await heard.get() != notice:
            async with site_database.transaction() as transaction:
                await transaction.run("SELECT pg_notify('uji', :notice)", notice=notice)
            await asyncio.sleep(0.05)
