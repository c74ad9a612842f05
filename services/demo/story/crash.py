"""kill -9 of the syncer while it pushes; it comes back, and the same request ends equal."""

from __future__ import annotations

import asyncio

from services.demo.stage import Stage
from services.demo.story.cast import School, change
from services.demo.story.endings import show_receipt


async def killed_in_the_middle(stage: Stage, school: School) -> None:
    """A change of every pupil, in batches of 25."""
    stage.step("Syncer mati di tengah sinkronisasi", "the syncer is killed in the middle of a sync")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [change("peserta_didik", one, anak_keberapa=3) for one in school.pupils])
        pending = (await stage.here(school.npsn)).pending
        request = await stage.ask(client, "sync", "principal")
        done = await stage.first_progress(client, request)
        stage.stack.kill("syncer")
        left = (await stage.here(school.npsn)).pending
        stage.check(f"kill -9 setelah {done.sent} dari {pending}: {left} belum terkirim · left", 0 < left < pending)
        await asyncio.to_thread(stage.stack.start, "syncer")
        await asyncio.to_thread(stage.stack.wait_ready, "syncer")
        waiting = await stage.metric("syncer", "selaras_sync_pending", kind="sync")
        stage.check(f"hidup lagi · back: selaras_sync_pending = {waiting:.0f}", waiting == 1)
        end = await stage.end_of(client, request)
    show_receipt(stage, end)
    await stage.equal(school.npsn)
    waiting = await stage.metric("syncer", "selaras_sync_pending", kind="sync")
    stage.check(f"selaras_sync_pending = {waiting:.0f}", waiting == 0)
