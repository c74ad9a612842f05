"""The row hashes under the latest statement, and rows made central's, on the real database."""

from __future__ import annotations

from typing import Any

import pytest

from services.database import Database, Transaction
from services.exchange import canonical
from services.exchange.absorb import Base
from services.exchange.digest import bucket, row_hash
from services.replica import mending, records
from services.replica.standing import root
from tests.replica.builders import NPSN, OTHER_NPSN, first, held, register


async def hashes(transaction: Transaction) -> dict[str, bytes]:
    rows = await transaction.rows("SELECT entity, rows, hashes FROM stated WHERE npsn = :npsn", npsn=NPSN)
    assert all(r.rows * 32 == len(r.hashes) for r in rows)
    return {r.entity: bytes(r.hashes) for r in rows}


async def kept(transaction: Transaction, npsn: str = NPSN, jws: str = "jws") -> None:
    await mending.keep_stated(transaction, npsn, (await root(transaction, npsn)).hex(), jws)


async def test_every_row_has_its_hash_under_the_statement_in_order_of_ids(site_database: Database) -> None:
    school = await register(site_database)
    await register(site_database, npsn=OTHER_NPSN)
    async with site_database.transaction() as transaction:
        await kept(transaction)
        found = await hashes(transaction)
        assert found == {
            entity: b"".join(
                row_hash(entity, one, 1, canonical.encode(table[one])) for one in sorted(table, key=str.encode)
            )
            for entity, table in school.items()
            if table
        }
        assert await mending.stated(transaction, NPSN) == "jws"
        said = {"root": (await root(transaction, NPSN)).hex(), "head_seq": 9}
        proof = await mending.proof(transaction, NPSN, said, "jws")
    assert proof is not None
    one, fields = first(school, "ptk")
    assert row_hash("ptk", one, 1, canonical.encode(fields)) in proof.of("ptk")
    assert proof.of("tiada") == frozenset()
    assert set(proof.others("ptk")) == {entity for entity, table in school.items() if table} - {"ptk"}


async def test_an_entity_of_which_nothing_is_left_is_no_longer_stated(site_database: Database) -> None:
    await register(site_database)
    async with site_database.transaction() as transaction:
        await kept(transaction)
        await transaction.run("DELETE FROM record WHERE npsn = :npsn AND entity = 'pembelajaran'", npsn=NPSN)
        await kept(transaction, jws="later")
        assert "pembelajaran" not in await hashes(transaction)
        assert await mending.stated(transaction, NPSN) == "later"
        await kept(transaction, jws="")
        assert await mending.stated(transaction, NPSN) is None, "an older central did not sign"


async def test_rows_that_do_not_make_the_root_are_no_proof(site_database: Database) -> None:
    await register(site_database)
    async with site_database.transaction() as transaction:
        await mending.keep_stated(transaction, NPSN, "00" * 32, "jws")
        assert await mending.stated(transaction, NPSN) is None
        assert await mending.proof(transaction, NPSN, {"root": "00" * 32, "head_seq": 9}, "jws") is None


async def test_a_row_is_found_in_its_bucket(site_database: Database) -> None:
    school = await register(site_database)
    one, fields = first(school, "peserta_didik")
    async with site_database.transaction() as transaction:
        digests = await mending.buckets(transaction, NPSN, ["peserta_didik"])
        found = await mending.hashes_of(transaction, NPSN, "peserta_didik", [bucket(one)])
    assert sum(b.rows for b in digests["peserta_didik"].values()) == len(school["peserta_didik"])
    assert found[one] == row_hash("peserta_didik", one, 1, canonical.encode(fields))
    assert all(bucket(other) == bucket(one) for other in found)


@pytest.mark.parametrize("text", ['{"nama": 1.5}', "[]", "bukan JSON", "{}"])
async def test_a_row_of_which_a_hand_left_no_record_is_replaced_and_kept_as_it_was(
    site_database: Database, text: str
) -> None:
    school = await register(site_database)
    one, fields = first(school, "ptk")
    key = ("ptk", one)
    async with site_database.transaction() as transaction:
        await transaction.run(
            "UPDATE record SET base = :text, data = :text WHERE npsn = :npsn AND entity = 'ptk' AND record_id = :id",
            npsn=NPSN, id=one, text=text,
        )  # fmt: skip
        assert await mending.take(transaction, NPSN, {key: Base(1, 3, fields)}, session=4)
        row = await transaction.row("SELECT * FROM repair WHERE npsn = :npsn", npsn=NPSN)
    assert row is not None
    assert (row.found_base, row.found_data, row.text, row.session) == (text, text, canonical.encode(fields), 4)
    record = (await held(site_database, key))[key]
    assert (record.base, record.data) == (Base(1, 3, fields), fields)


async def test_what_was_typed_stays_where_the_base_alone_is_no_record_any_more(site_database: Database) -> None:
    school = await register(site_database)
    one, fields = first(school, "peserta_didik")
    typed = {**fields, "rt": 77}
    async with site_database.transaction() as transaction:
        await transaction.run(
            "UPDATE record SET base = 'no record', data = :data WHERE npsn = :npsn AND record_id = :id",
            npsn=NPSN, id=one, data=canonical.encode(typed),
        )  # fmt: skip
        await mending.take(transaction, NPSN, {("peserta_didik", one): Base(1, 1, fields)}, session=3)
        found = (await records.read(transaction, NPSN, [("peserta_didik", one)]))[("peserta_didik", one)]
    assert (found.base.fields, found.data, found.pending, found.conflict) == (fields, typed, True, None)


async def test_what_an_operator_typed_over_an_altered_row_goes_to_the_conflict_log_if_it_is_centrals(
    site_database: Database,
) -> None:
    school = await register(site_database)
    one, fields = first(school, "ptk_terdaftar")
    typed: dict[str, Any] = {**fields, "nomor_surat_tugas": "diketik"}
    key = ("ptk_terdaftar", one)
    async with site_database.transaction() as transaction:
        record = (await records.read(transaction, NPSN, [key]))[key]
        assert record.base.fields == fields
        await transaction.run(
            "UPDATE record SET data = :text WHERE npsn = :npsn AND entity = 'ptk_terdaftar' AND record_id = :id",
            npsn=NPSN, id=one, text=canonical.encode(typed),
        )  # fmt: skip
        await mending.take(transaction, NPSN, {key: Base(2, 3, fields)}, session=4)
        row = await transaction.row("SELECT field, mine, theirs FROM overruled WHERE npsn = :npsn", npsn=NPSN)
    assert row is not None
    assert row.field == "nomor_surat_tugas"
    assert (await held(site_database, key))[key].data == fields
