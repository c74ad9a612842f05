"""The school itself: almost all of it is central's; one record, whose id is the natural key of its npsn; never deleted.

Its registration code (kode_registrasi) is a secret and no field: central keeps it apart, hashed.
"""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class Sekolah(Entity):
    entity = "sekolah"
    label = "Sekolah"
    tab = Tab.SEKOLAH
    order = 10
    deletable = False
    channel = channels.VERVAL_SP

    nama: str | None = field(Owner.CENTRAL, "Nama sekolah", source="S", required=True, max_length=100)
    bentuk_pendidikan_id: int | None = field(
        Owner.CENTRAL,
        "Bentuk pendidikan",
        source="S; B: 1 TK, 2 KB, 3 TPA, 4 SPS, 5 SD, 6 SMP, 13 SMA, 15 SMK",
        required=True,
        minimum=1,
    )
    status_sekolah: int | None = field(
        Owner.CENTRAL, "Status sekolah", source="S: 1 negeri, 2 swasta", required=True, minimum=1, maximum=2
    )

    alamat_jalan: str | None = field(Owner.CENTRAL, "Alamat jalan", source="S", required=True, max_length=80)
    rt: int | None = field(Owner.SCHOOL, "RT", source="S; O: 7, bukan 007 atau VII", minimum=0, maximum=99)
    rw: int | None = field(Owner.SCHOOL, "RW", source="S; O: 7, bukan 007 atau VII", minimum=0, maximum=99)
    nama_dusun: str | None = field(Owner.SCHOOL, "Nama dusun", source="S", max_length=60)
    desa_kelurahan: str | None = field(Owner.CENTRAL, "Desa/kelurahan", source="S", required=True, max_length=60)
    kode_pos: str | None = field(Owner.SCHOOL, "Kode pos", source="S", max_length=5, pattern=patterns.POSTAL_CODE)
    kode_wilayah: str | None = field(
        Owner.CENTRAL, "Kode wilayah", source="S/M", required=True, max_length=8, pattern=patterns.REGION
    )
    lintang: str | None = field(
        Owner.CENTRAL,
        "Lintang",
        source="S numeric(18,12); wajib: P (SKL-01)",
        required=True,
        max_length=20,
        format="decimal",
    )
    bujur: str | None = field(
        Owner.CENTRAL,
        "Bujur",
        source="S numeric(18,12); wajib: P (SKL-01)",
        required=True,
        max_length=20,
        format="decimal",
    )

    sk_pendirian_sekolah: str | None = field(Owner.CENTRAL, "SK pendirian sekolah", source="S", max_length=80)
    tanggal_sk_pendirian: str | None = field(
        Owner.CENTRAL, "Tanggal SK pendirian", source="S", max_length=10, format="date"
    )
    sk_izin_operasional: str | None = field(
        Owner.CENTRAL, "SK izin operasional", source="S; O: diperlukan BOSP", required=True, max_length=80
    )
    tanggal_sk_izin_operasional: str | None = field(
        Owner.CENTRAL, "Tanggal SK izin operasional", source="S", max_length=10, format="date"
    )

    no_rekening: str | None = field(Owner.SCHOOL, "Nomor rekening", source="S", max_length=20, format="digits")
    nama_bank: str | None = field(Owner.SCHOOL, "Nama bank", source="S; panjang: P", max_length=50)
    cabang_kcp_unit: str | None = field(Owner.SCHOOL, "Cabang KCP/unit", source="S; panjang: P", max_length=60)
    rekening_atas_nama: str | None = field(Owner.SCHOOL, "Rekening atas nama", source="S; panjang: P", max_length=100)
    npwp: str | None = field(Owner.SCHOOL, "NPWP", source="S", max_length=15, pattern=patterns.FIFTEEN_DIGITS)
    mbs: int | None = field(Owner.SCHOOL, "MBS", source="S", minimum=0, maximum=1)
    luas_tanah_milik: int | None = field(
        Owner.SCHOOL, "Luas tanah milik (m2)", source="S numeric(7)", minimum=0, maximum=9_999_999
    )
    keaktifan: int | None = field(Owner.CENTRAL, "Keaktifan", source="S", minimum=0, maximum=1)
