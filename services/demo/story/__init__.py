"""`selaras demo`: the main job, end to end, on real servers, in plain Indonesian with English beside it.

A file for each chapter; here is their order. What is printed is read back from the broker, the two databases, the
command or /metrics.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

from rich.console import Console

from services.demo.stage import Stage
from services.demo.story import arrival, conflict, crash, gate, receipt, reinstall, tampering, visibility, yesterday
from services.demo.story.cast import invent
from services.embedded.stack import stack

FIRST_NPSN = 99000001
"""The demo's schools take the first numbers from here that central does not know yet."""
ENVIRONMENT = {
    "SELARAS_LEASE_SECONDS": "3",  # a killed syncer's school is taken up again after three seconds
    "SELARAS_ANSWER_SECONDS": "3",
    "SELARAS_BATCH_RECORDS": "25",  # small batches, so that a kill comes in the middle of many
}


def tell(run_dir: Path) -> bool:
    """Run the story; True if everything in it was as it should be."""
    console = Console(highlight=False, soft_wrap=True)
    console.print("[bold]Selaras[/]: data sekolah selaras dengan pusat · a school's data kept equal with the centre\n")
    began = time.monotonic()
    with stack(
        run_dir, fresh=True, say=lambda text: console.print(f"[dim]{text}[/]"), environment=ENVIRONMENT
    ) as running:
        console.print(
            "[dim]RabbitMQ, PostgreSQL, validator, syncer, puller, central: siap · "
            f"up in {time.monotonic() - began:.1f} s[/]"
        )
        stage = Stage(running, console)
        stage.folder.mkdir(exist_ok=True)
        asyncio.run(_while_it_runs(stage))
    asyncio.run(receipt.checked_offline(stage))
    ok = stage.summary()
    where = os.path.relpath(stage.folder)
    console.print(f"\n[dim]{time.monotonic() - began:.0f} s. Berkas cerita ini · the files of this story: {where}[/]")
    return ok


async def _while_it_runs(stage: Stage) -> None:
    big, small = invent(*await stage.free_npsn(FIRST_NPSN, 2))
    try:
        await arrival.baseline(stage, big, small)
        await gate.invalid_changes(stage, big)
        await gate.refused(stage, big)
        await gate.pull_meanwhile(stage, big)
        await gate.corrected(stage, big)
        await yesterday.backed_up(stage)
        await visibility.officers_work(stage, big)
        await visibility.pull_is_no_sync(stage, big)
        await visibility.then_sync(stage, big)
        await conflict.both_sides_change(stage, big)
        await conflict.decided(stage, big)
        await crash.killed_in_the_middle(stage, big)
        await tampering.rows_altered(stage, small)
        await tampering.then_sync(stage, small)
        await reinstall.wiped(stage, small)
        await reinstall.brought_over(stage, small)
        await receipt.written(stage, big)
        await yesterday.comes_back(stage, big, await yesterday.put_back(stage, big))
    finally:
        await stage.close()
