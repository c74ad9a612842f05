"""While something is away a person is told so, is not held for ever, and may go; the work goes on by itself."""

from __future__ import annotations

import asyncio
import signal

from services.demo.stage import Stage
from tests.broker.desk import until
from tests.cli.conftest import Terminal, change_of
from tests.e2e.conftest import School

BACK_SECONDS = 30.0
"""How long it may take until what came back has done what waited for it."""


async def line_with(text: str, stream: asyncio.StreamReader) -> str:
    """Read on until a line has this text."""
    async with asyncio.timeout(BACK_SECONDS):
        while text not in (line := (await stream.readline()).decode()):
            assert line, f"ended without {text}"
    return line


async def test_a_command_that_waited_long_enough_says_so_and_nothing_is_lost(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    first = (await stage.here(school.npsn)).last_pull_at
    file = terminal.file("ubah.json", [change_of(school, 0, anak_keberapa=9)])
    for service in ("puller", "validator"):
        await asyncio.to_thread(stage.stack.stop, service)
    for said in await terminal.all(
        f"pull {school.npsn} --wait 0.1", f"publish {school.npsn} {file} --wait 0.1", f"validate {school.npsn} --wait 0"
    ):
        assert (said.code, said.out) == (4, "")
        assert said.err.startswith("Belum selesai dalam 0")
        assert f"nothing is lost: see `selaras status {school.npsn}`" in said.err
    for service in ("puller", "validator"):
        await asyncio.to_thread(stage.stack.start, service)

    async def done() -> bool | None:
        here = await stage.here(school.npsn)
        return True if here.last_pull_at != first and here.pending == 1 else None

    assert await until(done, BACK_SECONDS), "the pull and the change"


async def test_while_central_is_away_a_sync_says_that_it_waits_and_ctrl_c_leaves_it_waiting(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    await asyncio.to_thread(stage.stack.stop, "central")
    process = await terminal.begin("sync", school.npsn)
    assert process.stderr is not None
    assert (await process.stderr.readline()).decode() == "sinkronisasi dimulai · the sync has begun\n"
    file = terminal.file("pembetulan.json", [{**change_of(school, 0, nama="Nama Dari Pusat"), "version": 1}])
    officer, registering = await terminal.all(
        f"officer change {school.npsn} {file} --wait 0.1", "register 97999996 --code SALAH --wait 0.3"
    )
    assert officer.code == 4
    assert f"see `selaras officer school show {school.npsn} --as-of head`" in officer.err
    assert registering.code == 5
    assert registering.err.startswith("Out of reach (CentralAway: ")

    waits = await line_with("SYN-10", process.stderr)
    assert "Pusat tidak dapat dihubungi sejak" in waits
    assert "dicoba lagi otomatis" in (await process.stderr.readline()).decode()
    process.send_signal(signal.SIGINT)
    said = await terminal.end(process)
    assert (said.code, said.out) == (130, "")
    assert said.err.endswith("dihentikan · stopped\n")

    await asyncio.to_thread(stage.stack.start, "central")

    async def done() -> bool | None:
        stored = await stage.central_record(school.npsn, "peserta_didik", school.pupils[0])
        return True if stored.version == 2 and (await stage.here(school.npsn)).last_sync_at else None

    assert await until(done, BACK_SECONDS), "the sync and the officer's change"


async def test_ctrl_c_is_understood_while_the_command_is_still_loading(terminal: Terminal) -> None:
    process = await terminal.begin("status", "--failed", python=("-X", "importtime"))
    assert process.stderr is not None
    await line_with("services.cli.outcomes", process.stderr)
    await line_with("pydantic", process.stderr)
    process.send_signal(signal.SIGINT)
    said = await terminal.end(process)
    assert (said.code, said.out) == (130, "")
    spoken = [line for line in said.err.splitlines() if not line.startswith("import time:")]
    assert spoken[-1:] == ["dihentikan · stopped"]
