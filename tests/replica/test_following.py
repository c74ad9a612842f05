"""A verdict that follows the changes is the one that judging the whole school gives; where it cannot, that is done."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from datetime import date, timedelta
from random import Random

import pytest

from services.database import Database, Transaction
from services.exchange.absorb import Base, Conflict, Replicated
from services.replica import judging, neighbours, records
from services.replica.judging import Verdict
from services.replica.records import Key, School
from services.rules import Finding
from services.rules.reach import Change, Lookup
from services.rules.reads import value_of
from tests.builders import CLASS, STUDENT, a_class, a_school, new_id
from tests.replica.builders import NPSN, TODAY, held, register
from tests.rules.moves import IDS, TOLD, a_move, a_moving_school, after
from tests.rules.test_reach import small_classes

__all__ = ["small_classes"]
WHY = {"code": "PD-99", "field": None, "text_id": "a", "text_en": "b", "next_id": "c", "next_en": "d"}


@pytest.fixture
async def judged(site_database: Database, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Grows with each judgement of a whole school."""
    count: list[int] = []
    live = records.live

    async def counted(transaction: Transaction, npsn: str) -> School:
        count.append(1)
        return await live(transaction, npsn)

    monkeypatch.setattr(records, "live", counted)
    return count


class _Undo(Exception):
    pass


async def whole(database: Database) -> Verdict:
    """What judging the whole school gives; it is not kept."""
    with contextlib.suppress(_Undo):
        async with database.transaction() as transaction:
            verdict = await judging.judge(transaction, NPSN, TODAY)
            raise _Undo
    return verdict


async def stored(database: Database) -> tuple[int, int, list[Finding]]:
    async with database.transaction() as transaction:
        row = await transaction.row("SELECT invalid, warning FROM school WHERE npsn = :npsn", npsn=NPSN)
        assert row is not None
        return row.invalid, row.warning, await judging.findings(transaction, NPSN)


def written(random: Random, move: Change, before: Replicated | None) -> Replicated:
    """The change as it is stored, now and then in conflict."""
    base = before.base if before is not None else Base(1, 1, move.before)
    conflict = None
    if random.random() < 0.2:
        conflict = Conflict(frozenset({"*"} if move.after is None else {"nama", "ptk_id"}), move.before or move.after)
    return Replicated(base, move.after, None, conflict)


@pytest.mark.parametrize("seed", range(12))
async def test_change_by_change_the_stored_verdict_is_that_of_the_whole_school(
    site_database: Database, judged: list[int], seed: int
) -> None:
    random = Random(seed)
    school = a_moving_school(random, 0 if seed % 3 else 0.1)
    await register(site_database, school)
    async with site_database.transaction() as transaction:
        await judging.judge(transaction, NPSN, TODAY)
    judged.clear()
    steps = 12
    for _ in range(steps):
        moves = a_move(random, school)
        school = after(school, moves)
        before = await held(site_database, *moves)
        now = {key: written(random, move, before.get(key)) for key, move in moves.items()}
        async with site_database.transaction() as transaction:
            await records.write(transaction, NPSN, now)
            await records.note_refusals(
                transaction, NPSN, {key: [WHY] if random.random() < 0.3 else None for key in now}
            )
            await records.touch(transaction, NPSN)
            told = await judging.follow(transaction, NPSN, before, now, TODAY)
        followed = len(judged)
        expected = await whole(site_database)
        del judged[followed:]
        assert await stored(site_database) == (expected.invalid, expected.warning, expected.findings)
        assert (told.revision, told.invalid, told.warning) == (expected.revision, expected.invalid, expected.warning)
        assert [one for one in told.findings if (one.entity, one.record_id) in now] == [
            one for one in expected.findings if (one.entity, one.record_id) in now
        ]
    assert len(judged) < steps / 2 or seed % 3 == 0


