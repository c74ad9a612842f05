"""A class group of one semester: its grade, curriculum, homeroom teacher; also choice subjects and ekskul."""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class RombonganBelajar(Entity):
    entity = "rombongan_belajar"
    label = "Rombongan belajar"
    tab = Tab.ROMBEL
    order = 60
    channel = channels.PUSAT

    nama: str | None = field(Owner.SCHOOL, "Nama rombel", source="S NOT NULL", required=True, max_length=30)
    semester_id: str | None = field(
        Owner.SCHOOL, "Semester", source="O/S", required=True, max_length=5, pattern=patterns.SEMESTER
    )
    tingkat_pendidikan_id: int | None = field(
        Owner.SCHOOL, "Tingkat", source="S numeric(2) NOT NULL; O (RMB-07)", required=True, minimum=0, maximum=99
    )
    jenis_rombel: int | None = field(
        Owner.SCHOOL,
        "Jenis rombel",
        source="S numeric(2) NOT NULL; B: 1 kelas, 51 ekstrakurikuler, 16 mapel pilihan, 8/9/10 terbuka dan jarak jauh",
        required=True,
        minimum=1,
        maximum=99,
    )
    kurikulum_id: int | None = field(Owner.SCHOOL, "Kurikulum", source="S NOT NULL", required=True, minimum=0)
    ptk_id: str | None = field(
        Owner.SCHOOL,
        "Wali kelas",
        source="S; B 4.1.0 (RMB-01)",
        max_length=36,
        format="uuid",
        references="ptk",
    )
    id_ruang: str | None = field(
        Owner.SCHOOL, "Ruang", source="S NOT NULL; P: belum wajib sebelum ada ruang", max_length=36, format="uuid"
    )
    jurusan_sp_id: str | None = field(
        Owner.SCHOOL, "Jurusan satuan pendidikan", source="S: SMA/SMK", max_length=36, format="uuid"
    )
    moving_class: int | None = field(Owner.SCHOOL, "Kelas berpindah", source="S", minimum=0, maximum=1)
    sks: int | None = field(Owner.SCHOOL, "SKS", source="S numeric(2)", minimum=0, maximum=99)
    tanggal_mulai: str | None = field(Owner.SCHOOL, "Tanggal mulai", source="S", max_length=10, format="date")
    tanggal_selesai: str | None = field(Owner.SCHOOL, "Tanggal selesai", source="S", max_length=10, format="date")
    parent_rombongan_belajar_id: str | None = field(
        Owner.SCHOOL,
        "Rombel induk",
        source="S: sejak 2026-08",
        max_length=36,
        format="uuid",
        references="rombongan_belajar",
    )
