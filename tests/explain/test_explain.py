"""Every statement of the exchange finds its rows by an index, on databases that hold a thousand schools.

A whole story is told, its statements are noted as they are sent; then the databases are filled, and each statement is
explained, for the values it was sent with and for any. What the story does not send is taken from the source.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from bench import filling
from bench.ours import connected
from services.central import aftermath, cutoff, explaining, lives, moments, recovering
from services.central import app as central
from services.central import history as central_history
from services.database import Database
from services.demo.stage import Stage
from services.embedded.stack import SERVICES, Stack, stack
from services.messages import GivenRecord
from services.puller import app as puller
from services.replica import history, receipts
from services.settings import load
from services.signing import PublicKeys
from services.syncer import app as syncer
from services.topology import SIDES, Side
from services.validator import app as validator
from tests.conftest import ENVIRONMENT, OTHERS, new_npsn
from tests.explain import plans
from tests.explain.statements import Recorded, places, recording
from tests.logs.paths import told

SCHOOLS = 1_000
BIG: Mapping[Side, frozenset[str]] = {
    "central": frozenset(
        {"school", "record", "history", "statement", "claim", "verdict", "last_batch", "answer", "repair"}
    ),
    "site": frozenset(
        {"school", "record", "finding", "overruled", "session", "standing", "statement", "stated", "answer", "repair"}
    ),
}
"""Tables that grow with the schools, or with what they do."""
SCRAPE = "a gauge, read at a scrape: a small row for each school"
OPS = "ops look over all schools"
WHOLE: Mapping[str, str] = {
    "install_id IS NULL THEN 'unregistered'": SCRAPE,
    "count(*) AS judged": SCRAPE,
    "ELSE 0 END AS unseen FROM incarnation AS life": f"{SCRAPE}, and its statements once central was put back",
    "THEN 'pulled_not_synced' WHEN waiting.pending": SCRAPE,
    "SELECT kind, outcome, reason, count(*) AS n": SCRAPE,
    "FROM finding WHERE severity = 'invalid' GROUP BY rule": "a gauge, read at a scrape: the findings of all schools",
    "DELETE FROM answer WHERE answered_at <": "once a day, to forget what is 90 days old",
    "SELECT npsn FROM school ORDER BY npsn": f"{OPS}: an audit",
    "WHEN CAST(:npsn AS text) IS NULL THEN outcome = 'failed'": f"{OPS}: status --failed",
    "greatest(last_sync_at, last_pull_at) DESC LIMIT 1": f"{OPS}: config check",
    "FROM statement WHERE incarnation = :life GROUP BY npsn": f"{OPS}: what came back after a restore",
    "AND NOT EXISTS (SELECT 1 FROM statement t WHERE t.npsn = s.npsn AND t.incarnation": f"{OPS}: who did not",
    "(SELECT count(*) FROM school) AS schools": f"{OPS}: the cut-off says how many there are",
    "SELECT jws FROM statement WHERE jws <> '' LIMIT 1": f"{OPS}: config check; the first signed one that it meets",
}
"""What may read a whole table, by a piece of it, and why: no part of a session, nor of an operator's event."""


@dataclass
class Found:
    """What was sent, and what of it, or of what was not sent, reads a whole table: by side and text."""

    recorded: Recorded
    with_values: dict[tuple[Side, str], list[str]] = field(default_factory=dict)
    with_any: dict[tuple[Side, str], list[str]] = field(default_factory=dict)
    rows: dict[tuple[Side, str], int] = field(default_factory=dict)


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """Servers of its own, without services."""
    folder = Path(tmp_path_factory.mktemp("penuh")) / "run"
    with stack(folder, fresh=True, say=print, environment=ENVIRONMENT, others=OTHERS, start=False) as running:
        if running.addresses.servers is None:
            pytest.skip("SELARAS_AMQP_URL names servers of one's own: no place to fill databases")
        yield running


@pytest.fixture(scope="module")
async def found(alone: Stack, tmp_path_factory: pytest.TempPathFactory) -> Found:
    """The story, told by services in this process; then the filling, and the plans."""
    stage = Stage(alone, Console(quiet=True))
    npsn = new_npsn()
    with recording() as recorded:
        async with _services(alone), told(stage, npsn, new_npsn(), tmp_path_factory.mktemp("berkas")):
            await _looks(stage, npsn)
    await stage.close()
    found = Found(recorded)
    for side in SIDES:
        await _explain(alone, side, npsn, found)
    return found


@asynccontextmanager
async def _services(running: Stack) -> AsyncIterator[None]:
    """The four services in this process."""
    build = {
        "validator": lambda: validator.build(load(validator.Settings)),
        "syncer": lambda: syncer.build(load(syncer.Settings)),
        "puller": lambda: puller.build(load(puller.Settings)),
        "central": lambda: central.build(load(central.Settings)),
    }
    async with AsyncExitStack() as stopping:
        for name in SERVICES:
            with pytest.MonkeyPatch.context() as environment:
                for setting, value in {**ENVIRONMENT, **running.addresses.of_service(name)}.items():
                    environment.setenv(setting, value)
                service = build[name]()
            await service.start()
            stopping.push_async_callback(service.stop)
            running.ports[name] = service.http_port
        yield


