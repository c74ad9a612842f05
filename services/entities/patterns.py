"""The forms that text fields are held to, each with the words an operator reads when a value does not meet it.

A pattern is matched against the whole text, with ASCII digits only. What does not meet it is stored and is a finding.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from services.entities.schema import FieldSpec

Language = Literal["id", "en"]

SEX = "[LP]"
COUNTRY = "[A-Z]{2}"
SIXTEEN_DIGITS = "[0-9]{16}"  # NIK, NUPTK, nomor KK (O)
NISN = "[0-9]{10}"  # O
FIFTEEN_DIGITS = "[0-9]{15}"  # NPWP
POSTAL_CODE = "[0-9]{5}"
BANK_CODE = "[0-9]{3}"
KIP = "[0-9A-Za-z]{6}"  # O: the code on the back of the card
EXIT = "[1-9Z]"  # B: jenis_keluar, 1 Lulus to 9 Pensiun, Z Lainnya
SEMESTER = "20[0-9]{2}[12]"  # O/S: 20251 is ganjil 2025/2026
REGION = "(0[1-9]|[12][0-9]|3[0-9])[0-9]{4}([0-9]{2}| {2})?"
"""Dapodik's own numbering (S/M): provinces 01 to 39; 6 digits (padded or not) to the kecamatan, 8 to the desa."""

_PATTERN_WORDS: Mapping[str, tuple[str, str]] = {
    SEX: ("L atau P", "L or P"),
    COUNTRY: ("dua huruf besar, misalnya ID", "two capital letters, such as ID"),
    SIXTEEN_DIGITS: ("16 digit angka", "16 digits"),
    NISN: ("10 digit angka", "10 digits"),
    FIFTEEN_DIGITS: ("15 digit angka", "15 digits"),
    POSTAL_CODE: ("5 digit angka", "5 digits"),
    BANK_CODE: ("3 digit angka", "3 digits"),
    KIP: ("6 karakter di belakang kartu", "the 6 characters on the back of the card"),
    EXIT: ("1 sampai 9, atau Z", "1 to 9, or Z"),
    SEMESTER: ("tahun dan 1 (ganjil) atau 2 (genap), misalnya 20251", "the year and 1 or 2, such as 20251"),
    REGION: ("kode wilayah 6 atau 8 digit", "a region code of 6 or 8 digits"),
}

_FORMAT_WORDS: Mapping[str, tuple[str, str]] = {
    "date": ("tanggal yang ada, TTTT-BB-HH", "a date that exists, YYYY-MM-DD"),
    "uuid": ("UUID huruf kecil", "a lower-case UUID"),
    "digits": ("angka saja", "digits only"),
    "decimal": ("angka desimal dengan titik, misalnya -6.2", "a decimal number with a point, such as -6.2"),
    "email": ("alamat surel", "an e-mail address"),
}

_TYPE_WORDS: Mapping[type, tuple[str, str]] = {
    str: ("teks", "text"),
    int: ("bilangan bulat", "a whole number"),
    bool: ("ya atau tidak", "true or false"),
}


def describe(spec: FieldSpec, language: Language) -> str:
    """What the field expects, in an operator's words."""
    if spec.pattern is not None and spec.pattern in _PATTERN_WORDS:
        words = _PATTERN_WORDS[spec.pattern]
    elif spec.format is not None:
        words = _FORMAT_WORDS[spec.format]
    elif spec.minimum is not None and spec.maximum is not None:
        words = (f"{spec.minimum} sampai {spec.maximum}", f"{spec.minimum} to {spec.maximum}")
    elif spec.minimum is not None:
        words = (f"paling kecil {spec.minimum}", f"at least {spec.minimum}")
    else:
        words = _TYPE_WORDS[spec.type]
    return words[0] if language == "id" else words[1]
