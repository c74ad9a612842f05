"""`selaras demo`: the main job, end to end, on real servers, in plain Indonesian with English beside it."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from services import calendar
from services.central import administration
from services.database import Database
from services.demo.stage import Stage
from services.demo.synthetic import Records, jsonl, synthetic_school
from services.embedded.stack import Stack, stack
from services.exchange import canonical
from services.messages import (
    FieldsChange,
    OfficerChange,
    OfficerChangeAccepted,
    SessionCompleted,
    SessionFailed,
    SessionRefused,
)
from services.signing import NotProven, PublicKeys

FIRST_NPSN = 99000001
"""The demo's schools take the first numbers from here that central does not know yet."""
SEED = 2026
ENVIRONMENT = {
    "SELARAS_LEASE_SECONDS": "3",  # a killed syncer's school is taken up again after three seconds
    "SELARAS_ANSWER_SECONDS": "3",
    "SELARAS_BATCH_RECORDS": "25",  # small batches, so that a kill comes in the middle of many
}


def tell(run_dir: Path) -> bool:
    """Run the story; True if everything in it was as it should be."""
    console = Console(highlight=False)
    console.print("[bold]Selaras[/]: data sekolah selaras dengan pusat · a school's data kept equal with the centre\n")
    began = time.monotonic()
    with stack(
        run_dir, fresh=True, say=lambda text: console.print(f"[dim]{text}[/]"), environment=ENVIRONMENT
    ) as running:
        console.print(
            "[dim]RabbitMQ, PostgreSQL, validator, syncer, puller, central: siap · "
            f"up in {time.monotonic() - began:.1f} s[/]"
        )
        ok = asyncio.run(_tell(running, console))
    console.print(f"[dim]{time.monotonic() - began:.0f} s. Semua layanan berhenti · everything has stopped.[/]")
    return ok


async def _tell(running: Stack, console: Console) -> bool:
    stage = Stage(running, console)
    await stage.choose(FIRST_NPSN)
    today = calendar.today()
    big = synthetic_school(SEED, npsn=stage.big, today=today, pupils=336, classes=12, teachers=15)
    small = synthetic_school(SEED + 1, npsn=stage.small, today=today, pupils=24, classes=6, teachers=7)
    try:
        await baseline(stage, big, small)
        await invalid_changes(stage, big)
        await refused(stage)
        await pull_meanwhile(stage, big)
        await corrected(stage, big)
        await officers_work(stage, big)
        await pull_is_no_sync(stage, big)
        await then_sync(stage)
        await killed_in_the_middle(stage, big)
        await the_proof_bites(stage, small)
        return stage.summary()
    finally:
        await stage.close()


async def baseline(stage: Stage, big: Records, small: Records) -> None:
    """Central knows two schools; the site registers them and the puller brings their baselines in."""
    stage.step("Registrasi pertama", "first registration: the baseline comes down from central")
    for npsn, school in ((stage.big, big), (stage.small, small)):
        code = await administration.add_school(stage.registry, npsn, jsonl(school))
        await stage.register(npsn, code)
        async with stage.at(npsn) as client:
            end = await stage.session(client, "pull", "operator")
        here = await stage.here(npsn)
        stage.say(f"{here.nama} ({npsn}): {_counts(await stage.centre(npsn))}")
        stage.check(
            f"{npsn}: data awal diterima · baseline received",
            isinstance(end, SessionCompleted) and end.received == sum(map(len, school.values())),
        )
        await stage.equal(npsn)


async def invalid_changes(stage: Stage, big: Records) -> None:
    """The operator works: most changes are good, some break a rule (stored too), one is not the school's to make."""
    stage.step("Operator mengubah data", "the operator's changes: some invalid, one of a locked field")
    pupils = _pupils(big)
    changes = [_change("peserta_didik", one, anak_keberapa=2) for one in pupils[:20]]
    changes += [
        _change("peserta_didik", pupils[20], agama_id=None),
        _change("rombongan_belajar", _classes(big)[0], ptk_id=None),
        _change("peserta_didik", _id(1), nama="Bayu Contoh", jenis_kelamin="L"),
        _change("peserta_didik", pupils[21], nama="Nama Baru"),
    ]
    async with stage.at(stage.big) as client:
        stored, codes = await stage.publish(client, changes)
    stage.check(f"{stored} perubahan tersimpan, juga yang invalid · stored, the invalid ones too", stored == 23)
    stage.check(
        f"1 ditolak · rejected: {', '.join(codes)} (identitas terkunci, melalui VervalPD)", codes == ["UBAH-04"]
    )
    here = await stage.here(stage.big)
    stage.check(f"sekolah kini {here.invalid} invalid, {here.pending} belum terkirim · pending", here.invalid >= 3)