async def change(database: Database, *, revisions: int = 1, today: date = TODAY) -> Verdict:
    """Take the student of `a_school` out of it, counted as so many revisions, and follow."""
    key = ("peserta_didik", STUDENT)
    before = await held(database, key)
    gone: Mapping[Key, Replicated] = {key: Replicated(before[key].base, None)}
    async with database.transaction() as transaction:
        await records.write(transaction, NPSN, gone)
        for _ in range(revisions):
            await records.touch(transaction, NPSN)
        return await judging.follow(transaction, NPSN, before, gone, today)


OUTDATED = {
    "never judged": "UPDATE school SET verdict_revision = NULL",
    "of an older revision": "UPDATE school SET revision = revision + 1",
    "by other rules": "UPDATE school SET verdict_rules = 'older'",
    "on another day": "UPDATE school SET verdict_date = verdict_date - 1",
}


@pytest.mark.parametrize("how", [*OUTDATED, "counted twice", "not counted", "today is another day"])
async def test_what_a_verdict_cannot_follow_is_judged_whole(
    site_database: Database, judged: list[int], how: str
) -> None:
    await register(site_database, a_school())
    async with site_database.transaction() as transaction:
        await judging.judge(transaction, NPSN, TODAY)
        if how in OUTDATED:
            await transaction.run(OUTDATED[how])
    judged.clear()
    today = TODAY + timedelta(days=1) if how == "today is another day" else TODAY
    await change(site_database, revisions={"not counted": 0, "counted twice": 2}.get(how, 1), today=today)
    assert len(judged) == 1


async def test_a_change_that_can_be_followed_reads_no_whole_school(site_database: Database, judged: list[int]) -> None:
    await register(site_database, a_school())
    async with site_database.transaction() as transaction:
        assert (await judging.judge(transaction, NPSN, TODAY)).passes
    judged.clear()
    verdict = await change(site_database)
    assert not judged
    assert {finding.rule for finding in verdict.findings} == {"REF-01"}
    assert verdict.invalid == 2


async def test_many_findings_come_and_go_without_a_trace(site_database: Database, judged: list[int]) -> None:
    """A class is renamed to another's name and back: what was found before is found again, and nothing besides."""
    other = new_id(70)
    await register(site_database, a_school(rombongan_belajar={other: a_class(nama="Kelas 1B", ptk_id=None)}))
    async with site_database.transaction() as transaction:
        await judging.judge(transaction, NPSN, TODAY)
    first = await stored(site_database)
    key = ("rombongan_belajar", CLASS)
    for name, namesakes in (("Kelas 1B", 2), ("Kelas 1A", 0)) * 3:
        before = await held(site_database, key)
        now = {key: Replicated(before[key].base, {**(before[key].data or {}), "nama": name})}
        async with site_database.transaction() as transaction:
            await records.write(transaction, NPSN, now)
            await records.touch(transaction, NPSN)
            await judging.follow(transaction, NPSN, before, now, TODAY)
        _, _, found = await stored(site_database)
        assert [finding.rule for finding in found].count("RMB-03") == namesakes
    assert await stored(site_database) == first


@pytest.mark.parametrize("seed", range(3))
async def test_a_lookup_finds_every_record_that_answers(site_database: Database, seed: int) -> None:
    random = Random(seed)
    school = a_moving_school(random)
    await register(site_database, school)
    keys = {"peserta_didik": ("nik", "nisn"), "anggota_rombel": ("peserta_didik_id",), "pembelajaran": ("id",)}
    values = [*TOLD["nik"], *TOLD["nisn"], *IDS["peserta_didik"], *IDS["pembelajaran"], '9"\\é']
    asked = {
        Lookup(entity, key, value)
        for entity, names in keys.items()
        for key in names
        for value in random.sample(values, random.choice([2, len(values)]))
        if value
    }
    async with site_database.transaction() as transaction:
        found = await neighbours.find(transaction, NPSN, asked)
    assert len({(entity, record_id) for entity, record_id, _ in found}) == len(found)
    answers = {
        (e, i)
        for e, i, fields in found
        for one in asked
        if one.entity == e and value_of(one.key, i, fields) == one.value
    }
    assert answers == {
        (entity, record_id)
        for entity, table in school.items()
        for record_id, fields in table.items()
        for one in asked
        if one.entity == entity and value_of(one.key, record_id, fields) == one.value
    }
