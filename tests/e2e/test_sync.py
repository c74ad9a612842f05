"""A sync and a pull over the running system: four processes, real broker, real databases."""

from __future__ import annotations

import asyncio

import pytest

from services import topology
from services.central import history, registry
from services.demo.stage import Stage
from services.messages import (
    Actor,
    FieldsChange,
    OfficerChange,
    OfficerChangeAccepted,
    SessionCompleted,
    SessionProgressed,
    SessionRefused,
    SyncRequested,
)
from services.replica import standing
from tests.e2e.conftest import School


async def are_equal(stage: Stage, npsn: str) -> bool:
    """Do both sides compute the same root from their own rows, at the same seq?"""
    async with stage.replica.transaction() as transaction:  # of any release's tables, as at central
        cursor = await transaction.value("SELECT cursor FROM school WHERE npsn = :npsn", npsn=npsn)
        root = (await standing.root(transaction, npsn)).hex()
    async with stage.registry.transaction() as transaction:
        head = await transaction.value("SELECT head_seq FROM school WHERE npsn = :npsn", npsn=npsn)
        return (cursor, root) == (head, (await registry.roots(transaction, npsn)).root)


async def officer_corrects(stage: Stage, school: School, number: int, **fields: object) -> None:
    stored = await stage.central_record(school.npsn, "peserta_didik", school.pupils[number])
    change = OfficerChange(
        entity="peserta_didik", record_id=school.pupils[number], version=stored.version, fields=fields
    )
    assert isinstance(await stage.officer(school.npsn, [change]), OfficerChangeAccepted)


async def test_a_registered_school_has_exactly_its_baseline(stage: Stage, school: School) -> None:
    here = await stage.here(school.npsn)
    assert here.cursor == sum(len(records) for records in school.data.values())
    assert here.pending == 0
    assert await are_equal(stage, school.npsn)


async def test_a_sync_sends_what_changed_here_and_brings_what_changed_there(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 0, nama="Nama Dari Pusat")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(1, anak_keberapa=4)])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert (end.outcome, end.sent, end.received, end.verdicts) == ("completed", 1, 1, {"applied": 1})
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[1])
    assert there.fields is not None
    assert there.fields["anak_keberapa"] == 4
    assert await are_equal(stage, school.npsn)
    assert end.receipt["root"] == (await stage.here(school.npsn)).root


async def test_two_hands_on_one_record_are_both_kept(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 2, nama="Nama Dari Pusat")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(2, anak_keberapa=5)])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[2])
    assert there.fields is not None
    assert (there.fields["nama"], there.fields["anak_keberapa"]) == ("Nama Dari Pusat", 5)
    assert await are_equal(stage, school.npsn)


async def test_a_blocked_school_is_refused_with_the_list_and_sends_nothing(stage: Stage, school: School) -> None:
    head = (await stage.centre(school.npsn)).head_seq
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None), school.change(1, anak_keberapa=3)])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-01"
    assert [(f.entity, f.record_id, f.field) for f in end.findings] == [("peserta_didik", school.pupils[0], "agama_id")]
    assert (await stage.centre(school.npsn)).head_seq == head


async def test_a_pull_works_while_the_school_is_blocked_and_sends_nothing(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 3, nama="Nama Dari Pusat")
    head = (await stage.centre(school.npsn)).head_seq
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None)])
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted)
    assert (end.received, end.sent, end.unsent) == (1, 0, 1)
    centre = await stage.centre(school.npsn)
    assert centre.head_seq == head
    assert centre.confirmed_seq < centre.delivered_seq == head
    here = await stage.here(school.npsn)
    assert here.badge() == "tarik data BUKAN sinkronisasi; 1 perubahan belum terkirim"


async def test_readers_at_central_see_the_last_sync_and_not_a_pull(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 4, nama="Nama Dari Pusat")
    async with stage.at(school.npsn) as client:
        await stage.session(client, "pull", "operator")
        before = await stage.centre(school.npsn, "confirmed")
        assert before.seq < before.head_seq
        await stage.session(client, "sync", "principal")
    after = await stage.centre(school.npsn, "confirmed")
    assert after.seq == after.head_seq


async def test_only_a_principal_may_sync(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "operator")
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-02"


