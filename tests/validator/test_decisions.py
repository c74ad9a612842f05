"""An operator's decisions of conflicts: stored or rejected by index, once, logged, and answered like changes."""

from __future__ import annotations

from typing import Any, Literal

import pytest

from services.database import Database
from services.errors import MessageRefused
from services.exchange.absorb import Base, Conflict, Replicated
from services.intake import Accounts
from services.messages import ChangeAccepted, ChangeRejected
from services.replica import conflicts, records
from services.replica.records import Key
from tests.replica.builders import NPSN, OPERATOR, first, held, register, revision, upsert
from tests.validator.builders import Validator, a_delivery, an_envelope, by_kind

Choice = Literal["mine", "central"]


async def a_conflict(database: Database) -> tuple[Key, dict[str, Any]]:
    """A school with one student in conflict on two fields; the student's key, and as central has it."""
    school = await register(database)
    pupil, fields = first(school, "peserta_didik")
    key = ("peserta_didik", pupil)
    typed = {**fields, "alamat_jalan": "Jalan Sekolah", "no_kk": "9900000000000009"}
    mark = Conflict(frozenset({"alamat_jalan", "no_kk"}))
    async with database.transaction() as transaction:
        await records.write(transaction, NPSN, {key: Replicated(Base(2, 99, fields), typed, None, mark)})
        await records.touch(transaction, NPSN)
    return key, fields


def one(key: Key, field: str, choice: Choice) -> dict[str, str]:
    return {"entity": key[0], "record_id": key[1], "field": field, "choice": choice}


def a_decision(*decisions: dict[str, str], id: str | None = None, actor: Any = None, **delivery: Any) -> Any:
    data = {"decisions": list(decisions), **({"actor": actor} if actor else {})}
    return a_delivery(an_envelope("conflict.decided.v1", data, id=id), **delivery)


async def logged(database: Database) -> list[tuple[str, Any, Any, str, str | None]]:
    async with database.transaction() as transaction:
        return [(e.field, e.mine, e.theirs, e.how, e.actor) for e in await conflicts.log(transaction, NPSN)]


async def test_a_conflict_is_decided_for_each_side_and_logged(site_database: Database) -> None:
    key, fields = await a_conflict(site_database)
    answer = by_kind(
        await Validator(site_database).take(a_decision(one(key, "alamat_jalan", "mine"), one(key, "no_kk", "central")))
    )
    accepted = answer["accepted"]
    assert isinstance(accepted, ChangeAccepted)
    assert [c.index for c in accepted.changes] == [0, 1]
    assert (accepted.counts.invalid, accepted.counts.pending) == (0, 1)
    record = (await held(site_database, key))[key]
    assert (record.data, record.conflict) == ({**fields, "alamat_jalan": "Jalan Sekolah"}, None)
    assert await logged(site_database) == [
        ("alamat_jalan", "Jalan Sekolah", fields["alamat_jalan"], "decided mine", OPERATOR),
        ("no_kk", "9900000000000009", fields["no_kk"], "decided central", OPERATOR),
    ]


async def test_good_decisions_are_stored_and_bad_ones_rejected_by_their_index(site_database: Database) -> None:
    key, _ = await a_conflict(site_database)
    answer = by_kind(
        await Validator(site_database).take(a_decision(one(key, "nama", "mine"), one(key, "no_kk", "central")))
    )
    assert [c.index for c in answer["accepted"].changes] == [1]
    rejected = answer["rejected"]
    assert isinstance(rejected, ChangeRejected)
    assert [(c.index, [(p.code, p.field) for p in c.problems]) for c in rejected.changes] == [
        (0, [("UBAH-13", "nama")])
    ]
    assert answer["accepted"].counts.invalid == 1, "the other conflict still waits"


async def test_a_decision_delivered_twice_is_answered_twice_and_taken_once(site_database: Database) -> None:
    key, _ = await a_conflict(site_database)
    validator = Validator(site_database)
    before = await revision(site_database)
    first_answer = await validator.take(a_decision(one(key, "no_kk", "central"), id="keputusan-1"))
    again = await validator.take(a_decision(one(key, "no_kk", "central"), id="keputusan-1"))
    assert again == first_answer
    assert await revision(site_database) == before + 1
    assert len(await logged(site_database)) == 1


async def test_the_same_id_with_another_choice_is_rejected(site_database: Database) -> None:
    key, _ = await a_conflict(site_database)
    validator = Validator(site_database)
    await validator.take(a_decision(one(key, "no_kk", "central"), id="keputusan-1"))
    answer = by_kind(await validator.take(a_decision(one(key, "no_kk", "mine"), id="keputusan-1")))
    assert [p.code for p in answer["rejected"].problems] == ["MSG-08"]


async def test_only_an_operator_may_decide_and_the_person_named_is_logged(site_database: Database) -> None:
    key, _ = await a_conflict(site_database)
    await Accounts(site_database).grant("kepala", NPSN, "principal")
    await Accounts(site_database).grant("konsol", NPSN, "operator", names_people=True)
    validator = Validator(site_database)
    answer = by_kind(await validator.take(a_decision(one(key, "no_kk", "mine"), sender="kepala")))
    assert [p.code for p in answer["rejected"].problems] == ["UBAH-11"]
    with pytest.raises(MessageRefused, match="MSG-05"):
        await validator.take(a_decision(one(key, "no_kk", "mine"), sender="orang-lain"))
    actor = {"id": "Operator Contoh", "role": "operator"}
    await validator.take(a_decision(one(key, "no_kk", "mine"), sender="konsol", actor=actor))
    assert [entry[-1] for entry in await logged(site_database)] == ["Operator Contoh"]
    await validator.take(a_decision(one(key, "alamat_jalan", "mine"), actor={"id": "Orang Lain", "role": "operator"}))
    assert [entry[-1] for entry in await logged(site_database)] == ["Operator Contoh", OPERATOR]


async def test_a_value_that_is_typed_decides_and_is_logged(site_database: Database) -> None:
    key, fields = await a_conflict(site_database)
    answer = await Validator(site_database).submit(upsert(*key, no_kk="9900000000000005"))
    assert [c.index for c in answer["accepted"].changes] == [0]
    record = (await held(site_database, key))[key]
    assert record.conflict == Conflict(frozenset({"alamat_jalan"}))
    assert await logged(site_database) == [
        ("no_kk", "9900000000000005", fields["no_kk"], "decided mine", OPERATOR),
    ]


async def test_a_thousand_and_one_decisions_are_refused_and_none_are_no_message(site_database: Database) -> None:
    key, _ = await a_conflict(site_database)
    validator = Validator(site_database)
    answer = by_kind(await validator.take(a_decision(*[one(key, "no_kk", "mine")] * 1000)))
    assert (len(answer["accepted"].changes), len(answer["rejected"].changes)) == (1, 999)
    with pytest.raises(MessageRefused, match="MSG-10"):
        await validator.take(a_decision(*[one(key, "no_kk", "mine")] * 1001))
    with pytest.raises(MessageRefused, match="MSG-09"):
        await validator.take(a_decision())


async def test_decisions_and_changes_of_one_school_are_taken_in_their_order(site_database: Database) -> None:
    key, fields = await a_conflict(site_database)
    validator = Validator(site_database)
    await validator.take(a_decision(one(key, "no_kk", "central")))
    await validator.submit(upsert(*key, no_kk="9900000000000007"))
    record = (await held(site_database, key))[key]
    assert record.data is not None
    assert (record.data["no_kk"], (record.base.fields or {})["no_kk"]) == ("9900000000000007", fields["no_kk"])
