"""Which requests one session answers, and which wait for something else; on the real database."""

from __future__ import annotations

from typing import Any

import pytest

from services.database import Database
from services.intake import Answers
from services.messages import Limits, LineageEntry, Mark, SessionGranted
from services.replica import asking, records, registration, restoring
from services.replica.asking import Wanted
from services.replica.requests import Job, LeaseLost
from services.replica.sessions import Completion, Replica
from tests.replica.conftest import NPSN
from tests.replica.test_sessions import FIRST_LIFE, a_page, a_row, a_wish

STATEMENT = {"incarnation": FIRST_LIFE, "session": 1, "kind": "sync", "head_seq": 0, "root": "00", "held": 0}
DATA = {"cause": {"source": "/uji", "id": "event-1"}, "kind": "sync", "outcome": "completed", "received": 3, "sent": 2,
        "verdicts": {"applied": 2}, "receipt": STATEMENT, "unsent": 0}  # fmt: skip


async def taken(replica: Replica, kind: str = "sync") -> Job:
    job = await replica.requests.take(kind, "worker")
    assert job is not None
    return job


async def typed(replica: Replica) -> None:
    """An operator's edit."""
    async with replica.requests.database.transaction() as transaction:
        await records.touch(transaction, NPSN)


async def ends(replica: Replica, kind: str = "sync") -> dict[str, tuple[str, str | None]]:
    """How requests have ended: event → (outcome, reason)."""
    found = await replica.requests.unannounced(kind)
    return {end.data["cause"]["id"]: (end.outcome, end.reason) for end in found}


async def complete(replica: Replica, job: Job) -> None:
    await replica.complete(
        job,
        Completion(
            outcome="completed", statement=STATEMENT, jws="e30.e30.", data={**DATA, "cause": job.cause.model_dump()}
        ),
    )


# ── joined ───────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_sync_asked_for_while_one_runs_joins_it_and_ends_with_its_outcome(replica: Replica) -> None:
    assert not (await replica.requests.ask(a_wish("event-1"))).joins
    job = await taken(replica)
    await replica.gate(job, incarnation=FIRST_LIFE, session=1)
    assert (await replica.requests.ask(a_wish("event-2"))).joins
    assert (await replica.requests.ask(a_wish("event-3"))).joins
    await complete(replica, job)
    assert await ends(replica) == dict.fromkeys(("event-1", "event-2", "event-3"), ("completed", None))
    assert await replica.requests.take("sync", "worker") is None


