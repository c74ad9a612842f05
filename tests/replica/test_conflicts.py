"""What people are shown of conflicts: those that wait, with what to type, and the log."""

from __future__ import annotations

from datetime import UTC, datetime

from services.database import Database
from services.entities import CONFIRMED
from services.exchange.absorb import Base, Conflict, Overruled, Replicated
from services.exchange.canonical import Json
from services.exchange.change import WHOLE
from services.replica import conflicts, judging, records
from services.replica.conflicts import Logged, OpenConflict, shown
from services.replica.records import Key
from services.rules import Severity
from tests.replica.builders import NPSN, OTHER_NPSN, TODAY, first, held, register


async def mark(database: Database, key: Key, record: Replicated) -> None:
    async with database.transaction() as transaction:
        await records.write(transaction, NPSN, {key: record})
        await records.touch(transaction, NPSN)


async def waiting(database: Database, npsn: str = NPSN) -> list[OpenConflict]:
    async with database.transaction() as transaction:
        return await conflicts.waiting(transaction, npsn)


async def test_a_field_in_conflict_is_shown_with_both_values_and_what_to_type(site_database: Database) -> None:
    school = await register(site_database)
    await register(site_database, {}, npsn=OTHER_NPSN)
    pupil, fields = first(school, "peserta_didik")
    key = ("peserta_didik", pupil)
    typed = {**fields, "alamat_jalan": "Jalan Sekolah"}
    await mark(site_database, key, Replicated(Base(2, 99, fields), typed, None, Conflict(frozenset({"alamat_jalan"}))))
    (found,) = await waiting(site_database)
    assert found == OpenConflict(
        *key, "alamat_jalan", "Jalan Sekolah", fields["alamat_jalan"], None, ("mine", "central")
    )
    assert found.command(NPSN) == f"selaras decide {NPSN} peserta_didik {pupil} alamat_jalan mine|central"
    assert await waiting(site_database, OTHER_NPSN) == []


async def test_a_conflict_on_the_whole_is_shown_with_what_may_be_chosen(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    key = ("peserta_didik", pupil)
    before = (await held(site_database, key))[key]
    confirmed = {**fields, CONFIRMED: True}
    await mark(
        site_database, key, Replicated(Base(2, 99, confirmed), None, None, Conflict(frozenset({WHOLE}), before.data))
    )
    (found,) = await waiting(site_database)
    assert (found.mine, found.theirs, found.ancestor, found.choices) == (None, confirmed, fields, ("central",))
    assert found.command(NPSN).endswith("'*' central")


async def test_the_finding_names_the_command(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    key = ("peserta_didik", pupil)
    typed = {**fields, "anak_keberapa": 7}
    await mark(site_database, key, Replicated(Base(2, 99, fields), typed, None, Conflict(frozenset({"anak_keberapa"}))))
    async with site_database.transaction() as transaction:
        verdict = await judging.judge(transaction, NPSN, TODAY)
    (finding,) = [f for f in verdict.findings if f.severity is Severity.INVALID]
    command = f"selaras decide {NPSN} peserta_didik {pupil} anak_keberapa mine|central"
    assert command in finding.todo("id")
    assert command in finding.todo("en")


async def test_the_log_keeps_both_values_how_it_came_about_and_who(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")
    key = ("peserta_didik", pupil)
    async with site_database.transaction() as transaction:
        await records.log_overruled(transaction, NPSN, [(key, Overruled("nama", "Ani", "Ana"), 5)])
        whole = Overruled(WHOLE, {"nama": "Ani"}, None)
        await records.log_overruled(transaction, NPSN, [(key, whole, 6)], how="decided mine", actor="Operator Contoh")
        one, two = await conflicts.log(transaction, NPSN)
        assert await conflicts.log(transaction, OTHER_NPSN) == []
    assert one.at <= two.at <= datetime.now(UTC)
    assert one == Logged(one.at, *key, "nama", "Ani", "Ana", 5, "overruled", None, "VervalPD")
    assert two == Logged(two.at, *key, WHOLE, {"nama": "Ani"}, None, 6, "decided mine", "Operator Contoh", None)


async def test_of_a_school_that_is_not_here_there_is_nothing_to_read(site_database: Database) -> None:
    assert await conflicts.read(site_database, NPSN, logged=False) is None
    await register(site_database, {})
    assert await conflicts.read(site_database, NPSN, logged=False) == []
    assert await conflicts.read(site_database, NPSN, logged=True) == []


def test_values_are_shown_as_people_read_them() -> None:
    values: list[Json] = [None, "Ani", 3, True, {"a": [1]}]
    assert [shown(value) for value in values] == ["–", "Ani", "3", "true", '{"a":[1]}']
