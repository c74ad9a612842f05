"""What is unsent, in the form in which an operator publishes it."""

from __future__ import annotations

from services.database import Database
from services.exchange.absorb import Base, Conflict, Replicated
from services.messages import ChangeSubmitted
from services.replica import records
from services.replica.unsent import as_changes, unsent
from tests.replica.builders import NPSN, first, register

CLASS = "018f0000-0000-7000-8000-00000000beef"
PUPIL = "018f0000-0000-7000-8000-00000000cafe"


async def test_nothing_unsent_is_an_empty_list_and_an_unknown_school_none(site_database: Database) -> None:
    assert await unsent(site_database, NPSN) is None
    await register(site_database)
    here = await unsent(site_database, NPSN)
    assert here is not None
    assert (here.revision, here.changes) == (0, [])


async def test_only_what_differs_is_listed_with_the_revision(site_database: Database) -> None:
    school = await register(site_database)
    one, fields = first(school, "peserta_didik")
    async with site_database.transaction() as transaction:
        typed = {name: value for name, value in {**fields, "anak_keberapa": 9}.items() if name != "agama_id"}
        await records.write(transaction, NPSN, {("peserta_didik", one): Replicated(Base(1, 1, fields), typed)})
        await records.touch(transaction, NPSN)
    here = await unsent(site_database, NPSN)
    assert here is not None
    assert here.revision == 1
    assert [(c.record_id, c.op, c.fields) for c in here.changes] == [
        (one, "upsert", {"agama_id": None, "anak_keberapa": 9})
    ]


def test_new_records_come_parents_first_and_deletions_last() -> None:
    pending = {
        ("anggota_rombel", PUPIL): Replicated(Base(3, 9, {"rombongan_belajar_id": CLASS}), None),
        ("peserta_didik", PUPIL): Replicated(Base(0, 0, None), {"nama": "Bayu Contoh"}),
        ("rombongan_belajar", CLASS): Replicated(Base(0, 0, None), {"nama": "Kelas 1"}),
    }
    changes = as_changes(pending)
    assert [(c.entity, c.op, c.fields) for c in changes[-1:]] == [("anggota_rombel", "delete", {})]
    assert {(c.entity, c.op) for c in changes[:2]} == {("peserta_didik", "upsert"), ("rombongan_belajar", "upsert")}
    ChangeSubmitted(changes=changes)


def test_what_was_made_and_deleted_here_in_doubt_needs_no_deletion_elsewhere() -> None:
    assert as_changes({("ptk", PUPIL): Replicated(Base(0, 0, None), None)}) == []


def test_a_record_that_central_deleted_meanwhile_is_listed_whole() -> None:
    mark = Conflict(frozenset({"*"}), {"nama": "Kelas 1"})
    edited = Replicated(Base(2, 5, None), {"nama": "Kelas Satu"}, None, mark)
    (change,) = as_changes({("rombongan_belajar", CLASS): edited})
    assert (change.op, change.fields) == ("upsert", {"nama": "Kelas Satu"})


def test_what_is_centrals_is_left_out_for_no_school_may_publish_it() -> None:
    confirmed = {"nama": "Bayu Contoh", "terverifikasi": True}
    typed = Replicated(Base(2, 5, confirmed), {**confirmed, "nama": "Lain", "anak_keberapa": 2})
    (change,) = as_changes({("peserta_didik", PUPIL): typed})
    assert change.fields == {"anak_keberapa": 2}
