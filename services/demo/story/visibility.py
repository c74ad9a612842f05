"""What central reads of a school: what a sync confirmed, not what was only pulled or typed."""

from __future__ import annotations

from services.demo.stage import Stage
from services.demo.story.cast import School, change, correction, girls_nik, new_id
from services.demo.story.endings import received, show_receipt
from services.messages import OfficerChange, OfficerChangeAccepted


async def officers_work(stage: Stage, school: School) -> None:
    """An officer adds a new pupil and corrects an identity."""
    stage.step("Petugas pusat bekerja", "an officer adds a pupil and corrects an identity")
    old = school.first("peserta_didik")
    fields = {
        name: old[name]
        for name in (
            "agama_id", "kewarganegaraan", "alamat_jalan", "desa_kelurahan", "kode_wilayah", "tanggal_lahir",
            "kebutuhan_khusus_id",
        )
    } | {
        "nama": "Citra Contoh Lestari", "jenis_kelamin": "P", "nik": girls_nik(old["tanggal_lahir"]),
        "nisn": "9007654321", "tempat_lahir": "Bandar Baru", "nama_ibu_kandung": "Dewi Contoh", "terverifikasi": True,
    }  # fmt: skip
    added = OfficerChange(entity="peserta_didik", record_id=new_id(2), version=0, fields=fields)
    corrected = await correction(stage, school, school.pupils[40], nama="Nama Yang Dibetulkan")
    answer = await stage.officer(school.npsn, [added, corrected])
    stage.check(
        "ditambah dan dibetulkan di pusat · added and corrected at central", isinstance(answer, OfficerChangeAccepted)
    )


async def pull_is_no_sync(stage: Stage, school: School) -> None:
    """The new pupil comes down, is enrolled and placed; central still reads the old state."""
    stage.step("Tarik data bukan sinkronisasi", "a pull is not a sync")
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "pull", "operator")
        stage.check(f"{received(end)} diterima · received: peserta didik baru dan identitas", received(end) == 2)
        enrolment = school.first("registrasi_peserta_didik") | {"peserta_didik_id": new_id(2), "nipd": "9901"}
        place = school.first("anggota_rombel") | {"peserta_didik_id": new_id(2)}
        stored, codes = await stage.publish(
            client,
            [
                change("registrasi_peserta_didik", new_id(3), **enrolment),
                change("anggota_rombel", new_id(4), **place),
            ],
        )
    stage.check(
        f"diregistrasikan dan masuk rombel · enrolled and placed: {stored} tersimpan", (stored, codes) == (2, [])
    )
    here = await stage.here(school.npsn)
    stage.say(f"[yellow]{here.badge()}[/] · {here.badge('en')}")
    stage.check(f"{here.pending} belum terkirim · not sent yet", here.pending == 2 and here.badge() is not None)
    confirmed, head = await stage.centre(school.npsn, "confirmed"), await stage.centre(school.npsn)
    stage.check(
        f"pembaca di pusat masih melihat keadaan lama · central still reads the old state: "
        f"{confirmed.counts['peserta_didik']} peserta didik (seq {confirmed.seq} dari {head.head_seq})",
        confirmed.counts["peserta_didik"] == head.counts["peserta_didik"] - 1,
    )


async def then_sync(stage: Stage, school: School) -> None:
    """The sync makes it visible."""
    stage.step("Sinkronisasi", "the sync makes it visible")
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    show_receipt(stage, end)
    confirmed = await stage.centre(school.npsn, "confirmed")
    stage.check(
        f"terbaca di pusat · visible at central: {confirmed.counts['peserta_didik']} peserta didik",
        confirmed.seq == confirmed.head_seq,
    )
    await stage.equal(school.npsn)
