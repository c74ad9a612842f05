"""Follow-ups: once, whatever comes in between, and whoever is at work at the same time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.central import registry, residu, schools
from services.central.residu import Use
from services.database import Database, Transaction
from tests.builders import (
    TODAY,
    new_id,
)
from tests.central.desk import line
from tests.central.neighbours import Neighbour, backlog, claimed, settle
from tests.central.numbers import NAMES, NIK, OTHER_NIK, PUPIL_A, PUPIL_B, PUPIL_C, A, B, C, new_pupil, pupil, shared


async def test_the_same_follow_up_twice_writes_nothing_twice(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    async with a.database.transaction() as transaction:
        await transaction.run(
            """
            INSERT INTO follow_up (npsn, added, freed, entities, record_ids)
            SELECT npsn, added, freed, entities, record_ids FROM follow_up
            """
        )
    assert await settle(a.database) == 2
    heads = [(await a.head(npsn)).head_seq for npsn in (A, B)]
    await asyncio.gather(*(settle(a.database) for _ in range(3)))
    assert [(await a.head(npsn)).head_seq for npsn in (A, B)] == heads


async def test_two_schools_that_push_each_others_numbers_at_once_both_get_their_residu(
    a: Neighbour, b: Neighbour
) -> None:
    """Real concurrency: pushes of both schools and three workers at the same time, round after round."""
    numbers = [f"99000102031900{n:02}" for n in range(1, 41)]
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set() or await backlog(a.database):
            await settle(a.database)
            await asyncio.sleep(0)

    async def pushes(school: Neighbour, first: int, order: list[str]) -> None:
        for start in range(0, len(order), 10):
            batch = [new_pupil(new_id(first + int(nik[-2:])), nik) for nik in order[start : start + 10]]
            verdicts = (await school.push(*batch)).verdicts
            assert {verdict.verdict for verdict in verdicts} == {"applied"}

    async def both() -> None:
        await asyncio.gather(pushes(a, 1000, numbers), pushes(b, 2000, numbers[::-1]))
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(both(), *(work() for _ in range(3)))
    assert await a.open_residu() == {("PD-08", new_id(1000 + n)): NAMES[B] for n in range(1, 41)}
    assert await b.open_residu() == {("PD-08", new_id(2000 + n)): NAMES[A] for n in range(1, 41)}
    for npsn in (A, B):
        async with a.database.transaction() as transaction:
            school = await schools.lock(transaction, npsn)
            assert school is not None
            assert await registry.without_holes(transaction, school)


async def test_schools_that_take_and_give_back_a_number_at_once_end_as_the_claims_stand(
    a: Neighbour, b: Neighbour, c: Neighbour
) -> None:
    stop = asyncio.Event()

    async def work() -> None:
        while not stop.is_set() or await backlog(a.database):
            await settle(a.database)
            await asyncio.sleep(0)

    async def wavers(school: Neighbour, record_id: str, *, keeps: bool) -> None:
        await school.put("peserta_didik", record_id, pupil())
        for _ in range(6):
            await school.put("peserta_didik", record_id, pupil(OTHER_NIK))
            await school.put("peserta_didik", record_id, pupil())
        if not keeps:
            await school.put("peserta_didik", record_id, None)

    async def all_three() -> None:
        await asyncio.gather(
            wavers(a, PUPIL_A, keeps=True), wavers(b, PUPIL_B, keeps=False), wavers(c, PUPIL_C, keeps=True)
        )
        stop.set()

    async with asyncio.timeout(60):
        await asyncio.gather(all_three(), *(work() for _ in range(3)))
    assert await a.open_residu() == {("PD-08", PUPIL_A): NAMES[C]}
    assert await b.open_residu() == {}
    assert await c.open_residu() == {("PD-08", PUPIL_C): NAMES[A]}
    assert await settle(a.database) == 0


async def test_two_uncommitted_pushes_of_one_number_see_each_other_in_the_end(a: Neighbour, b: Neighbour) -> None:
    """Neither transaction sees the other's claim, neither waits for the other, and nothing is lost."""
    for school, record_id in ((a, PUPIL_A), (b, PUPIL_B)):
        await school.put("peserta_didik", record_id, pupil(OTHER_NIK if school is a else None, kewarganegaraan="MY"))
    await settle(a.database)

    async def write(transaction: Transaction, npsn: str, record_id: str) -> None:
        school = await schools.lock(transaction, npsn)
        assert school is not None
        version = registry.NewVersion("peserta_didik", record_id, 1, f'{{"nik":"{NIK}"}}')
        await registry.write(transaction, school, [version], by="uji", session=None)

    async with a.database.transaction() as first, a.database.transaction() as second:
        await write(first, A, PUPIL_A)
        async with asyncio.timeout(5):
            await write(second, B, PUPIL_B)
    await settle(a.database)
    assert (await a.states(), await b.states()) == (["terbuka"], ["terbuka"])


