"""A student's place in a class group."""

from __future__ import annotations

from services.entities import channels
from services.entities.schema import Entity, Owner, Tab, field


class AnggotaRombel(Entity):
    entity = "anggota_rombel"
    label = "Anggota rombel"
    tab = Tab.ROMBEL
    order = 70
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
        source="S numeric(1) NOT NULL",
        required=True,
        minimum=1,
        maximum=9,
    )
