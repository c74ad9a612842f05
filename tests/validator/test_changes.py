"""An operator's changes: stored, or rejected with the reason; answered once, announced as often as it takes."""

from __future__ import annotations

import asyncio

import pytest

from services.database import Database
from services.errors import BrokerAway, MessageRefused
from services.intake import Accounts
from services.messages import ChangeAccepted, ChangeRejected
from services.replica import records
from tests.replica.builders import (
    NPSN,
    OTHER_NPSN,
    delete,
    first,
    held,
    register,
    revision,
    upsert,
)
from tests.validator.builders import Validator, a_submission

NEW = "11111111-1111-4111-8111-111111111111"
MEMBER = "33333333-3333-4333-8333-333333333333"


async def test_a_change_is_stored_and_accepted(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    answer = await Validator(site_database).submit(upsert("peserta_didik", pupil, rt=9))
    accepted = answer["accepted"]
    assert isinstance(accepted, ChangeAccepted)
    assert list(answer) == ["accepted"]
    assert accepted.revision == await revision(site_database) == 1
    assert accepted.counts.pending == 1
    assert accepted.counts.invalid == 0
    key = ("peserta_didik", pupil)
    assert (await held(site_database, key))[key].data == {**fields, "rt": 9}


async def test_a_change_that_breaks_a_rule_is_stored_and_its_findings_are_named(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    answer = await Validator(site_database).submit(upsert("peserta_didik", pupil, alamat_jalan=None))
    assert answer["accepted"].changes[0].findings
    assert answer["accepted"].counts.invalid == 1


async def test_good_changes_of_an_event_are_stored_and_bad_ones_rejected(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    answer = await Validator(site_database).submit(
        upsert("peserta_didik", pupil, rt=9),
        upsert("peserta_didik", pupil, nama="Nama Baru"),
        upsert("tidak_ada", NEW, nama="A"),
    )
    assert [c.index for c in answer["accepted"].changes] == [0]
    rejected = answer["rejected"]
    assert isinstance(rejected, ChangeRejected)
    assert [(c.index, [p.code for p in c.problems]) for c in rejected.changes] == [(1, ["UBAH-04"]), (2, ["UBAH-01"])]
    assert rejected.changes[0].problems[0].channel == "VervalPD"
    assert rejected.counts == answer["accepted"].counts


async def test_a_new_pupil_is_registered_and_placed_by_one_event_in_any_order(site_database: Database) -> None:
    school = await register(site_database)
    group, _ = first(school, "rombongan_belajar")
    answer = await Validator(site_database).submit(
        upsert("anggota_rombel", MEMBER, rombongan_belajar_id=group, peserta_didik_id=NEW, jenis_pendaftaran_id=1),
        upsert("peserta_didik", NEW, nama="Anak Baru"),
    )
    assert [c.index for c in answer["accepted"].changes] == [0, 1]
    assert answer["accepted"].counts.pending == 2


async def test_what_was_made_here_by_mistake_and_deleted_leaves_no_trace(site_database: Database) -> None:
    await register(site_database)
    validator = Validator(site_database)
    await validator.submit(upsert("peserta_didik", NEW, nama="Salah"))
    answer = await validator.submit(delete("peserta_didik", NEW))
    assert answer["accepted"].counts.pending == 0
    assert await held(site_database, ("peserta_didik", NEW)) == {}


async def test_what_repeats_the_present_values_leaves_the_revision(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    answer = await Validator(site_database).submit(upsert("peserta_didik", pupil, nama=fields["nama"]))
    assert answer["accepted"].revision == 0


async def test_a_change_delivered_twice_is_announced_twice_and_applied_once(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    delivery = a_submission(upsert("peserta_didik", pupil, rt=9), upsert("peserta_didik", pupil, nisn="1"), id="satu")
    once = await validator.take(delivery)
    await validator.submit(upsert("peserta_didik", pupil, rt=10))
    again = await validator.take(delivery)
    assert again == once
    assert len({a.id for a in once}) == 2
    key = ("peserta_didik", pupil)
    assert ((await held(site_database, key))[key].data or {})["rt"] == 10
    assert await revision(site_database) == 2


async def test_what_could_not_be_announced_is_announced_by_the_next_delivery(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    delivery = a_submission(upsert("peserta_didik", pupil, rt=9))
    validator.heard.away = 1
    with pytest.raises(BrokerAway):
        await validator.take(delivery)
    assert [a.routing_key for a in await validator.take(delivery)] == [f"accepted.{NPSN}"]
    assert await revision(site_database) == 1


async def test_the_same_id_with_other_content_is_rejected(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    bad = upsert("peserta_didik", pupil, nisn="1")
    once = await validator.take(a_submission(upsert("peserta_didik", pupil, rt=9), bad, id="satu"))
    other = await validator.take(a_submission(upsert("peserta_didik", pupil, rt=8), id="satu"))
    assert [p.code for p in other[0].message.problems] == ["MSG-08"]
    assert other[0].id not in {a.id for a in once}
    assert await revision(site_database) == 1


async def test_a_school_that_is_not_registered_here_is_said_to_be_so(site_database: Database) -> None:
    await Accounts(site_database).grant("operator-satu", "*", "operator")
    validator = Validator(site_database)
    change = upsert("peserta_didik", NEW, nama="A")
    answer = await validator.submit(change, id="satu", npsn=OTHER_NPSN)
    assert [p.code for p in answer["rejected"].problems] == ["UBAH-08"]
    await register(site_database, npsn=OTHER_NPSN)
    assert "accepted" in await validator.submit(change, id="satu", npsn=OTHER_NPSN)


async def test_only_an_operator_may_change_a_school(site_database: Database) -> None:
    await register(site_database)
    await Accounts(site_database).grant("kepala", NPSN, "principal")
    answer = await Validator(site_database).submit(upsert("peserta_didik", NEW, nama="A"), sender="kepala")
    assert [p.code for p in answer["rejected"].problems] == ["UBAH-11"]


async def test_a_role_in_the_body_is_believed_only_of_who_may_name_people(site_database: Database) -> None:
    await register(site_database)
    validator, change = Validator(site_database), upsert("peserta_didik", NEW, nama="A")
    await Accounts(site_database).grant("kepala", NPSN, "principal")
    claims = {"id": "Bu Ani", "role": "operator"}
    assert "rejected" in await validator.submit(change, sender="kepala", actor=claims)
    for role in ("operator", "principal"):
        await Accounts(site_database).grant("konsol", NPSN, role, names_people=True)
    assert "accepted" in await validator.submit(change, sender="konsol", actor=claims)
    as_principal = {"id": "Pak Budi", "role": "principal"}
    assert "rejected" in await validator.submit(change, sender="konsol", actor=as_principal)


async def test_nobody_speaks_for_a_school_that_is_not_theirs(site_database: Database) -> None:
    await register(site_database)
    await register(site_database, {}, npsn=OTHER_NPSN)
    await Accounts(site_database).grant("tetangga", OTHER_NPSN, "operator")
    with pytest.raises(MessageRefused, match="MSG-05"):
        await Validator(site_database).submit(upsert("peserta_didik", NEW, nama="A"), sender="tetangga")
    assert await revision(site_database) == 0


async def test_routing_key_and_subject_must_name_the_same_school(site_database: Database) -> None:
    await register(site_database)
    with pytest.raises(MessageRefused, match="MSG-06"):
        await Validator(site_database).submit(upsert("peserta_didik", NEW, nama="A"), key=f"change.{OTHER_NPSN}")


async def test_an_edit_of_one_school_leaves_the_same_record_of_another(site_database: Database) -> None:
    school = await register(site_database)
    await register(site_database, school, npsn=OTHER_NPSN)
    pupil, _ = first(school, "peserta_didik")
    await Validator(site_database).submit(upsert("peserta_didik", pupil, rt=9))
    async with site_database.transaction() as transaction:
        assert await records.count_pending(transaction, OTHER_NPSN) == 0


async def test_edits_that_come_at_once_are_taken_one_after_the_other(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    validator = Validator(site_database)
    edits = {"rt": 9, "rw": 8, "nama_dusun": "Krajan", "kode_pos": "55281", "anak_keberapa": 3}
    deliveries = [a_submission(upsert("peserta_didik", pupil, **{name: value})) for name, value in edits.items()]
    await asyncio.gather(*(validator.take(delivery) for delivery in [*deliveries, *deliveries]))
    key = ("peserta_didik", pupil)
    assert (await held(site_database, key))[key].data == {**fields, **edits}
    assert await revision(site_database) == len(edits)
    assert len(validator.heard.announced) == 2 * len({a.id for a in validator.heard.announced}) == 2 * len(edits)


async def test_what_one_school_deletes_another_keeps(site_database: Database) -> None:
    await register(site_database)
    await register(site_database, {}, npsn=OTHER_NPSN)
    validator, change = Validator(site_database), upsert("peserta_didik", NEW, nama="A")
    await validator.submit(change)
    await validator.submit(change, npsn=OTHER_NPSN)
    await validator.submit(delete("peserta_didik", NEW))
    assert await held(site_database, ("peserta_didik", NEW), npsn=OTHER_NPSN) != {}
