"""What goes with an OPEN, and what becomes of it, on the real database; central's answers are made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from services.database import Database, from_json
from services.messages import (
    Limits,
    LineageEntry,
    Mark,
    RecordVerdict,
    SessionGranted,
    SessionPage,
    SessionResult,
)
from services.replica import mending, records, registration
from services.replica.requests import Job, Requests
from services.replica.sessions import Completion, Foreseen, Gate, Replica
from services.replica.standing import root
from services.replica.status import status
from services.syncer import early
from tests.builders import TODAY
from tests.replica.conftest import NPSN
from tests.replica.test_sessions import FIRST_LIFE, a_job, a_page, a_row, a_wish, baseline, held, type_in

SECOND_LIFE = "00000000-0000-4000-8000-000000000002"
LINEAGE = [LineageEntry(incarnation=FIRST_LIFE, head_seq=0)]


@pytest.fixture
async def job(replica: Replica) -> Job:
    """A sync of a school that has had session 3."""
    job = await a_job(replica, "event-1")
    await baseline(replica, job)
    await replica.begin(job, LINEAGE)
    await replica.gate(job, incarnation=FIRST_LIFE, session=3)
    return job


@pytest.fixture
async def student(replica: Replica, job: Job) -> str:
    """One that an operator has changed."""
    async with replica.requests.holding(job) as (transaction, _):
        one: str = await transaction.value("SELECT min(record_id) FROM record WHERE entity = 'peserta_didik'")
    await type_in(replica, job, "peserta_didik", one, anak_keberapa=3)
    return one


async def looked(replica: Replica, job: Job) -> tuple[Gate, Foreseen]:
    gate = await replica.look(job)
    assert gate.foreseen is not None
    return gate, gate.foreseen


async def here(replica: Replica, job: Job) -> Any:
    return (await replica.opening(job)).school


def granted(seq: int, result: SessionResult | None = None, **more: Any) -> SessionGranted:
    return SessionGranted(
        session=4, incarnation=FIRST_LIFE, head_seq=seq, lineage=LINEAGE, limits=Limits(records=500, bytes=1000),
        page=SessionPage(rows=[], cursor=seq, head_seq=seq), result=result, **more,
    )  # fmt: skip


def applied(seq: int) -> SessionResult:
    return SessionResult(batch_no=1, head_seq=seq, verdicts=[RecordVerdict(verdict="applied", version=2, seq=seq)])


def ends(root_: str, seq: int) -> Completion:
    stated = {"incarnation": FIRST_LIFE, "session": 4, "kind": "sync", "head_seq": seq, "root": root_}
    return Completion("completed", stated, "", {})


async def test_few_changes_go_with_the_open_and_are_in_doubt_at_once(replica: Replica, job: Job, student: str) -> None:
    gate, foreseen = await looked(replica, job)
    assert [change.record_id for change in gate.changes] == [student]
    assert gate.open_id == foreseen.id
    assert foreseen.after == 3
    assert gate.opening is not None
    assert gate.opening.school.marks == {FIRST_LIFE: 3, foreseen.id: 0}, "OPEN says so itself"
    school = await here(replica, job)
    assert school.marks == {FIRST_LIFE: 3, foreseen.id: 0}
    assert (await held(replica, job, ("peserta_didik", student))).sent is not None


async def test_what_was_foreseen_is_what_the_site_has_once_central_took_it(
    replica: Replica, job: Job, student: str
) -> None:
    gate, foreseen = await looked(replica, job)
    seq = (await here(replica, job)).cursor + 1
    assert await replica.absorb_early(job, gate.changes, granted(seq, applied(seq)), ends(foreseen.root, seq))
    async with replica.requests.database.transaction() as transaction:
        assert (await root(transaction, NPSN)).hex() == foreseen.root
        ended = await transaction.row("SELECT outcome, ended_at FROM session WHERE npsn = :npsn", npsn=NPSN)
        school = await transaction.row("SELECT CAST(marks AS text) AS marks, cursor FROM school")
    assert ended is not None
    assert school is not None
    assert (ended.outcome, ended.ended_at is not None) == ("completed", True)
    assert (from_json(school.marks), school.cursor) == ({FIRST_LIFE: 4}, seq)
    now = await status(replica.requests.database, NPSN)
    assert now is not None
    assert now.pending == 0


async def test_a_new_and_a_deleted_record_are_foreseen(replica: Replica, job: Job, student: str) -> None:
    async with replica.requests.holding(job) as (transaction, _):
        member = await transaction.value("SELECT min(record_id) FROM record WHERE entity = 'anggota_rombel'")
        held_one = (await records.read(transaction, NPSN, [("anggota_rombel", member)]))[("anggota_rombel", member)]
        other = member[:-4] + "beef"
        await transaction.run(
            "UPDATE record SET data = NULL WHERE npsn = :npsn AND record_id = :id", npsn=NPSN, id=member
        )
        await transaction.run(
            """
            INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data)
            SELECT npsn, entity, :new, 0, 0, NULL, base FROM record WHERE npsn = :npsn AND record_id = :id
            """,
            npsn=NPSN, id=member, new=other,
        )  # fmt: skip
        assert held_one.data is not None
    gate, foreseen = await looked(replica, job)
    assert {(c.op, c.record_id) for c in gate.changes} == {("put", student), ("put", other), ("delete", member)}
    seq = (await here(replica, job)).cursor
    versions = {student: 2, other: 1, member: 2}
    verdicts = [
        RecordVerdict(verdict="applied", version=versions[change.record_id], seq=seq + n)
        for n, change in enumerate(gate.changes, start=1)
    ]
    result = SessionResult(batch_no=1, head_seq=seq + 3, verdicts=verdicts)
    assert await replica.absorb_early(job, gate.changes, granted(seq + 3, result), ends(foreseen.root, seq + 3))


async def test_if_the_rows_are_not_what_was_stated_the_session_goes_on(
    replica: Replica, job: Job, student: str
) -> None:
    gate, foreseen = await looked(replica, job)
    seq = (await here(replica, job)).cursor + 1
    async with replica.requests.holding(job) as (transaction, _):
        await transaction.run(
            "UPDATE record SET base_version = 9 WHERE npsn = :npsn AND entity = 'ptk'", npsn=NPSN
        )  # a hand, at the worst moment
    assert not await replica.absorb_early(job, gate.changes, granted(seq, applied(seq)), ends(foreseen.root, seq))
    assert (await here(replica, job)).cursor == seq, "what central took is stored all the same"
    standing = await replica.standing(job)
    assert standing.root != foreseen.root
    async with replica.requests.database.transaction() as transaction:
        assert await transaction.value("SELECT count(*) FROM statement WHERE npsn = :npsn", npsn=NPSN) == 0


async def test_what_an_operator_types_meanwhile_stays_pending(replica: Replica, job: Job, student: str) -> None:
    gate, foreseen = await looked(replica, job)
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=5)
    seq = (await here(replica, job)).cursor + 1
    assert await replica.absorb_early(job, gate.changes, granted(seq, applied(seq)), ends(foreseen.root, seq))
    now = await status(replica.requests.database, NPSN)
    assert now is not None
    assert now.pending == 1


async def test_while_one_is_unheard_nothing_goes_with_another(replica: Replica, job: Job, student: str) -> None:
    _, foreseen = await looked(replica, job)
    again = await replica.look(job)
    assert (again.foreseen, again.open_id) == (None, None)
    assert again.opening is not None
    assert again.opening.school.marks == {FIRST_LIFE: 3, foreseen.id: 0}


async def test_the_gate_of_a_session_hears_of_what_went_unheard(replica: Replica, job: Job, student: str) -> None:
    await looked(replica, job)
    mark = Mark(incarnation=FIRST_LIFE, session=4)
    lineage = [*LINEAGE, LineageEntry(incarnation=SECOND_LIFE, head_seq=0)]
    await replica.begin(job, lineage)
    cursor = (await here(replica, job)).cursor
    last = SessionPage(rows=[], cursor=cursor, head_seq=cursor)
    gate = await replica.gate(job, incarnation=SECOND_LIFE, session=5, mark=mark, last=last)
    assert [change.record_id for change in gate.changes] == [student]
    school = await here(replica, job)
    assert school.marks == {FIRST_LIFE: 4, SECOND_LIFE: 5}


async def test_nothing_to_send_is_foreseen_without_a_trace(replica: Replica, job: Job) -> None:
    gate, foreseen = await looked(replica, job)
    assert gate.changes == []
    async with replica.requests.database.transaction() as transaction:
        assert (await root(transaction, NPSN)).hex() == foreseen.root
    assert (await here(replica, job)).marks == {FIRST_LIFE: 3}


async def test_many_or_long_records_go_in_batches(
    replica: Replica, job: Job, student: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    replica.most_early = 0
    assert (await replica.look(job)).foreseen is None
    replica.most_early = 1
    monkeypatch.setattr(records, "EARLY_BYTES", 10)
    assert (await replica.look(job)).foreseen is None
    assert (await here(replica, job)).marks == {FIRST_LIFE: 3}
    assert (await held(replica, job, ("peserta_didik", student))).sent is None


async def test_a_school_that_is_blocked_sends_nothing(replica: Replica, job: Job, student: str) -> None:
    await type_in(replica, job, "peserta_didik", student, agama_id=None)
    gate = await replica.look(job)
    assert gate.problem is not None
    assert (gate.problem.code, gate.foreseen) == ("SYN-01", None)
    assert (await held(replica, job, ("peserta_didik", student))).sent is None


async def test_the_first_session_carries_nothing(site_database: Database) -> None:
    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    replica = Replica(Requests(site_database, lease_seconds=60), lambda: TODAY)
    assert (await replica.look(await a_job(replica, "event-1"))).foreseen is None


async def test_an_impossible_version_that_a_hand_left_stops_nothing(replica: Replica, job: Job, student: str) -> None:
    async with replica.requests.holding(job) as (transaction, _):
        await transaction.run(
            "UPDATE record SET base_version = 9223372036854775807 WHERE npsn = :npsn AND record_id = :id",
            npsn=NPSN, id=student,
        )  # fmt: skip
    gate, _ = await looked(replica, job)
    assert gate.changes == []


async def test_another_installation_knows_of_no_open(replica: Replica, job: Job, student: str) -> None:
    await looked(replica, job)
    revision = (await here(replica, job)).revision
    restore = a_wish("pulih", "restore", revision=revision)
    await registration.register_again(
        replica.requests.database, NPSN, install_id="j", registration_no=2, restore=restore
    )
    async with replica.requests.database.transaction() as transaction:
        assert await transaction.value("SELECT CAST(marks AS text) FROM school WHERE npsn = :npsn", npsn=NPSN) == "{}"


# ── what never came ──────────────────────────────────────────────────────────────────────────────────────────────────


async def a_session_after(replica: Replica, job: Job, student: str, **theirs: object) -> Gate:
    """OPEN is granted at last, and nothing of ours ever came; what central has comes in."""
    await replica.never_came(job)
    fields = dict((await held(replica, job, ("peserta_didik", student))).base.fields or {})
    seq = (await here(replica, job)).cursor + 1
    page = a_page(a_row("peserta_didik", student, {**fields, **theirs}, version=2, seq=seq))
    return await replica.gate(job, incarnation=FIRST_LIFE, session=4, last=page)


async def test_what_is_undone_before_it_came_anywhere_overrules_no_officer(
    replica: Replica, job: Job, student: str
) -> None:
    await looked(replica, job)
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=None)
    gate = await a_session_after(replica, job, student, anak_keberapa=7)
    assert gate.changes == []
    record = await held(replica, job, ("peserta_didik", student))
    assert record.data is not None
    assert record.data["anak_keberapa"] == 7
    assert (await here(replica, job)).marks == {FIRST_LIFE: 4}


async def test_what_is_undone_before_it_came_anywhere_is_in_no_conflict(
    replica: Replica, job: Job, student: str
) -> None:
    before = (await held(replica, job, ("peserta_didik", student))).data
    assert before is not None
    await type_in(replica, job, "peserta_didik", student, alamat_jalan="Jl. Salah", anak_keberapa=None)
    await looked(replica, job)
    await type_in(replica, job, "peserta_didik", student, alamat_jalan=before["alamat_jalan"])
    gate = await a_session_after(replica, job, student, alamat_jalan="Jl. Pusat")
    assert (gate.problem, gate.changes) == (None, [])
    record = await held(replica, job, ("peserta_didik", student))
    assert record.data is not None
    assert (record.conflict, record.data["alamat_jalan"]) == (None, "Jl. Pusat")


async def test_an_officer_who_wrote_what_never_came_disagrees_with_what_was_typed_since(
    replica: Replica, job: Job, student: str
) -> None:
    await type_in(replica, job, "peserta_didik", student, alamat_jalan="Jl. Satu", anak_keberapa=None)
    await looked(replica, job)
    await type_in(replica, job, "peserta_didik", student, alamat_jalan="Jl. Dua")
    gate = await a_session_after(replica, job, student, alamat_jalan="Jl. Satu")
    assert gate.problem is not None
    assert gate.problem.code == "SYN-12", "two people, two values: a conflict"


async def test_what_the_last_statement_proves_is_kept_if_the_session_goes_on(
    replica: Replica, job: Job, student: str
) -> None:
    """The OPEN came again, its first answer was lost, and an officer wrote in between."""
    async with replica.requests.holding(job) as (transaction, _):
        await mending.keep_stated(transaction, NPSN, (await root(transaction, NPSN)).hex(), "a.b.c")
        teacher = await transaction.value("SELECT max(record_id) FROM record WHERE entity = 'ptk'")
    fields = dict((await held(replica, job, ("ptk", teacher))).base.fields or {})
    gate, foreseen = await looked(replica, job)
    seq = (await here(replica, job)).cursor + 1
    page = a_page(a_row("ptk", teacher, {**fields, "nama": "Lain"}, version=2, seq=seq + 1))
    answer = granted(seq, applied(seq)).model_copy(update={"page": page, "head_seq": seq + 1})
    assert not await replica.absorb_early(job, gate.changes, answer, ends(foreseen.root, seq))
    async with replica.requests.database.transaction() as transaction:
        assert await mending.stated(transaction, NPSN) == "a.b.c"


@pytest.mark.parametrize(("said", "again"), [(None, True), (False, False), (True, False)])
async def test_a_central_that_does_not_say_what_became_of_it_is_asked_again_under_another_id(
    replica: Replica, job: Job, student: str, said: bool | None, again: bool
) -> None:
    gate, _ = await looked(replica, job)
    seq = (await here(replica, job)).cursor
    assert early.may_hide(gate, granted(seq, tried_taken=said)) is again
    assert not early.may_hide(gate, granted(seq + 1, applied(seq + 1)))
    assert not early.may_hide(Gate([]), granted(seq))
