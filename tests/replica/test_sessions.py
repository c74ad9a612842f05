"""What a session does to the replica, step by step, on the real database; central's answers are made by hand."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.database import Database
from services.exchange import canonical
from services.exchange.absorb import Replicated
from services.messages import Covered, PageRow, Problem, RecordVerdict, SessionPage
from services.replica import judging, records, registration
from services.replica.asking import Wanted
from services.replica.requests import Job, LeaseLost, Requests
from services.replica.sessions import Completion, Replica
from services.replica.status import status
from tests.builders import TODAY, a_school, new_id
from tests.replica.conftest import NPSN

A_STATEMENT = {"incarnation": "00000000-0000-4000-8000-000000000001", "session": 1, "kind": "sync", "head_seq": 0,
               "root": "00"}  # fmt: skip
FIRST_LIFE = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
async def job(replica: Replica) -> Job:
    """A sync that a worker has taken."""
    return await a_job(replica, "event-1")


def a_wish(event_id: str, kind: str = "sync", **options: Any) -> Wanted:
    """A request for a session."""
    return Wanted(NPSN, kind, "/uji", event_id, "kepala sekolah", **options)


async def a_job(replica: Replica, event_id: str) -> Job:
    await replica.requests.ask(a_wish(event_id))
    taken = await replica.requests.take("sync", "worker")
    assert taken is not None
    return taken


def a_page(*rows: PageRow, head: int | None = None) -> SessionPage:
    last = rows[-1].seq if rows else 0
    return SessionPage(rows=list(rows), cursor=last, head_seq=last if head is None else head)


def a_row(entity: str, record_id: str, fields: dict[str, object] | None, *, version: int, seq: int) -> PageRow:
    text = None if fields is None else canonical.encode(fields)
    return PageRow(entity=entity, record_id=record_id, version=version, seq=seq, text=text)


async def baseline(replica: Replica, job: Job) -> dict[str, dict[str, dict[str, object]]]:
    """A minimal valid school as central's first page; what came down."""
    school = a_school()
    rows = [(entity, one, fields) for entity, found in school.items() for one, fields in found.items()]
    page = a_page(*(a_row(e, i, f, version=1, seq=n) for n, (e, i, f) in enumerate(rows, start=1)))
    await replica.absorb_page(job, page, clear_doubt=True)
    return school


async def type_in(replica: Replica, job: Job, entity: str, record_id: str, **fields: object) -> None:
    """What an operator's accepted change does to a record."""
    async with replica.requests.holding(job) as (transaction, _):
        held = (await records.read(transaction, NPSN, [(entity, record_id)]))[(entity, record_id)]
        typed = {name: value for name, value in {**(held.data or {}), **fields}.items() if value is not None}
        await records.write(transaction, NPSN, {(entity, record_id): replace(held, data=typed)})
        await records.touch(transaction, NPSN)


async def held(replica: Replica, job: Job, key: records.Key) -> Replicated:
    async with replica.requests.holding(job) as (transaction, _):
        return (await records.read(transaction, NPSN, [key]))[key]


