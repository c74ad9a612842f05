"""What an administrator does on central's database itself."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from services.central import administration, lives, registry
from services.central.administration import Refused, add_school, describe, new_registration_code
from services.central.gauges import Gauges
from services.central.identifiers import code_hash, is_record_id, new_code, uuid7
from services.database import Database
from services.intake import Quarantine
from services.messages import SchoolRegister, SessionRefusal
from tests.builders import NPSN, a_sekolah
from tests.central.desk import OTHER, STUDENT, Desk, baseline, corrects, expect, line, put, student_id


async def test_a_baseline_is_seq_one_to_n_and_confirmed(
    central_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(administration, "BATCH", 4)
    code = await add_school(central_database, NPSN, (text.encode() for text in baseline(10)))
    assert len(code) == 24
    described = await describe(central_database, NPSN)
    assert described.counts == {"peserta_didik": 10, "sekolah": 1}
    assert (described.seq, described.head_seq, described.confirmed_seq, described.delivered_seq) == (11, 11, 11, 0)
    assert described.nama == a_sekolah()["nama"]
    async with central_database.transaction() as transaction:
        seqs = await transaction.rows("SELECT seq FROM record WHERE npsn = :npsn ORDER BY seq", npsn=NPSN)
        assert [row.seq for row in seqs] == list(range(1, 12))
        assert (await registry.roots(transaction, NPSN)).root == described.root
        stored = await transaction.value("SELECT registration_code_hash FROM school WHERE npsn = :npsn", npsn=NPSN)
    assert bytes(stored) == code_hash(code)


async def test_a_school_may_begin_with_nothing(central_database: Database) -> None:
    await add_school(central_database, NPSN, [], nama="Sekolah Baru")
    described = await describe(central_database, NPSN)
    assert (described.nama, described.head_seq, described.counts) == ("Sekolah Baru", 0, {})


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "{entity, record_id, fields}"),
        ('{"entity": "peserta_didik", "record_id": "x"}', "{entity, record_id, fields}"),
        (line("gaji", student_id(9), {}), "entity"),
        (line("peserta_didik", "X", {}), "record_id"),
        (line("peserta_didik", student_id(9), {"tidak_ada": 1}), "UBAH-02 tidak_ada"),
        (line("peserta_didik", student_id(9), {"nama": "x" * 101}), "UBAH-03 nama"),
        (line("peserta_didik", student_id(9), {"rt": True}), "UBAH-03 rt"),
        (line("peserta_didik", student_id(1), {}), "record_id = baris/line 2"),
    ],
)
async def test_a_line_that_is_no_record_is_named_and_nothing_is_stored(
    central_database: Database, bad: str, reason: str
) -> None:
    with pytest.raises(Refused) as refused:
        await add_school(central_database, NPSN, [*baseline(2), "", bad])
    assert refused.value.problem.code == "PUSAT-06"
    assert "Line 5 " in refused.value.problem.text_en
    assert reason in refused.value.problem.text_en
    with pytest.raises(Refused, match="PUSAT-04"):
        await describe(central_database, NPSN)


async def test_a_school_is_added_once(central_database: Database) -> None:
    await add_school(central_database, NPSN, baseline(1))
    with pytest.raises(Refused, match="PUSAT-05"):
        await add_school(central_database, NPSN, baseline(1))


async def test_a_new_code_takes_the_old_ones_place(desk: Desk) -> None:
    old = desk.code
    await new_registration_code(desk.database, NPSN)
    answer = await desk.ask("situs-sync", "register", SchoolRegister(code=old))
    assert expect(answer, SessionRefusal).problem.code == "SYN-04"
    await desk.open()
    with pytest.raises(Refused, match="PUSAT-04"):
        await new_registration_code(desk.database, OTHER)


async def test_a_school_is_described_as_of_its_last_sync_until_it_syncs_again(desk: Desk) -> None:
    before = await describe(desk.database, NPSN)
    await desk.officer(corrects(9, 0, **STUDENT), corrects(1, 1, nama="Lain"))
    await (await desk.open("pull")).verified()
    still = await describe(desk.database, NPSN)
    assert (still.counts, still.root, still.seq) == (before.counts, before.root, 4)
    assert still.pulled_not_synced
    head = await describe(desk.database, NPSN, "head")
    assert (head.counts["peserta_didik"], head.seq) == (4, 6)
    assert (await describe(desk.database, NPSN, 5)).counts["peserta_didik"] == 4
    await (await desk.open()).verified()
    after = await describe(desk.database, NPSN)
    assert (after.root, after.pulled_not_synced) == (head.root, False)


async def test_the_states_of_schools_and_the_dead_letters_are_read_at_scrape(desk: Desk) -> None:
    metrics = CollectorRegistry()
    quarantine = Quarantine(desk.database)
    gauges = Gauges(metrics, desk.database, quarantine, "pusat")

    async def state() -> str:
        await gauges.refresh()
        values = {
            name: metrics.get_sample_value("selaras_central_schools", {"site": "pusat", "state": name})
            for name in ("unregistered", "never", "pulled_not_synced", "pending", "in_sync")
        }
        (one,) = (name for name, value in values.items() if value == 1)
        return one

    assert await state() == "never"
    await (await desk.open()).verified()
    assert await state() == "in_sync"
    await desk.officer(corrects(1, 1, rt=1))
    assert await state() == "pending"
    await (await desk.open("pull")).verified()
    assert await state() == "pulled_not_synced"
    await quarantine.put(
        queue="central.requests", code="MSG-05", cause="", sender="x", routing_key="x", properties={}, body=b""
    )
    await gauges.refresh()
    labels = {"site": "pusat", "queue": "central.requests", "reason": "MSG-05"}
    assert metrics.get_sample_value("selaras_dead_letters", labels) == 1


async def test_the_life_of_the_database_who_has_not_come_back_and_what_is_listed_are_read_at_scrape(desk: Desk) -> None:
    metrics = CollectorRegistry()
    gauges = Gauges(metrics, desk.database, Quarantine(desk.database), "pusat")

    async def scraped() -> dict[str, float | None]:
        await gauges.refresh()
        names = ("lives", "schools_unseen", "life_begun_timestamp_seconds")
        return {name: metrics.get_sample_value(f"selaras_central_{name}", {"site": "pusat"}) for name in names}

    first = await scraped()
    assert (first["lives"], first["schools_unseen"]) == (1, 0), "a school without a statement, but nothing was put back"
    begun = await lives.restored(desk.database)
    assert await scraped() == {
        "lives": 2, "schools_unseen": 1, "life_begun_timestamp_seconds": pytest.approx(begun.at.timestamp()),
    }  # fmt: skip
    await (await desk.open("pull")).verified()
    assert (await scraped())["schools_unseen"] == 0
    async with desk.database.transaction() as transaction:
        for record, state in (("a", "open"), ("b", "open"), ("c", "dismissed"), ("d", None)):
            await transaction.run(
                """
                INSERT INTO given_back
                    (npsn, incarnation, session, entity, record_id, version, outcome, is_proven, state)
                VALUES (:npsn, :life, 1, 'peserta_didik', :record, 2, 'moved', true, :state)
                """,
                npsn=NPSN, life=begun.incarnation, record=record, state=state,
            )  # fmt: skip
    await gauges.refresh()
    listed = {
        outcome: metrics.get_sample_value("selaras_central_listed", {"site": "pusat", "outcome": outcome})
        for outcome in ("moved", "unproven", "written")
    }
    assert listed == {"moved": 2, "unproven": 0, "written": 0}


async def test_counters_count_sessions_and_verdicts(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)), put(2, 1, rt=(None, 7)))
    value = desk.metrics.get_sample_value
    assert value("selaras_central_sessions_total", {"site": "pusat", "kind": "sync"}) == 1
    labels = {"site": "pusat", "entity": "peserta_didik", "verdict": "applied"}
    assert value("selaras_central_records_total", labels) == 2


async def test_the_first_boot_begins_the_incarnation_and_later_ones_find_it(central_database: Database) -> None:
    assert await lives.ensure(central_database) == await lives.ensure(central_database)


def test_identifiers_are_of_their_form() -> None:
    first, second = uuid7(), uuid7()
    assert is_record_id(first)
    assert (first[14], first[19] in "89ab") == ("7", True)
    assert first[:13] <= second[:13]
    code = new_code()
    assert code_hash(code) == code_hash(code.lower().replace("-", ""))
    assert code_hash("1O0L") == code_hash("1001")
    assert code_hash(code) != code_hash(new_code())
