"""Fields and entities of a newer release, at the replica: whatever an operator does, no change names them."""

from __future__ import annotations

from typing import Any

import pytest

from services.exchange import canonical, row_hash
from services.exchange.change import WHOLE, Change
from services.messages import DecidedConflict, FieldsChange, RecordVerdict
from services.replica import changes, records
from services.replica.requests import Job
from services.replica.sessions import Replica
from tests.builders import LESSON, TODAY, new_id
from tests.replica.conftest import NPSN
from tests.replica.test_sessions import FIRST_LIFE, a_job, a_page, a_row, baseline, held

KEY = ("pembelajaran", LESSON)
NEW_FIELDS: dict[str, Any] = {"ruang": {"b": [1, "dua", {}], "a": None}, "zona_waktu": "WIT"}
ROOM = ("prasarana", "018f0000-0000-7000-8000-0000000000a1")


@pytest.fixture
async def job(replica: Replica) -> Job:
    """A sync of a school whose lesson a newer central has written, and that has a record of an entity of its own."""
    job = await a_job(replica, "event-1")
    school = await baseline(replica, job)
    lesson = school[KEY[0]][KEY[1]]
    await absorb(replica, job, (KEY[0], new_id(99)), lesson, version=1, seq=89)  # so that the class has another
    await absorb(replica, job, KEY, {**lesson, **NEW_FIELDS}, version=2, seq=90)
    await absorb(replica, job, ROOM, {"panjang": "7.50"}, version=1, seq=91)
    return job


async def absorb(
    replica: Replica, job: Job, key: records.Key, fields: dict[str, Any] | None, *, version: int, seq: int
) -> None:
    await replica.absorb_page(job, a_page(a_row(*key, fields, version=version, seq=seq)), clear_doubt=True)


async def fields_of(replica: Replica, job: Job) -> dict[str, Any]:
    return dict((await held(replica, job, KEY)).data or {})


async def take(replica: Replica, *given: FieldsChange) -> list[str]:
    """An operator's event; the codes against it."""
    async with replica.requests.database.transaction() as transaction:
        assert await changes.lock(transaction, NPSN)
        taken = await changes.take_in(transaction, NPSN, given, TODAY, "operator")
    return [p.code for rejected in taken.rejected for p in rejected.problems]


def upsert(**fields: Any) -> FieldsChange:
    return FieldsChange(entity=KEY[0], record_id=KEY[1], fields=fields)


DELETE = FieldsChange(entity=KEY[0], record_id=KEY[1], op="delete")


async def pushed(replica: Replica, job: Job) -> list[Change]:
    """What the gate lets through, all that is pending being the lesson."""
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    assert gate.problem is None
    return gate.changes


async def test_they_are_stored_and_hashed_as_the_text_that_came(replica: Replica, job: Job) -> None:
    async with replica.requests.database.transaction() as transaction:
        rows = await transaction.rows("SELECT entity, record_id, base, base_version, base_hash, data FROM record")
    found = {(r.entity, r.record_id): r for r in rows}
    for key in (KEY, ROOM):
        row = found[key]
        assert row.data == row.base
        assert bytes(row.base_hash) == row_hash(*key, row.base_version, row.base)
    assert canonical.decode(found[KEY].base) == await fields_of(replica, job)
    assert '"ruang":{"a":null,"b":[1,"dua",{}]}' in found[KEY].base


async def test_no_put_and_no_delete_names_them(replica: Replica, job: Job) -> None:
    assert await take(replica, upsert(sk_mengajar="421.2/SK/BARU")) == []
    (put,) = await pushed(replica, job)
    assert set(put.fields) == {"sk_mengajar"}
    assert await take(replica, DELETE) == []
    (deleted,) = await pushed(replica, job)
    assert (deleted.op, deleted.base_version, deleted.fields) == ("delete", 2, {})


async def test_a_record_that_is_emptied_keeps_them(replica: Replica, job: Job) -> None:
    known = [name for name in await fields_of(replica, job) if name not in NEW_FIELDS]
    assert await take(replica, upsert(**dict.fromkeys(known))) == []
    assert await fields_of(replica, job) == NEW_FIELDS


async def test_a_record_that_was_deleted_and_typed_anew_keeps_them(replica: Replica, job: Job) -> None:
    before = await fields_of(replica, job)
    typed = {name: value for name, value in before.items() if name not in NEW_FIELDS}
    assert await take(replica, DELETE, upsert(**typed)) == []
    assert await fields_of(replica, job) == before
    assert await pushed(replica, job) == []


@pytest.mark.parametrize("fields", [{"zona_waktu": "WIB"}, {"zona_waktu": None}, {"zona_waktu": "WIT"}])
async def test_an_operator_cannot_set_empty_or_repeat_them(replica: Replica, job: Job, fields: dict[str, Any]) -> None:
    before = await fields_of(replica, job)
    assert await take(replica, upsert(**fields)) == ["UBAH-02"]
    room = FieldsChange(entity=ROOM[0], record_id=ROOM[1], fields={"panjang": "8"})
    assert await take(replica, room, room.model_copy(update={"op": "delete", "fields": {}})) == ["UBAH-01", "UBAH-01"]
    assert await fields_of(replica, job) == before
    assert await pushed(replica, job) == []


async def test_what_central_makes_of_them_comes_down_beside_an_edit(replica: Replica, job: Job) -> None:
    before = await fields_of(replica, job)
    await take(replica, upsert(sk_mengajar="421.2/SK/BARU"))
    await absorb(replica, job, KEY, {**before, "zona_waktu": "WIB", "ubin": 3}, version=3, seq=92)
    assert await fields_of(replica, job) == {**before, "zona_waktu": "WIB", "ubin": 3, "sk_mengajar": "421.2/SK/BARU"}
    (put,) = await pushed(replica, job)
    assert set(put.fields) == {"sk_mengajar"}


async def test_an_applied_verdict_leaves_them_in_the_base(replica: Replica, job: Job) -> None:
    before = await fields_of(replica, job)
    await take(replica, upsert(sk_mengajar="421.2/SK/BARU"))
    gate = await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    await replica.absorb_verdicts(job, gate.changes, [RecordVerdict(verdict="applied", version=3, seq=93)], head_seq=93)
    record = await held(replica, job, KEY)
    assert record.base.fields == record.data == {**before, "sk_mengajar": "421.2/SK/BARU"}


@pytest.mark.parametrize("choice", ["mine", "central"])
async def test_a_conflict_decided_leaves_them(replica: Replica, job: Job, choice: str) -> None:
    """Edited here, deleted there."""
    before = await fields_of(replica, job)
    await take(replica, upsert(sk_mengajar="421.2/SK/BARU"))
    await absorb(replica, job, KEY, None, version=3, seq=92)
    decision = DecidedConflict.model_validate({"entity": KEY[0], "record_id": KEY[1], "field": WHOLE, "choice": choice})
    async with replica.requests.database.transaction() as transaction:
        taken = await changes.take_decisions(transaction, NPSN, [decision], TODAY, "operator")
    assert len(taken.stored) == 1
    expected = {**before, "sk_mengajar": "421.2/SK/BARU"} if choice == "mine" else {}
    assert await fields_of(replica, job) == expected
