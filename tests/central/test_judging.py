"""Validasi pusat: central judges a school whose records moved, with all rules, and a gate passed by is seen."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.central import administration, judging, overview
from services.central.background import Background
from services.central.gauges import Counters, Gauges
from services.central.judging import Verdict, judge_next, summed_up
from services.database import Database
from services.errors import DatabaseAway
from services.intake import Quarantine
from services.messages import OfficerChange, PushedChange
from services.rules import RULES_VERSION, school_findings
from tests.builders import (
    CLASS,
    MEMBER,
    REGISTRATION,
    SEKOLAH,
    STUDENT,
    TODAY,
    a_class,
    a_new_student,
    a_school,
    new_id,
)
from tests.central.desk import line
from tests.central.neighbours import Neighbour, backlog, settle

A, B = "69900001", "69900002"


def lines(**changes: Any) -> list[str]:
    """A whole school without its own record, as a baseline."""
    return [
        line(entity, record_id, fields)
        for entity, records in a_school(sekolah={SEKOLAH: None}, **changes).items()
        for record_id, fields in records.items()
    ]


@pytest.fixture
async def school(central: Database) -> Neighbour:
    """A school in which the rules find nothing."""
    return await Neighbour.at(central, A, lines())


def a_new_class(number: int) -> PushedChange:
    """A class that passes every record rule, and has neither members nor lessons."""
    fields = {name: (None, value) for name, value in a_class(nama=f"Kelas {number}").items()}
    return PushedChange(
        entity="rombongan_belajar", record_id=new_id(500 + number), op="put", base_version=0, fields=fields
    )


async def judged(database: Database, npsn: str = A) -> Verdict | None:
    """What central keeps."""
    async with database.transaction() as transaction:
        return await judging.stored(transaction, npsn)


async def waits(database: Database) -> int:
    """Schools that wait to be judged."""
    return (await overview.background(database))["judgement"][0]


def test_a_verdict_counts_records_once_and_findings_by_rule() -> None:
    records = a_school(peserta_didik={STUDENT: a_new_student(nama=None, agama_id=98)}, anggota_rombel={MEMBER: None})
    verdict = summed_up(school_findings(records, "69900001", TODAY), 7, TODAY)
    assert (verdict.seq, verdict.rules_version, verdict.date, verdict.outcome) == (7, RULES_VERSION, TODAY, "invalid")
    assert verdict.invalid == 2
    assert verdict.invalid_rules == {"PD-01": 1, "PD-19": 1, "PD-26": 1, "RMB-04": 1}
    assert verdict.warning_rules == {"PD-11": 1}
    assert verdict.warning == 0
    assert summed_up([], 7, TODAY).outcome == "clean"


async def test_what_a_gate_passed_by_let_in_is_found_soon_after_the_push(school: Neighbour) -> None:
    verdicts = (await school.push(a_new_class(1))).verdicts
    assert [verdict.verdict for verdict in verdicts] == ["applied"], "no record rule can see it"
    verdict = await judge_next(school.database, TODAY, after_seconds=0)
    assert verdict is not None
    assert (verdict.outcome, verdict.invalid_rules) == ("invalid", {"PBL-01": 1, "RMB-04": 1})
    assert verdict.seq == (await school.head(A)).head_seq
    assert await judged(school.database) == verdict
    await school.put("rombongan_belajar", new_id(501), None)
    await judge_next(school.database, TODAY, after_seconds=0)
    again = await judged(school.database)
    assert again is not None
    assert (again.outcome, again.seq) == ("clean", verdict.seq + 1)


async def test_only_a_school_whose_records_moved_is_judged(school: Neighbour) -> None:
    assert await judge_next(school.database, TODAY, after_seconds=0) is None, "nobody has pushed yet"
    same = {"nama": ("Kelas 1A", "Kelas 1A")}
    unchanged = PushedChange(entity="rombongan_belajar", record_id=CLASS, op="put", base_version=1, fields=same)
    assert [verdict.verdict for verdict in (await school.push(unchanged)).verdicts] == ["unchanged"]
    assert await waits(school.database) == 0
    await school.push(a_new_class(1))
    assert await waits(school.database) == 1
    assert await judge_next(school.database, TODAY, after_seconds=0) is not None
    assert await judge_next(school.database, TODAY, after_seconds=0) is None
    await school.officer(
        OfficerChange(entity="rombongan_belajar", record_id=CLASS, version=1, fields={"tanggal_mulai": "2025-07-14"})
    )
    assert await waits(school.database) == 1


async def test_a_school_is_left_to_push_to_the_end_first(school: Neighbour) -> None:
    await school.push(a_new_class(1))
    assert await judge_next(school.database, TODAY, after_seconds=60) is None
    assert await waits(school.database) == 1


async def test_a_school_in_the_middle_of_a_session_waits_for_its_end_but_not_for_ever(school: Neighbour) -> None:
    await school.push(a_new_class(1))
    await moved(school.database, seconds_ago=20)
    assert await judge_next(school.database, TODAY, after_seconds=2) is None
    await moved(school.database, seconds_ago=30)
    assert await judge_next(school.database, TODAY, after_seconds=2) is not None
    await school.push(a_new_class(2))
    async with school.database.transaction() as transaction:
        await transaction.run("UPDATE school SET session_active_at = NULL")
    await moved(school.database, seconds_ago=3)
    assert await judge_next(school.database, TODAY, after_seconds=2) is not None


async def moved(database: Database, *, seconds_ago: int) -> None:
    """The school that waits has done so since then."""
    async with database.transaction() as transaction:
        await transaction.run(
            "UPDATE school SET unjudged_since = now() - make_interval(secs => :ago) WHERE unjudged_since IS NOT NULL",
            ago=seconds_ago,
        )


async def test_who_waits_longest_is_judged_first(central: Database) -> None:
    for npsn in (B, A):
        town = await Neighbour.at(central, npsn, lines())
        await town.push(a_new_class(1))
    await judge_next(central, TODAY, after_seconds=0)
    assert (await judged(central, A), await judged(central, B) is not None) == (None, True)


async def test_a_school_that_moves_while_it_is_judged_is_judged_again(
    school: Neighbour, monkeypatch: pytest.MonkeyPatch
) -> None:
    await school.push(a_new_class(1))
    of_rows, loop = judging._of_rows, asyncio.get_running_loop()

    def slowly(rows: Any, npsn: str, today: date) -> Verdict:
        asyncio.run_coroutine_threadsafe(school.push(a_new_class(2)), loop).result(30)
        return of_rows(rows, npsn, today)

    monkeypatch.setattr(judging, "_of_rows", slowly)
    first = await judge_next(school.database, TODAY, after_seconds=0)
    monkeypatch.undo()
    assert first is not None
    assert first.invalid == 1
    assert await waits(school.database) == 1
    second = await judge_next(school.database, TODAY, after_seconds=0)
    assert second is not None
    assert (second.seq, second.invalid) == (first.seq + 1, 2)
    assert await waits(school.database) == 0


async def test_two_processes_judge_two_schools_and_a_push_waits_for_neither(
    central: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    town = [await Neighbour.at(central, npsn, lines()) for npsn in (A, B)]
    for one in town:
        await one.push(a_new_class(1))
    of_rows, loop, at = judging._of_rows, asyncio.get_running_loop(), list[str]()

    def slowly(rows: Any, npsn: str, today: date) -> Verdict:
        at.append(npsn)
        if len(at) == 2:
            for one in town:
                asyncio.run_coroutine_threadsafe(one.push(a_new_class(2)), loop).result(30)
        return of_rows(rows, npsn, today)

    def first_waits(rows: Any, npsn: str, today: date) -> Verdict:
        found = slowly(rows, npsn, today)
        if len(at) == 1:
            asyncio.run_coroutine_threadsafe(judge_next(central, TODAY, after_seconds=0), loop).result(30)
        return found

    monkeypatch.setattr(judging, "_of_rows", first_waits)
    await judge_next(central, TODAY, after_seconds=0)
    assert sorted(at) == [A, B]


async def test_a_school_that_cannot_be_judged_does_not_hold_up_the_others(
    central: Database, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    for npsn in (A, B):
        await (await Neighbour.at(central, npsn, lines())).push(a_new_class(1))
    of_rows = judging._of_rows

    def fails(rows: Any, npsn: str, today: date) -> Verdict:
        if npsn == A:
            raise ValueError("9900010203190001")
        return of_rows(rows, npsn, today)

    monkeypatch.setattr(judging, "_of_rows", fails)
    assert await judge_next(central, TODAY, after_seconds=0) is None
    assert await judge_next(central, TODAY, after_seconds=0) is not None
    assert await judged(central, A) is None
    assert await waits(central) == 1, "it is not given up"
    assert "could not be judged" in caplog.text


async def test_central_shows_the_school_with_its_own_verdict(school: Neighbour) -> None:
    assert (await administration.describe(school.database, A)).verdict is None
    await school.push(a_new_class(1))
    await judge_next(school.database, TODAY, after_seconds=0)
    described = await administration.describe(school.database, A)
    assert described.verdict is not None
    assert described.verdict.invalid_rules == {"PBL-01": 1, "RMB-04": 1}
    assert described.verdict.seq == described.head_seq


# ── the loops, and what they show ────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
async def metrics(central: Database) -> CollectorRegistry:
    return CollectorRegistry()


def value(metrics: CollectorRegistry, name: str, **labels: str) -> float | None:
    return metrics.get_sample_value(name, {"site": "pusat", **labels})


@pytest.fixture
async def background(central: Database, metrics: CollectorRegistry) -> AsyncIterator[Background]:
    """Central's loops, running."""
    running = Background(
        central, Counters(metrics, "pusat"), today=lambda: TODAY, judge_after_seconds=0, judge_per_minute=6000
    )
    stopping = asyncio.Event()
    tasks = [asyncio.create_task(loop(stopping)) for loop in (running.follow_up, running.judge)]
    yield running
    stopping.set()
    async with asyncio.timeout(5):
        await asyncio.gather(*tasks)


