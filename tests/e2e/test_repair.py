"""Rows altered by hand, at either side, in every way: found down to the row, mended, counted, both values kept."""

from __future__ import annotations

from typing import Any

import pytest

from services.database import Database
from services.demo.stage import Stage
from services.exchange import canonical
from services.messages import OfficerChange, OfficerChangeAccepted, SessionCompleted, SessionFailed
from tests.e2e.conftest import School
from tests.e2e.test_sync import are_equal

FALSE = canonical.encode({"nama": "Diubah Tangan", "jenis_kelamin": "L"})


async def by_hand(database: Database, sql: str, **values: Any) -> None:
    """A hand in a database, where no hand should be; it must reach something."""
    async with database.transaction() as transaction:
        assert await transaction.run(sql, **values) > 0


async def one(database: Database, sql: str, **values: Any) -> Any:
    async with database.transaction() as transaction:
        return await transaction.row(sql, **values)


async def state(stage: Stage, school: School) -> tuple[str, str]:
    """The roots of both sides."""
    return (await stage.here(school.npsn)).root, (await stage.centre(school.npsn)).root


async def synced(stage: Stage, school: School) -> SessionCompleted:
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return end


SITE = {
    "its text": "UPDATE record SET base = :text WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
    "its text and what is shown": "UPDATE record SET base = :text, data = :text"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
    "its version": "UPDATE record SET base_version = base_version + 7"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its being there": "DELETE FROM record"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its life": "UPDATE record SET base = NULL, data = NULL"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its form": "UPDATE record SET base = :text || '}', data = :text || '}'"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
}
CENTRAL = {
    "its text": "UPDATE record SET text = :text WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
    "its version": "UPDATE record SET version = version + 7"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its being there": "DELETE FROM record"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its life": "UPDATE record SET text = NULL"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id AND :text <> ''",
    "its form": "UPDATE record SET text = :text || '}'"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
    "its text and seq": "UPDATE record SET text = :text, seq = -1"
    " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",
}


@pytest.mark.parametrize("what", SITE)
async def test_a_row_altered_at_the_site_is_mended_even_by_a_pull(stage: Stage, school: School, what: str) -> None:
    before = await state(stage, school)
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[3])
    diverged = await stage.metric("puller", "selaras_divergence_total", entity="peserta_didik")
    mended = await stage.metric("puller", "selaras_repaired_records_total", entity="peserta_didik", side="site")
    await by_hand(stage.replica, SITE[what], npsn=school.npsn, id=school.pupils[3], text=FALSE)
    found = await one(
        stage.replica, "SELECT base, base_version FROM record WHERE npsn = :npsn AND record_id = :id",
        npsn=school.npsn, id=school.pupils[3],
    )  # fmt: skip
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted), end
    assert end.repaired == 1
    assert await state(stage, school) == before
    assert await are_equal(stage, school.npsn)
    now = await one(
        stage.replica,
        "SELECT base, data, base_version, pending, conflict FROM record WHERE npsn = :npsn AND record_id = :id",
        npsn=school.npsn, id=school.pupils[3],
    )  # fmt: skip
    assert (now.base, now.data, now.base_version, now.pending, now.conflict) == (there.text, there.text, 1, False, None)
    kept = await one(stage.replica, "SELECT * FROM repair WHERE npsn = :npsn", npsn=school.npsn)
    assert (kept.entity, kept.record_id) == ("peserta_didik", school.pupils[3])
    assert (kept.found_base, kept.found_version) == ((found.base, found.base_version) if found else (None, 0))
    assert (kept.version, kept.text, kept.session) == (1, there.text, end.receipt["session"])
    assert await stage.metric("puller", "selaras_divergence_total", entity="peserta_didik") == diverged + 1
    assert (
        await stage.metric("puller", "selaras_repaired_records_total", entity="peserta_didik", side="site")
        == mended + 1
    )


