"""A newer release of central, over the running system: what this site does not know is kept, hashed, never erased; and
how versions are negotiated.
"""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from services.central.registry import NewVersion
from services.demo.stage import Stage
from services.exchange import canonical
from services.exchange.change import WHOLE
from services.messages import FieldsChange, OfficerChange, OfficerChangeAccepted, SessionCompleted, SessionRefused
from tests.e2e.conftest import School
from tests.e2e.inside import at_central, inside, write_at_central
from tests.e2e.test_conflicts import decide, here, lesson, publish, sync
from tests.e2e.test_sync import are_equal

NEW_FIELDS: dict[str, Any] = {
    "akun_belajar": {"alamat": "x@example.com", "aktif": True, "\U0001f600": [1, "dua", None], "\ufb00": ""},
    "zona_waktu": 'WIT \u2028 \\ "',
}
NEW_ENTITY = "prasarana"
ROOM = "018f0000-0000-7000-8000-0000000000a1"
GONE = "018f0000-0000-7000-8000-0000000000a2"


async def adds_fields(stage: Stage, npsn: str, entity: str, record_id: str, **others: Any) -> dict[str, Any]:
    """A newer central puts fields into a record that this release does not know; the record after."""
    stored = await stage.central_record(npsn, entity, record_id)
    fields = {**(stored.fields or {}), **NEW_FIELDS, **others}
    await write_at_central(stage, npsn, NewVersion(entity, record_id, stored.version, canonical.encode(fields)))
    return fields


async def pull(stage: Stage, npsn: str) -> SessionCompleted:
    async with stage.at(npsn) as client:
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted), end
    return end


async def base_text(stage: Stage, npsn: str, entity: str, record_id: str) -> str | None:
    """The very text that the site keeps as central's."""
    async with stage.replica.transaction() as transaction:
        value: str | None = await transaction.value(
            "SELECT base FROM record WHERE npsn = :npsn AND entity = :entity AND record_id = :id",
            npsn=npsn,
            entity=entity,
            id=record_id,
        )
    return value


async def test_fields_and_entities_of_a_newer_central_are_kept_as_they_came_and_count_in_the_proof(
    stage: Stage, school: School
) -> None:
    pupil = school.pupils[0]
    await adds_fields(stage, school.npsn, "peserta_didik", pupil)
    await write_at_central(stage, school.npsn, NewVersion(NEW_ENTITY, ROOM, 0, canonical.encode({"panjang": "7.50"})))
    await write_at_central(stage, school.npsn, NewVersion(NEW_ENTITY, GONE, 0, canonical.encode({"panjang": "3"})))
    await write_at_central(stage, school.npsn, NewVersion(NEW_ENTITY, GONE, 1, None))
    end = await pull(stage, school.npsn)
    assert end.received == 3
    assert await are_equal(stage, school.npsn)
    for entity, record_id in (("peserta_didik", pupil), (NEW_ENTITY, ROOM), (NEW_ENTITY, GONE)):
        there = await stage.central_record(school.npsn, entity, record_id)
        assert await base_text(stage, school.npsn, entity, record_id) == there.text
    assert (await here(stage, school.npsn, NEW_ENTITY, GONE)).base.version == 2
    async with stage.at(school.npsn) as client:
        assert (await sync(stage, client)).receipt["counts"][NEW_ENTITY] == 1


async def test_an_operator_cannot_change_them_and_is_told_so_by_code(stage: Stage, school: School) -> None:
    await adds_fields(stage, school.npsn, "peserta_didik", school.pupils[0])
    await write_at_central(stage, school.npsn, NewVersion(NEW_ENTITY, ROOM, 0, canonical.encode({"panjang": "7.50"})))
    await pull(stage, school.npsn)
    async with stage.at(school.npsn) as client:
        for change, code in (
            (school.change(0, zona_waktu="WIB"), "UBAH-02"),
            (school.change(0, zona_waktu=None), "UBAH-02"),
            (FieldsChange(entity=NEW_ENTITY, record_id=ROOM, fields={"panjang": "8"}), "UBAH-01"),
            (FieldsChange(entity=NEW_ENTITY, record_id=ROOM, op="delete"), "UBAH-01"),
        ):
            assert await stage.publish(client, [change]) == (0, [code])
        assert (await sync(stage, client)).sent == 0
    assert await are_equal(stage, school.npsn)