async def quiet(database: Database) -> None:
    """Until the background has nothing left to do."""
    for _ in range(1000):
        if not await backlog(database) and not await waits(database):
            return
        await asyncio.sleep(0.02)
    raise AssertionError("the background does not come to rest")


async def test_the_backlog_its_age_and_the_verdicts_are_shown(school: Neighbour, metrics: CollectorRegistry) -> None:
    gauges = Gauges(metrics, school.database, Quarantine(school.database), "pusat")
    await settle(school.database)
    await gauges.refresh()
    for work in ("follow_up", "judgement"):
        assert value(metrics, "selaras_central_background_pending", work=work) == 0
        assert value(metrics, "selaras_central_background_oldest_timestamp_seconds", work=work) == 0
    assert value(metrics, "selaras_central_verdict_schools", verdict="unjudged") == 1
    await school.put("peserta_didik", new_id(60), a_new_student(nik="9900010203190060"))
    await school.push(a_new_class(1))
    await gauges.refresh()
    for work in ("follow_up", "judgement"):
        assert value(metrics, "selaras_central_background_pending", work=work) == 1
        since = value(metrics, "selaras_central_background_oldest_timestamp_seconds", work=work)
        assert since is not None
        assert since > 1.7e9
    await judge_next(school.database, TODAY, after_seconds=0)
    await gauges.refresh()
    assert value(metrics, "selaras_central_verdict_schools", verdict="invalid") == 1
    assert value(metrics, "selaras_central_verdict_schools", verdict="unjudged") == 0
    assert value(metrics, "selaras_central_invalid_findings", rule="RMB-04") == 1


