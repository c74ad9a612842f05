"""What a finding says: the words of the catalogue, and whose turn it is."""

from __future__ import annotations

import string
from dataclasses import fields

import pytest

from services.entities import Tab
from services.entities.channels import DINAS, VERVAL_PD, VERVAL_SP
from services.rules import CATALOGUE, Context, Finding, Rule, Severity, record_findings
from tests.builders import NPSN, STUDENT, TEACHER, TODAY, a_new_student, a_new_teacher, a_sekolah, a_student, a_teacher

SD = Context(NPSN, TODAY, 5)
each_rule = pytest.mark.parametrize("rule", CATALOGUE.values(), ids=CATALOGUE)


def one(entity: str, record: dict[str, object], code: str) -> Finding:
    (finding,) = [found for found in record_findings(entity, STUDENT, record, SD) if found.rule == code]
    return finding


@each_rule
def test_a_rule_is_told_in_both_languages_with_what_to_do(rule: Rule) -> None:
    for part in fields(Rule):
        if part.name not in ("tab", "warning_id", "warning_en"):
            assert getattr(rule, part.name)
    assert (rule.warning_id is None) == (rule.warning_en is None)
    assert len({rule.text_id, rule.text_en, rule.todo_id, rule.todo_en}) == 4


@each_rule
def test_both_languages_of_a_rule_tell_the_same_details(rule: Rule) -> None:
    def details(text: str | None) -> set[str | None]:
        return {name for _, name, _, _ in string.Formatter().parse(text or "") if name}

    assert details(rule.text_id) == details(rule.text_en)
    assert details(rule.todo_id) == details(rule.todo_en)
    assert details(rule.warning_id) == details(rule.warning_en)


def test_the_schools_own_gap_is_the_schools_to_fill() -> None:
    finding = one("peserta_didik", a_new_student(nama=None), "PD-01")
    assert finding.severity is Severity.INVALID
    assert finding.params == {}
    assert "pusat" not in finding.text("id")


def test_the_same_gap_in_a_confirmed_identity_waits_for_central() -> None:
    finding = one("peserta_didik", a_student(nama=None), "PD-01")
    assert finding.severity is Severity.WARNING
    assert finding.text("id").endswith("(menunggu pusat)")
    assert finding.text("en").endswith("(waiting for central)")
    assert VERVAL_PD in finding.todo("id")
    assert VERVAL_PD in finding.todo("en")


def test_what_is_wrong_in_a_confirmed_identity_stays_invalid_and_names_the_channel() -> None:
    finding = one("peserta_didik", a_student(nik="1"), "PD-05")
    assert finding.severity is Severity.INVALID
    assert VERVAL_PD in finding.todo("id")
    assert VERVAL_PD not in one("peserta_didik", a_new_student(nik="1"), "PD-05").todo("id")


def test_a_channel_that_the_rule_names_is_not_named_twice() -> None:
    assert one("peserta_didik", a_student(nisn="1"), "PD-09").todo("id").count(VERVAL_PD) == 1
    assert one("sekolah", a_sekolah(lintang="50"), "SKL-01").todo("en").count(VERVAL_SP) == 1


def test_the_dinas_is_named_for_what_only_the_dinas_may_fill() -> None:
    findings = record_findings("ptk", TEACHER, a_new_teacher(), SD)
    assert {(found.field, found.severity) for found in findings} == {
        ("jenis_ptk_id", Severity.WARNING),
        ("status_kepegawaian_id", Severity.WARNING),
    }
    assert all(DINAS in found.todo("id") for found in findings)


def test_a_rule_that_only_warns_says_something_else() -> None:
    invalid, warning = (one("ptk", a_teacher(nik=nik), "GTK-02") for nik in ("1", "9900011506850001"))
    assert invalid.text("id") == CATALOGUE["GTK-02"].text_id
    assert warning.text("id") == CATALOGUE["GTK-02"].warning_id
    assert warning.text("en") == CATALOGUE["GTK-02"].warning_en


def test_a_format_is_told_in_words_and_not_as_a_pattern() -> None:
    finding = one("peserta_didik", a_student(kode_wilayah="99"), "FORMAT-01")
    assert finding.text("id") == "Kode wilayah tidak sesuai format (kode wilayah 6 atau 8 digit)"
    assert "[0-9]" not in finding.text("en") + finding.todo("id")


def test_the_generic_rules_are_found_on_the_tab_of_their_record() -> None:
    assert one("peserta_didik", a_student(agama_id=None), "WAJIB-01").tab is Tab.PESERTA_DIDIK
    assert one("ptk", a_teacher(email="x"), "FORMAT-01").tab is Tab.GTK
    assert one("ptk", a_teacher(nama="Dr1"), "GTK-01").tab is Tab.GTK


def test_a_rule_of_a_newer_central_is_named_though_its_words_are_not_known() -> None:
    finding = Finding("PD-99", Severity.INVALID, "peserta_didik", STUDENT, "nama", {"channel": VERVAL_PD})
    assert finding.text("id") == "Aturan PD-99: Nama peserta didik"
    assert VERVAL_PD in finding.todo("en")
    assert finding.tab is Tab.PESERTA_DIDIK
    stranger = Finding("X-1", Severity.WARNING, "jadwal", STUDENT, "hari")
    assert stranger.text("en") == "Rule X-1: hari"
    assert stranger.todo("id") == ""
    assert stranger.tab is None


def test_a_detail_that_a_stored_finding_lacks_is_a_gap_in_the_text() -> None:
    assert Finding("PD-07", Severity.INVALID, "peserta_didik", STUDENT, "nik").text("id") == "NIK ganda dengan …"


def test_braces_in_a_name_are_just_text() -> None:
    finding = Finding("PD-07", Severity.INVALID, "peserta_didik", STUDENT, "nik", {"nama": "{label} %s {0}"})
    assert finding.text("id") == "NIK ganda dengan {label} %s {0}"


def test_no_finding_holds_a_nik_or_a_nisn() -> None:
    twice = record_findings("peserta_didik", STUDENT, a_student(nik="9912345678901234", nisn="12345", no_kk="1"), SD)
    assert len(twice) >= 3
    assert not any(value.isdigit() for finding in twice for value in finding.params.values())
