"""The declarations of the data model: complete, consistent, and what the exchange stands on."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from services.entities import (
    CONFIRMED,
    ENTITIES,
    SPECS,
    EntitySpec,
    FieldSpec,
    Owner,
    PesertaDidik,
    misfit,
    natural_key,
)
from services.entities import channels as known_channels
from services.entities.patterns import describe
from tests import builders

ALL_FIELDS = [(spec, field) for spec in SPECS.values() for field in spec.fields.values()]
field_of = pytest.mark.parametrize(("spec", "field"), ALL_FIELDS, ids=[f"{s.name}.{f.name}" for s, f in ALL_FIELDS])
entity = pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)


def test_the_nine_entities_come_with_parents_first() -> None:
    assert list(SPECS) == [
        "sekolah",
        "peserta_didik",
        "registrasi_peserta_didik",
        "ptk",
        "ptk_terdaftar",
        "rombongan_belajar",
        "anggota_rombel",
        "pembelajaran",
        "residu",
    ]
    orders = [spec.order for spec in SPECS.values()]
    assert orders == sorted(set(orders))


@field_of
def test_a_field_refers_to_an_entity_that_comes_before_or_is_its_own(spec: EntitySpec, field: FieldSpec) -> None:
    if field.references is not None:
        assert field.references in SPECS
        assert SPECS[field.references].order <= spec.order
        assert field.type is str
        assert field.format == "uuid"


@field_of
def test_a_field_says_what_an_operator_needs_to_know(spec: EntitySpec, field: FieldSpec) -> None:
    assert field.label
    assert field.source
    assert describe(field, "id")
    assert describe(field, "en")


@field_of
def test_a_text_has_a_length_and_a_form_fits_its_type(spec: EntitySpec, field: FieldSpec) -> None:
    assert (field.max_length is not None) == (field.type is str)
    if field.pattern or field.format:
        assert field.type is str
    if field.minimum is not None or field.maximum is not None:
        assert field.type is int


@field_of
def test_who_may_not_change_a_field_is_told_who_may(spec: EntitySpec, field: FieldSpec) -> None:
    known = {value for name, value in vars(known_channels).items() if name.isupper()}
    assert spec.channel_of(field.name) in known


@field_of
def test_names_are_those_the_canonical_form_allows(spec: EntitySpec, field: FieldSpec) -> None:
    assert field.name.isascii()
    assert field.name.replace("_", "a").isalnum()
    assert field.name == field.name.lower()


@entity
def test_the_key_and_the_bookkeeping_are_no_fields(spec: EntitySpec) -> None:
    keys = {f"{spec.name}_id", "npsn", "sekolah_id", "registrasi_id", "kode_registrasi", "soft_delete", "last_update"}
    assert not keys & set(spec.fields)


@entity
def test_a_person_has_the_mark_that_an_officer_has_confirmed_them(spec: EntitySpec) -> None:
    assert spec.person == (CONFIRMED in spec.fields)
    if spec.person:
        assert spec.is_central(CONFIRMED, None)
        assert misfit(spec.fields[CONFIRMED], "ya") is not None


@entity
def test_only_a_person_has_fields_that_are_the_schools_once(spec: EntitySpec) -> None:
    assert spec.person == any(field.owner is Owner.ONCE for field in spec.fields.values())


def test_identity_is_the_schools_until_an_officer_has_confirmed_it() -> None:
    for name in ("nama", "jenis_kelamin", "nik", "tempat_lahir", "tanggal_lahir", "nama_ibu_kandung"):
        for person in ("peserta_didik", "ptk"):
            assert not SPECS[person].is_central(name, {"nama": "Budi"})
            assert SPECS[person].is_central(name, {CONFIRMED: True})


def test_numbers_given_from_above_are_central_and_so_is_every_assignment() -> None:
    assert SPECS["peserta_didik"].is_central("nisn", {})
    assert SPECS["ptk"].is_central("nuptk", {})
    assert SPECS["ptk"].channel_of("status_kepegawaian_id") == known_channels.DINAS
    assert SPECS["ptk_terdaftar"].central
    assert all(SPECS["ptk_terdaftar"].is_central(name, {}) for name in SPECS["ptk_terdaftar"].fields)


def test_the_school_is_never_deleted_and_its_position_changes_only_in_vervalsp() -> None:
    school = SPECS["sekolah"]
    assert not school.deletable
    assert school.is_central("lintang", {})
    assert school.channel_of("lintang") == known_channels.VERVAL_SP
    assert not school.is_central("no_rekening", {})


def test_a_field_that_this_release_does_not_know_is_centrals() -> None:
    assert all(spec.is_central("medan_baru", {}) and spec.channel_of("medan_baru") for spec in SPECS.values())


def test_the_schools_record_id_is_its_natural_key() -> None:
    assert natural_key("sekolah", builders.NPSN) == builders.SEKOLAH
    assert natural_key("sekolah", builders.NPSN) != natural_key("sekolah", "69900002")


@pytest.mark.parametrize(
    ("name", "value", "reason"),
    [
        ("nama", 12, "type"),
        ("agama_id", "1", "type"),
        ("agama_id", True, "type"),
        ("agama_id", 1.0, "type"),
        ("agama_id", 2**53, "type"),
        (CONFIRMED, 1, "type"),
        ("nama", "a" * 101, "length"),
        ("nik", "9" * 17, "length"),
        ("nama", "Bu\x00di", "character"),
        ("nama", "Bu\ud800di", "character"),
    ],
)
def test_what_the_column_cannot_hold_is_a_misfit(name: str, value: object, reason: str) -> None:
    found = misfit(SPECS["peserta_didik"].fields[name], value)
    assert found is not None
    assert found.reason == reason


@pytest.mark.parametrize(
    ("name", "value"),
    [("nama", None), ("nama", ""), ("nama", "\t"), ("nik", "abc"), ("tanggal_lahir", "besok"), ("agama_id", -1)],
)
def test_what_is_only_odd_is_no_misfit(name: str, value: object) -> None:
    assert misfit(SPECS["peserta_didik"].fields[name], value) is None


def test_the_models_take_the_builders_records_and_nothing_unknown() -> None:
    school = builders.a_school()
    for model in ENTITIES:
        for fields in school[model.entity].values():
            assert model(**fields).model_dump(exclude_none=True) == fields
    with pytest.raises(ValidationError):
        PesertaDidik(hobi="menari")  # type: ignore[call-arg]
