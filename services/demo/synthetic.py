"""A realistic synthetic primary school (SD), the same for the same seed: nobody in it can be a real person.

Every NIK, NUPTK and family card number begins with 99, a province that does not exist; NISN begin with 900, the birth
year 1900; NIP end in 000, which is never issued; telephone numbers and addresses are made up. The data is what a school
has after its last sync: everyone confirmed, enrolled and in a class. The rules find nothing invalid in it, and one kind
of warning: a few students have no NISN yet, as in any school.
"""

from __future__ import annotations

import json
import random
import uuid
import zlib
from collections.abc import Iterator, Mapping
from datetime import UTC, date, datetime, timedelta

from services.entities import CONFIRMED, SPECS, Fields, natural_key
from services.rules import active_semester, school_year
from services.rules.reference import REGULAR_CLASS, WEEKLY_HOURS_LIMIT

SD = 5
PRINCIPAL, CLASS_TEACHER, SUBJECT_TEACHER = 20, 3, 4  # jenis_ptk_id (B)
CIVIL_SERVANT, HONORARY = 1, 8  # status_kepegawaian_id (B)
CURRICULUM = 1  # a kurikulum_id of the right form; the reference does not ship yet
CLASS_SUBJECT = (400200000, "Guru Kelas SD/MI/SLB", 24)  # O: guru kelas 24 h, agama 4, PJOK 4; ids B
SUBJECTS = (
    (100011070, "Pendidikan Agama Islam", 4),
    (500010000, "Pendidikan Jasmani, Olahraga, dan Kesehatan", 4),
)
WITHOUT_NISN_ONE_IN = 60
PERSONS_LIMIT = 10_000  # the running number in a NIK has four digits


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


MALE = _words(
    "Adi Agus Ahmad Akbar Andi Arif Bagas Bayu Budi Dani Dedi Dimas Eko Fajar Fikri Galih Gilang Hadi Hasan Hendra "
    "Ilham Imam Indra Irfan Joko Krisna Lukman Made Maulana Muhammad Naufal Nur Rafi Rahmat Raka Reza Rizki Satria "
    "Surya Taufik Teguh Tri Wahyu Wayan Yoga Yusuf Zaki"
)
FEMALE = _words(
    "Aisyah Alya Amelia Anisa Aulia Ayu Bunga Cahya Citra Dewi Dian Dina Eka Endah Fatimah Fitri Hana Indah Intan "
    "Kartika Kirana Laila Lestari Maya Mega Nabila Nadia Naila Ni Putri Rani Ratna Retno Rina Salsabila Sari Siti "
    "Sri Tiara Tri Wulan Yuliana Zahra"
)
FAMILY = _words(
    "Anggraini Ardiansyah Firmansyah Gunawan Halim Handayani Hapsari Hidayat Kurniawan Kusuma Lubis Mahendra Maharani "
    "Manurung Nasution Nugroho Nurhaliza Permata Pradana Prasetyo Pratama Purnama Puspita Rahayu Ramadhan Sanjaya "
    "Saputra Setiawan Siregar Sitompul Subekti Sulistyo Susanto Suryani Utami Wibowo Wicaksono Wijaya Wulandari "
    "Yulianto"
)
TOWNS = ("Bandar Baru", "Harapan Jaya", "Karang Asri", "Mekar Sari", "Sumber Rejo", "Tanjung Indah")
STREETS = _words("Anggrek Cempaka Dahlia Flamboyan Kenanga Mawar Melati Merpati Nusantara Rajawali Teratai Veteran")
DISTRICT = "056001"  # kode_wilayah of the right form

Records = dict[str, dict[str, Fields]]


def synthetic_school(seed: int, *, npsn: str, today: date, pupils: int, classes: int, teachers: int) -> Records:
    """An SD in the active semester: entity to record_id to fields.

    Classes spread over the six grades, and students evenly over the classes; more than 28 to a class is a warning
    (RMB-05). The first of the staff is the principal, then come homeroom teachers, then those of religion and sport.
    """
    if not 1 <= classes <= pupils or teachers < 1 or pupils + teachers >= PERSONS_LIMIT:
        raise ValueError("a school has a teacher, a class, a student in each class, and fewer than 10,000 people")
    return _Maker(seed, npsn, today).school(pupils, classes, teachers)


def jsonl(school: Mapping[str, Mapping[str, Fields]]) -> Iterator[str]:
    """The school as the lines of a baseline file, parents first: {"entity": …, "record_id": …, "fields": {…}}."""
    for entity in sorted(school, key=lambda name: SPECS[name].order):
        for record_id, fields in school[entity].items():
            yield json.dumps({"entity": entity, "record_id": record_id, "fields": fields}, ensure_ascii=False)


