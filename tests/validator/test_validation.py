"""Judging on request: the whole school, its counts, and what was found per rule."""

from __future__ import annotations

from services import topology
from services.broker import Delivery
from services.database import Database
from services.intake import Accounts
from services.messages import ValidationCompleted
from services.rules import RULES_VERSION
from tests.replica.builders import NPSN, OTHER_NPSN, TODAY, first, register, upsert
from tests.validator.builders import Validator, a_delivery, an_envelope, by_kind


def a_request(npsn: str = NPSN, id: str | None = None) -> Delivery:
    return a_delivery(
        an_envelope("validation.requested.v1", {}, id=id, npsn=npsn),
        queue=topology.VALIDATOR_REQUESTS,
        key=f"validate.{npsn}",
    )


async def test_a_school_is_judged_and_the_verdict_announced(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    validator = Validator(site_database)
    await validator.submit(upsert("peserta_didik", pupil, alamat_jalan=None))
    completed = by_kind(await validator.take(a_request()))["validated"]
    assert isinstance(completed, ValidationCompleted)
    assert (completed.revision, completed.rules_version, completed.date) == (1, RULES_VERSION, TODAY.isoformat())
    assert completed.counts.invalid == 1
    assert sum(completed.findings.values()) >= 1


async def test_a_request_delivered_twice_is_answered_twice_under_one_id(site_database: Database) -> None:
    await register(site_database)
    validator = Validator(site_database)
    assert await validator.take(a_request(id="satu")) == await validator.take(a_request(id="satu"))


async def test_a_school_that_is_not_registered_here_cannot_be_judged(site_database: Database) -> None:
    await Accounts(site_database).grant("operator-satu", "*", "operator")
    answer = by_kind(await Validator(site_database).take(a_request(OTHER_NPSN)))
    assert [p.code for p in answer["rejected"].problems] == ["UBAH-08"]
