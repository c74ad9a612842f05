"""An entity with a field of every owner, and short ways to say what the tests are about."""

from __future__ import annotations

from typing import Any

from services.entities.schema import CONFIRMED, Entity, EntitySpec, Fields, Owner, Tab, field
from services.exchange.absorb import Base, Conflict, Replicated, Sent
from services.exchange.change import WHOLE


class Murid(Entity):
    """A pupil: address and hobby are the school's, the NISN central's, the family's number shared, the NIK once."""

    entity = "murid"
    label = "Murid"
    tab = Tab.PESERTA_DIDIK
    order = 20
    person = True
    channel = "VervalPD"

    terverifikasi: bool | None = field(Owner.CENTRAL, "Terverifikasi", source="P")
    nisn: str | None = field(Owner.CENTRAL, "NISN", source="P")
    alamat: str | None = field(Owner.SCHOOL, "Alamat", source="P")
    hobi: str | None = field(Owner.SCHOOL, "Hobi", source="P")
    no_kk: str | None = field(Owner.SHARED, "No KK", source="P")
    nik: str | None = field(Owner.ONCE, "NIK", source="P")


MURID = Murid.spec()
"""What most tests are about."""


def a_spec(name: str = "murid", *, order: int = 20, central: bool = False, deletable: bool = True) -> EntitySpec:
    """MURID's fields under another name or rule."""
    return EntitySpec(
        name=name,
        label=name,
        tab=Tab.PESERTA_DIDIK,
        order=order,
        central=central,
        deletable=deletable,
        person=True,
        fields=MURID.fields,
        channel="VervalPD",
    )


def base(fields: Fields | None, version: int = 1) -> Base:
    """What central holds at a version; the seq is of no matter here."""
    return Base(version, version * 10, fields)


NOTHING = Base(0, 0, None)

_UNTOUCHED: Any = object()


def a_record(
    held: Fields | None,
    data: Any = _UNTOUCHED,
    *,
    version: int = 1,
    sent: Any = _UNTOUCHED,
    conflict: set[str] | None = None,
    ancestor: Fields | None = None,
) -> Replicated:
    """A record whose base is `held`; without `data` nobody touched it, without `sent` nothing is in doubt."""
    return Replicated(
        base=Base(version, version * 10, held),
        data=held if data is _UNTOUCHED else data,
        sent=None if sent is _UNTOUCHED else Sent(sent),
        conflict=Conflict(frozenset(conflict), ancestor) if conflict else None,
    )


__all__ = [
    "CONFIRMED",
    "MURID",
    "NOTHING",
    "WHOLE",
    "Base",
    "a_record",
    "a_spec",
    "base",
]
