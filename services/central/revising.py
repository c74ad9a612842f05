"""What an officer's changes make of the records: decided over drafts, with the reasons against each change."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from services.central import registry
from services.central.identifiers import is_record_id
from services.central.registry import Key, Stored
from services.database import Transaction
from services.entities import CONFIRMED, SPECS, EntitySpec, Fields, Owner, misfit
from services.exchange import canonical
from services.exchange.canonical import NotCanonical
from services.messages import OfficerChange, Problem
from services.problems import problem


@dataclass(slots=True)
class Draft:
    """A record as an event leaves it: one new version at most, however many of the event's changes are about it."""

    entity: str
    record_id: str
    version: int
    seq: int
    before: str | None
    fields: Fields | None

    @classmethod
    def of(cls, key: Key, stored: Stored | None) -> Draft:
        """As central holds it now."""
        if stored is None:
            return cls(*key, version=0, seq=0, before=None, fields=None)
        return cls(*key, version=stored.version, seq=stored.seq, before=stored.text, fields=stored.fields)

    @property
    def text(self) -> str | None:
        """The draft, canonical; None: deleted, or nothing there."""
        return None if self.fields is None else canonical.encode(self.fields)

    @property
    def moved(self) -> bool:
        """Does it differ from what central holds?"""
        return self.text != self.before


@dataclass(slots=True)
class Revision:
    """The drafts of all records that an event names, and the problems of its changes by their index."""

    drafts: dict[Key, Draft]
    problems: dict[int, list[Problem]] = field(default_factory=dict)


async def revise(transaction: Transaction, npsn: str, changes: Sequence[OfficerChange]) -> Revision:
    """Make the changes in drafts, in their order. References and removals are judged after the whole event."""
    keys = [(change.entity, change.record_id) for change in changes]
    stored = await registry.read(transaction, npsn, set(keys))
    illegible = {key for key, found in stored.items() if not _legible(found)}
    revision = Revision({key: Draft.of(key, stored.get(key)) for key in dict.fromkeys(keys) if key not in illegible})
    for index, (key, change) in enumerate(zip(keys, changes, strict=True)):
        problems = [problem("UBAH-15")] if key in illegible else _apply(change, revision.drafts[key])
        if problems:
            revision.problems[index] = problems
    for index, problems in (await _dangling(transaction, npsn, changes, revision.drafts)).items():
        revision.problems.setdefault(index, []).extend(problems)
    return revision


def _legible(stored: Stored) -> bool:
    """Can it be a version of a record? A hand in the database may have left what cannot."""
    return stored.possible and (stored.text is None or canonical.is_canonical(stored.text))


def fitting(spec: EntitySpec, fields: Mapping[str, object]) -> tuple[Fields, list[Problem]]:
    """The values as they are stored (NFC; null empties), and what does not fit the entity's columns."""
    problems = [problem("UBAH-02", field=name[:60]) for name in fields if name not in spec.fields]
    if problems:
        return {}, problems
    try:
        values = canonical.normalise(fields)
        canonical.encode(values)
    except NotCanonical as error:
        return {}, [problem("UBAH-03", field=error.field[:60], expected=error.reason)]
    for name, value in values.items():
        wrong = misfit(spec.fields[name], value)
        if wrong:
            problems.append(problem("UBAH-03", field=name, expected=wrong.expected))
    return values, problems


def _apply(change: OfficerChange, draft: Draft) -> list[Problem]:
    spec = SPECS.get(change.entity)
    if spec is None:
        return [problem("UBAH-01", entity=change.entity[:60])]
    if not is_record_id(change.record_id):
        return [problem("UBAH-10")]
    if change.version != draft.version:
        return [problem("PUSAT-01", version=str(draft.version))]
    if change.op == "delete":
        return _delete(spec, draft)
    if change.op == "confirm" and draft.fields is None:
        return [problem("UBAH-05", field="record_id")]
    confirming: Fields = {CONFIRMED: True} if change.op == "confirm" else {}
    values, problems = fitting(spec, {**change.fields, **confirming})
    if problems:
        return problems
    if CONFIRMED not in values and _corrects_identity(spec, draft.fields, values):
        values[CONFIRMED] = True
    draft.fields = {name: v for name, v in {**(draft.fields or {}), **values}.items() if v is not None}
    return []


def _delete(spec: EntitySpec, draft: Draft) -> list[Problem]:
    if draft.fields is None:
        return [problem("UBAH-07")]
    if not spec.deletable:
        return [problem("UBAH-06", entity=spec.label, channel=spec.channel)]
    if draft.fields.get(CONFIRMED):
        return [problem("PUSAT-02")]
    draft.fields = None
    return []


def _corrects_identity(spec: EntitySpec, before: Fields | None, values: Fields) -> bool:
    """Does an officer correct what is the school's only until central has confirmed it?"""
    if before is None or CONFIRMED not in spec.fields:
        return False
    return any(
        spec.fields[name].owner is Owner.ONCE and not canonical.same(before.get(name), value)
        for name, value in values.items()
    )


async def _dangling(
    transaction: Transaction, npsn: str, changes: Sequence[OfficerChange], drafts: Mapping[Key, Draft]
) -> dict[int, list[Problem]]:
    """Changes that would leave a reference to nothing: a field that names no record, or a removal of what is named."""
    problems: dict[int, list[Problem]] = {}
    named = [(index, name, key) for index, change in enumerate(changes) for name, key in _names(change)]
    absent = await registry.missing(transaction, npsn, {key for _, _, key in named if key not in drafts})
    absent |= {key for key, draft in drafts.items() if draft.fields is None}
    for index, name, key in named:
        if key in absent:
            problems.setdefault(index, []).append(problem("UBAH-05", field=name))
    referred = await _referred(transaction, npsn, drafts)
    for index, change in enumerate(changes):
        if change.op == "delete" and (change.entity, change.record_id) in referred:
            problems.setdefault(index, []).append(problem("PUSAT-02"))
    return problems


def _names(change: OfficerChange) -> Iterable[tuple[str, Key]]:
    """The fields of a change that refer to a record, and the record they name."""
    spec = SPECS.get(change.entity)
    for name, value in change.fields.items():
        known = spec.fields.get(name) if spec else None
        if known and known.references and isinstance(value, str) and value:
            yield name, (known.references, value)


async def _referred(transaction: Transaction, npsn: str, drafts: Mapping[Key, Draft]) -> set[Key]:
    """Which removed records some live record still refers to, after the whole event."""
    removed = {key for key, draft in drafts.items() if draft.fields is None and draft.before is not None}
    if not removed:
        return set()
    asked = [
        (spec.name, known.name, record_id)
        for entity, record_id in removed
        for spec in SPECS.values()
        for known in spec.fields.values()
        if known.references == entity
    ]
    referred = set()
    for reference in await registry.references_to(transaction, npsn, asked):
        if (reference.entity, reference.record_id) not in drafts:
            parent = SPECS[reference.entity].fields[reference.field].references
            referred.add((parent or "", reference.parent))
    for draft in drafts.values():
        spec = SPECS.get(draft.entity)
        for known in spec.fields.values() if spec else ():
            if known.references and draft.fields is not None:
                referred.add((known.references, str(draft.fields.get(known.name))))
    return referred & removed
