"""Two schools with one NIK, through publish, sync and pull: the residu comes down to both, blocks neither, and goes."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from services.demo.stage import Stage
from services.entities import Fields
from services.messages import FieldsChange, SessionCompleted
from tests.conftest import new_npsn
from tests.e2e.conftest import MakeSchool, School

PATIENCE_SECONDS = 20.0


def a_newcomer(school: School, nik: str, *, number: int) -> list[FieldsChange]:
    """A student that the school types in: with a registration and a place, so that the gate lets them through."""
    ids = [f"01990000-0000-7000-9000-{int(school.npsn):08d}{number + n:04d}" for n in range(3)]
    model = school.data["peserta_didik"][school.pupils[0]]
    unset = ("terverifikasi", "nisn", "id_bank", "rekening_bank", "rekening_atas_nama")
    person: Fields = {name: value for name, value in model.items() if name not in unset}
    registration = next(
        fields
        for fields in school.data["registrasi_peserta_didik"].values()
        if fields["peserta_didik_id"] == school.pupils[0]
    )
    place = next(
        fields for fields in school.data["anggota_rombel"].values() if fields["peserta_didik_id"] == school.pupils[0]
    )
    return [
        FieldsChange(entity="peserta_didik", record_id=ids[0], fields={**person, "nik": nik, "nama": "Anak Baru"}),
        FieldsChange(
            entity="registrasi_peserta_didik",
            record_id=ids[1],
            fields={**registration, "peserta_didik_id": ids[0], "nipd": f"BARU{number}"},
        ),
        FieldsChange(entity="anggota_rombel", record_id=ids[2], fields={**place, "peserta_didik_id": ids[0]}),
    ]


async def synced(stage: Stage, school: School, *changes: FieldsChange) -> SessionCompleted:
    """Publish and sync; both must go through."""
    async with stage.at(school.npsn) as client:
        if changes:
            stored, rejected = await stage.publish(client, changes)
            assert (stored, rejected) == (len(changes), [])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return end


async def pulled(stage: Stage, school: School) -> SessionCompleted:
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
    assert isinstance(end, SessionCompleted), end
    return end


async def states(stage: Stage, school: School) -> list[str]:
    """The state of the school's residu at central."""
    async with stage.registry.transaction() as transaction:
        rows = await transaction.rows(
            "SELECT CAST(text AS jsonb) ->> 'keadaan' AS state FROM record WHERE npsn = :npsn AND entity = 'residu'",
            npsn=school.npsn,
        )
    return [row.state for row in rows]


