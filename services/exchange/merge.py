"""Central receives a change: one verdict for it, decided per field by who owns the field (protocol.md 3).

Nothing here refuses because of what somebody else did at the same time: such a change is merged, or waits as a conflict
for a person. Repeating a change that was applied does no harm.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Generic, TypeVar

from services.entities.schema import CONFIRMED, EntitySpec, Fields, Owner
from services.exchange.canonical import Json, same, same_fields
from services.exchange.change import WHOLE, Change, with_values

F = TypeVar("F")


class Verdict(StrEnum):
    """What became of a change: the first of these that fits."""

    REFUSED = "refused"
    CONFLICT = "conflict"
    """Somebody else changed what it changes; its other fields are applied."""
    MERGED = "merged"
    """Taken, and the record is not what the site would compute itself."""
    APPLIED = "applied"
    UNCHANGED = "unchanged"


class Refusal(StrEnum):
    """Why central refuses a change whatever its values are. Texts and next steps: `services.errors.CATALOGUE`."""

    UNKNOWN_ENTITY = "UBAH-01"
    """This release of central does not know the entity, so it cannot be the school's."""
    MAY_NOT_BE_DELETED = "UBAH-06"
    """A person whom an officer has confirmed, or an entity that is never deleted."""
    CENTRALS_ENTITY = "UBAH-09"
    """Central keeps the whole entity."""
    NEVER_HAD_THAT_VERSION = "UBAH-12"
    """The change builds on a version that central never had: an invariant is violated. Count it, tell ops."""


@dataclass(frozen=True, slots=True)
class Held:
    """What central holds under an id: a live record, or (`fields` None) a tombstone and its last live fields."""

    version: int
    fields: Fields | None
    last_live: Fields | None = None


@dataclass(frozen=True, slots=True)
class Merged(Generic[F]):
    """The verdict, and the record after it.

    `moved`: version and seq must move. `fields`: the record after; None: deleted, or nothing there. `refusal` or
    `findings`: why it was refused. `locked`: fields kept because they are central's. `conflicts`: fields kept because
    both sides changed them, or `*`. `carries_fields`: the answer must carry the record, for it is not what the site
    would compute (`expected`).
    """

    verdict: Verdict
    fields: Fields | None
    moved: bool = False
    carries_fields: bool = False
    refusal: Refusal | None = None
    findings: tuple[F, ...] = ()
    locked: tuple[str, ...] = ()
    conflicts: tuple[str, ...] = ()

    @property
    def invariant_violated(self) -> bool:
        """What cannot happen within one lineage has happened."""
        return self.refusal is Refusal.NEVER_HAD_THAT_VERSION


def merge(
    change: Change, held: Held | None, spec: EntitySpec | None, invalid: Callable[[Fields], Sequence[F]]
) -> Merged[F]:
    """Central's verdict on `change`. `held` None: nothing is under this id. `spec` None: not an entity central knows.

    `invalid` gives the record rules' invalid findings about a record; it is asked about what would be written, never
    about what central holds already.
    """
    refusal = _refusal(change, held, spec)
    if spec is None or refusal is not None:
        return _refused(change, held, refusal=refusal)
    if change.op == "delete":
        return _delete(change, held)
    if held is None:
        return _write(change, held, spec, {}, invalid)
    if held.fields is not None:
        return _put_on_live(change, held, held.fields, spec, invalid)
    if change.base_version == held.version:
        return _write(change, held, spec, _central_part(held.last_live or {}, spec), invalid, owners=held.last_live)
    return _conflict_on_whole(held)


def expected(base: Fields | None, change: Change, locked: Iterable[str]) -> Fields | None:
    """The record as the site computes it from the base it pushed against: its own change, but for what is locked.

    So an `applied` or `unchanged` verdict carries no fields; after any other without them, the base stays what it was.
    """
    if change.op == "delete":
        return None
    kept = frozenset(locked)
    return with_values(base or {}, {name: new for name, (_, new) in change.fields.items() if name not in kept})


def refuses_delete(spec: EntitySpec, record: Mapping[str, Json] | None) -> Refusal | None:
    """Would central refuse to delete `record` (its own copy)? Asked before an operator is offered the choice, too."""
    if spec.central:
        return Refusal.CENTRALS_ENTITY
    if not spec.deletable or (record is not None and record.get(CONFIRMED)):
        return Refusal.MAY_NOT_BE_DELETED
    return None


