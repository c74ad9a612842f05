"""A receipt is a file that anybody can check with central's public keys, wherever they are."""

from __future__ import annotations

import base64
import json
import shutil
from typing import Any

from services.cli.outcomes import REFUSED
from services.demo.stage import Stage
from services.demo.story.cast import School
from services.exchange import canonical

RECEIPT, ALTERED, KEYS = "bukti.json", "bukti-diubah.json", "kunci-pusat.json"


async def written(stage: Stage, school: School) -> None:
    """The receipt of the last sync and central's public keys, each a file."""
    stage.step("Bukti sinkron jadi berkas", "the receipt becomes a file")
    done = await stage.run("receipt", "show", school.npsn, into=RECEIPT, settings=stage.site)
    said = json.loads((stage.folder / RECEIPT).read_text())["statement"]
    synced = await stage.centre(school.npsn, "confirmed")
    stage.check(
        f"{RECEIPT}: {said['npsn']}, sesi {said['session']}, seq {said['head_seq']}, root {said['root'][:16]}…",
        done.code == 0 and (said["head_seq"], said["root"]) == (synced.seq, synced.root),
    )
    assert stage.stack.addresses.keys is not None
    shutil.copyfile(stage.stack.addresses.keys.public, stage.folder / KEYS)


async def checked_offline(stage: Stage) -> None:
    """The command, told nothing but the two files, knows a true receipt from a false one."""
    stage.step("Diperiksa tanpa server", "checked offline, once the services have stopped")
    stopped = [process.poll() is not None for process in stage.stack.processes.values()]
    stage.check(f"{sum(stopped)} layanan sudah berhenti · services have stopped", all(stopped))
    true = await stage.run("receipt", "verify", RECEIPT, "--keys", KEYS)
    stage.check("bukti yang asli sah · the true receipt is proven", true.code == 0)
    _write_altered(stage)
    false = await stage.run("receipt", "verify", ALTERED, "--keys", KEYS)
    stage.check(
        "salinan dengan satu peserta didik lebih ditolak · a copy with one pupil more is refused", false.code == REFUSED
    )


def _write_altered(stage: Stage) -> None:
    """A copy of the receipt that says one pupil more, in what is signed and in clear; the signature is the old one."""
    receipt: dict[str, Any] = json.loads((stage.folder / RECEIPT).read_text())
    header, _, signature = receipt["jws"].split(".")
    statement = receipt["statement"]
    statement["counts"]["peserta_didik"] += 1
    payload = base64.urlsafe_b64encode(canonical.encode(statement).encode()).decode().rstrip("=")
    (stage.folder / ALTERED).write_text(json.dumps({"jws": f"{header}.{payload}.{signature}", "statement": statement}))