async def test_the_loops_follow_up_and_judge_by_themselves(
    central: Database, background: Background, metrics: CollectorRegistry
) -> None:
    for npsn, pupil in ((A, new_id(61)), (B, new_id(62))):
        town = await Neighbour.at(
            central,
            npsn,
            lines(
                peserta_didik={STUDENT: None},
                registrasi_peserta_didik={REGISTRATION: None},
                anggota_rombel={MEMBER: None},
            ),
        )
        await town.put("peserta_didik", pupil, a_new_student())
    await quiet(central)
    assert value(metrics, "selaras_central_residu_total", rule="PD-08", state="terbuka") == 2
    assert (value(metrics, "selaras_central_follow_ups_total") or 0) >= 2
    assert (value(metrics, "selaras_central_judgements_total", verdict="invalid") or 0) >= 2
    for npsn in (A, B):
        verdict = await judged(central, npsn)
        assert verdict is not None
        assert verdict.warning_rules["PD-08"] == 1


async def test_a_loop_goes_on_after_the_database_was_away(
    school: Neighbour, metrics: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.central.background.TROUBLE_SECONDS", 0.01)
    times = 0

    async def away(*_given: Any, **_named: Any) -> None:
        nonlocal times
        times += 1
        if times > 3:
            stopping.set()
        raise DatabaseAway("test")

    monkeypatch.setattr(judging, "judge_next", away)
    stopping = asyncio.Event()
    loops = Background(
        school.database, Counters(metrics, "pusat"), today=lambda: TODAY, judge_after_seconds=0, judge_per_minute=60
    )
    async with asyncio.timeout(5):
        await loops.judge(stopping)
    assert times == 4


async def test_no_more_schools_are_judged_than_so_many_a_minute(
    school: Neighbour, metrics: CollectorRegistry, monkeypatch: pytest.MonkeyPatch
) -> None:
    loops = Background(
        school.database, Counters(metrics, "pusat"), today=lambda: TODAY, judge_after_seconds=0, judge_per_minute=120
    )
    await school.push(a_new_class(1))
    assert await loops._judge() == 0.5
    assert await loops._judge() == 1.0
    slow = Background(
        school.database, Counters(CollectorRegistry(), "pusat"), today=lambda: TODAY, judge_after_seconds=0,
        judge_per_minute=6,
    )  # fmt: skip
    assert await slow._judge() == 10.0