async def refused(stage: Stage) -> None:
    """No sync while anything is invalid; and never under the operator's role."""
    stage.step("Sinkronisasi ditolak, dengan alasan", "the sync is refused, with reasons")
    async with stage.at(stage.big) as client:
        end = await stage.session(client, "sync", "operator")
        stage.check(f"oleh operator · by the operator: {_code(end)}", _code(end) == "SYN-02")
        end = await stage.session(client, "sync", "principal")
    if isinstance(end, SessionRefused):
        stage.say(f"{end.problem.text_id} · {end.problem.text_en}")
        for finding in end.findings[:4]:
            stage.say(f"   {finding.rule}  {finding.text_id}  → {finding.next_id}")
    stage.check(
        f"oleh kepala sekolah · by the principal: {_code(end)}, {_findings(end)} temuan · findings",
        _code(end) == "SYN-01" and _findings(end) > 0,
    )
    refusals = await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01")
    stage.check(f"selaras_sync_refused{{reason=SYN-01}} = {refusals:.0f}", refusals == 1)


async def pull_meanwhile(stage: Stage, big: Records) -> None:
    """A pull works while the school is blocked, and sends nothing."""
    stage.step("Tarik data tetap jalan", "a pull works meanwhile, and sends nothing")
    someone = _pupils(big)[30]
    answer = await stage.officer(stage.big, [await _corrected(stage, someone, nisn="9001234567")])
    stage.check("petugas mengisi NISN · an officer enters a NISN", isinstance(answer, OfficerChangeAccepted))
    before = await stage.here(stage.big)
    head = (await stage.centre(stage.big)).head_seq
    async with stage.at(stage.big) as client:
        end = await stage.session(client, "pull", "operator")
    after = await stage.here(stage.big)
    stage.check(f"{_received(end)} diterima · received", _received(end) == 1)
    stage.check(
        f"tidak ada yang dikirim · nothing sent: pusat tetap seq {head}, {after.pending} masih belum terkirim",
        (await stage.centre(stage.big)).head_seq == head and after.pending == before.pending,
    )


async def corrected(stage: Stage, big: Records) -> None:
    """The operator corrects what is invalid; the principal syncs; both sides are proven equal."""
    stage.step("Diperbaiki, lalu sinkronisasi", "corrected, then synced as principal, with a receipt")
    pupil, room = _pupils(big)[20], _classes(big)[0]
    async with stage.at(stage.big) as client:
        await stage.publish(
            client,
            [
                _change("peserta_didik", pupil, agama_id=big["peserta_didik"][pupil]["agama_id"]),
                _change("rombongan_belajar", room, ptk_id=big["rombongan_belajar"][room]["ptk_id"]),
                FieldsChange(entity="peserta_didik", record_id=_id(1), op="delete"),
            ],
        )
        stage.check("0 invalid", (await stage.here(stage.big)).invalid == 0)
        end = await stage.session(client, "sync", "principal")
    _show_receipt(stage, end)
    await stage.equal(stage.big)


async def officers_work(stage: Stage, big: Records) -> None:
    """An officer adds a new pupil and corrects an identity."""
    stage.step("Petugas pusat bekerja", "an officer adds a pupil and corrects an identity")
    old = next(iter(big["peserta_didik"].values()))
    new = {
        name: old[name] for name in ("agama_id", "kewarganegaraan", "alamat_jalan", "desa_kelurahan", "kode_wilayah")
    }
    new |= {
        "nama": "Citra Contoh Lestari", "jenis_kelamin": "P", "nik": _nik(old["tanggal_lahir"]), "nisn": "9007654321",
        "tempat_lahir": "Bandar Baru", "tanggal_lahir": old["tanggal_lahir"], "nama_ibu_kandung": "Dewi Contoh",
        "terverifikasi": True, "kebutuhan_khusus_id": old.get("kebutuhan_khusus_id"),
    }  # fmt: skip
    added = OfficerChange(
        entity="peserta_didik", record_id=_id(2), version=0, fields={k: v for k, v in new.items() if v is not None}
    )
    answer = await stage.officer(
        stage.big, [added, await _corrected(stage, _pupils(big)[40], nama="Nama Yang Dibetulkan")]
    )
    stage.check(
        "ditambah dan dibetulkan di pusat · added and corrected at central", isinstance(answer, OfficerChangeAccepted)
    )