async def test_an_edit_here_leaves_them_and_takes_what_became_of_them_there(stage: Stage, school: School) -> None:
    pupil = school.pupils[0]
    fields = await adds_fields(stage, school.npsn, "peserta_didik", pupil)
    await pull(stage, school.npsn)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
        await sync(stage, client)
        assert await at_central(stage, school.npsn, "peserta_didik", pupil) == {**fields, "anak_keberapa": 9}
        await stage.publish(client, [school.change(0, rt=5)])
        await adds_fields(stage, school.npsn, "peserta_didik", pupil, zona_waktu="WIB")
        await sync(stage, client)
    expected = {**fields, "anak_keberapa": 9, "rt": 5, "zona_waktu": "WIB"}
    assert await at_central(stage, school.npsn, "peserta_didik", pupil) == expected
    assert (await here(stage, school.npsn, "peserta_didik", pupil)).data == expected
    assert await are_equal(stage, school.npsn)


async def test_a_record_that_was_deleted_here_comes_back_with_them(stage: Stage, school: School) -> None:
    record_id, fields = lesson(school)
    newer = await adds_fields(stage, school.npsn, "pembelajaran", record_id)
    await pull(stage, school.npsn)
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, "delete")
        await publish(stage, client, record_id, **fields)
        assert (await sync(stage, client)).sent == 0, "deleted and typed again before anything was sent"
        await publish(stage, client, record_id, "delete")
        await sync(stage, client)
        assert await at_central(stage, school.npsn, "pembelajaran", record_id) is None
        await publish(stage, client, record_id, **fields)
        await sync(stage, client)
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == newer
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == newer
    assert await are_equal(stage, school.npsn)


async def test_a_conflict_about_a_field_that_is_not_known_here_is_decided_like_any_other(
    stage: Stage, school: School
) -> None:
    """Deleted here, while a newer central filled in what only it knows."""
    record_id, _ = lesson(school)
    newer = await adds_fields(stage, school.npsn, "pembelajaran", record_id)
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, "delete")
        await stage.session(client, "pull", "operator")
        assert (await stage.here(school.npsn)).held == 1
        assert await decide(client, "pembelajaran", record_id, WHOLE, "central") == []
        await sync(stage, client)
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == newer
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == newer
    assert await are_equal(stage, school.npsn)


async def test_what_was_kept_here_against_a_delete_there_comes_back_with_them(stage: Stage, school: School) -> None:
    record_id, _ = lesson(school)
    newer = await adds_fields(stage, school.npsn, "pembelajaran", record_id)
    await pull(stage, school.npsn)
    stored = await stage.central_record(school.npsn, "pembelajaran", record_id)
    delete = OfficerChange(entity="pembelajaran", record_id=record_id, op="delete", version=stored.version)
    assert isinstance(await stage.officer(school.npsn, [delete]), OfficerChangeAccepted)
    async with stage.at(school.npsn) as client:
        await publish(stage, client, record_id, sk_mengajar="421.2/SK/BARU")
        await stage.session(client, "pull", "operator")
        assert await decide(client, "pembelajaran", record_id, WHOLE, "mine") == []
        await sync(stage, client)
    expected = {**newer, "sk_mengajar": "421.2/SK/BARU"}
    assert await at_central(stage, school.npsn, "pembelajaran", record_id) == expected
    assert (await here(stage, school.npsn, "pembelajaran", record_id)).data == expected
    assert await are_equal(stage, school.npsn)


# ── versions ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_site_with_old_rules_may_pull_and_is_told_what_to_update_to_when_it_syncs(
    stage: Stage, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.link.session.RULES_VERSION", "2025.12")
    async with (
        inside(stage, "central", SELARAS_RULES_FOR_SYNC="2026.1"),
        inside(stage, "syncer"),
        inside(stage, "puller"),
        stage.at(school.npsn) as client,
    ):
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
        refused = await stage.session(client, "sync", "principal")
        assert isinstance(refused, SessionRefused)
        assert refused.problem.code == "SYN-03"
        assert f"Selaras {version('selaras')} (aturan · rules 2026.1)" in refused.problem.text_en
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        assert (await stage.here(school.npsn)).pending == 1
        monkeypatch.setattr("services.link.session.RULES_VERSION", "2026.1")
        await sync(stage, client)
    assert await are_equal(stage, school.npsn)