async def test_edits_after_the_gate_are_followed_by_one_more_sync_for_all_who_asked(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await replica.gate(job, incarnation=FIRST_LIFE, session=1)
    await typed(replica)
    await replica.requests.ask(a_wish("event-2"))
    await replica.requests.ask(a_wish("event-3"))
    await complete(replica, job)
    assert await ends(replica) == {"event-1": ("completed", None)}
    follower = await taken(replica)
    assert follower.cause.id == "event-2"
    await replica.gate(follower, incarnation=FIRST_LIFE, session=2)
    await complete(replica, follower)
    assert (await ends(replica)).keys() == {"event-1", "event-2", "event-3"}
    assert await replica.requests.take("sync", "worker") is None


async def test_edits_before_the_gate_are_in_the_session(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await typed(replica)
    await replica.requests.ask(a_wish("event-2"))
    await replica.gate(job, incarnation=FIRST_LIFE, session=1)
    await complete(replica, job)
    assert (await ends(replica)).keys() == {"event-1", "event-2"}


async def test_a_refusal_is_told_to_those_who_joined_unless_somebody_mended_meanwhile(replica: Replica) -> None:
    refused = {"cause": {"source": "/uji", "id": "event-1"}, "kind": "sync", "problem": {}, "findings": []}
    why: Any = type("Why", (), {"code": "SYN-01"})
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await replica.requests.ask(a_wish("event-2"))
    await replica.end(job, "refused", why, refused)
    assert await ends(replica) == dict.fromkeys(("event-1", "event-2"), ("refused", "SYN-01"))
    await replica.requests.ask(a_wish("event-3"))
    job = await taken(replica)
    await typed(replica)
    await replica.requests.ask(a_wish("event-4"))
    await replica.end(job, "refused", why, refused)
    assert "event-4" not in await ends(replica)
    assert (await taken(replica)).cause.id == "event-4"


async def test_a_request_waits_behind_one_that_waits_for_central(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    await replica.requests.wait(await taken(replica), seconds=3600, unreachable=True)
    assert (await replica.requests.ask(a_wish("event-2"))).joins
    assert await replica.requests.take("sync", "worker") is None


async def test_a_pull_is_answered_by_a_sync_that_was_verified_after_it_was_asked_for(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await replica.requests.ask(a_wish("before", "pull"))
    await replica.standing(job)
    await replica.requests.ask(a_wish("after", "pull"))
    await complete(replica, job)
    assert await ends(replica, "pull") == {"before": ("completed", None)}
    (ending,) = await replica.requests.unannounced("pull")
    assert (ending.data["kind"], ending.data["sent"], ending.data["verdicts"]) == ("pull", 0, {})
    assert (await taken(replica, "pull")).cause.id == "after"


async def test_a_pull_runs_by_itself_if_the_sync_ends_without_a_proof(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await replica.requests.ask(a_wish("pull", "pull"))
    await replica.standing(job)
    await replica.end(job, "failed", type("Why", (), {"code": "SYN-20"}), {"cause": {}})  # type: ignore[arg-type]
    assert await ends(replica, "pull") == {}
    assert (await taken(replica, "pull")).cause.id == "pull"


# ── after ────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def answer(database: Database, event_id: str) -> None:
    async with database.transaction() as transaction:
        await Answers.keep(transaction, NPSN, "/impor", event_id, b"x", [], revision=0)


async def test_a_request_waits_until_its_events_are_answered(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1", after=("a", "b")), after_seconds=60)
    assert await replica.requests.take("sync", "worker") is None
    await answer(replica.requests.database, "a")
    assert await replica.requests.take("sync", "worker") is None
    await answer(replica.requests.database, "b")
    assert (await taken(replica)).cause.id == "event-1"


async def test_a_request_whose_events_nobody_answers_is_overdue_with_those(replica: Replica) -> None:
    database = replica.requests.database
    await replica.requests.ask(a_wish("event-1", after=("a", "b")), after_seconds=0)
    await replica.requests.ask(a_wish("event-2", after=("c",)), after_seconds=60)
    await answer(database, "a")
    (late,) = await asking.overdue(database, "sync")
    assert (late.cause.id, late.events) == ("event-1", ["b"])
    await answer(database, "b")
    assert await asking.overdue(database, "sync") == [], "answered late, and answered"


async def test_a_request_that_waits_for_events_joins_no_session_and_holds_up_no_other(replica: Replica) -> None:
    await replica.requests.ask(a_wish("waits", after=("a",)), after_seconds=60)
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    assert job.cause.id == "event-1"
    assert not (await replica.requests.ask(a_wish("too", after=("a",)), after_seconds=60)).joins
    await answer(replica.requests.database, "a")
    await replica.gate(job, incarnation=FIRST_LIFE, session=1)
    await complete(replica, job)
    assert (await ends(replica)).keys() == {"event-1"}
    assert (await taken(replica)).cause.id == "waits"


# ── a restore, step by step ──────────────────────────────────────────────────────────────────────────────────────────


def a_grant(as_of: int, incarnation: str = FIRST_LIFE) -> SessionGranted:
    return SessionGranted(
        session=7,
        incarnation=incarnation,
        head_seq=99,
        lineage=[LineageEntry(incarnation=incarnation, head_seq=0)],
        limits=Limits(records=500, bytes=1),
        page=a_page(),
        mark=Mark(incarnation=incarnation, session=5),
        as_of=as_of,
    )


async def restoring_job(replica: Replica, event_id: str = "restore", revision: int = 0) -> Job:
    await replica.requests.ask(a_wish(event_id, "restore", revision=revision))
    return await taken(replica, "restore")


async def test_a_restore_goes_on_where_it_was_and_starts_over_if_central_moved(replica: Replica) -> None:
    requests = replica.requests
    job = await restoring_job(replica)
    assert await restoring.begin(requests, job, a_grant(9)) == 0
    row = a_row("ptk", "018f0000-0000-7000-8000-000000000001", {"nama": "Baru"}, version=1, seq=4)
    await replica.absorb_page(job, a_page(row, head=9), clear_doubt=True)
    assert await restoring.opening_cursor(requests, job) == 4
    assert await restoring.begin(requests, job, a_grant(9)) == 4, "the same state: it goes on"
    school = (await replica.opening(job)).school
    assert (school.marks, school.lineage) == ({FIRST_LIFE: 5}, [{"incarnation": FIRST_LIFE, "head_seq": 0}])
    for moved in (a_grant(11), a_grant(11, "another life")):
        await replica.absorb_page(job, a_page(row, head=11), clear_doubt=True)
        assert await restoring.begin(requests, job, moved) == 0
        async with requests.holding(job) as (transaction, _):
            assert await transaction.value("SELECT count(*) FROM record WHERE npsn = :npsn", npsn=NPSN) == 0


async def test_a_restore_that_failed_is_gone_on_with_by_the_next_one(replica: Replica) -> None:
    job = await restoring_job(replica)
    await restoring.begin(replica.requests, job, a_grant(9))
    await replica.end(job, "failed", type("Why", (), {"code": "SYN-20"}), DATA)  # type: ignore[arg-type]
    await replica.requests.ask(a_wish("sync"))
    assert await replica.requests.take("sync", "worker") is None, "the school is still no school"
    again = await restoring_job(replica, "again", revision=99)
    assert await restoring.begin(replica.requests, again, a_grant(9)) == 0
    await replica.complete(
        again, Completion(outcome="completed", statement={**STATEMENT, "kind": "restore"}, jws="e30.e30.", data=DATA)
    )
    assert (await taken(replica)).cause.id == "sync"


async def test_while_a_school_is_restored_nothing_else_of_it_is_taken(replica: Replica) -> None:
    job = await restoring_job(replica)
    await restoring.begin(replica.requests, job, a_grant(0))
    await replica.requests.wait(job, seconds=0)
    await replica.requests.ask(a_wish("sync"))
    await replica.requests.ask(a_wish("pull", "pull"))
    assert await replica.requests.take("sync", "worker") is None
    assert await replica.requests.take("pull", "worker") is None
    again = await taken(replica, "restore")
    await replica.complete(
        again, Completion(outcome="completed", statement={**STATEMENT, "kind": "restore"}, jws="e30.e30.", data=DATA)
    )
    assert (await taken(replica)).cause.id == "sync"


async def test_a_restore_is_refused_where_the_list_is_not_the_schools_any_more(replica: Replica) -> None:
    await typed(replica)
    job = await restoring_job(replica, revision=0)
    with pytest.raises(restoring.ListMoved):
        await restoring.begin(replica.requests, job, a_grant(0))
    assert (await replica.opening(job)).school.restoring_as_of is None


async def test_registering_anew_stops_the_session_that_runs_and_asks_for_a_restore(replica: Replica) -> None:
    await replica.requests.ask(a_wish("event-1"))
    job = await taken(replica)
    await replica.gate(job, incarnation=FIRST_LIFE, session=3)
    restore = Wanted(NPSN, "restore", "/perintah", "event-9", "operator", revision=0)
    database = replica.requests.database
    await registration.register_again(database, NPSN, install_id="new", registration_no=2, restore=restore)
    with pytest.raises(LeaseLost):
        await replica.opening(job)
    assert await replica.requests.take("sync", "worker") is None
    again = await taken(replica, "restore")
    school = (await replica.opening(again)).school
    assert (again.revision, school.install_id, school.marks) == (0, "new", {})


async def test_registering_anew_does_nothing_to_a_school_that_changed_since_it_was_listed(replica: Replica) -> None:
    await typed(replica)
    restore = Wanted(NPSN, "restore", "/perintah", "event-9", "operator", revision=0)
    database = replica.requests.database
    with pytest.raises(restoring.ListMoved):
        await registration.register_again(database, NPSN, install_id="new", registration_no=2, restore=restore)
    await replica.requests.ask(a_wish("event-1"))
    assert (await replica.opening(await taken(replica))).school.install_id == "i"