async def pull_is_no_sync(stage: Stage, big: Records) -> None:
    """The new pupil comes down, is enrolled and placed; central still reads the old state."""
    stage.step("Tarik data bukan sinkronisasi", "a pull is not a sync")
    async with stage.at(stage.big) as client:
        end = await stage.session(client, "pull", "operator")
        stage.check(f"{_received(end)} diterima · received: peserta didik baru dan identitas", _received(end) == 2)
        room = _classes(big)[0]
        like = next(iter(big["registrasi_peserta_didik"].values()))
        stored, codes = await stage.publish(
            client,
            [
                _change("registrasi_peserta_didik", _id(3), **{**like, "peserta_didik_id": _id(2), "nipd": "9901"}),
                _change(
                    "anggota_rombel", _id(4), rombongan_belajar_id=room, peserta_didik_id=_id(2), jenis_pendaftaran_id=1
                ),
            ],
        )
    stage.check(
        f"diregistrasikan dan masuk rombel · enrolled and placed: {stored} tersimpan", (stored, codes) == (2, [])
    )
    here = await stage.here(stage.big)
    stage.say(f"[yellow]{here.badge()}[/] · {here.badge('en')}")
    stage.check(f"{here.pending} belum terkirim · not sent yet", here.pending == 2 and here.badge() is not None)
    confirmed, head = await stage.centre(stage.big, "confirmed"), await stage.centre(stage.big)
    stage.check(
        f"pembaca di pusat masih melihat keadaan lama · central still reads the old state: "
        f"{confirmed.counts['peserta_didik']} peserta didik (seq {confirmed.seq} dari {head.head_seq})",
        confirmed.counts["peserta_didik"] == head.counts["peserta_didik"] - 1,
    )


async def then_sync(stage: Stage) -> None:
    """The sync makes it visible."""
    stage.step("Sinkronisasi", "the sync makes it visible")
    async with stage.at(stage.big) as client:
        end = await stage.session(client, "sync", "principal")
    _show_receipt(stage, end)
    confirmed = await stage.centre(stage.big, "confirmed")
    stage.check(
        f"terbaca di pusat · visible at central: {confirmed.counts['peserta_didik']} peserta didik",
        confirmed.seq == confirmed.head_seq,
    )
    await stage.equal(stage.big)


async def killed_in_the_middle(stage: Stage, big: Records) -> None:
    """kill -9 of the syncer while it pushes; it comes back, and the same request ends equal."""
    stage.step("Syncer mati di tengah sinkronisasi", "the syncer is killed in the middle of a sync")
    pupils = _pupils(big)
    async with stage.at(stage.big) as client:
        await stage.publish(client, [_change("peserta_didik", one, anak_keberapa=3) for one in pupils])
        pending = (await stage.here(stage.big)).pending
        request = await stage.ask(client, "sync", "principal")
        done = await stage.first_progress(client, request)
        stage.stack.kill("syncer")
        left = (await stage.here(stage.big)).pending
        stage.check(f"kill -9 setelah {done.sent} dari {pending}: {left} belum terkirim · left", 0 < left < pending)
        await asyncio.to_thread(stage.stack.start, "syncer")
        await asyncio.to_thread(stage.stack.wait_ready, "syncer")
        waiting = await stage.metric("syncer", "selaras_sync_pending", kind="sync")
        stage.check(f"hidup lagi · back: selaras_sync_pending = {waiting:.0f}", waiting == 1)
        end = await stage.end_of(client, request)
    _show_receipt(stage, end)
    await stage.equal(stage.big)
    waiting = await stage.metric("syncer", "selaras_sync_pending", kind="sync")
    stage.check(f"selaras_sync_pending = {waiting:.0f}", waiting == 0)


