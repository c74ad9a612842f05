"""Rows changed by hand, one at the site and one at central: found, and each comes back from the side that can prove
it by what central signed. Both values are kept.
"""

from __future__ import annotations

from services.database import Database
from services.demo.stage import Stage
from services.demo.story.cast import School
from services.demo.story.endings import code, received, show_receipt
from services.exchange import canonical
from services.messages import SessionCompleted

FALSE = "Diubah Tangan"


async def rows_altered(stage: Stage, school: School) -> None:
    """A pull mends what is wrong here. It may not send, so for what is wrong at central it fails, and says so."""
    stage.step("Bukti yang menggigit", "rows altered by hand in both databases: a pull finds them")
    here, there = school.pupils[:2]
    await _by_hand(
        stage.replica, "base = :text, data = :text", school.npsn, here, await _falsified(stage, school, here)
    )
    await _by_hand(stage.registry, "text = :text", school.npsn, there, await _falsified(stage, school, there))
    sides = (await stage.here(school.npsn)).root, (await stage.centre(school.npsn)).root
    stage.check(
        f"satu nama diubah di sekolah, satu di pusat · a name altered here, one there: root {sides[0][:16]}… ≠ "
        f"{sides[1][:16]}…",
        sides[0] != sides[1],
    )
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
    if not isinstance(end, SessionCompleted):
        stage.say(f"{end.problem.text_id} · {end.problem.text_en}")
        stage.say(f"   → {end.problem.next_id} · {end.problem.next_en}")
    stage.check(f"tarik data gagal · the pull failed: {code(end)}", code(end) == "SYN-25")
    failed = await stage.metric("puller", "selaras_sync_failed", kind="pull", reason="SYN-25")
    stage.check(f"selaras_sync_failed{{kind=pull,reason=SYN-25}} = {failed:.0f}", failed == 1)
    await _mended(stage, "di sekolah · here", stage.replica, "found_data", school, here)
    mended = await stage.metric("puller", "selaras_repaired_records_total", side="site")
    stage.check(f"selaras_repaired_records_total{{side=site}} = {mended:.0f}", mended == 1)


async def then_sync(stage: Stage, school: School) -> None:
    """A sync brings the proven row back to central; then a pull is equal too, and nothing counts as failed."""
    stage.step("Sinkronisasi memperbaiki pusat", "the sync mends central, by what central itself had signed")
    there = school.pupils[1]
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
        show_receipt(stage, end)
        await _mended(stage, "di pusat · there", stage.registry, "found_text", school, there)
        mended = await stage.metric("syncer", "selaras_repaired_records_total", side="central")
        stage.check(f"selaras_repaired_records_total{{side=central}} = {mended:.0f}", mended == 1)
        end = await stage.session(client, "pull", "operator")
    failed = await stage.metric("puller", "selaras_sync_failed")
    stage.check(
        f"tarik data lagi · pulled again: {received(end)} diterima, selaras_sync_failed = {failed:.0f}",
        received(end) == failed == 0,
    )
    await stage.equal(school.npsn)


async def _falsified(stage: Stage, school: School, pupil: str) -> str:
    """The pupil's record with another name, in the form in which both databases store it."""
    stored = await stage.central_record(school.npsn, "peserta_didik", pupil)
    return canonical.encode({**(stored.fields or {}), "nama": FALSE})


async def _by_hand(database: Database, change: str, npsn: str, record_id: str, text: str) -> None:
    """A hand in a database, where no hand should be."""
    async with database.transaction() as transaction:
        await transaction.run(
            f"UPDATE record SET {change} WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",  # noqa: S608
            text=text, npsn=npsn, id=record_id,
        )  # fmt: skip


async def _mended(stage: Stage, where: str, database: Database, found: str, school: School, pupil: str) -> None:
    """The name is right on both sides again, and the side where it was wrong has kept both values."""
    right = school.baseline["peserta_didik"][pupil]["nama"]
    here = await stage.site_record(school.npsn, "peserta_didik", pupil)
    there = (await stage.central_record(school.npsn, "peserta_didik", pupil)).fields
    async with database.transaction() as transaction:
        kept = await transaction.row(
            f"SELECT {found} AS found, text FROM repair WHERE npsn = :npsn AND record_id = :id",  # noqa: S608
            npsn=school.npsn, id=pupil,
        )  # fmt: skip
    was, now = (canonical.decode(text).get("nama") for text in (kept.found, kept.text)) if kept else (None, None)
    stage.check(
        f"diperbaiki {where}: {was} → {now}, kedua nilai disimpan · mended, both values kept",
        (was, now) == (FALSE, right) and (here or {}).get("nama") == (there or {}).get("nama") == right,
    )
