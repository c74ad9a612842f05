"""How long a worker waits before it asks central again, and what it remembers of requests."""

from __future__ import annotations

from datetime import date

import pytest
from prometheus_client import CollectorRegistry

from services.broker import Publisher, connect
from services.database import Database
from services.link import Channel, Workers
from services.link.session import Session
from services.link.workers import FIRST_RETRY_SECONDS, LONGEST_RETRY_SECONDS, _pause
from services.metrics import SessionMetrics
from services.problems import problem
from services.replica.asking import Wanted
from services.replica.requests import Requests
from services.replica.sessions import Replica


@pytest.mark.parametrize("attempt", [1, 2, 9, 10, 11, 1025, 10**9])
def test_a_pause_grows_and_stays_within_its_bounds(attempt: int) -> None:
    longest = min(FIRST_RETRY_SECONDS * 2 ** min(attempt - 1, 20), LONGEST_RETRY_SECONDS)
    for _ in range(100):
        assert longest / 2 <= _pause(attempt) <= longest


async def test_of_a_request_that_is_refused_nothing_is_remembered(site_database: Database) -> None:
    """Who may ask for any school could fill the memory with schools that are not here."""
    nowhere = "amqp://site@127.0.0.1:1/"
    requests = Requests(site_database, lease_seconds=60)

    async def run(_session: Session) -> None:
        raise NotImplementedError

    workers = Workers(
        "sync",
        run,
        requests=requests,
        replica=Replica(requests, date.today),
        central=Channel(nowhere, source="/uji"),
        publisher=Publisher(connect(nowhere), user="site", source="/uji"),
        metrics=SessionMetrics(CollectorRegistry(), "uji", ("sync",)),
        number=1,
        after_seconds=60,
    )
    for number in range(3):
        asked = Wanted(f"9900000{number}", "sync", "/uji", "event", "kepala", after=("change",))
        async with site_database.transaction() as transaction:
            await workers.store(transaction, asked, problem("SYN-11"))
    assert workers._expecting == set()
    async with site_database.transaction() as transaction:
        await workers.store(transaction, Wanted("99000009", "sync", "/uji", "event", "kepala", after=("c",)), None)
    assert workers._expecting == {"99000009"}
