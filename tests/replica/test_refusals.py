"""What central refused: pending, shown in central's own words, sent once more by each later session, gone with the next
verdict.
"""

from __future__ import annotations

import pytest

from services.exchange.change import Change
from services.messages import FieldsChange, Problem, RecordVerdict, VerdictName
from services.replica import changes, judging, records
from services.replica.requests import Job
from services.replica.sessions import Gate, Replica
from services.replica.status import status
from services.rules import REFUSED, Finding
from tests.builders import STUDENT, TODAY, a_lesson, new_id
from tests.replica.conftest import NPSN
from tests.replica.test_sessions import FIRST_LIFE, a_job, a_page, a_row, baseline

KEY = ("peserta_didik", STUDENT)
WHY = Problem(
    code="PD-99",
    field="anak_keberapa",
    text_id="Anak keberapa melebihi jumlah saudara",
    text_en="More than there are siblings",
    next_id="Periksa kartu keluarga.",
    next_en="Look at the family card.",
)


@pytest.fixture
async def job(replica: Replica) -> Job:
    """A sync that a worker has taken, of a school whose student has an edit to send."""
    job = await a_job(replica, "event-1")
    await baseline(replica, job)
    await type_in(replica, anak_keberapa=3)
    return job


async def type_in(replica: Replica, **fields: object) -> None:
    await take(replica, FieldsChange(entity=KEY[0], record_id=KEY[1], fields=fields))


async def take(replica: Replica, change: FieldsChange) -> None:
    async with replica.requests.database.transaction() as transaction:
        assert await changes.lock(transaction, NPSN)
        taken = await changes.take_in(transaction, NPSN, [change], TODAY, "operator")
    assert len(taken.stored) == 1


async def refuse(replica: Replica, job: Job, *findings: Problem, session: int = 4) -> list[Change]:
    """A session's gate and its push, refused; what was pushed."""
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=session)
    verdicts = [RecordVerdict(verdict="refused", version=1, seq=1, findings=list(findings)) for _ in gate.changes]
    await replica.absorb_verdicts(job, gate.changes, verdicts, head_seq=9)
    return gate.changes


async def found(replica: Replica) -> list[Finding]:
    async with replica.requests.database.transaction() as transaction:
        verdict = await judging.current(transaction, NPSN, TODAY)
        assert verdict == await judging.current(transaction, NPSN, TODAY), "and it is stored as it was judged"
        return [f for f in verdict.findings if f.rule == REFUSED.code]


async def refused(replica: Replica) -> tuple[int, int, int]:
    """As the status counts: refused, with warnings only, invalid."""
    async with replica.requests.database.transaction() as transaction:
        await judging.current(transaction, NPSN, TODAY)
    s = await status(replica.requests.database, NPSN)
    assert s is not None
    assert s.judged
    return s.refused, s.warning, s.invalid


async def test_a_refusal_is_a_warning_in_centrals_own_words(replica: Replica, job: Job) -> None:
    before = await refused(replica)
    await refuse(replica, job, WHY)
    (finding,) = await found(replica)
    assert (finding.entity, finding.record_id, finding.field) == (*KEY, "anak_keberapa")
    assert finding.text("id") == "Ditolak pusat, PD-99: Anak keberapa melebihi jumlah saudara"
    assert finding.text("en") == "Refused by central, PD-99: More than there are siblings"
    assert finding.todo("id") == "Periksa kartu keluarga. Dikirim sekali lagi pada setiap sinkronisasi."
    assert finding.todo("en") == "Look at the family card. It is sent once more with every sync."
    assert await refused(replica) == (1, before[1] + 1, 0)


async def test_each_of_centrals_findings_is_listed(replica: Replica, job: Job) -> None:
    await refuse(replica, job, WHY, WHY.model_copy(update={"code": "PD-98", "field": None}))
    assert [(f.field, f.params["central_code"]) for f in await found(replica)] == [
        ("anak_keberapa", "PD-99"),
        (None, "PD-98"),
    ]


