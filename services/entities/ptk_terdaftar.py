"""A member of staff's assignment to this school for a school year (penugasan): central's as a whole.

O: "Perbaikan hanya melalui dinas pendidikan (KK-DATADIK)". Teaching points to the assignment, not to the person.
"""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class PtkTerdaftar(Entity):
    entity = "ptk_terdaftar"
    label = "Penugasan GTK"
    tab = Tab.GTK
    order = 50
    central = True
    channel = channels.DINAS

    ptk_id: str | None = field(
        Owner.CENTRAL, "GTK", source="S NOT NULL", required=True, max_length=36, format="uuid", references="ptk"
    )
    tahun_ajaran_id: int | None = field(
        Owner.CENTRAL, "Tahun ajaran", source="S numeric(4) NOT NULL", required=True, minimum=2000, maximum=2099
    )
    ptk_induk: int | None = field(
        Owner.CENTRAL, "Sekolah induk", source="S NOT NULL", required=True, minimum=0, maximum=1
    )
    nomor_surat_tugas: str | None = field(
        Owner.CENTRAL, "Nomor surat tugas", source="S NOT NULL", required=True, max_length=80
    )
    tanggal_surat_tugas: str | None = field(
        Owner.CENTRAL, "Tanggal surat tugas", source="S NOT NULL", required=True, max_length=10, format="date"
    )
    tmt_tugas: str | None = field(
        Owner.CENTRAL, "TMT tugas", source="S NOT NULL", required=True, max_length=10, format="date"
    )
    aktif_bulan_01: int | None = field(Owner.CENTRAL, "Aktif bulan 01", source="S", minimum=0, maximum=1)
    aktif_bulan_02: int | None = field(Owner.CENTRAL, "Aktif bulan 02", source="S", minimum=0, maximum=1)
    aktif_bulan_03: int | None = field(Owner.CENTRAL, "Aktif bulan 03", source="S", minimum=0, maximum=1)
    aktif_bulan_04: int | None = field(Owner.CENTRAL, "Aktif bulan 04", source="S", minimum=0, maximum=1)
    aktif_bulan_05: int | None = field(Owner.CENTRAL, "Aktif bulan 05", source="S", minimum=0, maximum=1)
    aktif_bulan_06: int | None = field(Owner.CENTRAL, "Aktif bulan 06", source="S", minimum=0, maximum=1)
    aktif_bulan_07: int | None = field(Owner.CENTRAL, "Aktif bulan 07", source="S", minimum=0, maximum=1)
    aktif_bulan_08: int | None = field(Owner.CENTRAL, "Aktif bulan 08", source="S", minimum=0, maximum=1)
    aktif_bulan_09: int | None = field(Owner.CENTRAL, "Aktif bulan 09", source="S", minimum=0, maximum=1)
    aktif_bulan_10: int | None = field(Owner.CENTRAL, "Aktif bulan 10", source="S", minimum=0, maximum=1)
    aktif_bulan_11: int | None = field(Owner.CENTRAL, "Aktif bulan 11", source="S", minimum=0, maximum=1)
    aktif_bulan_12: int | None = field(Owner.CENTRAL, "Aktif bulan 12", source="S", minimum=0, maximum=1)
    jenis_keluar_id: str | None = field(
        Owner.CENTRAL, "Keluar karena", source="S char(1)", max_length=1, pattern=patterns.EXIT
    )
    tgl_ptk_keluar: str | None = field(Owner.CENTRAL, "Tanggal keluar", source="S", max_length=10, format="date")
