"""Central is put back from a backup under the running system: nothing that it signed is lost."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from services.central import administration, aftermath
from services.cli.client import Client
from services.demo.stage import Stage
from services.demo.synthetic import jsonl
from services.embedded.stack import SERVICES
from services.exchange.absorb import Conflict
from services.messages import (
    DecidedConflict,
    SessionCompleted,
    SessionGive,
    SessionOpen,
    SessionPush,
    SessionRefused,
    SessionRollback,
    SessionVerify,
)
from tests.e2e.backups import Backup, back_up, put_central_back
from tests.e2e.conftest import School
from tests.e2e.replicas import copy_aside, put_back
from tests.e2e.test_conflicts import here
from tests.e2e.test_installations import code, sync_one, value_here
from tests.e2e.test_proof import public_keys, selaras
from tests.e2e.test_resumption import BATCH, Tap, tapped
from tests.e2e.test_sync import are_equal, officer_corrects

PUPIL = "peserta_didik"


@pytest.fixture(autouse=True)
async def _no_invariant_is_violated(stage: Stage) -> AsyncIterator[None]:
    """Whatever a test does: what each service checks by itself holds."""
    names = {name: "selaras_central" if name == "central" else "selaras" for name in ("syncer", "puller", "central")}

    async def violated() -> dict[str, float]:
        return {
            name: await stage.metric(name, f"{prefix}_invariant_violations_total") for name, prefix in names.items()
        }

    pids = {name: stage.stack.processes[name].pid for name in SERVICES}
    before = await violated()
    yield
    for name in SERVICES:
        if stage.stack.processes[name].poll() is not None:
            stage.stack.start(name)
    await asyncio.to_thread(stage.stack.wait_ready)
    same = [name for name in names if stage.stack.processes[name].pid == pids[name]]
    after = await violated()
    assert {name: after[name] for name in names} == {name: before[name] if name in same else 0.0 for name in names}


async def value_there(stage: Stage, school: School, number: int, field: str) -> object:
    """A field as central holds it."""
    stored = await stage.central_record(school.npsn, "peserta_didik", school.pupils[number])
    assert stored.fields is not None
    return stored.fields.get(field)


async def test_what_was_signed_comes_back_and_the_next_sync_goes_on(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    backup = await back_up(stage)
    await officer_corrects(stage, school, 5, nama="Nama Dari Pusat")
    receipt = (await sync_one(stage, school, 1, anak_keberapa=3)).receipt
    await put_central_back(stage, backup)
    assert await value_there(stage, school, 1, "anak_keberapa") == 1
    end = await sync_one(stage, school, 2, anak_keberapa=4)
    assert (end.sent, end.verdicts) == (1, {"applied": 1})
    assert [await value_there(stage, school, n, "anak_keberapa") for n in (0, 1, 2)] == [2, 3, 4]
    assert await value_there(stage, school, 5, "nama") == "Nama Dari Pusat"
    assert len(end.receipt["lineage"]) == len(receipt["lineage"]) + 1
    assert await are_equal(stage, school.npsn)


async def test_a_pull_waits_for_the_syncer_to_recover(stage: Stage, school: School) -> None:
    backup = await back_up(stage)
    receipt = (await sync_one(stage, school, 1, anak_keberapa=3)).receipt
    await put_central_back(stage, backup)
    assert await code(stage, school, "pull", "operator") is None
    centre = await stage.centre(school.npsn)
    assert await value_there(stage, school, 1, "anak_keberapa") == 3
    assert (centre.root, centre.confirmed_seq) == (receipt["root"], centre.head_seq)
    assert await are_equal(stage, school.npsn)


async def test_a_failover_that_forgot_nothing_is_gone_on_with(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    backup = await back_up(stage)
    await put_central_back(stage, backup)
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    assert await are_equal(stage, school.npsn)
    async with stage.replica.transaction() as transaction:
        kinds = await transaction.rows("SELECT DISTINCT kind FROM session WHERE npsn = :npsn", npsn=school.npsn)
    assert {row.kind for row in kinds} == {"pull", "sync"}


# ── what people see of it ────────────────────────────────────────────────────────────────────────────────────────────


async def counted(stage: Stage, more: float) -> bool:
    """Have so many recovers been counted? They are once the broker has confirmed the announcement."""
    for _ in range(100):
        if await stage.metric("syncer", "selaras_sync_completed_total", kind="recover") == more:
            return True
        await asyncio.sleep(0.05)
    return False


async def command(stage: Stage, *words: str) -> str:
    """What `selaras …` prints, as people see it."""
    done = await asyncio.to_thread(selaras, stage, *words)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


async def listed(stage: Stage, school: School) -> dict[str, dict[str, Any]]:
    """What waits for officers, by record."""
    rows = json.loads(await command(stage, "central", "listed", school.npsn, "--json"))
    return {row["record_id"]: row for row in rows}


async def test_people_and_metrics_are_told_and_a_receipt_from_before_still_proves(
    stage: Stage, school: School, tmp_path: Path
) -> None:
    backup = await back_up(stage)
    before = await stage.metric("syncer", "selaras_sync_completed_total", kind="recover")
    taken = await stage.metric("central", "selaras_central_given_back_records_total", entity=PUPIL, outcome="taken")
    await sync_one(stage, school, 1, anak_keberapa=3)
    receipt = tmp_path / "bukti.json"
    receipt.write_text(await command(stage, "receipt", "show", school.npsn))
    await put_central_back(stage, backup)
    assert await code(stage, school, "pull", "operator") is None
    await command(stage, "receipt", "verify", str(receipt), "--keys", str(public_keys(stage)))
    assert await command(stage, "receipt", "show", school.npsn) == receipt.read_text(), "a recover is no receipt"
    assert await counted(stage, before + 1)
    assert await stage.metric("syncer", "selaras_sync_duration_seconds_count", kind="recover") >= before + 1
    assert await stage.metric("syncer", "selaras_sync_last_success_timestamp_seconds", kind="recover") > 0
    assert await stage.metric("syncer", "selaras_records_total", kind="recover", entity=PUPIL, verdict="applied") >= 1
    after = await stage.metric("central", "selaras_central_given_back_records_total", entity=PUPIL, outcome="taken")
    assert after == taken + 1
    assert "recover: completed" in await command(stage, "status", school.npsn)
    history = await command(stage, "history", school.npsn, "--kind", "recover")
    assert "recover  completed" in history
    assert "dikirim · sent 1 (1 applied)" in history
    report = await command(stage, "central", "report")
    assert "Pusat dipulihkan" in report
    assert school.npsn in report


# ── in the middle of a session ───────────────────────────────────────────────────────────────────────────────────────


async def dies(stage: Stage, tap: Tap, kind: type[Any], number: int, backup: Backup | None) -> None:
    """As soon as the n-th request of a kind has passed: the syncer and central end by kill -9, and central comes back
    from the backup, if there is one.
    """
    while len(tap.of(kind)) < number:
        await tap.passes(1)
    stage.stack.kill("syncer")
    stage.stack.kill("central")
    if backup is not None:
        await put_central_back(stage, backup)
    for name in ("central", "syncer"):
        stage.stack.start(name)


async def all_sync(stage: Stage, client: Client, school: School, **fields: object) -> str:
    """Every pupil is changed, and a sync asked for; its id."""
    pupils = len(school.pupils)
    assert await stage.publish(client, [school.change(n, **fields) for n in range(pupils)]) == (pupils, [])
    return await stage.ask(client, "sync", "principal")


async def everywhere(stage: Stage, school: School, field: str) -> set[object]:
    """The values of a field of all pupils at central."""
    return {await value_there(stage, school, n, field) for n in range(len(school.pupils))}


@pytest.mark.parametrize(
    ("kind", "number"),
    [(SessionOpen, 1), (SessionPush, 3), (SessionVerify, 1)],
    ids=["between GRANT and PUSH", "between two PUSH", "between PUSH and VERIFY"],
)
async def test_central_is_put_back_in_the_middle_of_a_sync(
    stage: Stage, school: School, kind: type[Any], number: int
) -> None:
    backup = await back_up(stage)
    await sync_one(stage, school, 0, rt=8)
    async with stage.at(school.npsn) as client, tapped(stage, school.npsn, "situs-sync") as tap:
        death = asyncio.create_task(dies(stage, tap, kind, number, backup))
        request = await all_sync(stage, client, school, anak_keberapa=5)
        await death
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted), end
    assert await everywhere(stage, school, "anak_keberapa") == {5}
    assert await value_there(stage, school, 0, "rt") == 8
    assert await are_equal(stage, school.npsn)
    here = await stage.here(school.npsn)
    assert (here.pending, here.held) == (0, 0)


@pytest.mark.parametrize(
    ("kind", "number", "again"),
    [(SessionRollback, 1, False), (SessionGive, 3, False), (SessionRollback, 1, True), (SessionGive, 3, True)],
    ids=["after ROLLBACK", "between two GIVE", "after ROLLBACK, put back again", "between two GIVE, put back again"],
)
async def test_a_recover_is_killed_in_its_middle(
    stage: Stage, school: School, kind: type[Any], number: int, again: bool
) -> None:
    backup = await back_up(stage)
    async with stage.at(school.npsn) as client, tapped(stage, school.npsn, "situs-sync") as tap:
        end = await stage.end_of(client, await all_sync(stage, client, school, anak_keberapa=5))
        assert isinstance(end, SessionCompleted)
        await put_central_back(stage, backup)
        death = asyncio.create_task(dies(stage, tap, kind, number, backup if again else None))
        pull = await stage.ask(client, "pull", "operator")
        await death
        assert isinstance(await stage.end_of(client, pull), SessionCompleted)
        given = tap.of(SessionGive)
    assert len(given) >= len(school.pupils) // BATCH
    assert await everywhere(stage, school, "anak_keberapa") == {5}
    assert await are_equal(stage, school.npsn)
    centre = await stage.centre(school.npsn)
    assert (centre.root, centre.confirmed_seq) == (end.receipt["root"], centre.head_seq)


# ── whatever the gate says ───────────────────────────────────────────────────────────────────────────────────────────


async def recovers(stage: Stage, school: School) -> int:
    """How many recovers of the school have completed."""
    async with stage.replica.transaction() as transaction:
        return int(
            await transaction.value(
                "SELECT count(*) FROM session WHERE npsn = :npsn AND kind = 'recover' AND outcome = 'completed'",
                npsn=school.npsn,
            )
        )


async def test_a_blocked_school_gives_back_its_part_and_its_sync_is_refused_all_the_same(
    stage: Stage, school: School
) -> None:
    backup = await back_up(stage)
    await sync_one(stage, school, 1, anak_keberapa=3)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None)])
        await put_central_back(stage, backup)
        end = await stage.session(client, "sync", "principal")
        assert isinstance(end, SessionRefused)
        assert (end.problem.code, await recovers(stage, school)) == ("SYN-01", 0), "central was not asked"
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        assert await recovers(stage, school) == 1
        assert await value_there(stage, school, 1, "anak_keberapa") == 3
        assert await value_there(stage, school, 0, "agama_id") is not None, "nothing that is invalid was sent"
        async with stage.replica.transaction() as transaction:  # as a syncer that was killed in its middle leaves it
            await transaction.run(
                "INSERT INTO recovery (npsn, life, common) VALUES (:npsn, 'kehidupan lain', 0)", npsn=school.npsn
            )
        end = await stage.session(client, "sync", "principal")
        assert isinstance(end, SessionRefused)
        assert (end.problem.code, await recovers(stage, school)) == ("SYN-01", 2)
        await stage.publish(client, [school.change(0, agama_id=1)])
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
    assert await are_equal(stage, school.npsn)


async def test_an_undecided_conflict_stays_with_both_values(stage: Stage, school: School) -> None:
    key = (PUPIL, school.pupils[0])
    await officer_corrects(stage, school, 5, nama="Nama Dari Pusat")
    backup = await back_up(stage)
    await officer_corrects(stage, school, 0, alamat_jalan="Jalan Dari Pusat")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, alamat_jalan="Jalan Dari Sekolah", rt=9)])
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        before = await here(stage, school.npsn, *key)
        assert before.conflict == Conflict(frozenset({"alamat_jalan"}))
        await put_central_back(stage, backup)
        assert await value_there(stage, school, 0, "alamat_jalan") != "Jalan Dari Pusat"
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        after = await here(stage, school.npsn, *key)
        assert (after.conflict, after.data, after.base.fields) == (before.conflict, before.data, before.base.fields)
        assert await value_there(stage, school, 0, "alamat_jalan") == "Jalan Dari Pusat"
        assert await code(stage, school, "sync", "principal") == "SYN-12"
        decision = DecidedConflict(entity=PUPIL, record_id=key[1], field="alamat_jalan", choice="mine")
        assert await stage.decide(client, [decision]) == (1, [])
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
    assert await value_there(stage, school, 0, "alamat_jalan") == "Jalan Dari Sekolah"
    assert await value_there(stage, school, 0, "rt") == 9
    assert await are_equal(stage, school.npsn)


# ── several times ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_central_is_put_back_twice_in_a_row(stage: Stage, school: School) -> None:
    backup = await back_up(stage)
    await sync_one(stage, school, 0, anak_keberapa=2)
    await put_central_back(stage, backup)
    await sync_one(stage, school, 1, anak_keberapa=3)
    await put_central_back(stage, backup)
    assert await code(stage, school, "pull", "operator") is None
    await put_central_back(stage, backup)
    await put_central_back(stage, backup)
    end = await sync_one(stage, school, 2, anak_keberapa=4)
    assert [await value_there(stage, school, n, "anak_keberapa") for n in (0, 1, 2)] == [2, 3, 4]
    lives = [life["incarnation"] for life in end.receipt["lineage"]]
    assert len(set(lives)) == len(lives)
    assert await are_equal(stage, school.npsn)


async def test_central_is_put_back_from_a_branch_whose_life_has_ended(stage: Stage, school: School) -> None:
    trunk = await back_up(stage)
    await sync_one(stage, school, 0, anak_keberapa=2)
    await put_central_back(stage, trunk)
    await sync_one(stage, school, 1, anak_keberapa=3)
    branch = await back_up(stage)
    await sync_one(stage, school, 2, anak_keberapa=4)
    await put_central_back(stage, trunk)
    await sync_one(stage, school, 3, anak_keberapa=5)
    await put_central_back(stage, branch)
    assert await value_there(stage, school, 2, "anak_keberapa") == 1
    await sync_one(stage, school, 4, anak_keberapa=6)
    assert [await value_there(stage, school, n, "anak_keberapa") for n in range(5)] == [2, 3, 4, 5, 6]
    assert await are_equal(stage, school.npsn)


# ── installations and schools that central has forgotten ─────────────────────────────────────────────────────────────


async def test_a_reinstallation_that_central_has_forgotten_takes_its_place_and_the_older_one_is_fenced(
    stage: Stage, school: School
) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    older = await copy_aside(stage, school.npsn)
    backup = await back_up(stage)
    given = await administration.new_registration_code(stage.registry, school.npsn)
    await command(stage, "register", school.npsn, "--code", given, "--yes")
    await sync_one(stage, school, 1, anak_keberapa=3)
    newer = await copy_aside(stage, school.npsn)
    await put_central_back(stage, backup)
    await put_back(stage, school.npsn, older)
    await sync_one(stage, school, 2, anak_keberapa=4)
    older = await copy_aside(stage, school.npsn)
    await put_back(stage, school.npsn, newer)
    await sync_one(stage, school, 3, anak_keberapa=5)
    assert [await value_there(stage, school, n, "anak_keberapa") for n in range(4)] == [2, 3, 4, 5]
    assert await are_equal(stage, school.npsn)
    waiting = await listed(stage, school)
    assert {one: row["why"] for one, row in waiting.items()} == {school.pupils[2]: "written"}
    await put_back(stage, school.npsn, older)
    assert await code(stage, school, "sync", "principal") == "SYN-06"
    assert await code(stage, school, "pull", "operator") == "SYN-06"
    await put_back(stage, school.npsn, newer)
    assert "1 diabaikan" in await command(stage, "central", "dismiss", school.npsn, "--all")
    assert await aftermath.listed(stage.registry, school.npsn) == []


@pytest.mark.parametrize("whole", [False, True], ids=["its own record alone", "its old baseline"])
async def test_a_school_that_central_does_not_know_any_more_is_added_again(
    stage: Stage, school: School, tmp_path: Path, whole: bool
) -> None:
    await sync_one(stage, school, 1, anak_keberapa=3)
    async with stage.registry.transaction() as transaction:  # a backup of before the school was added
        tables = await transaction.rows(
            """
            SELECT c.table_name AS name FROM information_schema.columns c JOIN information_schema.tables t
                ON t.table_name = c.table_name AND t.table_schema = 'public' AND t.table_type = 'BASE TABLE'
            WHERE c.table_schema = 'public' AND c.column_name = 'npsn'
            """
        )
        for table in tables:
            await transaction.run(f"DELETE FROM {table.name} WHERE npsn = :npsn", npsn=school.npsn)
    await put_central_back(stage, await back_up(stage))
    assert await code(stage, school, "sync", "principal") == "SYN-11"
    assert await code(stage, school, "pull", "operator") == "SYN-11"
    data = {entity: dict(rows) for entity, rows in school.data.items()}
    file = tmp_path / "sekolah.jsonl"
    file.write_text("\n".join(jsonl(data if whole else {"sekolah": data["sekolah"]})))
    await command(stage, "officer", "school", "add", school.npsn, "--baseline", str(file))
    async with stage.at(school.npsn) as client:
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        if whole:
            found = await here(stage, school.npsn, PUPIL, school.pupils[1])
            assert found.conflict == Conflict(frozenset({"anak_keberapa"})), "the baseline says something else, later"
            decision = DecidedConflict(entity=PUPIL, record_id=school.pupils[1], field="anak_keberapa", choice="mine")
            assert await stage.decide(client, [decision]) == (1, [])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    assert await value_there(stage, school, 1, "anak_keberapa") == 3
    assert await are_equal(stage, school.npsn)
    assert (await stage.here(school.npsn)).pending == 0


# ── officers ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_an_officer_wrote_since_stays_and_what_was_centrals_is_decided_by_command(
    stage: Stage, school: School
) -> None:
    first, second = school.pupils[0], school.pupils[1]
    backup = await back_up(stage)
    await officer_corrects(stage, school, 0, nisn="0099000001")
    await officer_corrects(stage, school, 1, nisn="0099000002")
    await sync_one(stage, school, 2, anak_keberapa=4)
    await put_central_back(stage, backup)
    await officer_corrects(stage, school, 0, rt=77)
    await officer_corrects(stage, school, 1, rt=78)
    await sync_one(stage, school, 3, anak_keberapa=5)
    assert [await value_there(stage, school, n, "rt") for n in (0, 1)] == [77, 78]
    assert await value_there(stage, school, 2, "anak_keberapa") == 4
    assert await are_equal(stage, school.npsn)
    waiting = await listed(stage, school)
    assert {one: (row["why"], row["is_proven"]) for one, row in waiting.items()} == {
        first: ("moved", True),
        second: ("moved", True),
    }
    words = await command(stage, "central", "listed", school.npsn)
    assert "nisn: '0099000001' (pusat kini · central now:" in words
    report = json.loads(await command(stage, "central", "report", "--json"))
    (row,) = (one for one in report["schools"] if one["npsn"] == school.npsn)
    assert (row["moved"], row["listed"], row["unproven"]) == (2, 2, 0)
    ids = {one: str(row["id"]) for one, row in waiting.items()}
    assert "1 diterima" in await command(stage, "central", "accept", school.npsn, ids[first], "--actor", "petugas uji")
    assert "1 diabaikan" in await command(stage, "central", "dismiss", school.npsn, ids[second])
    again = await asyncio.to_thread(selaras, stage, "central", "accept", school.npsn, ids[first], "--json")
    assert (again.returncode, json.loads(again.stdout)["code"]) == (3, "PUSAT-07")
    assert await aftermath.listed(stage.registry, school.npsn) == []
    assert await code(stage, school, "pull", "operator") is None
    fields = await stage.site_record(school.npsn, PUPIL, first)
    assert fields is not None
    assert (fields["nisn"], fields["rt"]) == ("0099000001", 77)
    assert await value_there(stage, school, 1, "nisn") == school.data[PUPIL][second].get("nisn")
    assert await are_equal(stage, school.npsn)


async def test_a_copied_volume_is_said_by_command_and_nothing_is_lost(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    before = await aftermath.report(stage.registry)
    said = json.loads(await command(stage, "central", "restored", "--json"))
    after = json.loads(await command(stage, "central", "report", "--json"))
    assert (after["lives"], after["life"]["incarnation"]) == (before.lives + 1, said["incarnation"])
    assert (after["life"]["why"], after["seen"]) == ("said", 0)
    assert await value_here(stage, school, 0, "anak_keberapa") == "2"
    await sync_one(stage, school, 1, anak_keberapa=3)
    assert await recovers(stage, school) == 0, "nothing was forgotten"
    assert await are_equal(stage, school.npsn)
