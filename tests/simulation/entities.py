"""The entities of the simulated schools, as the site's release and central's newer one know them, and the rules.

Few records and few fields, so that everybody meets everybody; a field of every owner, an entity of central's, and an
entity and a field that the site has never heard of.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from services.entities.schema import Entity, EntitySpec, Fields, Owner, Tab, field
from services.messages import Problem
from tests.exchange.builders import MURID

Key = tuple[str, str]


class Kelas(Entity):
    """A class: what pupils would refer to, so it goes before them."""

    entity = "kelas"
    label = "Kelas"
    tab = Tab.ROMBEL
    order = 10
    channel = "Dapodik"

    nama: str | None = field(Owner.SCHOOL, "Nama", source="P")
    ruang: str | None = field(Owner.SHARED, "Ruang", source="P")


class Residu(Entity):
    """Central's: an identity that two schools claim."""

    entity = "residu"
    label = "Residu"
    tab = Tab.PESERTA_DIDIK
    order = 30
    central = True
    channel = "VervalPD"

    nik: str | None = field(Owner.CENTRAL, "NIK", source="P")
    pesaing: str | None = field(Owner.CENTRAL, "Pesaing", source="P")


class Kejadian(Entity):
    """Known to central's release only."""

    entity = "kejadian"
    label = "Kejadian"
    tab = Tab.SEKOLAH
    order = 40
    central = True
    channel = "Dinas"

    uraian: str | None = field(Owner.CENTRAL, "Uraian", source="P")


class Murid2(Entity):
    """One more field of the school's, in central's release only."""

    entity = "murid"
    label = "Murid"
    tab = Tab.PESERTA_DIDIK
    order = 20
    channel = "VervalPD"

    gawai: str | None = field(Owner.SCHOOL, "Gawai", source="P")


KELAS = Kelas.spec()
AT_SITE: Mapping[str, EntitySpec] = MappingProxyType({s.name: s for s in (KELAS, MURID, Residu.spec())})
AT_CENTRAL: Mapping[str, EntitySpec] = MappingProxyType(
    {
        **AT_SITE,
        "kejadian": Kejadian.spec(),
        "murid": replace(MURID, fields={**MURID.fields, **Murid2.spec().fields}),
    }
)

TYPED: Mapping[str, tuple[str, ...]] = {"murid": ("alamat", "hobi", "no_kk", "nik"), "kelas": ("nama", "ruang")}
"""The fields that operators type into."""
CORRECTED: Mapping[str, tuple[str, ...]] = {
    "murid": ("alamat", "hobi", "no_kk", "nik", "nisn", "gawai"),
    "kelas": ("nama", "ruang"),
    "kejadian": ("uraian",),
}
"""The fields that officers write."""
JUDGED = ("alamat", "hobi", "no_kk", "nama", "ruang")

INVALID = "salah"
REFUSED = "tolak"
"""How a value begins that both sides find invalid; and one that only central does."""


def invalid_at_site(fields: Mapping[str, Any]) -> bool:
    """The rule that the gate judges by."""
    return any(str(fields.get(name) or "").startswith(INVALID) for name in JUDGED)


def invalid_at_central(fields: Fields) -> list[Problem]:
    """The record rules as central's newer release has them."""
    wrong = [name for name in JUDGED if str(fields.get(name) or "").startswith((INVALID, REFUSED))]
    return [_problem(name) for name in wrong]


def wrong_values(fields: Mapping[str, Any]) -> list[str]:
    """The fields in which an operator would have to type something else."""
    return [name for name in JUDGED if str(fields.get(name) or "").startswith((INVALID, REFUSED))]


def _problem(name: str) -> Problem:
    return Problem(code="UJI-01", field=name, text_id="salah", text_en="wrong", next_id="betulkan", next_en="mend it")
