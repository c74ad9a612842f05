"""A student's enrolment at this school: how and when they came, and how and when they left."""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class RegistrasiPesertaDidik(Entity):
    entity = "registrasi_peserta_didik"
    label = "Registrasi peserta didik"
    tab = Tab.PESERTA_DIDIK
    order = 30
    channel = channels.PUSAT

    peserta_didik_id: str | None = field(
        Owner.SCHOOL,
        "Peserta didik",
        source="S NOT NULL",
        required=True,
        max_length=36,
        format="uuid",
        references="peserta_didik",
    )
    jenis_pendaftaran_id: int | None = field(
        Owner.SCHOOL,
        "Jenis pendaftaran",
        source="O: 1 Siswa baru, 2 Pindahan, 3 Kembali bersekolah",
        required=True,
        minimum=1,
        maximum=3,
    )
    nipd: str | None = field(Owner.SCHOOL, "NIPD/NIS", source="S; B: wajib (PD-22)", required=True, max_length=18)
    tanggal_masuk_sekolah: str | None = field(
        Owner.SCHOOL, "Tanggal masuk sekolah", source="S NOT NULL", required=True, max_length=10, format="date"
    )
    sekolah_asal: str | None = field(Owner.SCHOOL, "Sekolah asal", source="S", max_length=100)
    jurusan_sp_id: str | None = field(
        Owner.SCHOOL, "Jurusan satuan pendidikan", source="S: SMK", max_length=36, format="uuid"
    )
    jenis_keluar_id: str | None = field(
        Owner.SCHOOL,
        "Keluar karena",
        source="S char(1); B: 1 Lulus, 2 Mutasi, 3 Dikeluarkan, 4 Mengundurkan diri, 5 Putus sekolah, 6 Wafat, "
        "7 Hilang, 8 Alih fungsi, 9 Pensiun, Z Lainnya",
        max_length=1,
        pattern=patterns.EXIT,
    )
    tanggal_keluar: str | None = field(Owner.SCHOOL, "Tanggal keluar", source="S", max_length=10, format="date")
    keterangan: str | None = field(Owner.SCHOOL, "Keterangan", source="S", max_length=128)
