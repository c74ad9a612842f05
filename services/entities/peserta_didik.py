"""A student: identity is the school's until an officer confirms it, then central's; never deleted once confirmed."""

from __future__ import annotations

from services.entities import channels, patterns
from services.entities.schema import Entity, Owner, Tab, field


class PesertaDidik(Entity):
    entity = "peserta_didik"
    label = "Peserta didik"
    tab = Tab.PESERTA_DIDIK
    order = 20
    person = True
    channel = channels.VERVAL_PD

    terverifikasi: bool | None = field(Owner.CENTRAL, "Terverifikasi", source="P")

    nama: str | None = field(Owner.ONCE, "Nama peserta didik", source="S; O 2022.a", required=True, max_length=100)
    jenis_kelamin: str | None = field(
        Owner.ONCE, "Jenis kelamin", source="S", required=True, max_length=1, pattern=patterns.SEX
    )
    nisn: str | None = field(
        Owner.CENTRAL, "NISN", source="S; O: wajib dikosongkan bila belum ada", max_length=10, pattern=patterns.NISN
    )
    nik: str | None = field(
        Owner.ONCE, "NIK", source="S; B: wajib bagi WNI (PD-05)", max_length=16, pattern=patterns.SIXTEEN_DIGITS
    )
    no_kk: str | None = field(Owner.SHARED, "Nomor KK", source="S; O", max_length=16, pattern=patterns.SIXTEEN_DIGITS)
    tempat_lahir: str | None = field(Owner.ONCE, "Tempat lahir", source="S", required=True, max_length=32)
    tanggal_lahir: str | None = field(
        Owner.ONCE, "Tanggal lahir", source="S NOT NULL", required=True, max_length=10, format="date"
    )
    agama_id: int | None = field(Owner.SCHOOL, "Agama", source="S NOT NULL", required=True, minimum=0)
    kewarganegaraan: str | None = field(
        Owner.SCHOOL, "Kewarganegaraan", source="S NOT NULL", required=True, max_length=2, pattern=patterns.COUNTRY
    )
    kebutuhan_khusus_id: int | None = field(
        Owner.SCHOOL, "Kebutuhan khusus", source="S NOT NULL: 0 tidak ada", required=True, minimum=0
    )

    nama_ibu_kandung: str | None = field(
        Owner.ONCE, "Nama ibu kandung", source="S NOT NULL; B: tanpa gelar", required=True, max_length=100
    )
    nik_ibu: str | None = field(Owner.SCHOOL, "NIK ibu", source="S", max_length=16, pattern=patterns.SIXTEEN_DIGITS)
    tahun_lahir_ibu: int | None = field(Owner.SCHOOL, "Tahun lahir ibu", source="S", minimum=1900, maximum=2099)
    jenjang_pendidikan_ibu: int | None = field(Owner.SCHOOL, "Pendidikan ibu", source="S", minimum=0)
    pekerjaan_id_ibu: int | None = field(Owner.SCHOOL, "Pekerjaan ibu", source="S", minimum=0)
    penghasilan_id_ibu: int | None = field(Owner.SCHOOL, "Penghasilan ibu", source="S", minimum=0)
    nama_ayah: str | None = field(Owner.SCHOOL, "Nama ayah", source="S", max_length=100)
    nik_ayah: str | None = field(Owner.SCHOOL, "NIK ayah", source="S", max_length=16, pattern=patterns.SIXTEEN_DIGITS)
    tahun_lahir_ayah: int | None = field(Owner.SCHOOL, "Tahun lahir ayah", source="S", minimum=1900, maximum=2099)
    jenjang_pendidikan_ayah: int | None = field(Owner.SCHOOL, "Pendidikan ayah", source="S", minimum=0)
    pekerjaan_id_ayah: int | None = field(Owner.SCHOOL, "Pekerjaan ayah", source="S", minimum=0)
    penghasilan_id_ayah: int | None = field(Owner.SCHOOL, "Penghasilan ayah", source="S", minimum=0)
    nama_wali: str | None = field(Owner.SCHOOL, "Nama wali", source="S", max_length=30)
    nik_wali: str | None = field(Owner.SCHOOL, "NIK wali", source="S", max_length=16, pattern=patterns.SIXTEEN_DIGITS)
    tahun_lahir_wali: int | None = field(Owner.SCHOOL, "Tahun lahir wali", source="S", minimum=1900, maximum=2099)
    jenjang_pendidikan_wali: int | None = field(Owner.SCHOOL, "Pendidikan wali", source="S", minimum=0)
    pekerjaan_id_wali: int | None = field(Owner.SCHOOL, "Pekerjaan wali", source="S", minimum=0)
    penghasilan_id_wali: int | None = field(Owner.SCHOOL, "Penghasilan wali", source="S", minimum=0)

    alamat_jalan: str | None = field(Owner.SHARED, "Alamat jalan", source="S NOT NULL", required=True, max_length=80)
    rt: int | None = field(Owner.SCHOOL, "RT", source="S; O: 7, bukan 007 atau VII", minimum=0, maximum=99)
    rw: int | None = field(Owner.SCHOOL, "RW", source="S; O: 7, bukan 007 atau VII", minimum=0, maximum=99)
    nama_dusun: str | None = field(Owner.SCHOOL, "Nama dusun", source="S", max_length=60)
    desa_kelurahan: str | None = field(
        Owner.SHARED, "Desa/kelurahan", source="S NOT NULL", required=True, max_length=60
    )
    kode_wilayah: str | None = field(
        Owner.SCHOOL, "Kode wilayah", source="S/M", required=True, max_length=8, pattern=patterns.REGION
    )
    kode_pos: str | None = field(Owner.SCHOOL, "Kode pos", source="S", max_length=5, pattern=patterns.POSTAL_CODE)
    lintang: str | None = field(Owner.SCHOOL, "Lintang", source="S numeric(18,12)", max_length=20, format="decimal")
    bujur: str | None = field(Owner.SCHOOL, "Bujur", source="S numeric(18,12)", max_length=20, format="decimal")

    jenis_tinggal_id: int | None = field(Owner.SCHOOL, "Jenis tinggal", source="S", minimum=0)
    alat_transportasi_id: int | None = field(Owner.SCHOOL, "Alat transportasi", source="S", minimum=0)
    anak_keberapa: int | None = field(Owner.SCHOOL, "Anak keberapa", source="S numeric(2)", minimum=1, maximum=99)

    penerima_kip: int | None = field(Owner.SCHOOL, "Penerima KIP", source="S", minimum=0, maximum=1)
    no_kip: str | None = field(Owner.SCHOOL, "Nomor KIP", source="O/S", max_length=6, pattern=patterns.KIP)
    nm_kip: str | None = field(Owner.SCHOOL, "Nama tertera di KIP", source="S; panjang: P", max_length=100)
    penerima_kps: int | None = field(Owner.SCHOOL, "Penerima KPS/PKH", source="S", minimum=0, maximum=1)
    no_kps: str | None = field(Owner.SCHOOL, "Nomor KPS/PKH", source="S; panjang: P", max_length=80)
    no_kks: str | None = field(Owner.SCHOOL, "Nomor KKS", source="S", max_length=6)
    layak_pip: int | None = field(Owner.SCHOOL, "Layak PIP", source="S", minimum=0, maximum=1)
    id_layak_pip: int | None = field(Owner.SCHOOL, "Alasan layak PIP", source="S", minimum=0)
    id_bank: str | None = field(
        Owner.CENTRAL, "Bank", source="S", max_length=3, pattern=patterns.BANK_CODE, channel=channels.PUSAT
    )
    rekening_bank: str | None = field(
        Owner.CENTRAL,
        "Nomor rekening",
        source="S; panjang: P",
        max_length=20,
        format="digits",
        channel=channels.PUSAT,
    )
    rekening_atas_nama: str | None = field(
        Owner.CENTRAL, "Rekening atas nama", source="S; panjang: P", max_length=100, channel=channels.PUSAT
    )