@pytest.mark.parametrize("what", CENTRAL)
async def test_a_row_altered_at_central_comes_back_from_the_site(stage: Stage, school: School, what: str) -> None:
    before = await state(stage, school)
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[3])
    mended = await stage.metric("central", "selaras_central_repaired_records_total", entity="peserta_didik")
    await by_hand(stage.registry, CENTRAL[what], npsn=school.npsn, id=school.pupils[3], text=FALSE)
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
        assert isinstance(end, SessionFailed)
        assert end.problem.code == "SYN-25", "a pull sends nothing"
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    assert (end.repaired, end.sent, end.outcome) == (1, 0, "completed")
    assert await state(stage, school) == before
    assert await stage.central_record(school.npsn, "peserta_didik", school.pupils[3]) == there
    kept = await one(stage.registry, "SELECT * FROM repair WHERE npsn = :npsn", npsn=school.npsn)
    assert (kept.entity, kept.record_id) == ("peserta_didik", school.pupils[3])
    assert (kept.version, kept.seq, kept.text) == (there.version, there.seq, there.text)
    assert (kept.found_version, kept.found_text) != (there.version, there.text)
    assert await stage.metric("central", "selaras_central_repaired_records_total", entity="peserta_didik") == mended + 1
    assert await stage.metric("central", "selaras_central_invariant_violations_total", invariant="past_as_stated") > 0


async def test_a_seq_that_no_message_can_carry_does_not_keep_a_proven_row_from_central(
    stage: Stage, school: School
) -> None:
    before = await state(stage, school)
    at = {"npsn": school.npsn, "id": school.pupils[3]}
    await by_hand(
        stage.replica, "UPDATE record SET base_seq = 9223372036854775807 WHERE npsn = :npsn AND record_id = :id", **at
    )
    await by_hand(stage.registry, CENTRAL["its text"], text=FALSE, **at)
    assert (await synced(stage, school)).repaired == 1
    assert await state(stage, school) == before


async def test_an_edit_of_what_a_hand_made_no_record_at_central_goes_with_the_sync_after_its_mending(
    stage: Stage, school: School
) -> None:
    await by_hand(stage.registry, CENTRAL["its form"], npsn=school.npsn, id=school.pupils[3], text=FALSE)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(3, anak_keberapa=5), school.change(4, anak_keberapa=5)])
        end = await stage.session(client, "sync", "principal")
        assert isinstance(end, SessionCompleted), end
        assert (end.outcome, end.repaired, end.verdicts) == ("needs_review", 1, {"applied": 1, "refused": 1})
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    assert (end.outcome, end.verdicts) == ("completed", {"applied": 1})
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[3])
    assert there.fields is not None
    assert there.fields["anak_keberapa"] == 5
    assert await are_equal(stage, school.npsn)


async def test_a_row_put_in_at_central_goes(stage: Stage, school: School) -> None:
    before = await state(stage, school)
    await by_hand(
        stage.registry,
        "INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by)"
        " VALUES (:npsn, 'peserta_didik', '00000000-0000-4000-8000-000000000001', 1, 0, :text, 'siapa')",
        npsn=school.npsn, text=FALSE,
    )  # fmt: skip
    assert (await synced(stage, school)).repaired == 1
    assert await state(stage, school) == before
    kept = await one(stage.registry, "SELECT * FROM repair WHERE npsn = :npsn", npsn=school.npsn)
    assert (kept.found_text, kept.version, kept.text) == (FALSE, None, None)


async def test_a_row_of_centrals_that_was_put_in_at_the_site_goes(stage: Stage, school: School) -> None:
    before = await state(stage, school)
    await by_hand(
        stage.replica,
        "INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data)"
        " VALUES (:npsn, 'ptk_terdaftar', '00000000-0000-4000-8000-000000000001', 1, 1, :text, :text)",
        npsn=school.npsn, text=FALSE,
    )  # fmt: skip
    assert (await synced(stage, school)).repaired == 1
    assert await state(stage, school) == before
    rows = await one(
        stage.replica, "SELECT count(*) AS n FROM record WHERE npsn = :npsn AND record_id LIKE '00000000%'",
        npsn=school.npsn,
    )  # fmt: skip
    assert rows.n == 0


async def test_what_an_operator_typed_in_an_altered_record_is_kept(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(3, anak_keberapa=5)])
        await by_hand(
            stage.replica,
            "UPDATE record SET base = :text, base_version = 9 WHERE npsn = :npsn AND record_id = :id",
            npsn=school.npsn, id=school.pupils[3], text=FALSE,
        )  # fmt: skip
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted)
    assert (end.repaired, end.unsent) == (1, 1)
    assert (await synced(stage, school)).sent == 1
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[3])
    assert (there.fields or {})["anak_keberapa"] == 5
    assert (there.fields or {})["nama"] == school.data["peserta_didik"][school.pupils[3]]["nama"]


