"""The Dapodik data model: one file per entity, each field with type, owner, source; `SPECS` holds them, parents first.

A field is declared once, here; what the validator refuses, what central keeps, what the rules expect and what the
documentation says are all read from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from services.entities.anggota_rombel import AnggotaRombel
from services.entities.pembelajaran import Pembelajaran
from services.entities.peserta_didik import PesertaDidik
from services.entities.ptk import Ptk
from services.entities.ptk_terdaftar import PtkTerdaftar
from services.entities.registrasi_peserta_didik import RegistrasiPesertaDidik
from services.entities.residu import Residu
from services.entities.rombongan_belajar import RombonganBelajar
from services.entities.schema import (
    CONFIRMED,
    INTEGER_LIMIT,
    NAMESPACE,
    Entity,
    EntitySpec,
    Fields,
    FieldSpec,
    Format,
    Misfit,
    Owner,
    Tab,
    field,
    misfit,
    natural_key,
)
from services.entities.sekolah import Sekolah

ENTITIES: tuple[type[Entity], ...] = (
    Sekolah,
    PesertaDidik,
    RegistrasiPesertaDidik,
    Ptk,
    PtkTerdaftar,
    RombonganBelajar,
    AnggotaRombel,
    Pembelajaran,
    Residu,
)

SPECS: Mapping[str, EntitySpec] = MappingProxyType({model.entity: model.spec() for model in ENTITIES})
"""Every entity this release knows, parents before what refers to them."""

__all__ = [
    "CONFIRMED",
    "ENTITIES",
    "INTEGER_LIMIT",
    "NAMESPACE",
    "SPECS",
    "AnggotaRombel",
    "Entity",
    "EntitySpec",
    "FieldSpec",
    "Fields",
    "Format",
    "Misfit",
    "Owner",
    "Pembelajaran",
    "PesertaDidik",
    "Ptk",
    "PtkTerdaftar",
    "RegistrasiPesertaDidik",
    "Residu",
    "RombonganBelajar",
    "Sekolah",
    "Tab",
    "field",
    "misfit",
    "natural_key",
]
