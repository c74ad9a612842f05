"""What a site pushes: per record only the fields that differ, each with its old value.

Fields that did not change do not travel, so a field that an older release does not know is never erased
(protocol.md 3).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from services.entities.schema import EntitySpec, Fields
from services.exchange.canonical import Json, same

WHOLE = "*"
"""Stands for the whole record where fields in conflict are named."""


@dataclass(frozen=True, slots=True)
class Change:
    """One record's change: `fields` maps a name to (old, new) and is empty for a delete; null stands for absent.

    `base_version` is the version of central's that the olds were read from: 0 where central had nothing, a tombstone's
    own version where it had one.
    """

    entity: str
    record_id: str
    op: Literal["put", "delete"]
    base_version: int
    fields: Mapping[str, tuple[Json, Json]] = field(default_factory=dict)


def diff(entity: str, record_id: str, base_version: int, base: Fields | None, wanted: Fields | None) -> Change:
    """The change that makes `wanted` of `base`. Base None: nothing or a tombstone is there. Wanted None: a delete."""
    if wanted is None:
        return Change(entity, record_id, "delete", base_version)
    if not base:
        everything = {name: (None, wanted[name]) for name in sorted(wanted) if wanted[name] is not None}
        return Change(entity, record_id, "put", base_version, everything)
    differing = {}
    for name in sorted(base.keys() | wanted.keys()):
        old, new = base.get(name), wanted.get(name)
        if old is not new and not same(old, new):
            differing[name] = (old, new)
    return Change(entity, record_id, "put", base_version, differing)


def with_values(fields: Mapping[str, Json], values: Mapping[str, Json]) -> Fields:
    """A record with these values put into it; null takes a field out."""
    return {name: value for name, value in {**fields, **values}.items() if value is not None}


def push_order(changes: Iterable[Change], specs: Mapping[str, EntitySpec]) -> list[Change]:
    """The order in which central can take them: parents before what refers to them; then deletes, the other way round.

    An entity that this release does not know counts as a child of all. Within an entity by record_id, so that the same
    changes make the same batches.
    """

    def place(change: Change) -> tuple[bool, float, str, str]:
        spec = specs.get(change.entity)
        order = spec.order if spec else float("inf")
        deleted = change.op == "delete"
        return deleted, -order if deleted else order, change.entity, change.record_id

    return sorted(changes, key=place)