async def test_records_and_cursor_come_together(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    state = (await replica.opening(job)).school
    assert state.cursor == state.settled == sum(map(len, school.values()))


async def test_a_page_that_is_not_the_last_moves_the_cursor_but_settles_nothing(replica: Replica, job: Job) -> None:
    await baseline(replica, job)
    before = (await replica.opening(job)).school
    new = a_row("ptk", "018f0000-0000-7000-8000-000000000001", {"nama": "Baru"}, version=1, seq=before.cursor + 1)
    await replica.absorb_page(job, a_page(new, head=before.cursor + 5), clear_doubt=True)
    after = (await replica.opening(job)).school
    assert (after.cursor, after.settled, after.highest_seq) == (before.cursor + 1, before.settled, before.cursor + 5)


async def test_the_gate_marks_exactly_what_it_pushes(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    assert [(c.entity, c.record_id, c.fields["anak_keberapa"][1]) for c in gate.changes] == [
        ("peserta_didik", student, 3)
    ]
    record = await held(replica, job, ("peserta_didik", student))
    assert record.sent is not None
    assert record.sent.fields == record.data
    assert (await replica.opening(job)).school.marks == {FIRST_LIFE: 4}
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=4)
    assert (await held(replica, job, ("peserta_didik", student))).sent == record.sent, "what was sent stays as it was"


async def test_a_blocked_school_marks_nothing(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, agama_id=None)
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    assert gate.problem is not None
    assert gate.problem.code == "SYN-01"
    assert gate.changes == []
    assert (await held(replica, job, ("peserta_didik", student))).sent is None
    assert (await replica.opening(job)).school.marks == {}


async def test_what_a_page_brings_is_judged_as_the_whole_school_would_be(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student, fields = next(iter(school["peserta_didik"].items()))
    await replica.look(job)
    cursor = (await replica.opening(job)).school.cursor
    changed = a_row("peserta_didik", student, {**fields, "nama": "Kml"}, version=2, seq=cursor + 1)
    added = a_row("peserta_didik", new_id(77), {**fields, "nama": "7"}, version=1, seq=cursor + 2)
    gone = a_row("anggota_rombel", next(iter(school["anggota_rombel"])), None, version=2, seq=cursor + 3)
    await replica.absorb_page(job, a_page(changed, added, gone), clear_doubt=True)
    async with replica.requests.holding(job) as (transaction, state):
        assert await transaction.value("SELECT verdict_revision FROM school") == state.revision, "it is judged"
        followed = await judging.current(transaction, NPSN, TODAY)
        whole = await judging.judge(transaction, NPSN, TODAY)
    assert (followed.invalid, followed.warning, followed.findings) == (whole.invalid, whole.warning, whole.findings)
    assert followed.invalid


async def test_a_row_that_a_hand_made_unreadable_stops_no_page(replica: Replica, job: Job) -> None:
    """The whole school cannot be judged until the proof that follows the pages has mended the row: so it waits."""
    school = await baseline(replica, job)
    async with replica.requests.holding(job) as (transaction, _):
        await transaction.run("UPDATE record SET base = 'x', data = 'x' WHERE entity = 'anggota_rombel'")
        await transaction.run("UPDATE school SET verdict_date = verdict_date - 1")
    cursor = (await replica.opening(job)).school.cursor
    student, fields = next(iter(school["peserta_didik"].items()))
    row = a_row("peserta_didik", student, {**fields, "nama": "Kml"}, version=2, seq=cursor + 1)
    await replica.absorb_page(job, a_page(row), clear_doubt=True)
    async with replica.requests.holding(job) as (transaction, state):
        assert state.cursor == cursor + 1
        assert await transaction.value("SELECT verdict_revision FROM school") < state.revision, "it is judged later"


async def test_an_answer_that_was_lost_is_settled_by_the_next_first_fetch(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    cursor = (await replica.opening(job)).school.cursor
    await replica.absorb_page(job, a_page(head=cursor).model_copy(update={"cursor": cursor}), clear_doubt=True)
    record = await held(replica, job, ("peserta_didik", student))
    assert record.sent is None
    assert record.pending


async def test_a_value_typed_back_while_in_doubt_is_not_lost(replica: Replica, job: Job) -> None:
    """Sent 3, central took it, the answer was lost, the operator typed the old value back: it must be pending again."""
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    before = dict(school["peserta_didik"][student])
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=before.get("anak_keberapa"))
    cursor = (await replica.opening(job)).school.cursor
    taken = a_row("peserta_didik", student, {**before, "anak_keberapa": 3}, version=2, seq=cursor + 1)
    await replica.absorb_page(job, a_page(taken), clear_doubt=True)
    record = await held(replica, job, ("peserta_didik", student))
    assert record.pending
    assert record.data == before


async def test_an_officer_who_put_the_old_value_back_is_not_overruled(replica: Replica, job: Job) -> None:
    """A page shows what a later hand hides: ours was taken (version 2), then put back (version 3), and we never
    heard.
    """
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    before = dict(school["peserta_didik"][student])
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    cursor = (await replica.opening(job)).school.cursor
    ours = Covered(version=2, seq=cursor + 1, text=canonical.encode({**before, "anak_keberapa": 3}))
    newest = replace(a_row("peserta_didik", student, before, version=3, seq=cursor + 2), covers=ours)
    await replica.absorb_page(job, a_page(newest), clear_doubt=True)
    record = await held(replica, job, ("peserta_didik", student))
    assert not record.pending
    assert record.data == before


async def test_a_refused_record_stays_pending_and_shows_why(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    why = Problem(code="PD-01", field="nama", text_id="a", text_en="b", next_id="c", next_en="d")
    verdict = RecordVerdict(verdict="refused", version=1, seq=1, findings=[why])
    await replica.absorb_verdicts(job, gate.changes, [verdict], head_seq=9)
    standing = await replica.standing(job)
    assert (standing.unsent, standing.refused) == (1, 1)
    assert (await held(replica, job, ("peserta_didik", student))).sent is None


async def test_an_applied_verdict_needs_no_body(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    applied = RecordVerdict(verdict="applied", version=2, seq=50)
    await replica.absorb_verdicts(job, gate.changes, [applied], head_seq=50)
    record = await held(replica, job, ("peserta_didik", student))
    assert (record.base.version, record.base.seq, record.pending) == (2, 50, False)
    assert record.base.fields == record.data
    assert (await replica.standing(job)).unsent == 0


async def test_a_worker_that_slept_through_its_replacement_stops_at_its_next_step(site_database: Database) -> None:
    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    replica = Replica(Requests(site_database, lease_seconds=0.05), lambda: TODAY)
    sleeper = await a_job(replica, "event-1")
    successor = None
    for _ in range(200):
        successor = await replica.requests.take("sync", "another worker")
        if successor is not None:
            break
        await asyncio.sleep(0.01)  # the lease's time is the database's
    assert successor is not None
    assert successor.epoch > sleeper.epoch
    assert successor.attempt == 2
    with pytest.raises(LeaseLost):
        await replica.absorb_page(sleeper, a_page(), clear_doubt=True)
    with pytest.raises(LeaseLost):
        await replica.requests.keep_lease(sleeper)


async def test_a_live_lease_is_not_stolen(replica: Replica, job: Job) -> None:
    await replica.requests.ask(a_wish("event-2"))
    assert await replica.requests.take("sync", "another worker") is None
    await replica.requests.wait(job, seconds=0)
    assert await replica.requests.take("sync", "another worker") is not None


async def a_refused_request(replica: Replica, event_id: str) -> None:
    await replica.requests.ask(a_wish(event_id), refused=("SYN-02", {"why": "role"}))


async def test_a_refused_request_is_never_there_to_be_taken(replica: Replica) -> None:
    await a_refused_request(replica, "event-1")
    assert await replica.requests.take("sync", "worker") is None
    assert [end.reason for end in await replica.requests.unannounced("sync")] == ["SYN-02"]
    assert (await replica.requests.gauges(["sync"]))["refused"] == {("sync", "SYN-02"): 1.0}


async def test_a_refused_request_that_comes_again_says_nothing_about_the_school_as_it_is_now(
    replica: Replica, site_database: Database
) -> None:
    await a_refused_request(replica, "event-1")
    job = await a_job(replica, "event-2")
    await replica.complete(job, Completion(outcome="completed", statement=A_STATEMENT, jws="e30.e30.", data={}))
    await a_refused_request(replica, "event-1")
    here = await status(site_database, NPSN)
    assert here is not None
    assert here.latest["sync"].outcome == "completed"


async def test_a_heartbeat_that_comes_late_does_not_take_a_freed_lease_again(replica: Replica, job: Job) -> None:
    await replica.requests.wait(job, seconds=0, unreachable=False)
    with pytest.raises(LeaseLost):
        await replica.requests.keep_lease(job)
    assert await replica.requests.take("sync", "another worker") is not None


async def test_what_has_ended_is_not_put_off(replica: Replica, job: Job, site_database: Database) -> None:
    why = Problem(code="SYN-20", text_id="a", text_en="b", next_id="c", next_en="d")
    await replica.end(job, "failed", why, {})
    await replica.requests.wait(job, seconds=0, unreachable=False)
    async with site_database.transaction() as transaction:
        assert await transaction.value("SELECT state FROM session WHERE id = :id", id=job.id) == "ended"


async def test_only_sessions_that_another_replaced_count_as_replaced(replica: Replica, job: Job) -> None:
    await replica.requests.wait(job, seconds=0, unreachable=True)
    away = await a_job(replica, "event-1")
    assert (away.attempt, away.replaced) == (2, 0)
    await replica.requests.wait(away, seconds=0, unreachable=False, replaced=True)
    replaced = await a_job(replica, "event-1")
    assert (replaced.attempt, replaced.replaced) == (3, 1)


async def test_the_gate_names_conflicts_only_when_nothing_else_is_invalid(replica: Replica, job: Job) -> None:
    school = await baseline(replica, job)
    student, text = next((i, f) for i, f in school["peserta_didik"].items())
    await type_in(replica, job, "peserta_didik", student, alamat_jalan="Jalan Sekolah")
    head = (await replica.opening(job)).school.cursor
    for number, street in enumerate(("Jalan Pusat 1", "Jalan Pusat 2"), start=1):
        theirs = a_row(
            "peserta_didik", student, {**text, "alamat_jalan": street}, version=1 + number, seq=head + number
        )
        await replica.absorb_page(job, a_page(theirs), clear_doubt=True)
        gate = await replica.look(job)
        assert gate.problem is not None
        assert gate.problem.code == "SYN-12"
        assert street in gate.findings[0].text_en, "central's present value is shown"
    await type_in(replica, job, "peserta_didik", student, agama_id=None)
    gate = await replica.look(job)
    assert gate.problem is not None
    assert gate.problem.code == "SYN-01", "the very record in conflict is invalid, too"


async def test_a_refused_request_does_not_hide_an_earlier_failure(replica: Replica, job: Job) -> None:
    why = Problem(code="SYN-20", text_id="a", text_en="b", next_id="c", next_en="d")
    await replica.end(job, "failed", why, {})
    await a_refused_request(replica, "event-2")
    gauges = await replica.requests.gauges(["sync"])
    assert gauges["failed"] == {("sync", "SYN-20"): 1.0}
    assert gauges["refused"] == {}