@pytest.mark.parametrize(
    "hand", ["base = :text || '}'", "base_version = 9223372036854775807", "base_version = -5", "base = NULL"]
)
async def test_an_edit_whose_base_is_none_any_more_waits_until_it_is_mended_and_then_goes(
    stage: Stage, school: School, hand: str
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(3, anak_keberapa=5)])
    await by_hand(
        stage.replica, f"UPDATE record SET {hand} WHERE npsn = :npsn AND record_id = :id AND :text <> ''",
        npsn=school.npsn, id=school.pupils[3], text=FALSE,
    )  # fmt: skip
    await synced(stage, school)
    await synced(stage, school)
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[3])
    assert there.fields == {**school.data["peserta_didik"][school.pupils[3]], "anak_keberapa": 5}
    assert await are_equal(stage, school.npsn)


async def test_many_rows_altered_at_both_sides_are_each_mended_by_the_side_that_can_prove_it(
    stage: Stage, school: School
) -> None:
    before = await state(stage, school)
    await by_hand(
        stage.registry,
        "UPDATE record SET text = :text WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = ANY(:ids)",
        npsn=school.npsn, ids=school.pupils[:25], text=FALSE,
    )  # fmt: skip
    await by_hand(
        stage.replica,
        "UPDATE record SET base = :text, data = :text"
        " WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = ANY(:ids)",
        npsn=school.npsn, ids=school.pupils[25:50], text=FALSE,
    )  # fmt: skip
    await by_hand(
        stage.registry,
        "UPDATE record SET version = 5 WHERE npsn = :npsn AND entity = 'anggota_rombel'",
        npsn=school.npsn,
    )
    end = await synced(stage, school)
    assert end.repaired == 50 + len(school.data["anggota_rombel"])
    assert await state(stage, school) == before


async def test_what_moved_at_central_since_the_last_statement_is_centrals_to_say(stage: Stage, school: School) -> None:
    """The site's row is put back by hand to what the last statement proves; an officer has written since."""
    pupil = school.pupils[4]
    there = await stage.central_record(school.npsn, "peserta_didik", pupil)
    officers = OfficerChange(entity="peserta_didik", record_id=pupil, version=1, fields={"nisn": "9001234567"})
    async with stage.at(school.npsn) as client:
        assert isinstance(await stage.officer(school.npsn, [officers]), OfficerChangeAccepted)
        jws = await one(stage.replica, "SELECT stated FROM school WHERE npsn = :npsn", npsn=school.npsn)
        await stage.session(client, "pull", "operator")
        await by_hand(
            stage.replica,
            "UPDATE record SET base = :text, data = :text, base_version = 1, base_seq = :seq"
            " WHERE npsn = :npsn AND record_id = :id",
            npsn=school.npsn, id=pupil, text=there.text, seq=there.seq,
        )  # fmt: skip
        await by_hand(  # the site's proof is of before the officer's change, too; and central's past is not as it was
            stage.replica, "UPDATE school SET stated = :jws WHERE npsn = :npsn", npsn=school.npsn, jws=jws.stated
        )
        await by_hand(
            stage.registry,
            "UPDATE history SET text = :text WHERE npsn = :npsn AND record_id = :id",
            npsn=school.npsn, id=pupil, text=FALSE,
        )  # fmt: skip
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    now = await stage.central_record(school.npsn, "peserta_didik", pupil)
    assert (now.version, (now.fields or {})["nisn"]) == (2, "9001234567")
    assert await are_equal(stage, school.npsn)


async def test_what_neither_side_can_prove_is_left_to_people(stage: Stage, school: School) -> None:
    sql = "UPDATE record SET {} WHERE npsn = :npsn AND entity = 'ptk' AND record_id = :id"
    at = {"npsn": school.npsn, "id": next(iter(school.data["ptk"]))}
    other = canonical.encode({**school.data["ptk"][at["id"]], "nama": "Lain Lagi"})
    await by_hand(stage.registry, sql.format("text = :text"), text=FALSE, **at)
    await by_hand(stage.replica, sql.format("base = :text, data = :text"), text=other, **at)
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
        assert isinstance(end, SessionFailed)
        assert end.problem.code == "SYN-20"
        assert end.problem.text_en == "School and central are not equal after the exchange (ptk)"
    assert await stage.metric("syncer", "selaras_sync_failed", kind="sync", reason="SYN-20") == 1
    there = await one(
        stage.registry, "SELECT text FROM record WHERE npsn = :npsn AND entity = 'ptk' AND record_id = :id", **at
    )
    assert there.text == FALSE, "nothing is guessed"
    async with stage.replica.transaction() as transaction:
        await transaction.run("DELETE FROM standing WHERE npsn = :npsn", npsn=school.npsn)
