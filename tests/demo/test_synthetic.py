"""The synthetic school: the same for the same seed, right in itself, and nobody in it can be real."""

from __future__ import annotations

import json
import re
import uuid
from datetime import date

import pytest

from services.demo import jsonl, synthetic_school
from services.entities import CONFIRMED, ENTITIES, SPECS, Fields, misfit, natural_key
from services.rules import Severity, active_semester, school_findings

TODAY = date(2025, 10, 6)
NPSN = "69900001"
SIZES = [(336, 12, 15), (24, 2, 3), (1, 1, 1), (91, 6, 8)]


def made(
    seed: int = 1, npsn: str = NPSN, today: date = TODAY, size: tuple[int, int, int] = SIZES[1]
) -> dict[str, dict[str, Fields]]:
    pupils, classes, teachers = size
    return synthetic_school(seed, npsn=npsn, today=today, pupils=pupils, classes=classes, teachers=teachers)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("today", [TODAY, date(2026, 1, 1), date(2026, 6, 30), date(2026, 7, 1), date(2028, 2, 29)])
def test_the_rules_find_nothing_but_students_without_nisn(size: tuple[int, int, int], today: date) -> None:
    found = school_findings(made(today=today, size=size), NPSN, today)
    assert {(finding.rule, finding.severity) for finding in found} <= {("PD-11", Severity.WARNING)}


def test_every_seed_gives_a_school_without_invalid_findings() -> None:
    for seed in range(20):
        found = school_findings(made(seed), NPSN, TODAY)
        assert not [finding for finding in found if finding.severity is Severity.INVALID]


def test_the_big_school_has_the_size_of_the_demo() -> None:
    school = made(size=SIZES[0])
    assert {entity: len(records) for entity, records in school.items()} == {
        "sekolah": 1,
        "peserta_didik": 336,
        "registrasi_peserta_didik": 336,
        "ptk": 15,
        "ptk_terdaftar": 15,
        "rombongan_belajar": 12,
        "anggota_rombel": 336,
        "pembelajaran": 36,
        "residu": 0,
    }
    grades = [fields["tingkat_pendidikan_id"] for fields in school["rombongan_belajar"].values()]
    assert grades == [1, 1, 2, 2, 3, 3, 4, 4, 5, 5, 6, 6]
    assert len({fields["nama"] for fields in school["rombongan_belajar"].values()}) == 12


def test_the_same_seed_gives_the_same_school_and_another_seed_or_npsn_another() -> None:
    assert list(jsonl(made())) == list(jsonl(made()))
    assert not set(made()["peserta_didik"]) & set(made(seed=2)["peserta_didik"])
    assert not set(made()["peserta_didik"]) & set(made(npsn="69900002")["peserta_didik"])


def test_two_schools_share_no_number_of_a_person() -> None:
    one, other = made(size=SIZES[0]), made(npsn="69900002", size=SIZES[0])
    for entity, name in (("peserta_didik", "nik"), ("peserta_didik", "nisn"), ("ptk", "nik"), ("ptk", "nuptk")):
        numbers = [fields[name] for school in (one, other) for fields in school[entity].values() if name in fields]
        assert len(set(numbers)) == len(numbers)


def test_nobody_can_be_a_real_person() -> None:
    school = made(size=SIZES[0])
    for fields in [*school["peserta_didik"].values(), *school["ptk"].values()]:
        assert fields["nik"].startswith("99")
        assert fields.get("no_kk", "99").startswith("99")
        assert fields.get("nisn", "900").startswith("900")
        assert fields.get("nuptk", "99").startswith("99")
        assert fields.get("nip", "000").endswith("000")
        assert fields.get("no_hp", "0000").startswith("0000")
        assert fields.get("email", "@example.com").endswith("@example.com")
        assert fields[CONFIRMED] is True


def test_every_record_fits_its_model_and_every_reference_is_there() -> None:
    school = made(size=SIZES[0])
    for model in ENTITIES:
        spec = SPECS[model.entity]
        for fields in school[model.entity].values():
            model(**fields)
            assert all(misfit(spec.fields[name], value) is None for name, value in fields.items())
            for field in spec.fields.values():
                if field.references and field.name in fields:
                    assert fields[field.name] in school[field.references]


def test_record_ids_have_the_form_of_uuid_version_7_and_the_school_its_natural_key() -> None:
    school = made()
    assert list(school.pop("sekolah")) == [natural_key("sekolah", NPSN)]
    ids = [record_id for records in school.values() for record_id in records]
    assert len(set(ids)) == len(ids)
    for record_id in ids:
        assert re.fullmatch(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", record_id)
        assert uuid.UUID(record_id).version == 7


def test_a_class_has_its_teacher_24_hours_and_religion_and_sport_4_each() -> None:
    school = made(size=SIZES[0])
    for class_id, group in school["rombongan_belajar"].items():
        assert group["semester_id"] == active_semester(TODAY)
        lessons = [lesson for lesson in school["pembelajaran"].values() if lesson["rombongan_belajar_id"] == class_id]
        assert [lesson["jam_mengajar_per_minggu"] for lesson in lessons] == [24, 4, 4]
        homeroom = school["ptk_terdaftar"][lessons[0]["ptk_terdaftar_id"]]
        assert homeroom["ptk_id"] == group["ptk_id"]


def test_the_baseline_file_has_a_line_for_each_record_parents_first() -> None:
    school = made()
    lines = [json.loads(line) for line in jsonl(school)]
    assert len(lines) == sum(map(len, school.values()))
    orders = [SPECS[line["entity"]].order for line in lines]
    assert orders == sorted(orders)
    assert all(school[line["entity"]][line["record_id"]] == line["fields"] for line in lines)
    assert all("\n" not in line for line in jsonl(school))


@pytest.mark.parametrize("size", [(0, 1, 1), (5, 6, 1), (5, 1, 0), (9999, 1, 1)])
def test_a_school_that_cannot_be_is_refused(size: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="a school has"):
        made(size=size)
