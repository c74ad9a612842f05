"""A member of staff (UI: GTK): identity as a student's; status, jenis PTK and NUPTK are given from above."""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class Ptk(Entity):
    entity = "ptk"
    label = "GTK"
    tab = Tab.GTK
    order = 40
    person = True
    channel = channels.VERVAL_PTK

    terverifikasi: bool | None = field(Owner.CENTRAL, "Terverifikasi", source="P")

    nama: str | None = field(Owner.ONCE, "Nama PTK", source="S NOT NULL; O: tanpa gelar", required=True, max_length=100)
    nik: str | None = field(
        Owner.ONCE, "NIK", source="S NOT NULL", required=True, max_length=16, pattern=patterns.SIXTEEN_DIGITS
    )
    nuptk: str | None = field(
        Owner.CENTRAL, "NUPTK", source="O/S: kosong bila belum ada", max_length=16, pattern=patterns.SIXTEEN_DIGITS
    )
    nip: str | None = field(Owner.SCHOOL, "NIP", source="S; O: 18 digit (GTK-03)", max_length=18, format="digits")
    niy_nigk: str | None = field(Owner.SCHOOL, "NIY/NIGK", source="O", max_length=30)
    nrg: str | None = field(Owner.SCHOOL, "NRG", source="S; panjang: P", max_length=20)
    nuks: str | None = field(Owner.SCHOOL, "NUKS", source="S; panjang: P", max_length=30)
    jenis_kelamin: str | None = field(
        Owner.ONCE, "Jenis kelamin", source="S NOT NULL", required=True, max_length=1, pattern=patterns.SEX
    )
    tempat_lahir: str | None = field(Owner.ONCE, "Tempat lahir", source="S NOT NULL", required=True, max_length=32)
    tanggal_lahir: str | None = field(
        Owner.ONCE, "Tanggal lahir", source="S NOT NULL", required=True, max_length=10, format="date"
    )
    nama_ibu_kandung: str | None = field(
        Owner.ONCE, "Nama ibu kandung", source="S NOT NULL", required=True, max_length=100
    )

    status_kepegawaian_id: int | None = field(
        Owner.CENTRAL,
        "Status kepegawaian",
        source="S NOT NULL; B: 1 PNS, 2 PNS diperbantukan, 3 PNS Depag, 10 CPNS",
        required=True,
        minimum=0,
        channel=channels.DINAS,
    )
    jenis_ptk_id: int | None = field(
        Owner.CENTRAL, "Jenis PTK", source="S NOT NULL", required=True, minimum=0, channel=channels.DINAS
    )
    lembaga_pengangkat_id: int | None = field(Owner.SCHOOL, "Lembaga pengangkat", source="S", minimum=0)
    sumber_gaji_id: int | None = field(Owner.SCHOOL, "Sumber gaji", source="S", minimum=0)
    sk_pengangkatan: str | None = field(Owner.SCHOOL, "SK pengangkatan", source="S", max_length=80)
    tmt_pengangkatan: str | None = field(Owner.SCHOOL, "TMT pengangkatan", source="S", max_length=10, format="date")
    tmt_pns: str | None = field(Owner.SCHOOL, "TMT PNS", source="S", max_length=10, format="date")
    agama_id: int | None = field(Owner.SCHOOL, "Agama", source="S", minimum=0)

    alamat_jalan: str | None = field(Owner.SCHOOL, "Alamat jalan", source="S", max_length=80)
    rt: int | None = field(Owner.SCHOOL, "RT", source="S", minimum=0, maximum=99)
    rw: int | None = field(Owner.SCHOOL, "RW", source="S", minimum=0, maximum=99)
    nama_dusun: str | None = field(Owner.SCHOOL, "Nama dusun", source="S", max_length=60)
    desa_kelurahan: str | None = field(Owner.SCHOOL, "Desa/kelurahan", source="S", max_length=60)
    kode_wilayah: str | None = field(Owner.SCHOOL, "Kode wilayah", source="S/M", max_length=8, pattern=patterns.REGION)
    kode_pos: str | None = field(Owner.SCHOOL, "Kode pos", source="S", max_length=5, pattern=patterns.POSTAL_CODE)
    email: str | None = field(Owner.SHARED, "Surel", source="S", max_length=60, format="email")
    no_hp: str | None = field(Owner.SHARED, "Nomor HP", source="S", max_length=20, format="digits")