async def _looks(stage: Stage, npsn: str) -> None:
    """What the story leaves out, and is put together from parts."""
    await history.history(stage.replica, npsn, limit=10)
    await receipts.find(stage.replica, npsn, None)
    await receipts.find(stage.replica, npsn, 1)
    keys = stage.stack.addresses.keys
    assert keys is not None
    async with stage.registry.snapshot() as transaction:
        await central_history.as_of(transaction, npsn, 1)
        await recovering._held(transaction, npsn, [GivenRecord("sekolah", "x", 1, None)])
        await central_history.between(transaction, npsn, 1, 9, records=5, text_bytes=10_000)
        await central_history.seq_of(transaction, npsn, "0" * 64, {"ptk": 0}, 0)
        now = await transaction.value("SELECT now()")
        for held in (False, True):
            await moments.at(transaction, [npsn], now, held=held)
        await moments.at(transaction, [npsn], now - timedelta(days=1), held=False)
        await moments.locate(transaction, npsn, moments.OfSession(1), keys=lambda: PublicKeys.read(keys.public))
        await moments.restated(transaction, npsn, "0" * 64)
        await moments.stated_at(transaction, npsn, 1)
        school = await moments.past(transaction, npsn)
        ended = explaining.Ended(school.lives[-1].incarnation, None, "")
        await explaining._given(transaction, school, 1, ended)
        await explaining._held_of(transaction, npsn, {b"0" * 32})
    for moment in (moments.AtTime(now), moments.Now("head")):
        async for _ in cutoff.lines(stage.registry, cutoff.Wanted(moment), lambda *_: None):
            pass
    async with stage.registry.transaction() as transaction:
        await transaction.run("UPDATE incarnation SET identity = NULL")  # as the release before begins a life
        await lives.current(transaction)
    await aftermath.report(stage.registry)
    for which in (npsn, None):
        await aftermath.listed(stage.registry, which)


async def _explain(running: Stack, side: Side, npsn: str, found: Found) -> None:
    url = running.addresses.central_database if side == "central" else running.addresses.site_database
    connection = await connected(url)
    await filling.copies(connection, side, npsn, 0, SCHOOLS)
    await connection.execute("ANALYZE")  # the small tables too
    for table in BIG[side]:
        found.rows[side, table] = await connection.fetchval(f"SELECT count(*) FROM {table}")
    indexes = {  # a partial one has what is to be looked at, and nothing else
        row["indexname"]
        for row in await connection.fetch(
            "SELECT indexname FROM pg_indexes WHERE tablename = ANY($1::text[]) AND indexdef NOT LIKE '% WHERE %'",
            list(BIG[side]),
        )
    }
    database = Database(url, pool=1)
    for (of, sql), values in found.recorded.sent.items():
        if of == side and _has_plan(sql):
            async with database.transaction() as transaction:
                plan = await plans.with_values(transaction, sql, values)
            found.with_values[side, sql] = plans.whole_reads(plan, BIG[side], indexes)
    await database.close()
    unsent = {(side, place.sql) for place in places() if side in place.sides and place.sql}
    for of, sql in {**dict.fromkeys(found.recorded.sent), **dict.fromkeys(unsent)}:
        if of == side and _has_plan(sql):
            plan = await plans.with_any(connection, sql)
            found.with_any[side, sql] = plans.whole_reads(plan, BIG[side], indexes)
    await connection.close()


def _has_plan(sql: str) -> bool:
    """Does it read or write rows?"""
    return not sql.lstrip().startswith("LOCK ")


def _reason(sql: str) -> str | None:
    """The piece of it that is listed."""
    text = " ".join(sql.split())
    return next((piece for piece in WHOLE if piece in text), None)


def test_the_databases_are_full(found: Found) -> None:
    assert {
        place: n for place, n in found.rows.items() if n < SCHOOLS and place[1] not in ("repair", "overruled")
    } == {}
    assert all(n > 0 for n in found.rows.values())


def test_every_statement_in_the_source_was_explained(found: Found) -> None:
    left = [str(place) for place in places() if place.sql is None and not found.recorded.was_visited(place)]
    assert left == [], "put together from parts, and never sent: let the story send it"
    assert len(found.with_any) > 150
    assert len(found.with_values) > 120


def test_a_statement_finds_its_rows_by_an_index_for_the_values_it_was_sent_with(found: Found) -> None:
    assert {sql: bad for sql, bad in found.with_values.items() if bad and _reason(sql[1]) is None} == {}


def test_a_statement_finds_its_rows_by_an_index_for_any_values(found: Found) -> None:
    assert {sql: bad for sql, bad in found.with_any.items() if bad and _reason(sql[1]) is None} == {}


def test_what_may_read_a_whole_table_does(found: Found) -> None:
    needed = {_reason(sql) for (_, sql), bad in found.with_any.items() if bad}
    assert needed == set(WHOLE), "an exception that nothing needs"
