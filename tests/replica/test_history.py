"""What the rows tell of a school's sessions, on the real database; central's answers are made by hand."""

from __future__ import annotations

import pytest

from services.database import Database
from services.problems import problem
from services.replica import receipts, registration
from services.replica.history import History, history
from services.replica.requests import Job, Requests
from services.replica.sessions import Completion, Replica
from tests.builders import TODAY
from tests.replica.conftest import NPSN
from tests.replica.test_requests import DATA, STATEMENT
from tests.replica.test_sessions import FIRST_LIFE, a_wish


@pytest.fixture
async def replica(site_database: Database) -> Replica:
    """A registered school without records."""
    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=2)
    return Replica(Requests(site_database, lease_seconds=60), lambda: TODAY)


async def taken(replica: Replica, kind: str) -> Job:
    job = await replica.requests.take(kind, "worker")
    assert job is not None
    return job


async def complete(replica: Replica, job: Job, *, session: int, jws: str = "e30.e30.", life: str = FIRST_LIFE) -> None:
    """Central stated that both sides are equal."""
    statement = {
        **STATEMENT,
        "session": session,
        "incarnation": life,
        "kind": job.kind,
        "head_seq": 10 * session,
        "root": f"0{session}",
    }
    data = {**DATA, "cause": job.cause.model_dump(), "kind": job.kind, "receipt": statement}
    await replica.complete(job, Completion(outcome="completed", statement=statement, jws=jws, data=data))


async def read(replica: Replica, **options: object) -> History:
    found = await history(replica.requests.database, NPSN, **{"limit": 20, **options})  # type: ignore[arg-type]
    assert found is not None
    return found


async def test_a_school_that_is_not_registered_here_has_no_history(site_database: Database) -> None:
    assert await history(site_database, "97000009", limit=1) is None


async def test_sessions_are_told_newest_first_with_what_central_stated(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1", "pull"))
    await complete(replica, await taken(replica, "pull"), session=1)
    await replica.requests.ask(a_wish("event-2"))
    await complete(replica, await taken(replica, "sync"), session=2)
    found = await read(replica)
    assert (found.nama, found.registration_no, found.total) == ("SD Uji", 2, 2)
    sync, pull = found.entries
    assert (sync.kind, sync.event_id, sync.actor, sync.outcome) == ("sync", "event-2", "kepala sekolah", "completed")
    assert (sync.sent, sync.received, sync.verdicts, sync.attempts) == (2, 3, {"applied": 2}, 1)
    assert sync.statement is not None
    assert (sync.statement.session, sync.statement.seq, sync.statement.root) == (2, 20, "02")
    assert sync.statement.signed
    assert pull.statement is not None
    assert pull.statement.session == 1
    assert sync.asked_at > pull.asked_at
    assert sync.seconds is not None
    assert sync.waited_seconds is not None
    assert 0 <= sync.waited_seconds <= sync.seconds


async def test_a_statement_that_central_did_not_sign_is_told_as_such(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    await complete(replica, await taken(replica, "sync"), session=1, jws="")
    (only,) = (await read(replica)).entries
    assert only.statement is not None
    assert not only.statement.signed


async def test_sessions_of_two_lives_with_one_number_lead_to_their_own_statements(replica: Replica) -> None:
    for number, life, jws in ((1, FIRST_LIFE, "first"), (1, "second-life", "second"), (2, "second-life", "alone")):
        await replica.requests.ask(a_wish(f"event-{jws}"))
        await complete(replica, await taken(replica, "sync"), session=number, jws=jws, life=life)
    stated = [entry.statement for entry in (await read(replica)).entries]
    assert [(one.incarnation, one.is_alone) for one in stated if one] == [
        ("second-life", True), ("second-life", False), (FIRST_LIFE, False),
    ]  # fmt: skip
    database = replica.requests.database
    assert await receipts.find(database, NPSN, 1) == "second"
    assert await receipts.find(database, NPSN, 1, FIRST_LIFE) == "first"
    assert await receipts.find(database, NPSN, 2, FIRST_LIFE) is None
    assert await receipts.find(database, NPSN, None, FIRST_LIFE) == "first"


async def test_a_request_that_joined_a_session_says_so_and_names_the_same_statement(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica, "sync")
    await replica.gate(job, incarnation=FIRST_LIFE, session=1)
    await replica.requests.ask(a_wish("event-2"))
    await complete(replica, job, session=1)
    found = {entry.event_id: entry for entry in (await read(replica)).entries}
    assert (found["event-1"].joined, found["event-2"].joined) == (False, True)
    assert found["event-1"].statement == found["event-2"].statement


async def test_refused_failed_and_open_sessions_say_why_and_can_be_picked(replica: Replica) -> None:
    refused = problem("SYN-02")
    data = {"cause": {"source": "/uji", "id": "event-1"}, "kind": "sync", "problem": refused.model_dump()}
    await replica.requests.ask(a_wish("event-1"), refused=("SYN-02", {**data, "findings": [{}, {}]}))
    await replica.requests.ask(a_wish("event-2", "pull"))
    job = await taken(replica, "pull")
    await replica.requests.progress(job, {"received": 4, "to_receive": 9, "sent": 0, "to_send": 0})
    failed = problem("SYN-20", entities="ptk")
    told = {"cause": job.cause.model_dump(), "kind": "pull", "problem": failed.model_dump()}
    await replica.end(job, "failed", failed, told)
    await replica.requests.ask(a_wish("event-3", "verify"))

    newest, middle, oldest = (await read(replica)).entries
    assert (newest.state, newest.outcome, newest.ended_at, newest.seconds) == ("queued", None, None, None)
    assert (middle.outcome, middle.reason, middle.received) == ("failed", "SYN-20", 4)
    assert middle.problem == failed.model_dump()
    assert (oldest.outcome, oldest.reason, oldest.findings, oldest.joined) == ("refused", "SYN-02", 2, False)

    assert [entry.event_id for entry in (await read(replica, failed=True)).entries] == ["event-2"]
    assert [entry.event_id for entry in (await read(replica, kind="sync")).entries] == ["event-1"]
    limited = await read(replica, limit=1)
    assert ([entry.event_id for entry in limited.entries], limited.total) == (["event-3"], 3)