async def test_it_closes_no_gate_and_is_sent_once_more_by_each_session(replica: Replica, job: Job) -> None:
    first = await refuse(replica, job, WHY)
    for session in (5, 6):
        assert (await replica.look(job)).problem is None
        assert await refuse(replica, job, WHY, session=session) == first
    assert len(await found(replica)) == 1


@pytest.mark.parametrize("verdict", ["applied", "unchanged"])
async def test_the_next_verdict_takes_it_off(replica: Replica, job: Job, verdict: VerdictName) -> None:
    before = await refused(replica)
    await refuse(replica, job, WHY)
    gate: Gate = await replica.gate(job, incarnation=FIRST_LIFE, session=5)
    taken = RecordVerdict(verdict, version=2, seq=50)
    await replica.absorb_verdicts(job, gate.changes, [taken], head_seq=50)
    assert await found(replica) == []
    assert await refused(replica) == before


async def test_central_coming_to_the_same_value_by_itself_takes_it_off(replica: Replica, job: Job) -> None:
    before = await refused(replica)
    await refuse(replica, job, WHY)
    assert len(await found(replica)) == 1
    async with replica.requests.database.transaction() as transaction:
        mine = (await records.read(transaction, NPSN, [KEY]))[KEY].data
    await replica.absorb_page(job, a_page(a_row(*KEY, mine, version=2, seq=90)), clear_doubt=True)
    assert await refused(replica) == before


async def test_a_refusal_for_another_reason_takes_the_place_of_the_one_before(replica: Replica, job: Job) -> None:
    await refuse(replica, job, WHY)
    await refuse(replica, job, WHY.model_copy(update={"code": "PD-98"}), session=5)
    assert [f.params["central_code"] for f in await found(replica)] == ["PD-98"]


async def test_the_same_refusal_again_moves_nothing(replica: Replica, job: Job) -> None:
    await refuse(replica, job, WHY)
    before = (await replica.opening(job)).school.revision
    await refuse(replica, job, WHY, session=5)
    assert (await replica.opening(job)).school.revision == before


async def test_what_was_typed_back_was_not_refused(replica: Replica, job: Job) -> None:
    async with replica.requests.database.transaction() as transaction:
        before = (await records.read(transaction, NPSN, [KEY]))[KEY].base.fields or {}
    await refuse(replica, job, WHY)
    await type_in(replica, anak_keberapa=before.get("anak_keberapa"))
    assert await found(replica) == []
    await type_in(replica, anak_keberapa=4)
    assert await found(replica) == [], "nobody has refused that"


async def test_an_edit_of_a_refused_record_keeps_the_finding_until_central_has_judged_it(
    replica: Replica, job: Job
) -> None:
    await refuse(replica, job, WHY)
    await type_in(replica, anak_keberapa=2)
    assert len(await found(replica)) == 1


async def test_the_refusal_of_a_record_deleted_in_doubt_goes_with_its_row(replica: Replica, job: Job) -> None:
    lesson = ("pembelajaran", new_id(34))
    fields = a_lesson(mata_pelajaran_id=400200001, nama_mata_pelajaran="Bahasa Daerah")
    await take(replica, FieldsChange(entity=lesson[0], record_id=lesson[1], fields=fields))
    await refuse(replica, job, WHY)
    await replica.gate(job, incarnation=FIRST_LIFE, session=5)
    await take(replica, FieldsChange(entity=lesson[0], record_id=lesson[1], op="delete"))
    assert lesson in {(f.entity, f.record_id) for f in await found(replica)}
    cursor = (await replica.opening(job)).school.cursor
    await replica.absorb_page(job, a_page(head=cursor).model_copy(update={"cursor": cursor}), clear_doubt=True)
    assert {(f.entity, f.record_id) for f in await found(replica)} == {KEY}
