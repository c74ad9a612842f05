"""A receipt from before central was put back, and dates around it, in the running system: what signs is asked."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services.central import explaining, history, moments
from services.central.administration import Refused
from services.central.explaining import Explanation
from services.central.moments import Point
from services.demo.stage import Stage
from services.replica import receipts
from services.signing import PublicKeys
from tests.e2e.backups import back_up, put_central_back
from tests.e2e.conftest import School
from tests.e2e.test_installations import sync_one
from tests.e2e.test_sync import are_equal, officer_corrects


def keys_of(stage: Stage) -> PublicKeys:
    """Central's public keys."""
    keys = stage.stack.addresses.keys
    assert keys is not None
    return PublicKeys.read(Path(keys.public))


async def receipt_of(stage: Stage, school: School) -> str:
    """The school's last receipt, as the site has it."""
    jws = await receipts.find(stage.replica, school.npsn, None)
    assert jws is not None
    return jws


async def explained(stage: Stage, jws: str) -> Explanation:
    """As an officer asks."""
    async with stage.registry.snapshot() as transaction:
        return await explaining.explain(transaction, jws, keys_of(stage))


async def located(stage: Stage, school: School, text: str, **how: Any) -> Point:
    """The seq of a moment."""
    async with stage.registry.snapshot() as transaction:
        return await moments.locate(transaction, school.npsn, moments.parse(text), keys=lambda: keys_of(stage), **how)


async def root_at(stage: Stage, school: School, seq: int) -> str:
    """The root of the state at a seq of central's."""
    async with stage.registry.snapshot() as transaction:
        return (await history.roots_as_of(transaction, school.npsn, seq)).root


async def test_a_receipt_of_a_life_that_ended_is_explained_before_and_after_the_school_recovers(
    stage: Stage, school: School
) -> None:
    older_time = datetime.now(UTC).isoformat()
    await sync_one(stage, school, 0, anak_keberapa=2)
    older = await receipt_of(stage, school)
    backup = await back_up(stage)
    before = (await stage.centre(school.npsn)).head_seq
    await officer_corrects(stage, school, 5, nama="Nama Dari Pusat")
    end = await sync_one(stage, school, 1, anak_keberapa=3)
    lost = await receipt_of(stage, school)
    between = datetime.now(UTC).isoformat()
    assert (await located(stage, school, between)).forgotten is None
    await put_central_back(stage, backup)

    found = await explained(stage, lost)
    assert (found.basis, found.common, found.there) == ("unknown", before, None)
    assert (await located(stage, school, between)).seq == before
    with pytest.raises(Refused, match="PUSAT-16"):
        await located(stage, school, lost)

    await sync_one(stage, school, 2, anak_keberapa=4)
    assert await are_equal(stage, school.npsn)
    found = await explained(stage, lost)
    assert (found.basis, found.common, found.holds) == ("found", before, True)
    assert found.there == found.rows
    assert found.ended is not None
    assert found.seq is not None
    assert await root_at(stage, school, found.seq) == end.receipt["root"]
    point = await located(stage, school, lost)
    assert (point.seq, point.back_from) == (found.seq, before)

    still = await explained(stage, older)
    assert (still.basis, still.holds, still.ended) == ("history", True, None)

    then = await located(stage, school, between)
    assert (then.seq, then.forgotten) == (found.seq, None), "the receipt was signed by then, and its state is back"
    assert then.by is not None
    assert (then.by.kind, then.by.confirmed_at) == ("recover", end.receipt["time"])
    early = await located(stage, school, older_time)
    assert early.seq < before
    held = await located(stage, school, between, held=True)
    assert held.seq == before, "when it was written then, central does not know: what was known before is answered"
    assert held.forgotten is not None
    assert held.forgotten.until > datetime.fromisoformat(between)
    now = await located(stage, school, datetime.now(UTC).isoformat())
    assert (now.seq, now.forgotten) == ((await stage.centre(school.npsn)).confirmed_seq, None)


async def test_what_a_recover_confirmed_again_is_what_a_date_says(stage: Stage, school: School) -> None:
    backup = await back_up(stage)
    end = await sync_one(stage, school, 1, anak_keberapa=3)
    await put_central_back(stage, backup)
    async with stage.at(school.npsn) as client:
        await stage.session(client, "pull", "operator")
    point = await located(stage, school, datetime.now(UTC).isoformat())
    assert point.by is not None
    assert (point.by.kind, point.by.root) == ("recover", end.receipt["root"])
    assert point.by.confirmed_at == end.receipt["time"]
    assert point.seq == (await stage.centre(school.npsn)).confirmed_seq
    assert end.receipt["root"] == await root_at(stage, school, point.seq)
