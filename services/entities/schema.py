"""How an entity declares its fields: type, owner, whether it is required, format, and the source of the fact.

Every entity is a pydantic model whose attributes are declared with `field(...)`. What the rest of the system asks of
an entity is read once into an `EntitySpec`: who owns a field, whether a JSON value fits the column, what refers to
what. Evidence marks of `source`: O official text, S real schema, M measured, B blog or third-party tool, P proposal of
this project.
"""

from __future__ import annotations

import dataclasses
import re
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field
from pydantic.fields import FieldInfo

Fields = dict[str, Any]
"""A record's fields as they travel: name to JSON value; a field that is absent is null."""

CONFIRMED = "terverifikasi"
"""Central's field on a person: an officer has confirmed the identity, and the `once` fields are central's since."""

NAMESPACE = uuid.UUID("5e1a2a5e-0000-5000-8000-5e1a2a500001")
"""The namespace of every natural key (protocol.md 1)."""


class Owner(StrEnum):
    """Who may change a field (protocol.md 3)."""

    SCHOOL = "school"
    CENTRAL = "central"
    SHARED = "shared"
    ONCE = "once"


class Tab(StrEnum):
    """The validation tabs an operator knows."""

    SEKOLAH = "Sekolah"
    PESERTA_DIDIK = "Peserta Didik"
    GTK = "GTK"
    ROMBEL = "Rombel & Jadwal"
    PEMBELAJARAN = "Pembelajaran"


Format = Literal["date", "uuid", "digits", "decimal", "email"]
"""How a text is read. A value that does not fit is a finding, never a rejection."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of one entity. `max_length` in characters; `references` names the entity whose record_id it holds.

    `format`, `pattern`, `minimum` and `maximum` are for the rules: what lies outside is stored and becomes a finding.
    """

    name: str
    type: type
    owner: Owner
    required: bool
    label: str
    source: str
    max_length: int | None = None
    format: Format | None = None
    pattern: str | None = None
    minimum: int | None = None
    maximum: int | None = None
    references: str | None = None
    channel: str | None = None


@dataclass(frozen=True, slots=True)
class EntitySpec:
    """What the system knows of an entity. `order`: parents have a lower number than what refers to them."""

    name: str
    label: str
    tab: Tab
    order: int
    central: bool
    deletable: bool
    person: bool
    fields: Mapping[str, FieldSpec]
    channel: str
    _unconfirmed: frozenset[str] = dataclasses.field(init=False, repr=False, compare=False)
    _confirmed: frozenset[str] = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Which fields are the school's, while the record is not confirmed and when it is."""
        owners = {} if self.central else {name: spec.owner for name, spec in self.fields.items()}
        ours = frozenset(name for name, owner in owners.items() if owner is not Owner.CENTRAL)
        object.__setattr__(self, "_unconfirmed", ours)
        object.__setattr__(self, "_confirmed", frozenset(name for name in ours if owners[name] is not Owner.ONCE))

    def school_fields(self, record: Mapping[str, Any] | None) -> frozenset[str]:
        """The fields that are the school's to change in `record` (central's own copy of it)."""
        return self._confirmed if record and record.get(CONFIRMED) else self._unconfirmed

    def is_central(self, field_name: str, record: Mapping[str, Any] | None) -> bool:
        """Is the field central's in `record` (central's own copy of it)? A field this release does not know is."""
        return field_name not in self.school_fields(record)

    def channel_of(self, field_name: str) -> str:
        """Where a field that is not the school's to change may be changed (VervalPD, Dinas ...)."""
        spec = self.fields.get(field_name)
        return (spec.channel if spec else None) or self.channel


def field(
    owner: Owner,
    label: str,
    *,
    source: str,
    required: bool = False,
    max_length: int | None = None,
    format: Format | None = None,
    pattern: str | None = None,
    minimum: int | None = None,
    maximum: int | None = None,
    references: str | None = None,
    channel: str | None = None,
) -> Any:
    """Declare a field. `label` is what operators read; `source` the evidence; `channel` who may change it instead."""
    extra: dict[str, Any] = {
        "owner": owner.value,
        "required": required,
        "source": source,
        "format": format,
        "pattern": pattern,
        "minimum": minimum,
        "maximum": maximum,
        "references": references,
        "channel": channel,
        "max_length": max_length,
    }
    return Field(default=None, title=label, max_length=max_length, json_schema_extra=extra)


class Entity(BaseModel):
    """The base of every entity: strict types, nothing unknown; any field may be empty, as half-done work is saved."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)

    entity: ClassVar[str]
    label: ClassVar[str]
    tab: ClassVar[Tab]
    order: ClassVar[int]
    central: ClassVar[bool] = False
    deletable: ClassVar[bool] = True
    person: ClassVar[bool] = False
    channel: ClassVar[str]

    @classmethod
    def spec(cls) -> EntitySpec:
        """The declaration, read from the model."""
        fields = {name: _field_spec(name, info) for name, info in cls.model_fields.items()}
        return EntitySpec(
            name=cls.entity,
            label=cls.label,
            tab=cls.tab,
            order=cls.order,
            central=cls.central,
            deletable=cls.deletable,
            person=cls.person,
            fields=fields,
            channel=cls.channel,
        )


def _field_spec(name: str, info: FieldInfo) -> FieldSpec:
    extra = info.json_schema_extra
    assert isinstance(extra, dict), f"{name} is not declared with field()"
    (kind,) = [t for t in get_args(info.annotation) if t is not type(None)]
    declared: dict[str, Any] = dict(extra)
    return FieldSpec(
        name=name,
        type=kind,
        owner=Owner(declared["owner"]),
        required=declared["required"],
        label=info.title or name,
        source=declared["source"],
        max_length=declared["max_length"],
        format=declared["format"],
        pattern=declared["pattern"],
        minimum=declared["minimum"],
        maximum=declared["maximum"],
        references=declared["references"],
        channel=declared["channel"],
    )


_FORBIDDEN = re.compile("[\x00\ud800-\udfff]")


@dataclass(frozen=True, slots=True)
class Misfit:
    """Why a JSON value does not fit: `type` (another JSON type), `length`, or `character` (NUL, lone surrogate)."""

    reason: Literal["type", "length", "character"]
    expected: str


INTEGER_LIMIT = 2**53 - 1
"""The largest whole number every JSON reader keeps exactly (RFC 8785)."""


def misfit(spec: FieldSpec, value: Any) -> Misfit | None:
    """Does `value` fit the column? None (empty) always does. What fits but is odd is for the rules."""
    if value is None:
        return None
    if spec.type is bool:
        return None if isinstance(value, bool) else Misfit("type", "true/false")
    if spec.type is int:
        fits = isinstance(value, int) and not isinstance(value, bool) and abs(value) <= INTEGER_LIMIT
        return None if fits else Misfit("type", "integer")
    if not isinstance(value, str):
        return Misfit("type", "text")
    if _FORBIDDEN.search(value):
        return Misfit("character", "no NUL, no lone surrogate")
    if spec.max_length is not None and len(value) > spec.max_length:
        return Misfit("length", f"≤ {spec.max_length} karakter · characters")
    return None


def natural_key(entity: str, *parts: str) -> str:
    """The record_id of an entity with a natural key: UUIDv5 of its name and key, in one namespace (protocol.md 1)."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((entity, *parts))))
