"""`selaras conflicts` and `selaras decide`, as a person types them."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from typing import Any

from services.demo.stage import Stage
from services.messages import SessionRefused
from tests.e2e.conftest import School
from tests.e2e.test_conflicts import lesson, officer, publish


async def selaras(stage: Stage, *words: str, code: int = 0) -> str:
    """Run the command; what it printed."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **stage.stack.addresses.of_site_command(),
        "COLUMNS": "300",
    }
    done = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-m", "services.cli", *words],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


async def as_json(stage: Stage, *words: str, code: int = 0) -> Any:
    return json.loads(await selaras(stage, *words, "--json", code=code))


async def two_conflicts(stage: Stage, school: School) -> tuple[str, str]:
    """A student with an address in conflict, and a lesson edited here and deleted there; their ids."""
    pupil, (record_id, _) = school.pupils[0], lesson(school)
    await officer(stage, school.npsn, "peserta_didik", pupil, alamat_jalan="Jalan Dari Pusat 1")
    await officer(stage, school.npsn, "pembelajaran", record_id, "delete")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, alamat_jalan="Jalan Dari Sekolah 2")])
        await publish(stage, client, record_id, sk_mengajar="421.2/SK/BARU")
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionRefused)
    return pupil, record_id


async def test_conflicts_are_listed_decided_as_the_list_says_and_found_in_the_log(stage: Stage, school: School) -> None:
    pupil, record_id = await two_conflicts(stage, school)
    shown = await selaras(stage, "conflicts", school.npsn)
    for line in (
        f"selaras decide {school.npsn} peserta_didik {pupil} alamat_jalan mine|central",
        f"selaras decide {school.npsn} pembelajaran {record_id} '*' mine|central",
        "di sini · mine: Jalan Dari Sekolah 2",
        "di pusat · central: Jalan Dari Pusat 1",
        "di sini · mine: diubah · changed: sk_mengajar = 421.2/SK/BARU",
        "di pusat · central: dihapus · deleted",
    ):
        assert line in shown
    listed = await as_json(stage, "conflicts", school.npsn)
    assert [(c["entity"], c["field"], c["choices"]) for c in listed] == [
        ("pembelajaran", "*", ["mine", "central"]),
        ("peserta_didik", "alamat_jalan", ["mine", "central"]),
    ]
    assert (await selaras(stage, "conflicts", school.npsn, "--log")).startswith("tidak ada")

    decided = await selaras(stage, "decide", school.npsn, "peserta_didik", pupil, "alamat_jalan", "central")
    assert "1 perubahan tersimpan" in decided
    (answer,) = await as_json(
        stage, "decide", school.npsn, "pembelajaran", record_id, "*", "mine", "--actor", "Ibu Contoh"
    )
    assert (answer["type"], answer["counts"]["invalid"]) == ("change.accepted.v1", 0)
    assert await as_json(stage, "conflicts", school.npsn) == []
    assert "tidak ada konflik" in await selaras(stage, "conflicts", school.npsn)
    log = await as_json(stage, "conflicts", school.npsn, "--log")
    assert [(e["field"], e["how"], e["actor"]) for e in log] == [
        ("alamat_jalan", "decided central", "operator"),
        ("*", "decided mine", "Ibu Contoh"),
    ]
    assert (log[0]["mine"], log[0]["theirs"]) == ("Jalan Dari Sekolah 2", "Jalan Dari Pusat 1")
    assert "decided mine · Ibu Contoh" in await selaras(stage, "conflicts", school.npsn, "--log")
    assert "Sinkronisasi selesai" in await selaras(stage, "sync", school.npsn)


async def test_what_cannot_be_decided_is_refused_with_its_code(stage: Stage, school: School, npsn: str) -> None:
    decide = ("decide", school.npsn, "peserta_didik", school.pupils[0], "alamat_jalan")
    assert "UBAH-13" in await selaras(stage, *decide, "mine", code=3)
    (answer,) = await as_json(stage, *decide, "central", code=3)
    assert answer["changes"][0]["problems"][0]["code"] == "UBAH-13"
    await selaras(stage, *decide, "theirs", code=2)
    await selaras(stage, *decide, code=2)
    await selaras(stage, "decide", school.npsn, "peserta_didik", "x" * 201, "nama", "mine", code=2)
    await selaras(stage, "conflicts", "97999999", code=5)
    await selaras(stage, "decide", "97999999", "ptk", school.pupils[0], "nama", "mine", code=3)
