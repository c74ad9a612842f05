"""How a field's text is read: names, dates, numbers and the numbers that carry a birth date. Odd text reads as nothing.

Nothing here raises, whatever the text. Digits are ASCII digits.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import date
from functools import lru_cache
from typing import Any

_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_DATE_LENGTH = 10
_DECIMAL = re.compile(r"-?[0-9]{1,6}(\.[0-9]{1,12})?")
_NIK = re.compile(
    r"(?!([0-9])\1{15})[0-9]{6}"
    r"(0[1-9]|[12][0-9]|3[01]|4[1-9]|[56][0-9]|7[01])(0[1-9]|1[0-2])[0-9]{2}"
    r"(?!0000)[0-9]{4}"
)
_NISN = re.compile(r"[0-9]{10}")
_NUPTK = re.compile(r"[0-9]{16}")
_NIP = re.compile(r"[0-9]{18}")
_VOWEL = re.compile(r"[aeiou]", re.IGNORECASE)
_CONTROL = re.compile("[\t\n\r\v\f\x85\u2028\u2029]")
_ODD_IN_NAME = re.compile(r"[^\w\s'.,-]|[\d_]")


def is_empty(value: Any) -> bool:
    """Is the field not filled in? Text of nothing but blanks is not."""
    return value is None or (isinstance(value, str) and not value.strip())


def parse_date(text: str) -> date | None:
    """YYYY-MM-DD, if there is such a day."""
    return _day(text) if len(text) == _DATE_LENGTH else None


@lru_cache(maxsize=16_384)
def _day(text: str) -> date | None:
    """Remembered: several rules read the same date, and people share them."""
    if _DATE.fullmatch(text) is None:
        return None
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


def parse_decimal(text: str) -> float | None:
    """numeric(18,12) as text. The float is for comparing only."""
    return float(text) if _DECIMAL.fullmatch(text) else None


def months_between(born: date, today: date) -> int:
    """Completed months of age."""
    return (today.year - born.year) * 12 + today.month - born.month - (today.day < born.day)


def has_vowel(name: str) -> bool:
    """B (4.1.0): a name has a vowel. An accented one counts."""
    return bool(_VOWEL.search(name) or _VOWEL.search(unicodedata.normalize("NFD", name)))


def has_control(name: str) -> bool:
    """A tab or a line break (O 2022.a)."""
    return _CONTROL.search(name) is not None


def is_odd_name(name: str) -> bool:
    """Digits, or symbols other than ' . , - (O 2018.a). Blanks of any kind are not symbols."""
    only_letters = name.replace(" ", "").isalpha()  # nearly always
    return not only_letters and _ODD_IN_NAME.search(name) is not None


def is_possible_nik(nik: str) -> bool:
    """O (Dukcapil): 16 digits, not one digit repeated, day 01-31 or 41-71, month 01-12, not ending in 0000."""
    return _NIK.fullmatch(nik) is not None


def nik_fits(nik: str, born: date | None, sex: str) -> bool:
    """Does a possible NIK agree with birth date and sex (women: day + 40), as far as they are known?"""
    day = int(nik[6:8])
    female = day > 40
    if sex in ("L", "P") and female is not (sex == "P"):
        return False
    written = (day - 40 * female, int(nik[8:10]), int(nik[10:12]))
    return born is None or written == (born.day, born.month, born.year % 100)


def is_nisn(nisn: str) -> bool:
    """O: ten digits. That the first three are those of the birth year is a common reading only."""
    return _NISN.fullmatch(nisn) is not None


def is_nuptk(nuptk: str) -> bool:
    """O/S: 16 digits. There is no public check digit."""
    return _NUPTK.fullmatch(nuptk) is not None


def is_nip(nip: str) -> bool:
    """O: 18 digits."""
    return _NIP.fullmatch(nip) is not None


def nip_fits(nip: str, born: date | None, sex: str) -> bool:
    """Does an 18-digit NIP (birth YYYYMMDD, TMT CPNS YYYYMM, sex 1 or 2, number) agree with birth date and sex?"""
    if sex in ("L", "P") and nip[14] != ("1" if sex == "L" else "2"):
        return False
    return born is None or nip[:8] == born.isoformat().replace("-", "")
