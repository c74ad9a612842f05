"""Conflicts, deletes and records that come back, over the running system: held, decided both ways, and equal again."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from services import topology
from services.cli.client import Client
from services.demo.stage import PATIENCE_SECONDS, Stage
from services.exchange.absorb import Replicated
from services.exchange.change import WHOLE
from services.messages import (
    Actor,
    ChangeAccepted,
    ChangeRejected,
    ConflictDecided,
    DecidedConflict,
    FieldsChange,
    OfficerChange,
    OfficerChangeAccepted,
    SessionCompleted,
    SessionRefused,
)
from services.replica import conflicts, records
from tests.e2e.conftest import School
from tests.e2e.inside import at_central, inside, lose_the_first_answer
from tests.e2e.test_sync import are_equal

Choice = Literal["mine", "central"]
BOTH: tuple[Choice, ...] = ("mine", "central")


def lesson(school: School) -> tuple[str, dict[str, Any]]:
    """A record to which nothing refers and that no rule asks for: its id and fields."""
    return next(iter(school.data["pembelajaran"].items()))


async def here(stage: Stage, npsn: str, entity: str, record_id: str) -> Replicated:
    """The record at the site."""
    async with stage.replica.transaction() as transaction:
        return (await records.read(transaction, npsn, [(entity, record_id)]))[(entity, record_id)]


async def log(stage: Stage, npsn: str) -> list[tuple[str, Any, Any, str, str | None]]:
    """The conflict log."""
    async with stage.replica.transaction() as transaction:
        return [(e.field, e.mine, e.theirs, e.how, e.actor) for e in await conflicts.log(transaction, npsn)]


async def officer(stage: Stage, npsn: str, entity: str, record_id: str, op: str = "upsert", **fields: object) -> None:
    version = (await stage.central_record(npsn, entity, record_id)).version
    change = OfficerChange.model_validate(
        {"entity": entity, "record_id": record_id, "op": op, "version": version, "fields": fields}
    )
    assert isinstance(await stage.officer(npsn, [change]), OfficerChangeAccepted)


async def publish(stage: Stage, client: Client, record_id: str, op: str = "upsert", **fields: object) -> None:
    change = FieldsChange.model_validate({"entity": "pembelajaran", "record_id": record_id, "op": op, "fields": fields})
    assert await stage.publish(client, [change]) == (1, [])


async def decide(client: Client, entity: str, record_id: str, field: str, choice: Choice) -> list[str]:
    """Publish a decision; the codes against it."""
    event_id = await client.publish(
        topology.CHANGES,
        f"change.{client.npsn}",
        ConflictDecided(
            actor=Actor(id="Operator Contoh", role="operator"),
            decisions=[DecidedConflict(entity=entity, record_id=record_id, field=field, choice=choice)],
        ),
    )
    async for event in client.events(event_id, seconds=PATIENCE_SECONDS):
        if isinstance(event.data, ChangeAccepted):
            return []
        if isinstance(event.data, ChangeRejected):
            return [p.code for rejected in event.data.changes for p in rejected.problems]
    raise AssertionError("the events end by an exception")


async def sync(stage: Stage, client: Client) -> SessionCompleted:
    end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return end


async def blocked_by_a_conflict(stage: Stage, client: Client) -> None:
    end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-12"
    (finding,) = end.findings
    assert f"selaras decide {client.npsn} {finding.entity} {finding.record_id}" in finding.next_en


@pytest.mark.parametrize("choice", BOTH)
async def test_a_field_in_conflict_is_decided_for_either_side(stage: Stage, school: School, choice: Choice) -> None:
    pupil = school.pupils[0]
    await officer(stage, school.npsn, "peserta_didik", pupil, alamat_jalan="Jalan Dari Pusat 1")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, alamat_jalan="Jalan Dari Sekolah 2")])
        await blocked_by_a_conflict(stage, client)
        assert await decide(client, "peserta_didik", pupil, "alamat_jalan", choice) == []
        assert await decide(client, "peserta_didik", pupil, "alamat_jalan", choice) == ["UBAH-13"]
        end = await sync(stage, client)
    decided = "Jalan Dari Sekolah 2" if choice == "mine" else "Jalan Dari Pusat 1"
    assert (end.outcome, end.sent) == ("completed", int(choice == "mine"))
    assert ((await at_central(stage, school.npsn, "peserta_didik", pupil)) or {})["alamat_jalan"] == decided
    assert ((await here(stage, school.npsn, "peserta_didik", pupil)).data or {})["alamat_jalan"] == decided
    assert await are_equal(stage, school.npsn)
    assert (await stage.here(school.npsn)).held == 0
    assert await log(stage, school.npsn) == [
        ("alamat_jalan", "Jalan Dari Sekolah 2", "Jalan Dari Pusat 1", f"decided {choice}", "Operator Contoh")
    ]


@pytest.mark.parametrize("choice", BOTH)
async def test_edited_here_and_deleted_there_is_decided_for_either_side(
    stage: Stage, school: School, choice: Choice
) -> None:
    record_id, fields = lesson(school)
    await officer(stage, school.npsn, "pembelajaran", record_id, "delete")
    edited = {**fields, "sk_mengajar": "421.2/SK/BARU"}
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, sk_mengajar="421.2/SK/BARU")
        await blocked_by_a_conflict(stage, client)
        assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == edited
        assert await decide(client, "pembelajaran", record_id, WHOLE, choice) == []
        await sync(stage, client)
    expected = edited if choice == "mine" else None
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == expected
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == expected
    assert await are_equal(stage, school.npsn)
    assert await log(stage, school.npsn) == [(WHOLE, edited, None, f"decided {choice}", "Operator Contoh")]


@pytest.mark.parametrize("choice", BOTH)
async def test_deleted_here_and_edited_there_is_decided_for_either_side(
    stage: Stage, school: School, choice: Choice
) -> None:
    record_id, fields = lesson(school)
    await officer(stage, school.npsn, "pembelajaran", record_id, sk_mengajar="421.2/SK/PUSAT")
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, "delete")
        await blocked_by_a_conflict(stage, client)
        assert (await here(stage, school.npsn, "pembelajaran", record_id)).data is None
        assert await decide(client, "pembelajaran", record_id, WHOLE, choice) == []
        await sync(stage, client)
    expected = None if choice == "mine" else {**fields, "sk_mengajar": "421.2/SK/PUSAT"}
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == expected
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == expected
    assert await are_equal(stage, school.npsn)


async def test_a_record_deleted_here_is_a_tombstone_at_both_sides_and_may_come_back(
    stage: Stage, school: School
) -> None:
    record_id, fields = lesson(school)
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, "delete")
        await sync(stage, client)
        assert await at_central(stage, school.npsn, "pembelajaran", record_id) is None
        assert (await here(stage, school.npsn, "pembelajaran", record_id)).base.version == 2
        assert await are_equal(stage, school.npsn)
        await publish(stage, client, record_id, **fields)
        await sync(stage, client)
    there = await stage.central_record(school.npsn, "pembelajaran", record_id)
    assert (there.version, there.fields) == (3, fields)
    assert await are_equal(stage, school.npsn)


async def test_a_record_that_an_officer_brings_back_comes_back_here(stage: Stage, school: School) -> None:
    record_id, fields = lesson(school)
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, "delete")
        await sync(stage, client)
        await officer(stage, school.npsn, "pembelajaran", record_id, **{**fields, "sk_mengajar": "421.2/SK/PUSAT"})
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted)
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == {
        **fields,
        "sk_mengajar": "421.2/SK/PUSAT",
    }
    assert await are_equal(stage, school.npsn)


async def test_a_record_in_conflict_that_comes_back_there_is_judged_field_by_field(
    stage: Stage, school: School
) -> None:
    record_id, fields = lesson(school)
    await officer(stage, school.npsn, "pembelajaran", record_id, "delete")
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, sk_mengajar="421.2/SK/BARU")
        await blocked_by_a_conflict(stage, client)
        await officer(stage, school.npsn, "pembelajaran", record_id, **{**fields, "jam_mengajar_per_minggu": 2})
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        assert (await stage.here(school.npsn)).held == 0
        await sync(stage, client)
    expected = {**fields, "sk_mengajar": "421.2/SK/BARU", "jam_mengajar_per_minggu": 2}
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == expected
    assert await are_equal(stage, school.npsn)
    assert (await stage.here(school.npsn)).held == 0


async def test_what_central_overruled_is_in_the_log_with_its_channel(stage: Stage, school: School) -> None:
    """The school corrects an unconfirmed student's name, an officer corrects it too, which confirms the student."""
    new = "018f0000-0000-7000-8000-00000000c0de"
    _, registration = next(iter(school.data["registrasi_peserta_didik"].items()))
    group = next(iter(school.data["rombongan_belajar"]))
    like = {**school.data["peserta_didik"][school.pupils[0]], "nama": "Anak Baru"}
    typed = {name: value for name, value in like.items() if name not in ("terverifikasi", "nisn", "nik")}
    typed["nik"] = f"990101{typed['tanggal_lahir'][8:]}{typed['tanggal_lahir'][5:7]}{typed['tanggal_lahir'][2:4]}9001"
    if typed["jenis_kelamin"] == "P":
        typed["nik"] = typed["nik"][:6] + str(int(typed["nik"][6:8]) + 40) + typed["nik"][8:]
    place = {"rombongan_belajar_id": group, "peserta_didik_id": new, "jenis_pendaftaran_id": 1}
    async with stage.at(school.npsn) as client:
        stored = await stage.publish(
            client,
            [
                FieldsChange(entity="peserta_didik", record_id=new, fields=typed),
                FieldsChange(
                    entity="registrasi_peserta_didik",
                    record_id="018f0000-0000-7000-8000-00000000c0df",
                    fields={**registration, "peserta_didik_id": new, "nipd": "9907"},
                ),
                FieldsChange(entity="anggota_rombel", record_id="018f0000-0000-7000-8000-00000000c0e0", fields=place),
            ],
        )
        assert stored == (3, [])
        await sync(stage, client)
        await officer(stage, school.npsn, "peserta_didik", new, nama="Nama Akta")
        await stage.publish(client, [FieldsChange(entity="peserta_didik", record_id=new, fields={"nama": "Anak Baik"})])
        await sync(stage, client)
    assert await log(stage, school.npsn) == [("nama", "Anak Baik", "Nama Akta", "overruled", None)]
    async with stage.replica.transaction() as transaction:
        assert [entry.channel for entry in await conflicts.log(transaction, school.npsn)] == ["VervalPD"]
    assert await are_equal(stage, school.npsn)


