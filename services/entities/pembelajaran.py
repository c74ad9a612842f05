"""Who teaches a class group which subject, how many hours a week: it points to the assignment, not to the person."""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class Pembelajaran(Entity):
    entity = "pembelajaran"
    label = "Pembelajaran"
    tab = Tab.PEMBELAJARAN
    order = 80
    channel = channels.PUSAT

    rombongan_belajar_id: str | None = field(
        Owner.SCHOOL,
        "Rombongan belajar",
        source="S NOT NULL",
        required=True,
        max_length=36,
        format="uuid",
        references="rombongan_belajar",
    )
    semester_id: str | None = field(
        Owner.SCHOOL, "Semester", source="O/S", required=True, max_length=5, pattern=patterns.SEMESTER
    )
    mata_pelajaran_id: int | None = field(Owner.SCHOOL, "Mata pelajaran", source="S NOT NULL", required=True, minimum=0)
    nama_mata_pelajaran: str | None = field(
        Owner.SCHOOL, "Nama mata pelajaran", source="S NOT NULL", required=True, max_length=50
    )
    ptk_terdaftar_id: str | None = field(
        Owner.SCHOOL,
        "Guru pengampu",
        source="S NOT NULL",
        required=True,
        max_length=36,
        format="uuid",
        references="ptk_terdaftar",
    )
    sk_mengajar: str | None = field(
        Owner.SCHOOL, "SK mengajar", source="S NOT NULL (PBL-06)", required=True, max_length=80
    )
    tanggal_sk_mengajar: str | None = field(
        Owner.SCHOOL,
        "Tanggal SK mengajar",
        source="S NOT NULL (PBL-06)",
        required=True,
        max_length=10,
        format="date",
    )
    jam_mengajar_per_minggu: int | None = field(
        Owner.SCHOOL, "Jam mengajar per minggu", source="S numeric(2) NOT NULL", required=True, minimum=0, maximum=99
    )
    status_di_kurikulum: int | None = field(
        Owner.SCHOOL, "Status di kurikulum", source="S numeric(2)", minimum=0, maximum=99
    )
    induk_pembelajaran_id: str | None = field(
        Owner.SCHOOL, "Pembelajaran induk", source="S", max_length=36, format="uuid", references="pembelajaran"
    )
