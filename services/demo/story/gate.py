"""The gate: no sync while anything is invalid, and never under the operator's role; a pull all the same."""

from __future__ import annotations

from services.demo.stage import Stage
from services.demo.story.cast import School, change, correction, new_id
from services.demo.story.endings import code, findings, received, show_receipt
from services.messages import FieldsChange, OfficerChangeAccepted, SessionRefused


async def invalid_changes(stage: Stage, school: School) -> None:
    """The operator works: most changes are good, some break a rule (stored too), one is not the school's to make."""
    stage.step("Operator mengubah data", "the operator's changes: some invalid, one of a locked field")
    pupils = school.pupils
    changes = [change("peserta_didik", one, anak_keberapa=2) for one in pupils[:20]]
    changes += [
        change("peserta_didik", pupils[20], agama_id=None),
        change("rombongan_belajar", school.classes[0], ptk_id=None),
        change("peserta_didik", new_id(1), nama="Bayu Contoh", jenis_kelamin="L"),
        change("peserta_didik", pupils[21], nama="Nama Baru"),
    ]
    async with stage.at(school.npsn) as client:
        stored, codes = await stage.publish(client, changes)
    stage.check(f"{stored} perubahan tersimpan, juga yang invalid · stored, the invalid ones too", stored == 23)
    stage.check(
        f"1 ditolak · rejected: {', '.join(codes)} (identitas terkunci, melalui VervalPD)", codes == ["UBAH-04"]
    )
    here = await stage.here(school.npsn)
    stage.check(f"sekolah kini {here.invalid} invalid, {here.pending} belum terkirim · pending", here.invalid >= 3)


async def refused(stage: Stage, school: School) -> None:
    """No sync while anything is invalid; and never under the operator's role."""
    stage.step("Sinkronisasi ditolak, dengan alasan", "the sync is refused, with reasons")
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "operator")
        stage.check(f"oleh operator · by the operator: {code(end)}", code(end) == "SYN-02")
        end = await stage.session(client, "sync", "principal")
    if isinstance(end, SessionRefused):
        stage.say(f"{end.problem.text_id} · {end.problem.text_en}")
        for finding in end.findings[:4]:
            stage.say(f"   {finding.rule}  {finding.text_id}  → {finding.next_id}")
    stage.check(
        f"oleh kepala sekolah · by the principal: {code(end)}, {findings(end)} temuan · findings",
        code(end) == "SYN-01" and findings(end) > 0,
    )
    refusals = await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01")
    stage.check(f"selaras_sync_refused{{reason=SYN-01}} = {refusals:.0f}", refusals == 1)


async def pull_meanwhile(stage: Stage, school: School) -> None:
    """A pull works while the school is blocked, and sends nothing."""
    stage.step("Tarik data tetap jalan", "a pull works meanwhile, and sends nothing")
    answer = await stage.officer(school.npsn, [await correction(stage, school, school.pupils[30], nisn="9001234567")])
    stage.check("petugas mengisi NISN · an officer enters a NISN", isinstance(answer, OfficerChangeAccepted))
    before = await stage.here(school.npsn)
    head = (await stage.centre(school.npsn)).head_seq
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
    after = await stage.here(school.npsn)
    stage.check(f"{received(end)} diterima · received", received(end) == 1)
    stage.check(
        f"tidak ada yang dikirim · nothing sent: pusat tetap seq {head}, {after.pending} masih belum terkirim",
        (await stage.centre(school.npsn)).head_seq == head and after.pending == before.pending,
    )


async def corrected(stage: Stage, school: School) -> None:
    """The operator corrects what is invalid; the principal syncs; both sides are proven equal."""
    stage.step("Diperbaiki, lalu sinkronisasi", "corrected, then synced as principal, with a receipt")
    pupil, room = school.pupils[20], school.classes[0]
    async with stage.at(school.npsn) as client:
        await stage.publish(
            client,
            [
                change("peserta_didik", pupil, agama_id=school.baseline["peserta_didik"][pupil]["agama_id"]),
                change("rombongan_belajar", room, ptk_id=school.baseline["rombongan_belajar"][room]["ptk_id"]),
                FieldsChange(entity="peserta_didik", record_id=new_id(1), op="delete"),
            ],
        )
        here = await stage.here(school.npsn)
        stage.check(f"{here.invalid} invalid", here.invalid == 0)
        end = await stage.session(client, "sync", "principal")
    show_receipt(stage, end)
    await stage.equal(school.npsn)