class _Maker:
    """Makes one school; all chance comes from one generator, in one order."""

    def __init__(self, seed: int, npsn: str, today: date) -> None:
        self._npsn = npsn
        self._random = random.Random(f"{seed}:{npsn}")
        self._semester = active_semester(today)
        self._year = school_year(self._semester)
        self._school: Records = {entity: {} for entity in SPECS}
        self._town = self._random.choice(TOWNS)
        self._area = zlib.crc32(npsn.encode()) % 10_000
        self._persons = 0
        self._records = 0

    def school(self, pupils: int, classes: int, teachers: int) -> Records:
        self._school["sekolah"][natural_key("sekolah", self._npsn)] = self._sekolah()
        staff = [self._add_teacher(index, classes) for index in range(teachers)]
        specialists = staff[classes + 1 :]
        hours = dict.fromkeys(staff, 0)
        for index in range(classes):
            grade = 1 + index * 6 // classes
            homeroom = staff[1 + index % (teachers - 1)] if teachers > 1 else staff[0]
            letter = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"[sum(1 + other * 6 // classes == grade for other in range(index)) % 26]
            group = self._add_class(f"{grade}{letter}", grade, homeroom[0])
            self._add_lesson(group, homeroom[1], CLASS_SUBJECT)
            hours[homeroom] += CLASS_SUBJECT[2]
            for place, subject in enumerate(SUBJECTS):
                teacher = specialists[place] if place < len(specialists) else homeroom
                if hours[teacher] + subject[2] > WEEKLY_HOURS_LIMIT:
                    teacher = homeroom
                self._add_lesson(group, teacher[1], subject)
                hours[teacher] += subject[2]
            for number in range(index * pupils // classes, (index + 1) * pupils // classes):
                self._add_student(number, grade, group)
        return self._school

    def _add(self, entity: str, fields: Fields) -> str:
        record_id = self._uuid7()
        self._school[entity][record_id] = {name: value for name, value in fields.items() if value is not None}
        return record_id

    def _uuid7(self) -> str:
        """The form of a UUIDv7: the time of a made-up entry, one second after the other, then chance."""
        self._records += 1
        entered = datetime(self._year, 7, 1, tzinfo=UTC) + timedelta(seconds=self._records)
        number = int(entered.timestamp() * 1000) << 80 | 7 << 76 | self._random.getrandbits(12) << 64
        return str(uuid.UUID(int=number | 2 << 62 | self._random.getrandbits(62)))

    def _sekolah(self) -> Fields:
        return {
            "nama": f"SD Negeri {self._random.randint(1, 40)} {self._town}",
            "bentuk_pendidikan_id": SD,
            "status_sekolah": 1,
            "alamat_jalan": self._street(),
            "rt": 1,
            "rw": 2,
            "desa_kelurahan": self._town,
            "kode_pos": "99999",
            "kode_wilayah": DISTRICT,
            "lintang": f"{-7 - self._random.random():.6f}",
            "bujur": f"{112 + self._random.random():.6f}",
            "sk_pendirian_sekolah": "421.2/101/1985",
            "tanggal_sk_pendirian": "1985-07-01",
            "sk_izin_operasional": "421.2/202/2015",
            "tanggal_sk_izin_operasional": "2015-07-01",
            "mbs": 1,
            "keaktifan": 1,
        }

    def _add_teacher(self, index: int, classes: int) -> tuple[str, str]:
        """A member of staff with this year's assignment; both ids."""
        kind = PRINCIPAL if index == 0 else CLASS_TEACHER if index <= classes else SUBJECT_TEACHER
        sex = self._random.choice("LPP")
        born = date(self._year - self._random.randint(26, 57), self._random.randint(1, 12), self._random.randint(1, 28))
        permanent = index == 0 or self._random.random() < 0.6
        started = date(born.year + 24, self._random.choice((1, 3, 12)), 1)
        nik = self._nik(born, sex)
        person = self._add(
            "ptk",
            {
                CONFIRMED: True,
                "nama": self._name(sex),
                "nik": nik,
                "nuptk": f"99{self._area:04}{self._persons:010}",
                "nip": f"{born:%Y%m%d}{started:%Y%m}{1 if sex == 'L' else 2}000" if permanent else None,
                "jenis_kelamin": sex,
                "tempat_lahir": self._random.choice(TOWNS),
                "tanggal_lahir": born.isoformat(),
                "nama_ibu_kandung": self._name("P"),
                "status_kepegawaian_id": CIVIL_SERVANT if permanent else HONORARY,
                "jenis_ptk_id": kind,
                "lembaga_pengangkat_id": 3 if permanent else 5,
                "sumber_gaji_id": 1 if permanent else 4,
                "sk_pengangkatan": f"821/{self._random.randint(100, 999)}/{started.year}",
                "tmt_pengangkatan": started.isoformat(),
                "agama_id": 1,
                "alamat_jalan": self._street(),
                "rt": self._random.randint(1, 9),
                "rw": self._random.randint(1, 9),
                "desa_kelurahan": self._random.choice(TOWNS),
                "kode_wilayah": DISTRICT,
                "email": f"ptk{index + 1}.{self._npsn.lower()}@example.com",
                "no_hp": f"0000{self._area:04}{index:04}",
            },
        )
        assignment: Fields = {
            "ptk_id": person,
            "tahun_ajaran_id": self._year,
            "ptk_induk": 1,
            "nomor_surat_tugas": f"800/{index + 1:03}/{self._year}",
            "tanggal_surat_tugas": date(self._year, 7, 1).isoformat(),
            "tmt_tugas": date(self._year, 7, 1).isoformat(),
        }
        assignment |= {f"aktif_bulan_{month:02}": 1 for month in range(1, 13)}
        return person, self._add("ptk_terdaftar", assignment)

    def _add_class(self, name: str, grade: int, homeroom_teacher: str) -> str:
        odd = self._semester.endswith("1")
        return self._add(
            "rombongan_belajar",
            {
                "nama": f"Kelas {name}",
                "semester_id": self._semester,
                "tingkat_pendidikan_id": grade,
                "jenis_rombel": REGULAR_CLASS,
                "kurikulum_id": CURRICULUM,
                "ptk_id": homeroom_teacher,
                "moving_class": 0,
                "sks": 0,
                "tanggal_mulai": date(self._year if odd else self._year + 1, 7 if odd else 1, 1).isoformat(),
                "tanggal_selesai": (date(self._year, 12, 31) if odd else date(self._year + 1, 6, 30)).isoformat(),
            },
        )

    def _add_lesson(self, group: str, assignment: str, subject: tuple[int, str, int]) -> None:
        subject_id, name, hours = subject
        self._add(
            "pembelajaran",
            {
                "rombongan_belajar_id": group,
                "semester_id": self._semester,
                "mata_pelajaran_id": subject_id,
                "nama_mata_pelajaran": name,
                "ptk_terdaftar_id": assignment,
                "sk_mengajar": f"421.2/{self._semester}/SK",
                "tanggal_sk_mengajar": date(self._year, 7, 1).isoformat(),
                "jam_mengajar_per_minggu": hours,
                "status_di_kurikulum": 1,
            },
        )

    def _add_student(self, number: int, grade: int, group: str) -> None:
        """A student with enrolment and place in the class, who was six on the first of July of their grade 1."""
        entered = self._year - grade + 1
        born = date(entered - 6, 7, 1) - timedelta(days=self._random.randint(0, 330))
        sex = self._random.choice("LP")
        aided = self._random.random() < 0.15
        family_name = self._random.choice(FAMILY)
        nik = self._nik(born, sex)
        student = self._add(
            "peserta_didik",
            {
                CONFIRMED: True,
                "nama": self._name(sex),
                "jenis_kelamin": sex,
                "nisn": None if number % WITHOUT_NISN_ONE_IN == 7 else f"900{self._area % 1000:03}{self._persons:04}",
                "nik": nik,
                "no_kk": f"99{self._area:04}{self._persons:010}",
                "tempat_lahir": self._random.choice(TOWNS),
                "tanggal_lahir": born.isoformat(),
                "agama_id": self._random.choices((1, 2, 3, 4), weights=(88, 7, 3, 2))[0],
                "kewarganegaraan": "ID",
                "kebutuhan_khusus_id": 0,
                "nama_ibu_kandung": f"{self._random.choice(FEMALE)} {self._random.choice(FAMILY)}",
                "tahun_lahir_ibu": born.year - self._random.randint(20, 38),
                "nama_ayah": f"{self._random.choice(MALE)} {family_name}",
                "tahun_lahir_ayah": born.year - self._random.randint(22, 45),
                "alamat_jalan": self._street(),
                "rt": self._random.randint(1, 12),
                "rw": self._random.randint(1, 9),
                "desa_kelurahan": self._town if self._random.random() < 0.7 else self._random.choice(TOWNS),
                "kode_wilayah": DISTRICT,
                "kode_pos": "99999",
                "jenis_tinggal_id": 1,
                "alat_transportasi_id": 1,
                "anak_keberapa": self._random.randint(1, 4),
                "penerima_kip": int(aided),
                "no_kip": f"{self._random.getrandbits(24):06X}" if aided else None,
                "penerima_kps": 0,
                "layak_pip": int(aided),
            },
        )
        first_day = date(entered, 7, 15)
        self._add(
            "registrasi_peserta_didik",
            {
                "peserta_didik_id": student,
                "jenis_pendaftaran_id": 1,
                "nipd": f"{entered % 100:02}{(entered + 1) % 100:02}{number + 1:04}",
                "tanggal_masuk_sekolah": first_day.isoformat(),
            },
        )
        self._add(
            "anggota_rombel",
            {"rombongan_belajar_id": group, "peserta_didik_id": student, "jenis_pendaftaran_id": 1},
        )

    def _name(self, sex: str) -> str:
        given = MALE if sex == "L" else FEMALE
        first, second = self._random.sample(given, 2)
        parts = (first, self._random.choice(FAMILY)) if self._random.random() < 0.6 else (first, second)
        return " ".join(parts) if self._random.random() < 0.7 else f"{first} {second} {self._random.choice(FAMILY)}"

    def _nik(self, born: date, sex: str) -> str:
        """99 and an area made of the npsn, the birth date (women: day + 40), and a number that runs on."""
        self._persons += 1
        day = born.day + (40 if sex == "P" else 0)
        return f"99{self._area:04}{day:02}{born:%m%y}{self._persons:04}"

    def _street(self) -> str:
        return f"Jalan {self._random.choice(STREETS)} No. {self._random.randint(1, 120)}"
