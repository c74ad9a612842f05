"""What central found about a record that only central can know: its number is in use elsewhere. Central's as a whole.

It says which field and which other schools, and nothing of the other schools' people. It never closes the gate.
"""

from __future__ import annotations

from services.entities import channels
from services.entities.schema import Entity, Owner, Tab, field

OPEN, SETTLED = "terbuka", "selesai"
"""`keadaan`: as long as the number is in use elsewhere, and after that."""


class Residu(Entity):
    entity = "residu"
    label = "Residu"
    tab = Tab.SEKOLAH
    order = 90
    central = True
    deletable = False
    channel = channels.VERVAL

    kode: str | None = field(Owner.CENTRAL, "Kode aturan", source="P: docs/rules.md", required=True, max_length=20)
    entitas: str | None = field(Owner.CENTRAL, "Entitas yang dimaksud", source="P", required=True, max_length=60)
    data_id: str | None = field(
        Owner.CENTRAL, "Data yang dimaksud", source="P", required=True, max_length=36, format="uuid"
    )
    isian: str | None = field(Owner.CENTRAL, "Isian yang dimaksud", source="P", required=True, max_length=60)
    keadaan: str | None = field(Owner.CENTRAL, "Keadaan", source="P: terbuka, selesai", required=True, max_length=20)
    sekolah_lain: str | None = field(
        Owner.CENTRAL, "Sekolah lain (NPSN dan nama)", source="P; B: operators ask for it", max_length=400
    )
    saluran: str | None = field(Owner.CENTRAL, "Saluran perbaikan", source="O", required=True, max_length=60)
