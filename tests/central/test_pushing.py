"""What central makes of pushed batches: once, in order, with a verdict for every change."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from services.central import history, registry, schools
from services.errors import MessageRefused
from services.exchange import digest
from services.messages import OfficerChangeRejected, PushedChange, SessionPage, SessionResult, SessionStale
from tests.builders import NPSN, new_id
from tests.central.desk import STUDENT, Desk, codes, corrects, delete, expect, new, put, student_id


async def test_a_batch_gets_a_verdict_for_every_change_and_contiguous_seqs(desk: Desk) -> None:
    session = await desk.open(cursor=4)
    result = await session.pushed(
        put(1, 1, rt=(None, 7)),
        put(2, 1, nama=(STUDENT["nama"], STUDENT["nama"])),
        put(3, 1, tanggal_lahir=(STUDENT["tanggal_lahir"], "bukan tanggal")),
        new(9),
        cursor=4,
    )
    assert [v.verdict for v in result.verdicts] == ["applied", "unchanged", "refused", "applied"]
    assert [(v.version, v.seq) for v in result.verdicts] == [(2, 5), (1, 3), (1, 4), (1, 6)]
    assert not any(v.carries for v in result.verdicts)
    assert result.verdicts[2].findings[0].field == "tanggal_lahir"
    assert result.head_seq == 6
    student = await desk.student(1)
    assert student is not None
    assert student.fields == {**STUDENT, "rt": 7}


async def test_the_same_batch_again_gets_the_same_verdicts_and_is_applied_once(desk: Desk) -> None:
    session = await desk.open(cursor=4)
    await desk.officer(corrects(2, 1, no_kk="9900010000000009"), corrects(3, 1, terverifikasi=True))
    changes = (
        put(1, 1, rt=(None, 7)),
        put(2, 1, no_kk=(STUDENT["no_kk"], "9900010000000005"), rt=(None, 3)),
        put(3, 1, nama=(STUDENT["nama"], "Lain"), rt=(None, 4)),
        put(8, 5, rt=(None, 4)),
    )
    result = await session.pushed(*changes, last=False)
    assert [v.verdict for v in result.verdicts] == ["applied", "conflict", "merged", "refused"]
    assert (result.verdicts[1].conflicts, result.verdicts[2].locked) == (["no_kk"], ["nama"])
    assert [v.carries for v in result.verdicts] == [False, True, True, True]
    assert result.verdicts[3].text is None
    assert codes(result.verdicts[3].findings) == ["UBAH-12"]
    head = (await desk.head()).head_seq
    await desk.officer(corrects(2, 3, rt=9))
    again = expect(await session.push(*changes, last=False, batch_no=1), SessionResult)
    assert again.verdicts == result.verdicts
    assert (await desk.head()).head_seq == head + 1


@pytest.mark.parametrize("hand", ["text = text || '}'", "version = 9223372036854775807", "seq = -1", "version = 0"])
async def test_a_change_of_what_a_hand_made_no_record_is_refused_and_the_others_are_taken(
    desk: Desk, hand: str
) -> None:
    session = await desk.open()
    async with desk.database.transaction() as transaction:
        await transaction.run(
            f"UPDATE record SET {hand} WHERE npsn = :npsn AND record_id = :id", npsn=NPSN, id=student_id(1)
        )
        before = await transaction.value("SELECT count(*) FROM history WHERE npsn = :npsn", npsn=NPSN)
    result = await session.pushed(put(1, 1, rt=(None, 7)), put(2, 1, rt=(None, 7)))
    assert [(v.verdict, v.version, codes(v.findings)) for v in result.verdicts] == [
        ("refused", 0, ["UBAH-15"]), ("applied", 2, []),
    ]  # fmt: skip
    answer = (await desk.officer(corrects(1, 1, rt=9))).message
    assert isinstance(answer, OfficerChangeRejected)
    assert [one.problems[0].code for one in answer.changes] == ["UBAH-15"]
    async with desk.database.transaction() as transaction:
        after = await transaction.value("SELECT count(*) FROM history WHERE npsn = :npsn", npsn=NPSN)
    assert after == before + 1


async def test_other_content_or_a_gap_is_stale(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)), last=False)
    expect(await session.push(put(1, 1, rt=(None, 8)), batch_no=1), SessionStale)
    expect(await session.push(put(2, 1, rt=(None, 8)), batch_no=3), SessionStale)
    expect(await session.push(put(2, 1, rt=(None, 8)), batch_no=2), SessionResult)
    expect(await session.push(put(1, 1, rt=(None, 7)), last=False, batch_no=1), SessionStale)


async def test_a_new_session_counts_its_batches_anew(desk: Desk) -> None:
    await (await desk.open()).pushed(put(1, 1, rt=(None, 7)))
    later = await desk.open()
    expect(await later.push(put(1, 2, rt=(7, 8)), batch_no=2), SessionStale)
    result = expect(await later.push(put(1, 1, rt=(None, 7)), put(2, 1, rt=(None, 7)), batch_no=1), SessionResult)
    assert [(v.verdict, v.version) for v in result.verdicts] == [("merged", 2), ("applied", 2)]


async def test_only_the_last_batch_brings_a_page(desk: Desk) -> None:
    session = await desk.open(cursor=4)
    assert (await session.pushed(put(1, 1, rt=(None, 7)), last=False, cursor=4)).page is None
    await desk.officer(corrects(2, 1, nisn="9000010002"))
    page = expect(await session.pushed(put(3, 1, rt=(None, 7)), cursor=4), SessionResult).page
    assert isinstance(page, SessionPage)
    assert [row.seq for row in page.rows] == [6]
    assert page.cursor == page.head_seq == 7


async def test_a_record_twice_in_one_batch_is_refused_whole(desk: Desk) -> None:
    session = await desk.open()
    with pytest.raises(MessageRefused, match="MSG-09"):
        await session.push(put(1, 1, rt=(None, 7)), put(1, 1, rw=(None, 7)))
    assert (await desk.head()).head_seq == 4


async def test_what_a_gate_would_not_let_through_is_refused_change_by_change(desk: Desk) -> None:
    session = await desk.open()
    result = await session.pushed(
        PushedChange(entity="gaji", record_id=new_id(1), op="put", base_version=0, fields={"a": (None, 1)}),
        PushedChange(
            entity="ptk_terdaftar", record_id=new_id(1), op="put", base_version=0, fields={"aktif": (None, 1)}
        ),
        PushedChange(entity="peserta_didik", record_id="Bukan-UUID", op="put", base_version=0),
        put(1, 1, rt=(None, "tujuh")),
        put(2, 1, Rt=(None, 7)),
        put(3, 1, nama=(STUDENT["nama"], "x" * 101)),
        new(9, nama="Aman"),
    )
    assert [v.verdict for v in result.verdicts] == ["refused"] * 6 + ["applied"]
    assert [codes(v.findings) for v in result.verdicts[:6]] == [
        ["UBAH-01"], ["UBAH-09"], ["UBAH-10"], ["UBAH-03"], ["UBAH-03"], ["UBAH-03"],
    ]  # fmt: skip
    labels = {"site": "pusat", "entity": "unknown", "verdict": "refused"}
    assert desk.metrics.get_sample_value("selaras_central_records_total", labels) == 1


async def test_a_field_that_central_does_not_know_is_locked(desk: Desk) -> None:
    session = await desk.open()
    result = await session.pushed(put(1, 1, isian_baru=(None, "x"), rt=(None, 7)))
    assert (result.verdicts[0].verdict, result.verdicts[0].locked) == ("applied", ["isian_baru"])


async def test_a_delete_leaves_a_tombstone_and_a_recreation_brings_central_part_back(desk: Desk) -> None:
    await desk.officer(corrects(1, 1, nisn="9000010001"))
    session = await desk.open()
    deleted = (await session.pushed(delete(1, 2), last=False)).verdicts[0]
    assert (deleted.verdict, deleted.version) == ("applied", 3)
    tombstone = await desk.student(1)
    assert tombstone is not None
    assert tombstone.text is None
    created = (await session.pushed(replace(new(1), base_version=3))).verdicts[0]
    assert (created.verdict, created.version, created.carries) == ("merged", 4, True)
    student = await desk.student(1)
    assert student is not None
    assert student.fields == {**STUDENT, "nisn": "9000010001"}
    assert created.text == student.text


async def test_a_confirmed_student_is_not_deleted(desk: Desk) -> None:
    await desk.officer(corrects(1, 1, terverifikasi=True))
    session = await desk.open()
    verdict = (await session.pushed(delete(1, 2))).verdicts[0]
    assert (verdict.verdict, codes(verdict.findings)) == ("refused", ["UBAH-06"])


async def test_superseded_versions_are_kept_and_any_seq_can_be_read(desk: Desk) -> None:
    roots = {4: await desk.root()}
    session = await desk.open()
    for number, change in enumerate((put(1, 1, rt=(None, 7)), delete(2, 1), put(1, 2, rt=(7, 8)), new(9)), 5):
        await session.pushed(change, last=False)
        roots[number] = await desk.root()
    async with desk.database.transaction() as transaction:
        school = await schools.lock(transaction, NPSN)
        assert school is not None
        assert await registry.without_holes(transaction, school)
        for seq, root in roots.items():
            assert (await history.roots_as_of(transaction, NPSN, seq)).root == root
        state = await history.as_of(transaction, NPSN, 6)
    assert [(s.seq, s.version, s.text is None) for s in state] == [
        (1, 1, False),
        (4, 1, False),
        (5, 2, False),
        (6, 2, True),
    ]


async def test_what_a_later_hand_hides_can_be_read(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)))
    await desk.officer(corrects(1, 2, rt=None))
    await desk.officer(corrects(1, 3, rw=1), corrects(2, 1, rt=4))
    page = expect(await (await desk.open()).fetch(4), SessionPage)
    async with desk.database.transaction() as transaction:
        shown = await registry.read(transaction, NPSN, [(row.entity, row.record_id) for row in page.rows])
        hidden = await history.covered(transaction, NPSN, shown.values())
    assert {key: (s.version, s.seq) for key, s in hidden.items()} == {("peserta_didik", student_id(1)): (2, 5)}


async def test_the_row_hash_of_the_database_is_that_of_the_exchange(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, nama_dusun=(None, 'Ka"mp\\ung é\u0007 \U0001f600\n')), delete(2, 1))
    async with desk.database.transaction() as transaction:
        rows = await transaction.rows(
            "SELECT entity, record_id, version, text, row_hash FROM record WHERE npsn = :npsn", npsn=NPSN
        )
    assert len(rows) == 4
    for row in rows:
        assert bytes(row.row_hash) == digest.row_hash(row.entity, row.record_id, row.version, row.text)
    assert await desk.root() == digest.root_of((r.entity, r.record_id, bytes(r.row_hash)) for r in rows).hex()


async def test_seq_stays_whole_under_officers_and_pushes_at_once(desk: Desk) -> None:
    session = await desk.open()

    async def school_pushes() -> None:
        for n in range(1, 16):
            await session.pushed(put(1, n, rt=(n - 1 or None, n)), new(100 + n), last=False)

    async def officer_adds(who: int) -> None:
        for n in range(10):
            await desk.officer(corrects(200 + 10 * who + n, 0, **STUDENT), corrects(300 + 10 * who + n, 0, nama="Ani"))

    async def site_reads() -> None:
        for _ in range(10):
            seqs = [row.seq for page in await session.pages(limit=7) for row in page.rows]
            assert seqs == sorted(set(seqs))

    await asyncio.gather(school_pushes(), *(officer_adds(who) for who in range(4)), site_reads())
    school = await desk.head()
    assert school.head_seq == 4 + 15 * 2 + 4 * 10 * 2
    async with desk.database.transaction() as transaction:
        assert await registry.without_holes(transaction, school)
        kept = await transaction.value("SELECT count(*) FROM history WHERE npsn = :npsn", npsn=NPSN)
    assert kept == 15


async def test_the_same_batch_delivered_twice_at_once_is_taken_once(desk: Desk) -> None:
    session = await desk.open()
    answers = await asyncio.gather(*(session.push(new(9), put(1, 1, rt=(None, 7)), batch_no=1) for _ in range(4)))
    first = expect(answers[0], SessionResult)
    assert all(expect(answer, SessionResult).verdicts == first.verdicts for answer in answers)
    assert (await desk.head()).head_seq == 6
