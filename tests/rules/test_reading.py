"""How texts are read, and what the reference data says."""

from __future__ import annotations

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.rules import active_semester, reading, school_year
from services.rules.reference import bentuk


@pytest.mark.parametrize(
    ("today", "semester"),
    [
        (date(2025, 7, 1), "20251"),
        (date(2025, 12, 31), "20251"),
        (date(2026, 1, 1), "20252"),
        (date(2026, 6, 30), "20252"),
        (date(2026, 7, 1), "20261"),
    ],
)
def test_the_semester_changes_in_july_and_in_january(today: date, semester: str) -> None:
    assert active_semester(today) == semester
    assert school_year(semester) == int(semester[:4])


@pytest.mark.parametrize(
    "text", ["2019-2-3", "20190203", "2019-W05-1", "2019-02-29", "２０１９-02-03", "2019-02-03\n", ""]
)
def test_a_date_that_is_not_written_as_one_is_none(text: str) -> None:
    assert reading.parse_date(text) is None


@pytest.mark.parametrize(
    "text", ["NaN", "inf", "1_0", "1e3", "1,5", " 1", "1.", "٣", "1\n", "1234567", "0.1234567890123"]
)
def test_a_decimal_is_digits_and_a_point(text: str) -> None:
    assert reading.parse_decimal(text) is None


@pytest.mark.parametrize(("text", "value"), [("-7.25", -7.25), ("112.750000", 112.75), ("0", 0.0), ("-0.0", 0.0)])
def test_a_decimal_is_read(text: str, value: float) -> None:
    assert reading.parse_decimal(text) == value


def test_age_counts_completed_months() -> None:
    assert reading.months_between(date(2019, 3, 31), date(2019, 4, 30)) == 0
    assert reading.months_between(date(2019, 3, 30), date(2019, 4, 30)) == 1
    assert reading.months_between(date(2019, 3, 2), date(2025, 3, 2)) == 72


@given(st.dates(date(1950, 1, 1), date(2049, 12, 31)), st.sampled_from("LP"))
def test_a_nik_made_of_birth_date_and_sex_fits_them_and_no_other_sex(born: date, sex: str) -> None:
    nik = f"990001{born.day + 40 * (sex == 'P'):02}{born:%m%y}0001"
    assert reading.is_possible_nik(nik)
    assert reading.nik_fits(nik, born, sex)
    assert reading.nik_fits(nik, None, "")
    assert not reading.nik_fits(nik, born, "P" if sex == "L" else "L")


def test_an_unknown_kind_of_school_has_no_limits() -> None:
    for kind in (bentuk(None), bentuk(9999)):
        assert (kind.grades, kind.class_size, kind.ages_in_months) == (None, None, None)
