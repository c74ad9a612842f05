"""A reinstallation: what would be lost is listed and saved, the replica is wiped and returns exactly as it was at the
last completed sync, and what was saved is published again.
"""

from __future__ import annotations

from services.demo.stage import Stage
from services.demo.story.cast import School, change, correction
from services.demo.story.endings import received, show_receipt

UNSENT = "belum-terkirim.jsonl"


async def wiped(stage: Stage, school: School) -> None:
    """Something was typed and something pulled since the last sync; the reinstallation goes back before both."""
    stage.step("Pasang ulang", "reinstall: wiped, and back exactly to the last completed sync")
    synced = await stage.centre(school.npsn, "confirmed")
    rows = await stage.rows(school.npsn)
    await stage.officer(school.npsn, [await correction(stage, school, school.pupils[9], nama="Nama Yang Dibetulkan")])
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
        typed = [change("peserta_didik", one, anak_keberapa=5, rt=7) for one in school.pupils[3:6]]
        await stage.publish(client, typed)
    before = await stage.here(school.npsn)
    stage.check(
        f"sejak sinkronisasi di seq {synced.seq} · since the sync: {received(end)} ditarik, {before.pending} belum "
        "terkirim · pulled, unsent",
        (received(end), before.pending, before.cursor) == (1, 3, synced.seq + 1),
    )
    (stage.folder / UNSENT).unlink(missing_ok=True)  # of an earlier telling: the command writes over no file
    done = await stage.run("reinstall", school.npsn, "--export", UNSENT, "--yes", settings=stage.site)
    stage.check(
        "yang akan hilang didaftar · what would be lost was listed",
        done.code == 0 and all(one in done.text for one in school.pupils[3:6]),
    )
    after = await stage.here(school.npsn)
    stage.check(
        f"kembali ke sinkronisasi terakhir · back at the last sync: seq {after.cursor} = {synced.seq}, "
        f"root {after.root[:16]}… = {synced.root[:16]}…",
        (after.cursor, after.root, after.pending) == (synced.seq, synced.root, 0),
    )
    back = await stage.rows(school.npsn)
    stage.check(f"{len(back)} baris persis seperti waktu itu · rows, each exactly as it was then", back == rows)


async def brought_over(stage: Stage, school: School) -> None:
    """The file takes the way of any change; the next sync sends it, and brings again what had only been pulled."""
    stage.step("Yang tersimpan dikirim lagi", "what was saved is published again, and synced")
    done = await stage.run("publish", school.npsn, UNSENT, settings=stage.site)
    pending = (await stage.here(school.npsn)).pending
    stage.check(f"{pending} belum terkirim lagi · unsent again", (done.code, pending) == (0, 3))
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    show_receipt(stage, end)
    sent = [(await stage.central_record(school.npsn, "peserta_didik", one)).fields or {} for one in school.pupils[3:6]]
    stage.check(
        "isiannya kini di pusat · the values are at central now",
        [(one.get("anak_keberapa"), one.get("rt")) for one in sent] == [(5, 7)] * 3,
    )
    await stage.equal(school.npsn)