async def test_a_school_that_is_not_registered_here_is_refused(stage: Stage, npsn: str) -> None:
    async with stage.at(npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-11"


async def test_the_same_request_twice_is_one_session_announced_twice(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        request = SyncRequested(actor=Actor(id="kepala sekolah", role="principal"))
        one = await client.publish(topology.COMMANDS, f"sync.{school.npsn}", request)
        first = await stage.end_of(client, one)
        again = await client.publish(topology.COMMANDS, f"sync.{school.npsn}", request, id=one)
        second = await stage.end_of(client, again)
    assert first == second


async def test_a_conflict_is_held_shown_and_closed_by_typing_a_new_value(stage: Stage, school: School) -> None:
    await officer_corrects(stage, school, 5, alamat_jalan="Jalan Dari Pusat 1")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(5, alamat_jalan="Jalan Dari Sekolah 2")])
        end = await stage.session(client, "sync", "principal")
        assert isinstance(end, SessionRefused)
        assert end.problem.code == "SYN-12"
        assert [(f.record_id, f.field, f.text_en) for f in end.findings] == [
            (
                school.pupils[5],
                "alamat_jalan",
                "Alamat jalan: school and central disagree (at central: Jalan Dari Pusat 1)",
            )
        ]
        assert (await stage.here(school.npsn)).held == 1
        await stage.publish(client, [school.change(5, alamat_jalan="Jalan Yang Benar 3")])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[5])
    assert there.fields is not None
    assert there.fields["alamat_jalan"] == "Jalan Yang Benar 3"
    assert await are_equal(stage, school.npsn)


async def test_a_pull_that_brings_up_a_conflict_says_that_there_is_something_to_review(
    stage: Stage, school: School
) -> None:
    await officer_corrects(stage, school, 5, alamat_jalan="Jalan Dari Pusat 1")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(5, alamat_jalan="Jalan Dari Sekolah 2")])
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted)
    assert end.outcome == "needs_review"


@pytest.mark.parametrize("service", ["syncer", "central", "validator", "puller"])
async def test_a_service_killed_in_the_middle_of_a_sync_and_started_again_still_ends_equal(
    stage: Stage, school: School, service: str
) -> None:
    async with stage.at(school.npsn) as client:
        stored, _ = await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(len(school.pupils))])
        assert stored == len(school.pupils)
        request = await stage.ask(client, "sync", "principal")
        await stage.first_progress(client, request)
        stage.stack.kill(service)
        await asyncio.to_thread(stage.stack.start, service)
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    assert end.outcome == "completed"
    assert await are_equal(stage, school.npsn)
    async with stage.registry.transaction() as transaction:
        records = await registry.read(transaction, school.npsn, [("peserta_didik", one) for one in school.pupils])
        assert all((stored.fields or {})["anak_keberapa"] == 9 for stored in records.values())
        assert {stored.version for stored in records.values()} == {2}, "no value is written twice"
        as_of_start = await history.as_of(transaction, school.npsn, len(school.data["peserta_didik"]))
        assert as_of_start


async def test_a_pull_survives_a_killed_puller(stage: Stage, school: School) -> None:
    for number in range(6):
        await officer_corrects(stage, school, number, nama=f"Nama Baru {'ABCDEF'[number]}")
    async with stage.at(school.npsn) as client:
        stage.stack.kill("puller")
        request = await stage.ask(client, "pull", "operator")
        await asyncio.to_thread(stage.stack.start, "puller")
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    assert end.received == 6
    assert await are_equal(stage, school.npsn)


async def test_a_sync_waits_for_a_central_that_is_away_and_says_so(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=2)])
        stage.stack.kill("central")
        request = await stage.ask(client, "sync", "principal")
        async for event in client.events(request, seconds=60):
            if isinstance(event.data, SessionProgressed) and event.data.waiting is not None:
                assert event.data.waiting.code == "SYN-10"
                break
        assert await stage.metric("syncer", "selaras_sync_pending", state="waiting_retry") >= 1
        await asyncio.to_thread(stage.stack.start, "central")
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    assert await are_equal(stage, school.npsn)


async def test_a_record_made_here_and_deleted_here_never_travels(stage: Stage, school: School) -> None:
    like = school.data["rombongan_belajar"][next(iter(school.data["rombongan_belajar"]))]
    new = "018f0000-0000-7000-8000-00000000abcd"
    async with stage.at(school.npsn) as client:
        await stage.publish(
            client, [FieldsChange(entity="rombongan_belajar", record_id=new, fields={**like, "nama": "Rombel Baru"})]
        )
        await stage.publish(client, [FieldsChange(entity="rombongan_belajar", record_id=new, op="delete")])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert end.sent == 0
    assert await are_equal(stage, school.npsn)