async def test_a_change_that_is_under_way_is_waited_for_and_seen(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    async with a.database.transaction() as transaction:
        school = await schools.lock(transaction, B)
        assert school is not None
        version = registry.NewVersion("peserta_didik", PUPIL_B, 1, None)
        await registry.write(transaction, school, [version], by="uji", session=None)
        settling = asyncio.create_task(settle(a.database))
        await waits_for_a_lock(a.database)
        assert not settling.done()
    assert await settling == 0
    assert (await a.residu(), await b.residu()) == ([], [])


async def waits_for_a_lock(database: Database, *, unless: asyncio.Task[Any] | None = None) -> None:
    """Until some session of this database waits for another's lock, or `unless` is done."""
    async with asyncio.timeout(10):
        while unless is None or not unless.done():
            async with database.transaction() as transaction:
                if await transaction.value(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE datname = current_database() AND wait_event_type = 'Lock'"
                ):
                    return
            await asyncio.sleep(0.01)


async def test_a_school_that_appears_while_the_others_are_being_locked_is_not_left_out(
    a: Neighbour, b: Neighbour, c: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    locks = schools.lock
    appeared: list[str] = []

    async def lock(transaction: Transaction, npsn: str) -> schools.School | None:
        if npsn == B and not appeared and await backlog(a.database):
            appeared.append(C)
            monkeypatch.setattr(schools, "lock", locks)
            await c.put("peserta_didik", PUPIL_C, pupil())
            async with a.database.transaction() as other:  # the one follow-up at hand must do for all three
                await other.run("DELETE FROM follow_up WHERE npsn <> :npsn", npsn=A)
        return await locks(transaction, npsn)

    monkeypatch.setattr(schools, "lock", lock)
    await settle(a.database)
    assert appeared == [C]
    assert await a.open_residu() == {("PD-08", PUPIL_A): f"{NAMES[B]}; {NAMES[C]}"}
    assert await c.open_residu() == {("PD-08", PUPIL_C): f"{NAMES[A]}; {NAMES[B]}"}


async def test_a_school_whose_own_residu_stays_as_it_is_is_locked_too(
    central: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sixth school's residu rests on the others': they must not all correct theirs between look and commit."""
    town = [
        await Neighbour.at(central, f"699001{n:02}", [line("peserta_didik", new_id(100 + n), pupil())])
        for n in range(5)
    ]
    await settle(central)
    last = await Neighbour.at(central, "69900199", [line("peserta_didik", new_id(199), pupil())])
    write, giving_back = registry.write, list[asyncio.Task[Any]]()

    async def gives_back() -> None:
        for n, school in enumerate(town):
            await school.put("peserta_didik", new_id(100 + n), None)
        await settle(central)

    async def meanwhile(*given: Any, **named: Any) -> Any:
        if not giving_back:
            monkeypatch.setattr(registry, "write", write)
            giving_back.append(asyncio.create_task(gives_back()))
            await waits_for_a_lock(central, unless=giving_back[0])
        return await write(*given, **named)

    monkeypatch.setattr(registry, "write", meanwhile)
    await settle(central)
    await giving_back[0]
    await settle(central)
    assert await last.states() == ["selesai"]


async def test_two_processes_are_at_two_follow_ups(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    async with a.database.transaction() as one, a.database.transaction() as two, a.database.transaction() as three:
        taken = [await residu._take(transaction) for transaction in (one, two, three)]
    assert [found and found.npsn for found in taken] == [A, B, None]


async def test_a_crash_in_the_middle_of_a_follow_up_loses_nothing_and_leaves_no_half(
    a: Neighbour, b: Neighbour, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await settle(a.database)
    await b.put("peserta_didik", PUPIL_B, pupil())
    write, written = registry.write, []

    async def dies(*given: Any, **named: Any) -> Any:
        written.append(await write(*given, **named))
        if len(written) == 2:
            raise RuntimeError(NIK)
        return written[-1]

    monkeypatch.setattr(registry, "write", dies)
    assert await residu.follow_up_next(a.database, TODAY) == {}
    assert len(written) == 2
    assert (await a.residu(), await b.residu()) == ([], [])
    assert await backlog(a.database) == 1
    monkeypatch.undo()
    assert await residu.follow_up_next(a.database, TODAY) is None, "it is tried again later, not at once"
    async with a.database.transaction() as transaction:
        assert await transaction.value("SELECT attempts FROM follow_up") == 1
        await transaction.run("UPDATE follow_up SET retry_at = now()")
    assert await settle(a.database) == 2
    assert await a.states() == await b.states() == ["terbuka"]
    assert NIK not in "".join(record.getMessage() for record in caplog.records)


async def test_a_follow_up_that_fails_does_not_hold_up_the_next(
    a: Neighbour, b: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    uses = residu._uses

    async def fails(transaction: Transaction, follow_up: residu.FollowUp) -> list[Use]:
        if follow_up.npsn == A:
            raise ValueError("broken")
        return await uses(transaction, follow_up)

    monkeypatch.setattr(residu, "_uses", fails)
    await settle(a.database)
    assert await a.states() == await b.states() == ["terbuka"]
    assert await backlog(a.database) == 1


async def test_the_claims_are_those_of_the_records_after_all_of_it(a: Neighbour, b: Neighbour) -> None:
    await shared(a, b)
    await b.put("peserta_didik", PUPIL_B, pupil(OTHER_NIK))
    await a.put("peserta_didik", PUPIL_A, None)
    assert await claimed(a.database) == {(B, "nik", PUPIL_B)}