async def until(holds: Callable[[], Any]) -> None:
    """Until central's background has come so far."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not await holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.1)


async def ran(stage: Stage, *command: str) -> tuple[int, dict[str, Any]]:
    """The command as an operator or an officer types it; its exit code and its JSON."""
    done = await typed(stage, *command, "--json")
    return done.returncode, json.loads(done.stdout)


async def typed(stage: Stage, *command: str) -> subprocess.CompletedProcess[str]:
    """The command as it is typed, and what it says."""
    addresses = stage.stack.addresses
    environment: Mapping[str, str] = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **addresses.of_site_command(),
        **addresses.of_officer_command(),
    }
    selaras = Path(sys.executable).parent / "selaras"

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [selaras, *command], env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    return await asyncio.to_thread(run)


async def warnings(stage: Stage, school: School, rule: str) -> list[dict[str, Any]]:
    """What `selaras validate` lists of a rule; it must not be blocked."""
    code, told = await ran(stage, "validate", school.npsn)
    assert code == 0, "a warning blocks nothing"
    return [found for found in told["list"] if found["rule"] == rule]


async def test_a_number_at_two_schools_comes_down_to_both_blocks_neither_and_goes(
    stage: Stage, make_school: MakeSchool
) -> None:
    one, two = await make_school(), await make_school(new_npsn())
    nik = one.data["peserta_didik"][one.pupils[0]]["nik"]
    newcomer = a_newcomer(two, nik, number=1)

    end = await synced(stage, two, *newcomer)
    assert end.verdicts == {"applied": 3}, "what only central can know refuses nothing"
    await until(lambda: states(stage, one))
    assert await states(stage, one) == await states(stage, two) == ["terbuka"]

    for school, other, person in ((one, two, one.pupils[0]), (two, one, newcomer[0].record_id)):
        await pulled(stage, school)
        (found,) = await warnings(stage, school, "PD-08")
        assert (found["severity"], found["entity"], found["record_id"], found["field"]) == (
            "warning",
            "peserta_didik",
            person,
            "nik",
        )
        assert other.npsn in found["text_id"]
        assert other.data["sekolah"].popitem()[1]["nama"] in found["text_en"]
        assert nik not in json.dumps(found)
        await synced(stage, school, school.change(1, anak_keberapa=9))

    await synced(
        stage,
        two,
        FieldsChange(entity="peserta_didik", record_id=newcomer[0].record_id, fields={"nik": nik[:12] + "9999"}),
    )

    async def settled() -> bool:
        return await states(stage, one) == await states(stage, two) == ["selesai"]

    await until(settled)
    for school in (one, two):
        await pulled(stage, school)
        assert await warnings(stage, school, "PD-08") == []
        await synced(stage, school)
        here, centre = await stage.here(school.npsn), await stage.centre(school.npsn)
        assert (here.cursor, here.root) == (centre.head_seq, centre.root)
    assert nik not in stage.stack.log_file("central").read_text(encoding="utf-8")


async def test_a_school_that_passed_its_gate_by_shows_at_central(stage: Stage, school: School) -> None:
    await synced(stage, school, school.change(0, anak_keberapa=9))

    async def judged() -> bool:
        centre = await stage.centre(school.npsn)
        return centre.verdict is not None and centre.verdict.seq == centre.head_seq

    async def found() -> dict[str, int]:
        verdict = (await stage.centre(school.npsn)).verdict
        assert verdict is not None
        return verdict.invalid_rules

    await until(judged)
    assert await found() == {}
    before = await stage.metric("central", "selaras_central_verdict_schools", verdict="invalid")
    key = ("anggota_rombel", next(iter(school.data["anggota_rombel"])))
    async with stage.replica.transaction() as replica:  # a hand that no validator sees
        await replica.run(
            "UPDATE record SET data = NULL WHERE npsn = :npsn AND entity = :entity AND record_id = :id",
            npsn=school.npsn,
            entity=key[0],
            id=key[1],
        )
    end = await synced(stage, school)
    assert end.sent == 1, "the stored verdict is about the revision before: the gate had nothing to say"
    await until(judged)
    assert await found() == {"PD-19": 1}
    assert await stage.metric("central", "selaras_central_verdict_schools", verdict="invalid") == before + 1
    assert await stage.metric("central", "selaras_central_invalid_findings", rule="PD-19") >= 1
    code, shown = await ran(stage, "officer", "school", "show", school.npsn)
    assert code == 0
    assert shown["verdict"]["invalid_rules"] == {"PD-19": 1}
    assert shown["verdict"]["seq"] == shown["head_seq"]
    said = (await typed(stage, "officer", "school", "show", school.npsn)).stdout
    assert "1 invalid" in said.partition("Validasi pusat")[2]
    assert "PD-19" in said


async def test_central_killed_between_the_change_and_its_follow_up_loses_nothing(
    stage: Stage, make_school: MakeSchool
) -> None:
    one, two = await make_school(), await make_school(new_npsn())
    nik = one.data["peserta_didik"][one.pupils[1]]["nik"]
    async with stage.registry.transaction() as holding:
        await holding.run("SELECT 1 FROM school WHERE npsn = :npsn FOR UPDATE", npsn=one.npsn)
        await synced(stage, two, *a_newcomer(two, nik, number=10))
        stage.stack.kill("central")  # its follow-up waits for the school that is held here
    async with stage.registry.transaction() as transaction:
        left = await transaction.value("SELECT count(*) FROM follow_up WHERE npsn = :npsn", npsn=two.npsn)
    assert left >= 1
    await asyncio.to_thread(stage.stack.start, "central")
    await asyncio.to_thread(stage.stack.wait_ready, "central")
    await until(lambda: states(stage, one))
    assert await states(stage, one) == await states(stage, two) == ["terbuka"]
