"""Receipts of the running system, and rows altered by hand at either side: found, mended, counted, both values kept."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path

from services import signing
from services.demo.stage import Stage
from services.messages import SessionCompleted, SessionFailed
from services.signing import PublicKeys
from tests.e2e.conftest import School


def public_keys(stage: Stage) -> Path:
    assert stage.stack.addresses.keys is not None
    return stage.stack.addresses.keys.public


def selaras(stage: Stage, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **stage.stack.addresses.of_site_command(),
        **stage.stack.addresses.of_officer_command(),
        "COLUMNS": "200",
    }
    return subprocess.run(
        [sys.executable, "-m", "services.cli", *words],
        env=environment, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


async def test_a_receipt_is_exported_and_checked_without_servers(stage: Stage, school: School, tmp_path: Path) -> None:
    nothing = await asyncio.to_thread(selaras, stage, "receipt", "show", school.npsn)
    assert nothing.returncode == 3
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted)
    assert PublicKeys.read(public_keys(stage)).verify(end.jws) == end.receipt
    shown = await asyncio.to_thread(selaras, stage, "receipt", "show", school.npsn)
    assert json.loads(shown.stdout) == {"jws": end.jws, "statement": end.receipt}
    file = tmp_path / "bukti.json"
    file.write_text(shown.stdout)
    verified = await asyncio.to_thread(
        selaras, stage, "receipt", "verify", str(file), "--keys", str(public_keys(stage))
    )
    assert verified.returncode == 0, verified.stderr
    assert end.receipt["root"] in verified.stdout
    first = await asyncio.to_thread(
        selaras, stage, "receipt", "show", school.npsn, "--session", str(end.receipt["session"] - 1)
    )
    assert json.loads(first.stdout)["statement"]["kind"] == "pull"


async def test_a_statement_that_the_pinned_keys_did_not_sign_is_not_believed(
    stage: Stage, school: School, tmp_path: Path
) -> None:
    signing.new(tmp_path / "other.json")
    stage.stack.stop("central")
    stage.stack.start("central", SELARAS_SIGNING_KEYS_FILE=str(tmp_path / "other.json"))
    try:
        await asyncio.to_thread(stage.stack.wait_ready, "central")
        async with stage.at(school.npsn) as client:
            end = await stage.session(client, "sync", "principal")
            assert isinstance(end, SessionFailed)
            assert end.problem.code == "SYN-24"
            stage.stack.stop("central")
            stage.stack.start("central")
            await asyncio.to_thread(stage.stack.wait_ready, "central")
            end = await stage.session(client, "sync", "principal")
            assert isinstance(end, SessionCompleted)
    finally:
        stage.stack.stop("central")  # the fixture starts it again with its own keys


async def test_central_does_not_start_without_its_keys(stage: Stage, tmp_path: Path) -> None:
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **stage.stack.addresses.of_service("central"),
        "SELARAS_SIGNING_KEYS_FILE": str(tmp_path / "none.json"),
    }
    serve = [sys.executable, "-m", "services.cli", "serve", "central"]

    def start() -> subprocess.CompletedProcess[str]:
        return subprocess.run(serve, env=environment, capture_output=True, text=True, timeout=60, check=False)

    done = await asyncio.to_thread(start)
    assert done.returncode == 5
    assert "selaras keys new" in done.stderr.splitlines()[-1]
    del environment["SELARAS_SIGNING_KEYS_FILE"]
    done = await asyncio.to_thread(start)
    assert (done.returncode, "SELARAS_SIGNING_KEYS_FILE is not set" in done.stderr) == (5, True)
