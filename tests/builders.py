"""Builders of valid records and of a minimal valid school; a test changes the one thing that it is about.

Every builder takes the fields to change; a field changed to None is left out, for absent is null.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.entities import CONFIRMED, Fields, natural_key

NPSN = "69900001"
TODAY = date(2025, 10, 6)
SEMESTER = "20251"
YEAR = 2025

Records = dict[str, dict[str, Fields]]


def new_id(number: int) -> str:
    """A record_id of the form of a UUIDv7; the same for the same number."""
    return f"01990000-0000-7000-8000-{number:012x}"


SEKOLAH = natural_key("sekolah", NPSN)
STUDENT = new_id(1)
REGISTRATION = new_id(2)
TEACHER = new_id(3)
ASSIGNMENT = new_id(4)
CLASS = new_id(5)
MEMBER = new_id(6)
LESSON = new_id(7)
RESIDU = new_id(8)


def changed(fields: Mapping[str, Any], **changes: Any) -> Fields:
    """The fields with these changes; None leaves a field out."""
    return {name: value for name, value in {**fields, **changes}.items() if value is not None}


def without(fields: Mapping[str, Any], *names: str) -> Fields:
    """The fields but these."""
    return {name: value for name, value in fields.items() if name not in names}


def a_sekolah(**changes: Any) -> Fields:
    """A public SD."""
    return changed(
        {
            "nama": "SD Negeri 1 Sumber Rejo",
            "bentuk_pendidikan_id": 5,
            "status_sekolah": 1,
            "alamat_jalan": "Jalan Melati No. 1",
            "desa_kelurahan": "Sumber Rejo",
            "kode_wilayah": "056001",
            "lintang": "-7.250000",
            "bujur": "112.750000",
            "sk_izin_operasional": "421.2/202/2015",
            "tanggal_sk_izin_operasional": "2015-07-01",
        },
        **changes,
    )


def a_student(**changes: Any) -> Fields:
    """A boy of grade 1 whom an officer has confirmed."""
    return changed(
        {
            CONFIRMED: True,
            "nama": "Budi Pratama",
            "jenis_kelamin": "L",
            "nisn": "9000010001",
            "nik": "9900010203190001",
            "no_kk": "9900010000000001",
            "tempat_lahir": "Harapan Jaya",
            "tanggal_lahir": "2019-03-02",
            "agama_id": 1,
            "kewarganegaraan": "ID",
            "kebutuhan_khusus_id": 0,
            "nama_ibu_kandung": "Siti Rahayu",
            "alamat_jalan": "Jalan Mawar No. 2",
            "desa_kelurahan": "Sumber Rejo",
            "kode_wilayah": "056001",
        },
        **changes,
    )


def a_new_student(**changes: Any) -> Fields:
    """The same student as the school has typed them: nobody has confirmed them, and there is no NISN yet."""
    return changed(a_student(terverifikasi=None, nisn=None), **changes)


def a_registration(**changes: Any) -> Fields:
    """STUDENT's enrolment."""
    return changed(
        {
            "peserta_didik_id": STUDENT,
            "jenis_pendaftaran_id": 1,
            "nipd": "25260001",
            "tanggal_masuk_sekolah": "2025-07-14",
        },
        **changes,
    )


def a_teacher(**changes: Any) -> Fields:
    """A woman, a civil servant, whom an officer has confirmed."""
    return changed(
        {
            CONFIRMED: True,
            "nama": "Dewi Lestari",
            "nik": "9900015506850001",
            "nuptk": "9900010000000001",
            "nip": "198506152010012000",
            "jenis_kelamin": "P",
            "tempat_lahir": "Mekar Sari",
            "tanggal_lahir": "1985-06-15",
            "nama_ibu_kandung": "Sri Utami",
            "status_kepegawaian_id": 1,
            "jenis_ptk_id": 3,
            "agama_id": 1,
        },
        **changes,
    )


def a_new_teacher(**changes: Any) -> Fields:
    """What a school may type of a new teacher: nothing of central's is filled in yet."""
    new = a_teacher(terverifikasi=None, nuptk=None, nip=None, status_kepegawaian_id=None, jenis_ptk_id=None)
    return changed(new, **changes)


def an_assignment(**changes: Any) -> Fields:
    """TEACHER's assignment of this school year."""
    return changed(
        {
            "ptk_id": TEACHER,
            "tahun_ajaran_id": YEAR,
            "ptk_induk": 1,
            "nomor_surat_tugas": "800/001/2025",
            "tanggal_surat_tugas": "2025-07-01",
            "tmt_tugas": "2025-07-01",
        },
        **changes,
    )


def a_class(**changes: Any) -> Fields:
    """A class of grade 1 of this semester, with TEACHER."""
    return changed(
        {
            "nama": "Kelas 1A",
            "semester_id": SEMESTER,
            "tingkat_pendidikan_id": 1,
            "jenis_rombel": 1,
            "kurikulum_id": 1,
            "ptk_id": TEACHER,
        },
        **changes,
    )


def a_member(**changes: Any) -> Fields:
    """STUDENT's place in CLASS."""
    return changed(
        {"rombongan_belajar_id": CLASS, "peserta_didik_id": STUDENT, "jenis_pendaftaran_id": 1},
        **changes,
    )


def a_lesson(**changes: Any) -> Fields:
    """What TEACHER teaches CLASS."""
    return changed(
        {
            "rombongan_belajar_id": CLASS,
            "semester_id": SEMESTER,
            "mata_pelajaran_id": 400200000,
            "nama_mata_pelajaran": "Guru Kelas SD/MI/SLB",
            "ptk_terdaftar_id": ASSIGNMENT,
            "sk_mengajar": "421.2/20251/SK",
            "tanggal_sk_mengajar": "2025-07-01",
            "jam_mengajar_per_minggu": 24,
        },
        **changes,
    )


def a_residu(**changes: Any) -> Fields:
    """What central once found about STUDENT, and what is settled since."""
    return changed(
        {
            "kode": "PD-08",
            "entitas": "peserta_didik",
            "data_id": STUDENT,
            "isian": "nik",
            "keadaan": "selesai",
            "saluran": "VervalPD",
        },
        **changes,
    )


def a_school(**changes: Mapping[str, Fields | None]) -> Records:
    """One student, one teacher, one class: entity to record_id to fields, with no finding at all.

    `a_school(ptk={TEACHER: a_teacher(nik=None), OTHER: a_teacher()})` replaces and adds records of an entity; None
    takes a record out.
    """
    school: Records = {
        "sekolah": {SEKOLAH: a_sekolah()},
        "peserta_didik": {STUDENT: a_student()},
        "registrasi_peserta_didik": {REGISTRATION: a_registration()},
        "ptk": {TEACHER: a_teacher()},
        "ptk_terdaftar": {ASSIGNMENT: an_assignment()},
        "rombongan_belajar": {CLASS: a_class()},
        "anggota_rombel": {MEMBER: a_member()},
        "pembelajaran": {LESSON: a_lesson()},
        "residu": {RESIDU: a_residu()},
    }
    for entity, records in changes.items():
        for record_id, fields in records.items():
            if fields is None:
                del school.setdefault(entity, {})[record_id]
            else:
                school.setdefault(entity, {})[record_id] = fields
    return school
