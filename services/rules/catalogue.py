"""Every rule in words: its code, how bad it is, what it says and what to do, in Indonesian and English.

The conditions are code, one small function each, in the file of their tab. The codes, severities and wording stand in
docs/rules.md too; `source` gives the evidence: O official text, S real schema, M measured, B blog or third-party tool,
P proposal of this project. A text may hold {label} (the field's), {expected} (its format) and a finding's params.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Literal

from services.entities import Tab

RULES_VERSION = "2026.1"
"""Moves with every change of a condition, a severity or the reference data: a verdict is about one version.

Year and number; which of two is newer: `services.rules.versions`.
"""


class Severity(StrEnum):
    """INVALID closes the gate, WARNING passes (O)."""

    INVALID = "invalid"
    WARNING = "warning"


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule. `severity` is the worst it finds; `warning_*` is its text where the same rule only warns.

    `tab` is None where the record's own tab counts. `scope`: a record alone, what only the whole school shows, or what
    only central can know and says by a `residu`.
    """

    code: str
    severity: Severity
    tab: Tab | None
    scope: Literal["record", "school", "central"]
    condition: str
    text_id: str
    text_en: str
    todo_id: str
    todo_en: str
    source: str
    warning_id: str | None = None
    warning_en: str | None = None


AWAITS = (" (menunggu pusat)", " (waiting for central)")
"""Added to the text of what only central can fill: it is missing, but the school need not wait to sync."""

AWAITS_TODO = (
    "Diisi lewat {channel}, bukan oleh sekolah; lakukan tarik data setelah selesai.",
    "Filled through {channel}, not by the school; pull the data once that is done.",
)
CHANNEL_TODO = (
    " Isian ini hanya dapat diubah lewat {channel}, lalu tarik data.",
    " This field can only be changed through {channel}; then pull the data.",
)
"""Added to what to do where the field is not the school's to change in this record."""

