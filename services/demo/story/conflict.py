"""Operator and officer change the same: neither is overwritten, a person decides."""

from __future__ import annotations

from services.demo.stage import Stage
from services.demo.story.cast import School, change, correction
from services.demo.story.endings import code, show_receipt
from services.exchange.canonical import Json
from services.messages import DecidedConflict, OfficerChangeAccepted

HERE = {"alamat_jalan": "Jalan Contoh No. 12", "desa_kelurahan": "Bandar Baru"}
THERE = {"alamat_jalan": "Jalan Misal No. 8", "desa_kelurahan": "Sumber Contoh"}
DECIDED = {"alamat_jalan": HERE["alamat_jalan"], "desa_kelurahan": THERE["desa_kelurahan"]}
"""The street as the school has it, the village as central has it."""


async def both_sides_change(stage: Stage, school: School) -> None:
    """Two fields of one pupil, changed on both sides since they were equal."""
    stage.step("Konflik", "a conflict: operator and officer change the same fields")
    pupil = school.pupils[50]
    answer = await stage.officer(school.npsn, [await correction(stage, school, pupil, **THERE)])
    head = (await stage.centre(school.npsn)).head_seq
    async with stage.at(school.npsn) as client:
        stored, _ = await stage.publish(client, [change("peserta_didik", pupil, **HERE)])
        stage.check(
            "alamat yang sama diubah di pusat dan di sekolah · one address, changed at central and at the school",
            isinstance(answer, OfficerChangeAccepted) and stored == 1,
        )
        end = await stage.session(client, "sync", "principal")
    stage.check(
        f"sinkronisasi ditolak · the sync is refused: {code(end)}, tidak ada yang dikirim · nothing sent",
        code(end) == "SYN-12" and (await stage.centre(school.npsn)).head_seq == head,
    )
    listed = await stage.run("conflicts", school.npsn, settings=stage.site)
    values = [*HERE.values(), *THERE.values()]
    stage.check("kedua nilai tampil · both values are shown", all(value in listed.text for value in values))
    waiting = await stage.metric("validator", "selaras_conflicts_open", entity="peserta_didik")
    stage.check(f"selaras_conflicts_open{{entity=peserta_didik}} = {waiting:.0f}", waiting == 1)


async def decided(stage: Stage, school: School) -> None:
    """The operator decides: one field for the school, one for central. The next sync makes both sides equal."""
    stage.step("Konflik diputuskan", "decided: the school's street, central's village")
    pupil = school.pupils[50]
    async with stage.at(school.npsn) as client:
        stored, codes = await stage.decide(
            client,
            [
                DecidedConflict(entity="peserta_didik", record_id=pupil, field="alamat_jalan", choice="mine"),
                DecidedConflict(entity="peserta_didik", record_id=pupil, field="desa_kelurahan", choice="central"),
            ],
        )
        stage.check(f"{stored} keputusan tersimpan · decisions stored", (stored, codes) == (2, []))
        end = await stage.session(client, "sync", "principal")
    show_receipt(stage, end)
    here = await stage.site_record(school.npsn, "peserta_didik", pupil)
    there = (await stage.central_record(school.npsn, "peserta_didik", pupil)).fields
    stage.check(f"di kedua sisi · on both sides: {', '.join(DECIDED.values())}", _of(here) == _of(there) == DECIDED)
    log = {entry.field: entry for entry in await stage.conflict_log(school.npsn)}
    for field, choice in (("alamat_jalan", "mine"), ("desa_kelurahan", "central")):
        kept = log[field]
        stage.check(
            f"tercatat · logged: {kept.how}: {kept.mine} (sekolah · school), {kept.theirs} (pusat · central)",
            (kept.how, kept.mine, kept.theirs) == (f"decided {choice}", HERE[field], THERE[field]),
        )
    await stage.equal(school.npsn)


def _of(fields: dict[str, Json] | None) -> dict[str, Json]:
    return {name: (fields or {}).get(name) for name in DECIDED}
