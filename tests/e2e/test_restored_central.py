"""Central is put back from a backup under the running system: nothing that it signed is lost."""

from __future__ import annotations

from services.demo.stage import Stage
from services.messages import SessionCompleted
from tests.e2e.backups import back_up, put_central_back
from tests.e2e.conftest import School
from tests.e2e.test_installations import code, sync_one
from tests.e2e.test_sync import are_equal, officer_corrects


async def value_there(stage: Stage, school: School, number: int, field: str) -> object:
    """A field as central holds it."""
    stored = await stage.central_record(school.npsn, "peserta_didik", school.pupils[number])
    assert stored.fields is not None
    return stored.fields.get(field)


async def test_what_was_signed_comes_back_and_the_next_sync_goes_on(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    backup = await back_up(stage)
    await officer_corrects(stage, school, 5, nama="Nama Dari Pusat")
    receipt = (await sync_one(stage, school, 1, anak_keberapa=3)).receipt
    await put_central_back(stage, backup)
    assert await value_there(stage, school, 1, "anak_keberapa") == 1
    end = await sync_one(stage, school, 2, anak_keberapa=4)
    assert (end.sent, end.verdicts) == (1, {"applied": 1})
    assert [await value_there(stage, school, n, "anak_keberapa") for n in (0, 1, 2)] == [2, 3, 4]
    assert await value_there(stage, school, 5, "nama") == "Nama Dari Pusat"
    assert len(end.receipt["lineage"]) == len(receipt["lineage"]) + 1
    assert await are_equal(stage, school.npsn)


async def test_a_pull_waits_for_the_syncer_to_recover(stage: Stage, school: School) -> None:
    backup = await back_up(stage)
    receipt = (await sync_one(stage, school, 1, anak_keberapa=3)).receipt
    await put_central_back(stage, backup)
    assert await code(stage, school, "pull", "operator") is None
    centre = await stage.centre(school.npsn)
    assert await value_there(stage, school, 1, "anak_keberapa") == 3
    assert (centre.root, centre.confirmed_seq) == (receipt["root"], centre.head_seq)
    assert await are_equal(stage, school.npsn)


async def test_a_failover_that_forgot_nothing_is_gone_on_with(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    backup = await back_up(stage)
    await put_central_back(stage, backup)
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    assert await are_equal(stage, school.npsn)
    async with stage.replica.transaction() as transaction:
        kinds = await transaction.rows("SELECT DISTINCT kind FROM session WHERE npsn = :npsn", npsn=school.npsn)
    assert {row.kind for row in kinds} == {"pull", "sync"}