async def the_proof_bites(stage: Stage, small: Records) -> None:
    """Rows are changed by hand, at the site and at central: the proof finds both, and each comes back from the side
    that can prove it. The signed receipt says what is equal now.
    """
    stage.step("Bukti yang menggigit", "rows altered by hand, here and at central: found, mended, both values kept")
    here, there = _pupils(small)[0], _pupils(small)[1]
    right = [await stage.central_record(stage.small, "peserta_didik", one) for one in (here, there)]
    altered = canonical.encode({**(right[0].fields or {}), "nama": "Diubah Tangan"})
    await _by_hand(stage.replica, "base = :text, data = :text", stage.small, here, altered)
    await _by_hand(stage.registry, "text = :text", stage.small, there, altered)
    async with stage.at(stage.small) as client:
        end = await stage.session(client, "sync", "principal")
    _show_receipt(stage, end)
    repaired = end.repaired if isinstance(end, SessionCompleted) else 0
    stage.check(f"{repaired} baris diperbaiki · rows mended", repaired == 2)
    now = [await stage.central_record(stage.small, "peserta_didik", one) for one in (here, there)]
    stage.check("keduanya seperti semula · both are as they were", now == right)
    for side, where in (("site", "di sekolah · at the site"), ("central", "di pusat · at central")):
        n = await stage.metric("syncer", "selaras_repaired_records_total", side=side)
        stage.check(f"selaras_repaired_records_total{{side={side}}} = {n:.0f}: {where}", n == 1)
    await stage.equal(stage.small)
    signed = isinstance(end, SessionCompleted) and _signed(stage, end)
    stage.check("tanda tangan pusat sah · the receipt is signed by central", signed)


# ── small things ─────────────────────────────────────────────────────────────────────────────────────────────────────


def _show_receipt(stage: Stage, end: object) -> None:
    completed = isinstance(end, SessionCompleted) and end.outcome == "completed"
    if isinstance(end, SessionCompleted):
        receipt = end.receipt
        stage.say(
            f"bukti sinkron · receipt: sesi {receipt['session']}, seq {receipt['head_seq']}, {end.sent} dikirim, "
            f"{end.received} diterima, root {receipt['root'][:16]}…"
        )
        verdicts = ", ".join(f"{number} {name}" for name, number in end.verdicts.items())
        stage.check(f"selesai · completed: {verdicts or 'tidak ada yang berubah · nothing changed'}", completed)
    else:
        stage.check(f"berakhir dengan · ended with {_code(end)}", False)


async def _by_hand(database: Database, change: str, npsn: str, record_id: str, text: str) -> None:
    """A hand in a database, where no hand should be."""
    async with database.transaction() as transaction:
        await transaction.run(
            f"UPDATE record SET {change} WHERE npsn = :npsn AND entity = 'peserta_didik' AND record_id = :id",  # noqa: S608
            text=text, npsn=npsn, id=record_id,
        )  # fmt: skip


def _signed(stage: Stage, end: SessionCompleted) -> bool:
    """Did central's key sign this very statement?"""
    keys = stage.stack.addresses.keys
    assert keys is not None
    try:
        return PublicKeys.read(keys.public).verify(end.jws) == end.receipt
    except NotProven:
        return False


async def _corrected(stage: Stage, record_id: str, **fields: object) -> OfficerChange:
    stored = await stage.central_record(stage.big, "peserta_didik", record_id)
    return OfficerChange(entity="peserta_didik", record_id=record_id, version=stored.version, fields=fields)


def _change(entity: str, record_id: str, **fields: object) -> FieldsChange:
    return FieldsChange(entity=entity, record_id=record_id, fields=fields)


def _id(number: int) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"selaras demo {number}"))


def _nik(birth: str) -> str:
    """A girl's NIK in the unassigned province 99, fitting her date of birth (yyyy-mm-dd)."""
    year, month, day = birth.split("-")
    return f"990101{int(day) + 40:02d}{month}{year[2:]}9001"


def _pupils(school: Records) -> Sequence[str]:
    return list(school["peserta_didik"])


def _classes(school: Records) -> Sequence[str]:
    return list(school["rombongan_belajar"])


def _counts(described: administration.Description) -> str:
    return ", ".join(f"{n} {entity}" for entity, n in described.counts.items())


def _code(end: object) -> str:
    return end.problem.code if isinstance(end, SessionRefused | SessionFailed) else type(end).__name__


def _findings(end: object) -> int:
    return len(end.findings) if isinstance(end, SessionRefused) else 0


def _received(end: object) -> int:
    return end.received if isinstance(end, SessionCompleted) else -1