# ── a page shows what a later hand hides ─────────────────────────────────────────────────────────────────────────────


async def test_an_officer_who_puts_the_old_value_back_over_a_push_whose_answer_was_lost_is_not_overruled(
    stage: Stage, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    pupil = school.pupils[0]
    before = school.data["peserta_didik"][pupil]

    async def put_back() -> None:
        taken = await stage.central_record(school.npsn, "peserta_didik", pupil)
        assert (taken.version, (taken.fields or {})["anak_keberapa"]) == (2, 9)
        await officer(stage, school.npsn, "peserta_didik", pupil, anak_keberapa=before["anak_keberapa"])

    async with inside(stage, "syncer"), stage.at(school.npsn) as client:
        asked = lose_the_first_answer(monkeypatch, "open", put_back)
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
        end = await sync(stage, client)
    assert asked == ["open", "open", "verify"], "nothing is pushed a second time"
    assert (end.outcome, end.received) == ("completed", 1)
    there = await stage.central_record(school.npsn, "peserta_didik", pupil)
    assert (there.version, there.fields) == (3, before)
    assert (await here(stage, school.npsn, "peserta_didik", pupil)).data == before
    assert (await stage.here(school.npsn)).pending == 0
    assert await are_equal(stage, school.npsn)


async def test_an_officer_who_brings_back_what_a_push_deleted_whose_answer_was_lost_is_not_overruled(
    stage: Stage, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    record_id, fields = lesson(school)

    async def bring_back() -> None:
        assert await at_central(stage, school.npsn, "pembelajaran", record_id) is None
        await officer(stage, school.npsn, "pembelajaran", record_id, **fields)

    async with inside(stage, "syncer"), stage.at(school.npsn) as client:
        asked = lose_the_first_answer(monkeypatch, "open", bring_back)
        await publish(stage, client, record_id, "delete")
        await sync(stage, client)
    assert asked == ["open", "open", "verify"]
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == fields
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == fields
    assert (await stage.here(school.npsn)).held == 0
    assert await are_equal(stage, school.npsn)
