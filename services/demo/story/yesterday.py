"""Central's database is lost and put back as it was the evening before: what it had signed since comes back from the
schools, and a receipt stays true.
"""

from __future__ import annotations

import asyncio
import re

from services.central import history, receipts
from services.demo.stage import Stage
from services.demo.story.cast import School, change
from services.demo.story.endings import show_receipt
from services.demo.story.receipt import KEYS, RECEIPT
from services.messages import SessionCompleted

Signed = set[tuple[str, str, int, str | None]]
"""Versions of records: entity, record_id, version, text."""
IDENTITY, FOLDER = "kunci-cadangan.txt", "cadangan"


async def backed_up(stage: Stage) -> None:
    """The evening before: a backup that only who has the key can read."""
    stage.step("Pusat dicadangkan", "central is backed up, sealed for who has the key")
    (stage.folder / IDENTITY).unlink(missing_ok=True)  # of an earlier telling
    (stage.folder / FOLDER).mkdir(exist_ok=True)
    made = await stage.run("backup", "keygen", IDENTITY)
    recipient = re.search(r"age1[0-9a-z]+", made.text)
    assert recipient is not None
    done = await stage.run(
        "backup", "central", "--to", FOLDER, "--recipient", recipient[0], settings=_at_central(stage)
    )
    stage.check("cadangan jadi · the backup is made", done.code == 0)


async def put_back(stage: Stage, school: School) -> Signed:
    """The database is gone. Its backup knows nothing of the syncs since; what the last receipt was about."""
    stage.step("Pusat dikembalikan ke kemarin", "central's database is lost, and put back from the backup")
    receipt = await stage.centre(school.npsn, "confirmed")
    signed = await _versions(stage, school, receipt.seq)
    await asyncio.to_thread(stage.stack.stop, "central")
    await _lost(stage)
    backup = max((stage.folder / FOLDER).iterdir(), key=lambda file: file.stat().st_mtime)
    done = await stage.run(
        "backup", "restore", str(backup.relative_to(stage.folder)), "--identity", IDENTITY, settings=_at_central(stage)
    )
    await asyncio.to_thread(stage.stack.start, "central")
    await asyncio.to_thread(stage.stack.wait_ready, "central")
    back = await stage.centre(school.npsn)
    stage.check(
        f"pusat lupa · central has forgotten: seq {receipt.seq} → {back.head_seq}, bukti terakhir tidak ada padanya",
        done.code == 0 and back.head_seq < receipt.seq and not await _has_receipt(stage, school, receipt.root),
    )
    return signed


async def comes_back(stage: Stage, school: School, signed: Signed) -> None:
    """An ordinary sync: before it the school gives back what central had signed."""
    stage.step("Sekolah mengembalikannya", "the school syncs; before that it gives back what central had signed")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [change("peserta_didik", school.pupils[20], rt=9)])
        end = await stage.session(client, "sync", "principal")
    given = await stage.metric("central", "selaras_central_given_back_records_total", outcome="taken")
    stage.check(f"{given:.0f} data dikembalikan ke pusat · records given back", given > 0)
    show_receipt(stage, end)
    stage.check(
        "yang dikirim hanya perubahan baru · sent is only what is new",
        isinstance(end, SessionCompleted) and end.sent == 1,
    )
    missing = signed - await _versions(stage, school, None)
    stage.check(
        f"{len(signed) - len(missing)} dari {len(signed)} data di bawah bukti ada lagi, versinya sama · records under "
        "the receipt are there again, under the same version",
        not missing,
    )
    await stage.equal(school.npsn)
    told = await stage.run("central", "report", settings=_at_central(stage))
    stage.check("pusat tahu siapa yang belum terlihat · central knows who has not been seen", told.code == 0)
    worth = await stage.run("officer", "receipt", RECEIPT, "--keys", KEYS, settings=_at_central(stage))
    stage.check("bukti dari sebelumnya tetap dijelaskan · a receipt from before is still explained", worth.code == 0)


def _at_central(stage: Stage) -> dict[str, str]:
    return {"SELARAS_CENTRAL_DATABASE_URL": stage.stack.addresses.central_database}


async def _lost(stage: Stage) -> None:
    """All tables of central's are gone; the empty database stays."""
    async with stage.registry.transaction() as transaction:
        await transaction.run("DROP SCHEMA public CASCADE")
        await transaction.run("CREATE SCHEMA public")
    await stage.registry.close()


async def _has_receipt(stage: Stage, school: School, root: str) -> bool:
    async with stage.registry.transaction() as transaction:
        last = await receipts.latest_signed(transaction, school.npsn)
    return last is not None and last.body["root"] == root


async def _versions(stage: Stage, school: School, seq: int | None) -> Signed:
    """Every version that central held at `seq`; None: that it holds or ever held."""
    async with stage.registry.transaction() as transaction:
        if seq is not None:
            return {
                (r.entity, r.record_id, r.version, r.text) for r in await history.as_of(transaction, school.npsn, seq)
            }
        rows = await transaction.rows(
            """
            SELECT entity, record_id, version, text FROM record WHERE npsn = :npsn
            UNION ALL SELECT entity, record_id, version, text FROM history WHERE npsn = :npsn
            """,
            npsn=school.npsn,
        )
    return {(r.entity, r.record_id, r.version, r.text) for r in rows}