_RULES = (
    Rule(
        code="SKL-01",
        severity=Severity.INVALID,
        tab=Tab.SEKOLAH,
        scope="record",
        condition="lintang or bujur is 0, not a decimal number, or outside Indonesia (-11.2..6.3, 94.7..141.3); "
        "empty: a warning, for central fills it",
        text_id="Koordinat sekolah belum benar ({label})",
        text_en="The school's coordinates are not right ({label})",
        todo_id="Perbaiki titik koordinat sekolah di VervalSP, lalu tarik data.",
        todo_en="Correct the school's position in VervalSP, then pull the data.",
        source="P; M: 94 of 13,984 SMA",
    ),
    Rule(
        code="SKL-05",
        severity=Severity.INVALID,
        tab=Tab.SEKOLAH,
        scope="record",
        condition="sk_izin_operasional is empty; as central fills it, always a warning",
        text_id="SK izin operasional belum diisi",
        text_en="The operating licence (SK izin operasional) is missing",
        todo_id="Ajukan SK izin operasional lewat VervalSP, lalu tarik data.",
        todo_en="Submit the operating licence through VervalSP, then pull the data.",
        source="P; O: needed by BOSP",
    ),
    Rule(
        code="PD-01",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nama is empty or has no vowel",
        text_id="Nama peserta didik kosong atau tanpa huruf vokal",
        text_en="The student's name is empty or has no vowel",
        todo_id="Isi nama lengkap sesuai akta kelahiran.",
        todo_en="Enter the full name as on the birth certificate.",
        source="B 4.1.0",
    ),
    Rule(
        code="PD-02",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nama or nama_ibu_kandung contains a tab or a line break",
        text_id="Nama peserta didik/ibu kandung mengandung karakter tab atau enter ({label})",
        text_en="The student's or mother's name contains a tab or a line break ({label})",
        todo_id="Ketik ulang nama tanpa tab dan enter (sering terbawa dari salin-tempel).",
        todo_en="Type the name again without tab and line break (they often come with copy and paste).",
        source="O 2022.a",
    ),
    Rule(
        code="PD-03",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nama has digits, or symbols other than ' . , -",
        text_id="Nama peserta didik tidak wajar (angka atau simbol)",
        text_en="The student's name looks odd (digits or symbols)",
        todo_id="Periksa ejaan nama dengan akta kelahiran.",
        todo_en="Check the spelling with the birth certificate.",
        source="O 2018.a: from invalid to warning",
    ),
    Rule(
        code="PD-04",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nama_ibu_kandung is empty",
        text_id="Nama ibu kandung belum diisi",
        text_en="The mother's name is missing",
        todo_id="Isi nama ibu kandung sesuai akta kelahiran, tanpa gelar.",
        todo_en="Enter the mother's name as on the birth certificate, without titles.",
        source="S NOT NULL; B",
    ),
    Rule(
        code="PD-05",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="kewarganegaraan is ID (or empty) and nik is empty, not 16 digits, one digit repeated, of an "
        "impossible day or month, or ends in 0000",
        text_id="NIK peserta didik kosong, tidak 16 digit, atau bukan NIK yang mungkin",
        text_en="The student's NIK is empty, not 16 digits, or cannot be a NIK",
        todo_id="Isi NIK 16 digit sesuai Kartu Keluarga.",
        todo_en="Enter the 16-digit NIK as on the family card (KK).",
        source="B; S; O Dukcapil; impossible day or month: P",
    ),
    Rule(
        code="PD-06",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="the birth part of nik (day + 40 for P) differs from tanggal_lahir or jenis_kelamin",
        text_id="NIK tidak sesuai tanggal lahir/jenis kelamin, periksa dengan KK",
        text_en="The NIK does not fit the birth date or sex; check it with the family card (KK)",
        todo_id="Bandingkan NIK, tanggal lahir dan jenis kelamin dengan KK. Bila KK memang demikian, biarkan.",
        todo_en="Compare NIK, birth date and sex with the family card. If the card says so, leave it.",
        source="P on O facts: a NIK is never changed",
    ),
    Rule(
        code="PD-07",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="the same nik on another student of the school who has not left",
        text_id="NIK ganda dengan {nama}",
        text_en="The same NIK as {nama}",
        todo_id="Periksa kedua peserta didik dengan KK, perbaiki NIK yang salah atau hapus data yang terisi dua kali.",
        todo_en="Check both students with their family cards; correct the wrong NIK or delete the one entered twice.",
        source="B",
    ),
    Rule(
        code="PD-08",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="central",
        condition="the same nik on a student of another school; in neither school has the student left",
        text_id="NIK dipakai oleh lebih dari satu orang (residu VervalPD); juga di {sekolah}",
        text_en="The NIK is in use by more than one person (residu); also at {sekolah}",
        todo_id="Periksa NIK dengan KK: bila salah, perbaiki lalu sinkronkan; bila benar, ajukan di VervalPD. "
        "Setelah selesai, tarik data.",
        todo_en="Check the NIK with the family card: if it is wrong, correct it and sync; if it is right, take it to "
        "VervalPD. Pull the data once that is done.",
        source="B: exact wording; as a warning P",
    ),
    Rule(
        code="PD-09",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nisn is filled and not 10 digits",
        text_id="Format NISN tidak valid (harus 10 digit angka)",
        text_en="The NISN is not valid (it must be 10 digits)",
        todo_id="Ajukan perbaikan NISN di VervalPD, lalu tarik data.",
        todo_en="Ask for the correction of the NISN in VervalPD, then pull the data.",
        source="O; severity P",
    ),
    Rule(
        code="PD-10",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="the same nisn on another student of the school who has not left",
        text_id="NISN ganda dengan {nama}",
        text_en="The same NISN as {nama}",
        todo_id="Selesaikan NISN ganda di VervalPD, lalu tarik data.",
        todo_en="Resolve the double NISN in VervalPD, then pull the data.",
        source="B",
    ),
    Rule(
        code="PD-11",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nisn is empty",
        text_id="Peserta didik belum mempunyai NISN, cek VervalPD",
        text_en="The student has no NISN yet; check VervalPD",
        todo_id="NISN terbit setelah identitas lengkap tersinkron; cek VervalPD, lalu tarik data.",
        todo_en="The NISN is issued once a complete identity has been synced; check VervalPD, then pull the data.",
        source="O SE 2017/18; severity P",
    ),
    Rule(
        code="PD-12",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="no_kk is the same as nik",
        text_id="NIK sama dengan Nomor KK",
        text_en="The NIK is the same as the family card number (KK)",
        todo_id="Periksa dengan KK: pastikan NIK tidak tertukar dengan Nomor KK.",
        todo_en="Check with the family card that NIK and KK number have not been mixed up.",
        source="O; severity P",
    ),
    Rule(
        code="PD-13",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="tanggal_lahir is empty, not a date, or in the future",
        text_id="Tanggal lahir tidak wajar",
        text_en="The birth date is not plausible",
        todo_id="Isi tanggal lahir sesuai akta kelahiran.",
        todo_en="Enter the birth date as on the birth certificate.",
        source="S; P",
    ),
    Rule(
        code="PD-17",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="the age of a registered student is outside SD 5.5-16, SMP 11-19, SMA/SMK 14-22",
        text_id="Usia di luar kriteria BOSP, tidak dihitung penerima ({usia} tahun)",
        text_en="The age is outside the BOSP criteria: not counted as a recipient ({usia} years)",
        todo_id="Periksa tanggal lahir dengan akta. Bila benar, tidak ada yang perlu diubah.",
        todo_en="Check the birth date with the certificate. If it is right, nothing needs changing.",
        source="O BOSP 2025; as a rule P",
    ),
    Rule(
        code="PD-18",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="the student has no registrasi_peserta_didik at this school",
        text_id="Peserta didik belum diregistrasikan",
        text_en="The student is not enrolled yet (registrasi)",
        todo_id="Lengkapi registrasi: jenis pendaftaran, NIPD dan tanggal masuk.",
        todo_en="Complete the enrolment: kind, NIPD and date of entry.",
        source="O",
    ),
    Rule(
        code="PD-19",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="a registered student who is in no rombel of jenis_rombel 1 in the active semester",
        text_id="Peserta didik belum masuk rombongan belajar",
        text_en="The student is in no class yet",
        todo_id="Masukkan ke rombongan belajar semester aktif, atau isi keluar bila sudah tidak bersekolah di sini.",
        todo_en="Place the student in a class of the active semester, or record that they have left.",
        source="B",
    ),
    Rule(
        code="PD-20",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="a student with more than one place in rombel of jenis_rombel 1 in the active semester",
        text_id="Peserta didik terdaftar di lebih dari satu rombel ({rombel})",
        text_en="The student is in more than one class ({rombel})",
        todo_id="Keluarkan peserta didik dari rombel yang salah; cukup satu rombel kelas per semester.",
        todo_en="Take the student out of the wrong class: one regular class a semester.",
        source="B/P",
    ),
    Rule(
        code="PD-21",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="school",
        condition="a member of a rombel of the active semester whose registrations all have a jenis_keluar_id",
        text_id="Peserta didik sudah keluar tetapi masih menjadi anggota rombel ({nama}, {rombel})",
        text_en="The student has left but is still a member of a class ({nama}, {rombel})",
        todo_id="Hapus keanggotaan rombelnya, atau batalkan keluar bila keliru.",
        todo_en="Remove them from the class, or undo the exit if it was a mistake.",
        source="B: the 23 of 22 case",
    ),
    Rule(
        code="PD-22",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="nipd of a registration is empty",
        text_id="NIPD/NIS belum diisi",
        text_en="The school's student number (NIPD/NIS) is missing",
        todo_id="Isi NIPD/NIS dari buku induk sekolah.",
        todo_en="Enter the NIPD/NIS from the school's register.",
        source="B",
    ),
    Rule(
        code="PD-26",
        severity=Severity.INVALID,
        tab=Tab.PESERTA_DIDIK,
        scope="record",
        condition="agama_id is not among the active ones of the reference",
        text_id="Agama yang dipilih sudah tidak aktif",
        text_en="The chosen religion is no longer in use",
        todo_id="Pilih agama dari daftar yang berlaku.",
        todo_en="Choose the religion from the current list.",
        source="O 2018.a; severity P",
    ),
    Rule(
        code="PD-29",
        severity=Severity.WARNING,
        tab=Tab.PESERTA_DIDIK,
        scope="central",
        condition="the same nisn on a student of another school; in neither school has the student left",
        text_id="NISN dipakai oleh lebih dari satu orang (residu VervalPD); juga di {sekolah}",
        text_en="The NISN is in use by more than one person (residu); also at {sekolah}",
        todo_id="Selesaikan NISN ganda di VervalPD, lalu tarik data.",
        todo_en="Resolve the double NISN in VervalPD, then pull the data.",
        source="P, as PD-08",
    ),
    Rule(
        code="GTK-01",
        severity=Severity.INVALID,
        tab=Tab.GTK,
        scope="record",
        condition="nama is empty or has no vowel; a warning: digits, or symbols other than ' . , -",
        text_id="Nama PTK kosong atau tanpa huruf vokal",
        text_en="The staff member's name is empty or has no vowel",
        todo_id="Isi nama tanpa gelar sesuai KTP.",
        todo_en="Enter the name without titles as on the identity card.",
        source="B",
        warning_id="Nama PTK tidak wajar (angka atau simbol)",
        warning_en="The staff member's name looks odd (digits or symbols)",
    ),
    Rule(
        code="GTK-02",
        severity=Severity.INVALID,
        tab=Tab.GTK,
        scope="record",
        condition="nik is empty, not 16 digits, one digit repeated, of an impossible day or month, or ends in 0000; "
        "a warning: its birth part differs from tanggal_lahir or jenis_kelamin",
        text_id="NIK PTK tidak valid",
        text_en="The staff member's NIK is not valid",
        todo_id="Isi NIK 16 digit sesuai KTP.",
        todo_en="Enter the 16-digit NIK as on the identity card.",
        source="S NOT NULL; O Dukcapil",
        warning_id="NIK PTK tidak sesuai tanggal lahir/jenis kelamin, periksa dengan KTP",
        warning_en="The staff member's NIK does not fit the birth date or sex; check it with the identity card",
    ),
    Rule(
        code="GTK-03",
        severity=Severity.INVALID,
        tab=Tab.GTK,
        scope="record",
        condition="PNS or CPNS and nip is empty or not 18 digits; a warning: its birth or sex part differs",
        text_id="PNS, NIP kosong atau tidak 18 digit",
        text_en="A civil servant (PNS) whose NIP is empty or not 18 digits",
        todo_id="Isi NIP 18 digit sesuai SK.",
        todo_en="Enter the 18-digit NIP as in the appointment letter (SK).",
        source="B; O: 18 digits; parts: common knowledge",
        warning_id="NIP tidak sesuai tanggal lahir/jenis kelamin, periksa dengan SK",
        warning_en="The NIP does not fit the birth date or sex; check it with the appointment letter (SK)",
    ),
    Rule(
        code="GTK-08",
        severity=Severity.WARNING,
        tab=Tab.GTK,
        scope="record",
        condition="age below 17 or above 70",
        text_id="Usia PTK tidak wajar ({usia} tahun)",
        text_en="The staff member's age is not plausible ({usia} years)",
        todo_id="Periksa tanggal lahir dengan KTP.",
        todo_en="Check the birth date with the identity card.",
        source="B; bounds P",
    ),
    Rule(
        code="GTK-09",
        severity=Severity.INVALID,
        tab=Tab.GTK,
        scope="school",
        condition="no ptk_terdaftar in the active school year, and has not left; a warning for a person nobody has "
        "confirmed yet, for central fills it",
        text_id="PTK belum memiliki penugasan tahun ajaran ini",
        text_en="The staff member has no assignment (penugasan) this school year",
        todo_id="Minta penugasan ke Dinas (KK-Datadik), lalu tarik data.",
        todo_en="Ask the Dinas (KK-Datadik) for the assignment, then pull the data.",
        source='O: "belum penugasan"',
    ),
    Rule(
        code="GTK-16",
        severity=Severity.INVALID,
        tab=Tab.GTK,
        scope="record",
        condition="nuptk is filled and not 16 digits",
        text_id="Format NUPTK tidak valid (harus 16 digit angka)",
        text_en="The NUPTK is not valid (it must be 16 digits)",
        todo_id="Ajukan perbaikan NUPTK di VervalPTK, lalu tarik data.",
        todo_en="Ask for the correction of the NUPTK in VervalPTK, then pull the data.",
        source="S",
    ),
    Rule(
        code="GTK-17",
        severity=Severity.WARNING,
        tab=Tab.GTK,
        scope="central",
        condition="the same nik on another member of staff of another school, whose assignments have not ended",
        text_id="NIK PTK dipakai oleh lebih dari satu orang (residu VervalPTK); juga di {sekolah}",
        text_en="The staff member's NIK is in use by more than one person (residu); also at {sekolah}",
        todo_id="Periksa NIK dengan KTP: bila salah, perbaiki lalu sinkronkan; bila benar, ajukan di VervalPTK. "
        "Setelah selesai, tarik data.",
        todo_en="Check the NIK with the identity card: if it is wrong, correct it and sync; if it is right, take it to "
        "VervalPTK. Pull the data once that is done.",
        source="P, as PD-08",
    ),
    Rule(
        code="GTK-18",
        severity=Severity.WARNING,
        tab=Tab.GTK,
        scope="central",
        condition="the same nuptk on another member of staff of another school, whose assignments have not ended",
        text_id="NUPTK dipakai oleh lebih dari satu orang (residu VervalPTK); juga di {sekolah}",
        text_en="The NUPTK is in use by more than one person (residu); also at {sekolah}",
        todo_id="Selesaikan NUPTK ganda di VervalPTK, lalu tarik data.",
        todo_en="Resolve the double NUPTK in VervalPTK, then pull the data.",
        source="P, as PD-08; O: a NUPTK is unique",
    ),
    Rule(
        code="RMB-01",
        severity=Severity.INVALID,
        tab=Tab.ROMBEL,
        scope="record",
        condition="ptk_id of a rombel of jenis_rombel 1 is empty",
        text_id="Rombel tanpa wali kelas",
        text_en="The class has no homeroom teacher (wali kelas)",
        todo_id="Pilih wali kelas di data rombongan belajar.",
        todo_en="Choose the homeroom teacher in the class's data.",
        source="B 4.1.0",
    ),
    Rule(
        code="RMB-02",
        severity=Severity.INVALID,
        tab=Tab.ROMBEL,
        scope="school",
        condition="ptk_id of a rombel of the active semester has no active assignment this school year; a warning for "
        "a person nobody has confirmed and who has never had one, for central fills it",
        text_id="Wali kelas nonaktif ({nama})",
        text_en="The homeroom teacher is not active ({nama})",
        todo_id="Pilih wali kelas yang bertugas, atau minta penugasannya ke Dinas (KK-Datadik), lalu tarik data.",
        todo_en="Choose a teacher on duty, or ask the Dinas (KK-Datadik) for the assignment, then pull the data.",
        source="O 2018.a",
    ),
    Rule(
        code="RMB-03",
        severity=Severity.INVALID,
        tab=Tab.ROMBEL,
        scope="school",
        condition="another rombel of the active semester has the same nama and jenis_rombel",
        text_id="Nama rombel ganda ({nama})",
        text_en="Two classes have the same name ({nama})",
        todo_id="Beri nama yang berbeda, atau hapus rombel yang terisi dua kali.",
        todo_en="Give it another name, or delete the class entered twice.",
        source="O 2018.a",
    ),
    Rule(
        code="RMB-04",
        severity=Severity.INVALID,
        tab=Tab.ROMBEL,
        scope="school",
        condition="a rombel of the active semester with no member",
        text_id="Rombel belum memiliki anggota",
        text_en="The class has no members yet",
        todo_id="Masukkan anggota rombel, atau hapus rombel yang tidak dipakai.",
        todo_en="Add the members, or delete the class that is not used.",
        source="P",
    ),
    Rule(
        code="RMB-05",
        severity=Severity.WARNING,
        tab=Tab.ROMBEL,
        scope="school",
        condition="more members than the default of the school's kind: SD 28, SMP 32, SMA/SMK 36. A warning until the "
        "school's own daya_tampung, which may say it is an error, is an entity here",
        text_id="Jumlah anggota rombel melebihi daya tampung ({jumlah} dari {batas})",
        text_en="More members than the class may have ({jumlah} of {batas})",
        todo_id="Pindahkan sebagian anggota ke rombel lain, atau ajukan daya tampung ke Dinas (KK-Datadik).",
        todo_en="Move some members to another class, or ask the Dinas (KK-Datadik) for more capacity.",
        source="O Permendikbudristek 47/2023; S; B: real schools have other limits",
    ),
    Rule(
        code="RMB-07",
        severity=Severity.INVALID,
        tab=Tab.ROMBEL,
        scope="record",
        condition="tingkat_pendidikan_id is not one of the school's kind: SD 1-6, SMP 7-9, SMA/SMK 10-13 (not ekskul)",
        text_id="Tingkat rombel salah (tingkat {tingkat} bukan tingkat {bentuk})",
        text_en="The grade is wrong ({tingkat} is no grade of {bentuk})",
        todo_id="Perbaiki tingkat di data rombongan belajar.",
        todo_en="Correct the grade in the class's data.",
        source="B; ranges O",
    ),
    Rule(
        code="PBL-01",
        severity=Severity.INVALID,
        tab=Tab.PEMBELAJARAN,
        scope="school",
        condition="a rombel of jenis_rombel 1 of the active semester without pembelajaran (not PAUD)",
        text_id="Pembelajaran rombel belum diisi",
        text_en="Nobody teaches this class yet (pembelajaran)",
        todo_id="Isi pembelajaran rombel: mata pelajaran, guru, jam dan SK mengajar.",
        todo_en="Fill in the class's teaching: subject, teacher, hours and SK.",
        source="P",
    ),
    Rule(
        code="PBL-04",
        severity=Severity.WARNING,
        tab=Tab.PEMBELAJARAN,
        scope="school",
        condition="more than 40 hours a week of one member of staff in the active semester",
        text_id="Jam mengajar guru melebihi kewajaran ({jam} jam per minggu)",
        text_en="The teacher has more hours than is plausible ({jam} a week)",
        todo_id="Periksa pembagian jam mengajar.",
        todo_en="Check how the teaching hours are shared out.",
        source="P",
    ),
    Rule(
        code="PBL-05",
        severity=Severity.INVALID,
        tab=Tab.PEMBELAJARAN,
        scope="school",
        condition="ptk_terdaftar_id of a pembelajaran of the active semester has a jenis_keluar_id or is of another "
        "school year",
        text_id="Guru pengampu tidak aktif di sekolah ini",
        text_en="The teacher is not active at this school",
        todo_id="Pilih guru yang bertugas tahun ajaran ini.",
        todo_en="Choose a teacher with an assignment this school year.",
        source="P",
    ),
    Rule(
        code="PBL-06",
        severity=Severity.INVALID,
        tab=Tab.PEMBELAJARAN,
        scope="record",
        condition="sk_mengajar or tanggal_sk_mengajar is empty",
        text_id="SK mengajar belum diisi ({label})",
        text_en="The teaching order (SK mengajar) is missing ({label})",
        todo_id="Isi nomor dan tanggal SK mengajar semester ini.",
        todo_en="Enter number and date of this semester's SK mengajar.",
        source="S NOT NULL",
    ),
    Rule(
        code="WAJIB-01",
        severity=Severity.INVALID,
        tab=None,
        scope="record",
        condition="a required field is empty and no other rule speaks of it; a warning where central fills it",
        text_id="{label} belum diisi",
        text_en="A required field is empty: {label}",
        todo_id="Isi {label}.",
        todo_en="Fill in {label}.",
        source="docs/entities.md",
    ),
    Rule(
        code="FORMAT-01",
        severity=Severity.INVALID,
        tab=None,
        scope="record",
        condition="a value does not meet the declared format, and no other rule speaks of the field",
        text_id="{label} tidak sesuai format ({expected})",
        text_en="{label} does not have the right form ({expected})",
        todo_id="Perbaiki {label}: {expected}.",
        todo_en="Correct {label}: {expected}.",
        source="docs/entities.md",
    ),
    Rule(
        code="REF-01",
        severity=Severity.INVALID,
        tab=None,
        scope="school",
        condition="a field refers to a record that is not there or was deleted, and no other rule speaks of the field",
        text_id="{label} menunjuk data {target} yang tidak ada atau sudah dihapus",
        text_en="{label} refers to a {target} that is not there or was deleted",
        todo_id="Pilih {label} yang masih ada, atau hapus data ini bila tidak dipakai lagi.",
        todo_en="Choose a {label} that is there, or delete this record if it is no longer used.",
        source="P",
    ),
)

