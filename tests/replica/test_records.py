"""What is written comes back as it was, and the database's own idea of pending is that of `exchange.absorb`."""

from __future__ import annotations

import pytest

from services.database import Database
from services.exchange.absorb import Base, Conflict, Overruled, Replicated, Sent
from services.replica import records
from tests.replica.builders import NPSN, held, register

ID = "11111111-1111-4111-8111-111111111111"
KEY = ("peserta_didik", ID)
BASE = Base(3, 14, {"nama": "Ani", "rt": 7})

SHAPES = {
    "as central has it": Replicated(BASE, BASE.fields),
    "edited": Replicated(BASE, {"nama": "Ani Lestari", "rt": 7}),
    "deleted here": Replicated(BASE, None),
    "a tombstone": Replicated(Base(4, 15, None), None),
    "new": Replicated(Base(0, 0, None), {"nama": "“Ani” \\ \x7f é 字"}),
    "sent and in doubt": Replicated(BASE, {"nama": "B"}, Sent({"nama": "B"})),
    "a delete in doubt": Replicated(BASE, None, Sent(None)),
    "new, sent, deleted here": Replicated(Base(0, 0, None), None, Sent({"nama": "B"})),
    "in conflict": Replicated(BASE, {"nama": "B"}, None, Conflict(frozenset({"nama", "rt"}))),
    "in conflict as a whole": Replicated(
        Base(4, 15, None), {"nama": "B"}, None, Conflict(frozenset({"*"}), {"nama": "Ani", "rt": 7})
    ),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_a_record_comes_back_as_it_was_written(site_database: Database, shape: Replicated) -> None:
    await register(site_database, {})
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, {KEY: shape})
        assert await records.read(transaction, NPSN, [KEY]) == {KEY: shape}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
async def test_the_database_and_the_exchange_agree_on_what_is_pending(
    site_database: Database, shape: Replicated
) -> None:
    await register(site_database, {})
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, {KEY: shape})
        assert (KEY in await records.pending(transaction, NPSN)) == shape.pending
        assert (KEY in await records.sent(transaction, NPSN)) == (shape.sent is not None)
        assert await records.count_pending(transaction, NPSN) == int(shape.pending)


async def test_a_record_of_which_nothing_is_left_loses_its_row(site_database: Database) -> None:
    await register(site_database, {})
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, {KEY: SHAPES["new"]})
        await records.write(transaction, NPSN, {KEY: records.NOTHING})
        assert await transaction.value("SELECT count(*) FROM record") == 0


async def test_a_record_waits_since_the_first_of_its_unsent_edits(site_database: Database) -> None:
    await register(site_database, {})

    async def write(record: Replicated) -> object:
        async with site_database.transaction() as transaction:
            await records.write(transaction, NPSN, {KEY: record})
            return await transaction.value("SELECT changed_at FROM record")

    await write(SHAPES["as central has it"])
    since = await write(SHAPES["edited"])
    assert await write(SHAPES["deleted here"]) == since
    await write(SHAPES["as central has it"])
    assert await write(SHAPES["edited"]) > since  # type: ignore[operator]


async def test_a_thousand_records_are_written_and_read_at_once(site_database: Database) -> None:
    await register(site_database, {})
    many = {
        ("peserta_didik", f"00000000-0000-4000-8000-{n:012}"): Replicated(Base(1, n, {"rt": n}), {"rt": n})
        for n in range(1, 1001)
    }
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, many)
    assert await held(site_database, *many) == many


async def test_a_refusal_is_kept_until_the_next_verdict_takes_it_off(site_database: Database) -> None:
    await register(site_database, {})
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, {KEY: SHAPES["edited"]})
        await records.note_refusals(transaction, NPSN, {KEY: [{"code": "PD-05"}]})
        assert await transaction.value("SELECT refusal -> 0 ->> 'code' FROM record") == "PD-05"
        await records.note_refusals(transaction, NPSN, {KEY: None})
        assert await transaction.value("SELECT refusal FROM record") is None


async def test_both_values_of_an_overruled_field_are_kept(site_database: Database) -> None:
    await register(site_database, {})
    async with site_database.transaction() as transaction:
        await records.log_overruled(transaction, NPSN, [(KEY, Overruled("nama", "Ani", None), 5)])
        row = await transaction.row(
            "SELECT field, mine #>> '{}' AS mine, theirs::text AS theirs, version FROM overruled"
        )
    assert row is not None
    assert (row.field, row.mine, row.theirs, row.version) == ("nama", "Ani", "null", 5)


async def test_one_schools_records_are_not_anothers(site_database: Database) -> None:
    await register(site_database, {})
    await register(site_database, {}, npsn="20104002")
    async with site_database.transaction() as transaction:
        await records.write(transaction, NPSN, {KEY: SHAPES["edited"]})
    assert await held(site_database, KEY, npsn="20104002") == {}
