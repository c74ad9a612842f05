"""Change events that come while their school is restored wait for its end, in order, and hold up nobody else."""

from __future__ import annotations

import pytest

from services.database import Database
from services.intake import Quarantine
from services.messages import ChangeAccepted, ChangeRejected, FieldsChange, ValidationRequested
from services.replica import changes, parking
from services.validator.parked import ParkedEvents
from tests.replica.builders import NPSN, OTHER_NPSN, TODAY, first, register
from tests.validator.builders import Validator, a_delivery, a_submission, an_envelope


async def restoring(database: Database, *, since: str) -> None:
    """The school is being restored from now on (`now()`), or not any more (`NULL`)."""
    async with database.transaction() as transaction:
        await transaction.run(f"UPDATE school SET restoring_since = {since} WHERE npsn = :npsn", npsn=NPSN)


async def parked(database: Database) -> int:
    async with database.transaction() as transaction:
        return await parking.count(transaction, NPSN)


def sweep(validator: Validator, database: Database) -> ParkedEvents:
    return ParkedEvents(database, validator.heard, Quarantine(database), lambda: TODAY)


def edit(record_id: str, number: int) -> FieldsChange:
    return FieldsChange(entity="peserta_didik", record_id=record_id, fields={"anak_keberapa": number})


async def test_events_are_parked_answered_in_order_and_once(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    await restoring(site_database, since="now()")
    submissions = [a_submission(edit(pupil, n), id=f"event-{n}") for n in (2, 3)]
    decision = {"entity": "peserta_didik", "record_id": pupil, "field": "nama", "choice": "mine"}
    decided = a_delivery(an_envelope("conflict.decided.v1", {"decisions": [decision]}, id="event-4"))
    for delivery in (*submissions, submissions[0], decided):
        assert await validator.take(delivery) == []
    assert await parked(site_database) == 3, "the same event again is kept once"
    events = sweep(validator, site_database)
    assert await events.take_ready() == 0
    await restoring(site_database, since="NULL")
    late = a_submission(edit(pupil, 5), id="event-5")
    assert await validator.take(late) == [], "what comes behind parked events waits behind them"
    while await events.take_ready():
        pass
    said = [(a.message.type, a.message.cause.id) for a in validator.heard.announced]
    assert said == [
        (ChangeAccepted.type, "event-2"),
        (ChangeAccepted.type, "event-3"),
        (ChangeRejected.type, "event-4"),
        (ChangeAccepted.type, "event-5"),
    ]
    assert await parked(site_database) == 0
    (again,) = await validator.take(submissions[0])
    assert again == validator.heard.announced[0], "answered as it was, under the same id"


async def test_an_answer_that_was_not_confirmed_is_announced_again(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    await restoring(site_database, since="now()")
    await validator.take(a_submission(edit(pupil, 2), id="event-2"))
    await restoring(site_database, since="NULL")
    events = sweep(validator, site_database)
    validator.heard.away = 1
    with pytest.raises(Exception, match="test"):
        await events.take_ready()
    assert await parked(site_database) == 1
    assert await events.take_ready() == 1
    assert [a.message.type for a in validator.heard.announced] == [ChangeAccepted.type]


async def test_one_that_cannot_be_handled_goes_to_quarantine_and_holds_up_none_behind_it(
    site_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    await restoring(site_database, since="now()")
    for n in (2, 3):
        await validator.take(a_submission(edit(pupil, n), id=f"event-{n}"))
    await restoring(site_database, since="NULL")
    events = sweep(validator, site_database)
    take_in = changes.take_in

    async def fails_on_the_first(*given: object) -> object:
        monkeypatch.setattr(changes, "take_in", take_in)
        raise ZeroDivisionError

    monkeypatch.setattr(changes, "take_in", fails_on_the_first)
    while await events.take_ready():
        pass
    (kept,) = await Quarantine(site_database).open()
    assert (kept.code, kept.cause) == ("MSG-11", "ZeroDivisionError")
    assert b"event-2" in kept.body
    assert [a.message.cause.id for a in validator.heard.announced] == ["event-3"]


async def test_another_school_is_not_held_up_and_a_verdict_is_put_off(site_database: Database) -> None:
    await register(site_database)
    other = await register(site_database, npsn=OTHER_NPSN)
    pupil, _ = first(other, "peserta_didik")
    validator = Validator(site_database)
    await restoring(site_database, since="now()")
    answers = await validator.submit(edit(pupil, 2), npsn=OTHER_NPSN)
    assert answers.keys() == {"accepted"}
    asked = a_delivery(
        an_envelope("validation.requested.v1", ValidationRequested().model_dump()),
        queue="validator.requests",
        key=f"validate.{NPSN}",
    )
    (answer,) = await validator.take(asked)
    assert [why.code for why in answer.message.problems] == ["SYN-19"]
