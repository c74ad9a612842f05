"""Copies of a school are as good as the school: claims, hashes, seqs and counters fit their records."""

from __future__ import annotations

import asyncpg
import pytest

from bench import filling
from bench.ours import connected
from services.central import claims, lives, registry, schools
from services.central.administration import add_school
from services.central.registry import NewVersion
from services.database import Database
from services.demo.synthetic import jsonl, synthetic_school
from services.entities import natural_key
from services.exchange import canonical, digest
from services.replica import judging, records
from services.replica.standing import root
from services.topology import Side
from tests.replica.builders import NPSN, TODAY, a_small_school, register

COPIES = [filling.npsn_of(number) for number in range(3)]


async def copied(database: Database, side: Side) -> None:
    connection = await connected(database.url)
    await filling.copies(connection, side, NPSN, 0, len(COPIES))
    await connection.close()


async def test_copies_at_central_claim_their_own_numbers_and_have_roots_of_their_own(
    central_database: Database,
) -> None:
    await lives.ensure(central_database)
    data = synthetic_school(7, npsn=NPSN, today=TODAY, pupils=6, classes=1, teachers=2)
    await add_school(central_database, NPSN, jsonl(data))
    async with central_database.transaction() as transaction:
        school = await schools.lock(transaction, NPSN)
        assert school is not None
        one, fields = next(iter(data["peserta_didik"].items()))
        text = canonical.encode({**fields, "rt": 9})
        await registry.write(transaction, school, [NewVersion("peserta_didik", one, 1, text)], by="uji", session=None)
    await copied(central_database, "central")
    numbers: list[bytes] = []
    for npsn in (NPSN, *COPIES):
        async with central_database.transaction() as transaction:
            school = await schools.lock(transaction, npsn)
            assert school is not None
            assert await registry.without_holes(transaction, school)
            held = await transaction.rows(
                "SELECT entity, record_id, version, text, row_hash FROM record WHERE npsn = :npsn", npsn=npsn
            )
            claimed = await transaction.rows("SELECT value, kind, record_id FROM claim WHERE npsn = :npsn", npsn=npsn)
        assert [row.row_hash for row in held] == [
            digest.row_hash(row.entity, row.record_id, row.version, row.text) for row in held
        ]
        assert natural_key("sekolah", npsn) in {row.record_id for row in held}
        expected = set[claims.Claim]().union(
            *(claims.of_record(row.entity, row.record_id, canonical.decode(row.text)) for row in held)
        )
        assert {claims.Claim(row.value, row.kind, row.record_id) for row in claimed} == expected
        assert expected
        numbers += [row.value for row in claimed]
    assert len(set(numbers)) == len(numbers), "no number is another school's too"


async def test_copies_at_a_site_are_schools_that_the_rules_find_nothing_in(site_database: Database) -> None:
    await register(site_database, a_small_school())
    await copied(site_database, "site")
    found = set()
    for npsn in (NPSN, *COPIES):
        async with site_database.transaction() as transaction:
            assert await records.count_pending(transaction, npsn) == 0
            assert (await judging.judge(transaction, npsn, TODAY)).invalid == 0
            found.add(await root(transaction, npsn))
    assert len(found) == 1 + len(COPIES)


async def test_there_are_as_many_copies_as_their_numbers_tell_apart(site_database: Database) -> None:
    connection: asyncpg.Connection = await connected(site_database.url)
    with pytest.raises(ValueError, match="copies, at most"):
        await filling.copies(connection, "site", NPSN, filling.MOST, 1)
    await connection.close()
