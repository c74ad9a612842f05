"""Which of an operator's changes may be made, and what the records become: pure, decided for a whole event at once.

A change is rejected for what can never be stored or is not the school's to change; an odd value is stored and becomes a
finding. Changes of one record apply in order. References are judged after the whole event, so a parent and its child
may come in either order.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from typing import Any

from services.entities import CONFIRMED, SPECS, EntitySpec, misfit
from services.exchange import canonical
from services.exchange.absorb import Replicated, type_over
from services.messages import FieldsChange, Problem
from services.problems import problem
from services.replica.records import NOTHING, Key

SHOWN_NAME_LENGTH = 60
"""A name that is not ours is shown in an answer up to this many characters."""
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")

_REFERRING: Mapping[str, tuple[tuple[str, str], ...]] = {
    entity: tuple((name, field.references) for name, field in spec.fields.items() if field.references)
    for entity, spec in SPECS.items()
}
"""By entity: the fields that name a record, and of which entity."""


@dataclass(frozen=True, slots=True)
class Decision:
    """`records`: those that changed; `stored`: indexes of the changes that hold; `rejected`: of the others, and why."""

    records: dict[Key, Replicated]
    stored: list[int]
    rejected: dict[int, list[Problem]]


def touched(changes: Sequence[FieldsChange]) -> set[Key]:
    """The records that an event is about, as far as it names them rightly."""
    return {(change.entity, change.record_id) for change in changes if not _unreadable(change)}


def referred(changes: Sequence[FieldsChange]) -> set[Key]:
    """The records that an event's changes refer to."""
    return {key for change in changes if not _unreadable(change) for _, key in _references(change)}


def decide(changes: Sequence[FieldsChange], held: Mapping[Key, Replicated], known: AbstractSet[Key]) -> Decision:
    """What becomes of an event. `held`: those of `touched` that exist; `known`: those of `referred` that are there."""
    changes = [_composed(change) for change in changes]
    rejected: dict[int, list[Problem]] = {}
    of_record: dict[Key, list[int]] = {}
    for index, change in enumerate(changes):
        if problems := _unreadable(change) or _unfit(change):
            rejected[index] = problems
        else:
            of_record.setdefault((change.entity, change.record_id), []).append(index)

    after: dict[Key, Replicated] = {}
    refused: dict[Key, dict[int, list[Problem]]] = {}
    dangling: dict[int, list[Problem]] = {}

    def fold(key: Key) -> None:
        after[key], refused[key] = _fold(held.get(key, NOTHING), changes, of_record[key], dangling)

    for key in of_record:
        fold(key)
    while found := _dangling(changes, of_record, held, after, known, {**dangling, **_joined(refused)}):
        dangling.update(found)
        for key in {(changes[index].entity, changes[index].record_id) for index in found}:
            fold(key)

    rejected |= {**_joined(refused), **dangling}
    return Decision(
        records={key: record for key, record in after.items() if record != held.get(key, NOTHING)},
        stored=[index for index in range(len(changes)) if index not in rejected],
        rejected=rejected,
    )


def _unreadable(change: FieldsChange) -> list[Problem]:
    """No record that a school may write has this name."""
    spec = SPECS.get(change.entity)
    if spec is None:
        return [problem("UBAH-01", entity=change.entity[:SHOWN_NAME_LENGTH])]
    if not _UUID.fullmatch(change.record_id):
        return [problem("UBAH-10", field="record_id")]
    if spec.central:
        return [problem("UBAH-09", entity=spec.label, channel=spec.channel)]
    return []


def _unfit(change: FieldsChange) -> list[Problem]:
    """Fields that no column can take, whatever the record is."""
    if change.op == "delete":
        return [problem("MSG-09", field="fields", detail="a delete carries none")] if change.fields else []
    spec = SPECS[change.entity]
    problems = []
    for name, value in change.fields.items():
        if name not in spec.fields:
            problems.append(problem("UBAH-02", field=name[:SHOWN_NAME_LENGTH]))
        elif wrong := misfit(spec.fields[name], value):
            problems.append(problem("UBAH-03", field=name, expected=wrong.expected))
    return problems


def _composed(change: FieldsChange) -> FieldsChange:
    """Its texts in NFC: what is measured is what is stored. Anything else has no column and stays as it is."""
    fields = {
        name: canonical.composed(value) if isinstance(value, str) else value for name, value in change.fields.items()
    }
    return change if fields == change.fields else change.model_copy(update={"fields": fields})


def _fold(
    record: Replicated, changes: Sequence[FieldsChange], indexes: Sequence[int], without: Mapping[int, object]
) -> tuple[Replicated, dict[int, list[Problem]]]:
    """One record's changes in order, passing over those in `without`."""
    refused: dict[int, list[Problem]] = {}
    for index in indexes:
        if index in without:
            continue
        change = changes[index]
        spec = SPECS[change.entity]
        problems = _undeletable(record, spec) if change.op == "delete" else _locked(record, change.fields, spec)
        if problems:
            refused[index] = problems
        else:
            record = type_over(record, change.fields, change.op, spec)
    return record, refused


def _locked(record: Replicated, typed: Mapping[str, Any], spec: EntitySpec) -> list[Problem]:
    """Fields of central's that the change would give another value than they have."""
    seen = record.data if record.data is not None else record.base.fields or {}
    ours = spec.school_fields(_centrals(record))
    return [
        problem("UBAH-04", field=name, channel=spec.channel_of(name))
        for name, value in typed.items()
        if name not in ours and not canonical.same(value, seen.get(name))
    ]


def _undeletable(record: Replicated, spec: EntitySpec) -> list[Problem]:
    if record.data is None:
        return [problem("UBAH-07", field="record_id")]
    confirmed = spec.person and bool((_centrals(record) or {}).get(CONFIRMED))
    if confirmed or not spec.deletable:
        return [problem("UBAH-06", entity=spec.label, channel=spec.channel)]
    return []


def _centrals(record: Replicated) -> Mapping[str, Any] | None:
    """Central's own copy; of a record that central deleted meanwhile, the last one that lived."""
    if record.base.fields is None and record.conflict is not None:
        return record.conflict.ancestor
    return record.base.fields


def _references(change: FieldsChange) -> list[tuple[str, Key]]:
    """(field, the record it names) of every reference the change sets."""
    return [
        (name, (target, canonical.composed(value)))
        for name, target in _REFERRING[change.entity]
        if isinstance(value := change.fields.get(name), str) and value
    ]


def _dangling(
    changes: Sequence[FieldsChange],
    of_record: Mapping[Key, Sequence[int]],
    held: Mapping[Key, Replicated],
    after: Mapping[Key, Replicated],
    known: AbstractSet[Key],
    out: Mapping[int, object],
) -> dict[int, list[Problem]]:
    """The changes that leave a new reference to nothing, given what every record is after the event."""
    found: dict[int, list[Problem]] = {}
    for key, indexes in of_record.items():
        result = after[key].data
        if result is None:
            continue
        before = (held[key].data if key in held else None) or {}
        for index in indexes:
            if index in out:
                continue
            problems = [
                problem("UBAH-05", field=name)
                for name, target in _references(changes[index])
                if result.get(name) == target[1]
                and before.get(name) != target[1]
                and not (after[target].data is not None if target in after else target in known)
            ]
            if problems:
                found[index] = problems
    return found


def _joined(refused: Mapping[Key, Mapping[int, list[Problem]]]) -> dict[int, list[Problem]]:
    return {index: problems for of_one in refused.values() for index, problems in of_one.items()}