CATALOGUE: Mapping[str, Rule] = MappingProxyType({rule.code: rule for rule in _RULES})
"""Every rule by its code, in the order of the tabs."""

CONFLICT = Rule(
    code="KONFLIK-01",
    severity=Severity.INVALID,
    tab=None,
    scope="record",
    condition="school and central both changed the field since they last agreed",
    text_id="{label}: sekolah dan pusat berbeda (di pusat: {theirs})",
    text_en="{label}: school and central disagree (at central: {theirs})",
    todo_id="Putuskan dengan: {command}, atau ketik nilai yang benar; lalu sinkronkan lagi.",
    todo_en="Decide with: {command}, or type the right value; then sync again.",
    source="P",
)

DELETED_CONFLICT = Rule(
    code="KONFLIK-02",
    severity=Severity.INVALID,
    tab=None,
    scope="record",
    condition="one side deleted the record and the other changed it since they last agreed",
    text_id="{label}: dihapus di satu sisi, diubah di sisi lain ({theirs})",
    text_en="{label}: deleted on one side, changed on the other ({theirs})",
    todo_id="Putuskan dengan: {command}; lalu sinkronkan lagi.",
    todo_en="Decide with: {command}; then sync again.",
    source="P",
)

REFUSED = Rule(
    code="TOLAK-01",
    severity=Severity.WARNING,
    tab=None,
    scope="record",
    condition="central refused the record when it was last sent; gone with central's next verdict",
    text_id="Ditolak pusat, {central_code}: {central_id}",
    text_en="Refused by central, {central_code}: {central_en}",
    todo_id="{central_next_id}. Dikirim sekali lagi pada setiap sinkronisasi.",
    todo_en="{central_next_en}. It is sent once more with every sync.",
    source="P",
)

OF_THE_EXCHANGE = (CONFLICT, DELETED_CONFLICT, REFUSED)
"""What no rule finds, but the exchange: it stands among the findings, so that an operator has one list."""

EXPLAINED: Mapping[str, Rule] = MappingProxyType({**CATALOGUE, **{r.code: r for r in OF_THE_EXCHANGE}})
"""Every code that a finding may have: also of conflicts, which only the replica sees, for it holds both sides."""
