"""Reference data that ships with the rule set and shares its version; nothing here differs per school.

What differs per school (daya_tampung, periods) will be entities of central's; until then: the active semester comes
from the date, and the capacity of a class is the default of the school's kind.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

REGULAR_CLASS = 1
EXTRACURRICULAR = 51
"""jenis_rombel of a class and of ekskul (B)."""

INDONESIAN = "ID"
CIVIL_SERVANTS = frozenset({1, 2, 3, 10})
"""status_kepegawaian_id of PNS, PNS diperbantukan, PNS Depag and CPNS (B). PPPK is not among them."""

RELIGIONS = frozenset({1, 2, 3, 4, 5, 6, 7, 99})
"""agama_id in use (B): Islam, Kristen, Katolik, Hindu, Buddha, Khonghucu, kepercayaan, lainnya."""

WEEKLY_HOURS_LIMIT = 40  # P (PBL-04)
STAFF_AGE = (17, 70)  # P (GTK-08)

LATITUDES = (-11.2, 6.3)
LONGITUDES = (94.7, 141.3)
"""The box around Indonesia (P)."""


@dataclass(frozen=True, slots=True)
class Bentuk:
    """A kind of school: its grades, the most members of a class, and the age window of BOSP in months."""

    name: str
    grades: range | None = None
    class_size: int | None = None
    ages_in_months: tuple[int, int] | None = None
    timetabled: bool = True


BENTUK: Mapping[int, Bentuk] = {
    1: Bentuk("TK", timetabled=False),
    2: Bentuk("KB", timetabled=False),
    3: Bentuk("TPA", timetabled=False),
    4: Bentuk("SPS", timetabled=False),
    5: Bentuk("SD", grades=range(1, 7), class_size=28, ages_in_months=(66, 16 * 12)),
    6: Bentuk("SMP", grades=range(7, 10), class_size=32, ages_in_months=(11 * 12, 19 * 12)),
    13: Bentuk("SMA", grades=range(10, 14), class_size=36, ages_in_months=(14 * 12, 22 * 12)),
    15: Bentuk("SMK", grades=range(10, 14), class_size=36, ages_in_months=(14 * 12, 22 * 12)),
}
"""By bentuk_pendidikan_id (B); grades and class sizes O. PAUD's class size goes by age; its grade codes, and the codes
of SLB, PKBM and SKB, are not known. Rules that need what is not here stay silent."""

UNKNOWN_BENTUK = Bentuk("?")


def bentuk(bentuk_pendidikan_id: int | None) -> Bentuk:
    """What is known of a kind of school; nothing, if the code is not known."""
    return UNKNOWN_BENTUK if bentuk_pendidikan_id is None else BENTUK.get(bentuk_pendidikan_id, UNKNOWN_BENTUK)


def active_semester(today: date) -> str:
    """July to December is the odd semester of the year that began, January to June the even one (O/S: 20251)."""
    return f"{today.year}1" if today.month >= 7 else f"{today.year - 1}2"


def school_year(semester_id: str) -> int:
    """tahun_ajaran_id of a semester: its first four digits (O/S)."""
    return int(semester_id[:4])