def _refusal(change: Change, held: Held | None, spec: EntitySpec | None) -> Refusal | None:
    if spec is None:
        return Refusal.UNKNOWN_ENTITY
    if spec.central:
        return Refusal.CENTRALS_ENTITY
    fields = held.fields if held else None
    if change.op == "delete" and (refusal := refuses_delete(spec, fields)):
        return refusal
    nothing_to_delete = change.op == "delete" and fields is None
    if change.base_version > _version(held) and not nothing_to_delete:
        return Refusal.NEVER_HAD_THAT_VERSION
    return None


def _delete(change: Change, held: Held | None) -> Merged[F]:
    if held is None or held.fields is None:
        return Merged(Verdict.UNCHANGED, None)
    if change.base_version == held.version:
        return Merged(Verdict.APPLIED, None, moved=True)
    return _conflict_on_whole(held)


def _put_on_live(
    change: Change, held: Held, fields: Fields, spec: EntitySpec, invalid: Callable[[Fields], Sequence[F]]
) -> Merged[F]:
    """Field by field; whatever else happened to the record, what can be taken is."""
    ours = spec.school_fields(fields)
    conflicts = [
        name
        for name, (old, new) in change.fields.items()
        if name in ours and not _may_take(spec, name, fields.get(name), old, new)
    ]
    return _write(change, held, spec, fields, invalid, owners=fields, conflicts=conflicts)


def _may_take(spec: EntitySpec, name: str, now: Json, old: Json, new: Json) -> bool:
    """May `new` be put over `now`, in a field that is not central's?"""
    return same(now, old) or same(now, new) or spec.fields[name].owner is not Owner.SHARED


def _write(
    change: Change,
    held: Held | None,
    spec: EntitySpec,
    start: Fields,
    invalid: Callable[[Fields], Sequence[F]],
    *,
    owners: Fields | None = None,
    conflicts: Sequence[str] = (),
) -> Merged[F]:
    """Put into `start` what is neither central's (in the record `owners`) nor in conflict, and judge the result."""
    locked = tuple(sorted(change.fields.keys() - spec.school_fields(owners)))
    kept = {*locked, *conflicts}
    fields = with_values(start, {name: new for name, (_, new) in change.fields.items() if name not in kept})
    before = held.fields if held else None
    moved = not same_fields(fields, before)
    if moved and (findings := invalid(fields)):
        return _refused(change, held, findings=tuple(findings), locked=locked)
    computed = fields if start == (before or {}) else expected(before, change, locked)  # by the site, without conflicts
    known_to_site = change.base_version == _version(held) and same_fields(fields, computed)
    carries_fields = bool(conflicts) or not known_to_site
    return Merged(
        _verdict(moved=moved, carries_fields=carries_fields, in_conflict=bool(conflicts)),
        fields,
        moved=moved,
        carries_fields=carries_fields,
        locked=locked,
        conflicts=tuple(sorted(conflicts)),
    )


def _verdict(*, moved: bool, carries_fields: bool, in_conflict: bool) -> Verdict:
    if in_conflict:
        return Verdict.CONFLICT
    if carries_fields:
        return Verdict.MERGED
    return Verdict.APPLIED if moved else Verdict.UNCHANGED


def _central_part(last_live: Fields, spec: EntitySpec) -> Fields:
    """What of a deleted record was central's, and so comes back when the school recreates it."""
    return {name: value for name, value in last_live.items() if spec.is_central(name, last_live)}


def _conflict_on_whole(held: Held) -> Merged[F]:
    return Merged(Verdict.CONFLICT, held.fields, carries_fields=True, conflicts=(WHOLE,))


def _refused(
    change: Change,
    held: Held | None,
    *,
    refusal: Refusal | None = None,
    findings: tuple[F, ...] = (),
    locked: tuple[str, ...] = (),
) -> Merged[F]:
    """Nothing changes; the record is carried if the site's base is not that of central."""
    return Merged(
        Verdict.REFUSED,
        held.fields if held else None,
        carries_fields=change.base_version != _version(held),
        refusal=refusal,
        findings=findings,
        locked=locked,
    )


def _version(held: Held | None) -> int:
    return held.version if held else 0
