"""As many live sessions as central wants, and a line in which nobody loses a place by coming back when told."""

from __future__ import annotations

import pytest

from services.central.administration import add_school
from services.central.line import Capacity, due_in
from services.messages import SchoolRegister, SchoolRegistered, SessionGranted, SessionWait
from tests.builders import NPSN
from tests.central.desk import Desk, baseline, expect

OTHERS = ("69900011", "69900012", "69900013")


@pytest.fixture
async def door(desk: Desk) -> Door:
    """Central with room for one session, and four schools."""
    desk.rewire(capacity=Capacity(sessions=1, live_seconds=600, slot_seconds=30))
    door = Door(desk, {NPSN: desk.install_id})
    for npsn in OTHERS:
        code = await add_school(desk.database, npsn, baseline(1, npsn))
        answer = await desk.ask("situs-sync", "register", SchoolRegister(code=code), npsn=npsn)
        door.installed[npsn] = expect(answer, SchoolRegistered).install_id
    return door


class Door:
    """Schools that knock."""

    def __init__(self, desk: Desk, installed: dict[str, str]) -> None:
        self.desk = desk
        self.installed = installed

    async def knock(self, npsn: str) -> SessionGranted | SessionWait:
        """OPEN; in, or a place in the line."""
        opening = self.desk.opening("pull", install_id=self.installed[npsn])
        answer = await self.desk.ask("situs-pull", "open", opening, npsn=npsn)
        assert isinstance(answer, SessionGranted | SessionWait)
        return answer

    async def waits(self, npsn: str) -> SessionWait:
        """OPEN, which is put off."""
        return expect(await self.knock(npsn), SessionWait)

    async def comes_in(self, npsn: str) -> None:
        """OPEN, which is granted."""
        expect(await self.knock(npsn), SessionGranted)

    async def run(self, sql: str) -> None:
        """Let time go by, as the database sees it."""
        async with self.desk.database.transaction() as transaction:
            assert await transaction.run(sql)

    async def finish(self, npsn: str) -> None:
        """The school's session is proven equal."""
        await self.run(f"UPDATE school SET session_active_at = NULL WHERE npsn = '{npsn}'")


async def test_what_does_not_fit_is_told_when_to_come_back(door: Door) -> None:
    await door.comes_in(NPSN)
    told = await door.waits(OTHERS[0])
    assert (told.position, told.reason) == (1, "capacity")
    assert 1 <= told.retry_seconds <= 30
    assert (await door.waits(OTHERS[1])).position == 2
    deferred = door.desk.metrics.get_sample_value(
        "selaras_admission_deferred_total", {"site": "pusat", "reason": "capacity"}
    )
    assert deferred == 2


async def test_a_place_is_kept_and_nobody_comes_in_before_those_ahead(door: Door) -> None:
    await door.comes_in(NPSN)
    for place, npsn in enumerate(OTHERS, start=1):
        assert (await door.waits(npsn)).position == place
    await door.finish(NPSN)
    assert (await door.waits(OTHERS[2])).position == 3
    assert (await door.waits(OTHERS[1])).position == 2
    assert (await door.waits(NPSN)).position == 4, "who was in before stands behind those who wait"
    await door.comes_in(OTHERS[0])
    assert (await door.waits(OTHERS[1])).position == 1


async def test_who_does_not_come_back_loses_the_place(door: Door) -> None:
    await door.comes_in(NPSN)
    await door.waits(OTHERS[0])
    await door.waits(OTHERS[1])
    await door.finish(NPSN)
    await door.run(f"UPDATE slot SET expires_at = now() - interval '1 s' WHERE npsn = '{OTHERS[0]}'")
    await door.comes_in(OTHERS[1])
    assert (await door.waits(OTHERS[0])).position == 1


async def test_a_session_that_is_not_heard_of_is_not_live_and_one_that_is_equal_neither(door: Door) -> None:
    session = await door.desk.open("pull")
    await door.waits(OTHERS[0])
    await session.verified()
    await door.comes_in(OTHERS[0])
    await door.waits(OTHERS[1])
    await door.run(f"UPDATE school SET session_active_at = now() - interval '1 h' WHERE npsn = '{OTHERS[0]}'")
    await door.comes_in(OTHERS[1])


async def test_what_a_session_sends_keeps_it_live(door: Door) -> None:
    session = await door.desk.open("pull")
    await door.run(f"UPDATE school SET session_active_at = now() - interval '590 s' WHERE npsn = '{NPSN}'")
    await session.fetch(0)
    assert 0 <= ((await door.desk.head()).silent_seconds or 99) < 60


async def test_a_school_may_open_anew_in_place_of_its_own_live_session(door: Door) -> None:
    await door.comes_in(NPSN)
    await door.waits(OTHERS[0])
    await door.comes_in(NPSN)


async def test_the_time_is_spread_over_a_round_and_rounds_follow_each_other() -> None:
    capacity = Capacity(sessions=10, slot_seconds=30)
    schools = [str(20100000 + n) for n in range(200)]
    first = [due_in(0, npsn, capacity) for npsn in schools]
    assert all(1 <= seconds <= 30 for seconds in first)
    assert len(set(first)) > 20, "they do not knock together"
    assert [due_in(25, npsn, capacity) - due_in(5, npsn, capacity) for npsn in schools] == [60] * 200
