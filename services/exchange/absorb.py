"""A site takes in what central holds, and loses nothing an operator typed: it stays, waits as a conflict, or is logged.

Per record the site keeps three copies: `base`, what central held when the site last heard; `data`, what the operator
sees and edits; `sent`, what the last gate passed and nobody has answered yet, so that it is in doubt whether central
has it. From these three follows whether the record is pending; there is no queue that could drift from the data.

The numbered rules are those of protocol.md 3, "The site absorbs". Lines marked `trap` look superfluous and are not:
each has a schedule of lost answers and edits in tests/exchange/ that goes wrong without it. Records are never changed
in place, here or by callers: `data` and `base.fields` may be one object.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Literal

from services.entities.schema import EntitySpec, Fields, Owner
from services.exchange.canonical import Json, same, same_fields
from services.exchange.change import WHOLE, with_values


@dataclass(frozen=True, slots=True)
class Base:
    """What central holds: version 0 is nothing, `fields` None with a version a tombstone."""

    version: int
    seq: int
    fields: Fields | None


@dataclass(frozen=True, slots=True)
class Sent:
    """The record as the last gate passed it; `fields` None: a delete was sent."""

    fields: Fields | None


@dataclass(frozen=True, slots=True)
class Conflict:
    """The fields on which operator and central disagree and a person must choose; `*` is the record as a whole.

    `ancestor`: with `*`, the last live base, from which both sides parted. Beside `*` stand the fields that were in
    conflict before, for should the record come back they still are.
    """

    fields: frozenset[str]
    ancestor: Fields | None = None

    @property
    def whole(self) -> bool:
        """One side deleted the record and the other edited it."""
        return WHOLE in self.fields


@dataclass(frozen=True, slots=True)
class Replicated:
    """One record at the site. `data` None: deleted here, or not there at all."""

    base: Base
    data: Fields | None
    sent: Sent | None = None
    conflict: Conflict | None = None

    @property
    def pending(self) -> bool:
        """Has the site something that central has not? (While it is in conflict, it is held back.)"""
        if self.sent is not None and self.base.version == 0 and self.data is None:
            return True  # trap: deleted in doubt. Central may have taken the record that was deleted here since.
        return not same_fields(self.data, self.base.fields)

    @property
    def held(self) -> bool:
        """Pending, but a person must decide first."""
        return self.pending and self.conflict is not None

    @property
    def gone(self) -> bool:
        """Deleted over nothing and nothing in doubt: its row may go."""
        return self.base.version == 0 and self.data is None and not self.pending


@dataclass(frozen=True, slots=True)
class Overruled:
    """What an operator typed and central's value replaced. The conflict log adds the channel that may change it."""

    field: str
    mine: Json
    theirs: Json


@dataclass(frozen=True, slots=True)
class Absorbed:
    """The record after, what was overruled, and whether `data` or the conflict mark changed: the revision counts it."""

    record: Replicated
    overruled: tuple[Overruled, ...]
    changed_data: bool


class NoConflict(ValueError):
    """The field that was decided is not in conflict, or no longer."""


def absorb(record: Replicated, theirs: Base, spec: EntitySpec | None) -> Absorbed:
    """Take in what central holds. `theirs.version` 0: central says that it has nothing under this id.

    A version older than the base is passed over. `spec` None: an entity that this release does not know, so central's.
    """
    if 0 < theirs.version < record.base.version:
        return Absorbed(record, (), changed_data=False)
    data, conflict = _after(record, theirs, spec)
    after = Replicated(base=theirs, data=data, sent=None, conflict=conflict)  # rule 1
    return Absorbed(after, tuple(_overruled(record, after, spec)), changed_data=differs(record, after))


def clear_sent(record: Replicated) -> Replicated:
    """The first FETCH of a session is complete and did not show the record: what was sent has not come to central."""
    return replace(record, sent=None)


def type_over(
    record: Replicated, typed: Mapping[str, Json], op: Literal["upsert", "delete"], spec: EntitySpec | None
) -> Replicated:
    """The operator's edit. An upsert puts `typed` into the record, null empties a field; a delete needs no `typed`.

    A new value typed into a field in conflict decides it (*mine*), and so does any edit of a record in conflict as a
    whole; what repeats the present values changes and decides nothing. A record typed anew over one that central still
    holds keeps central's part of it.
    """
    data = None if op == "delete" else with_values(_start(record, spec), typed)
    if same_fields(data, record.data):
        return record
    return replace(record, data=data, conflict=_still_undecided(record, data))


def decide(record: Replicated, field: str, choice: Literal["mine", "central"]) -> Replicated:
    """A person decides the conflict on `field`, or on `*`; while the whole record is in conflict, only on `*`.

    *mine* lifts the mark, and the record is pending against central's present version; *central* takes central's value.
    Not offered: *mine* for a delete that central would refuse (`merge.refuses_delete`). Raises NoConflict.
    """
    conflict = record.conflict
    if conflict is None or field not in conflict.fields or (conflict.whole and field != WHOLE):
        raise NoConflict(field)
    base = record.base.fields
    if conflict.whole:
        return replace(record, data=record.data if choice == "mine" else base, conflict=None)
    data = record.data
    if choice == "central":
        data = with_values(data or {}, {field: (base or {}).get(field)})
    return replace(record, data=data, conflict=_marks(conflict.fields - {field}))


def differs(before: Replicated, after: Replicated) -> bool:
    """Did what the operator sees change: the data, a conflict mark, or what central holds of a record in conflict?"""
    if not same_fields(before.data, after.data) or before.conflict != after.conflict:
        return True
    return after.conflict is not None and not same_fields(before.base.fields, after.base.fields)


# ── absorb, rule by rule ─────────────────────────────────────────────────────────────────────────────────────────────


def _after(record: Replicated, theirs: Base, spec: EntitySpec | None) -> tuple[Fields | None, Conflict | None]:
    """Data and conflict after `theirs` has come in: rules 2 to 5, the first that applies."""
    if theirs.version == 0:
        return _school_part(record.data, spec), None
    if _untouched(record) or same_fields(record.data, theirs.fields) or spec is None or spec.central:
        return theirs.fields, None
    if record.data is None or theirs.fields is None:
        return record.data, _one_side_deleted(record, theirs, spec)
    return _field_by_field(record, record.data, theirs.fields, spec)


def _untouched(record: Replicated) -> bool:
    """Rule 2: has nobody typed since the base?"""
    if record.sent is not None:
        return False  # trap: typed back in doubt. Equal to the base, and an edit all the same.
    return same_fields(record.data, record.base.fields)


def _field_by_field(
    record: Replicated, data: Fields, theirs: Fields, spec: EntitySpec
) -> tuple[Fields, Conflict | None]:
    """Rule 3: both sides live."""
    base = _ancestor(record) or {}
    sent = _in_doubt(record, base)
    marked = record.conflict.fields if record.conflict else frozenset()
    values: Fields = {}
    conflicts = set()
    for name in data.keys() | theirs.keys() | base.keys() | sent.keys():
        mine, central = data.get(name), theirs.get(name)
        copies = _Copies(mine, central, base.get(name), sent.get(name))
        side = "theirs" if spec.is_central(name, theirs) else _whose(copies)
        values[name] = central if side == "theirs" else mine
        disagree = side == "both" and spec.fields[name].owner is Owner.SHARED
        if disagree or (name in marked and side != "theirs"):
            conflicts.add(name)
    return with_values({}, values), _marks(frozenset(conflicts))


@dataclass(frozen=True, slots=True)
class _Copies:
    """One field, four times: the operator's, central's, the base of both, and as it was sent (or the base again)."""

    mine: Json
    theirs: Json
    base: Json
    sent: Json


def _whose(field: _Copies) -> Literal["mine", "theirs", "both"]:
    """Which side moved a field that is not central's. `both` keeps mine, too; if it is shared, as a conflict."""
    sent_an_edit = not same(field.sent, field.base)
    if sent_an_edit and same(field.theirs, field.sent):
        return "mine"  # trap: central took ours. What differs from it was typed since.
    if same(field.mine, field.theirs):
        return "theirs"
    if same(field.mine, field.base) and not sent_an_edit:
        return "theirs"
    if same(field.theirs, field.base):
        return "mine"
    return "both"


def _one_side_deleted(record: Replicated, theirs: Base, spec: EntitySpec) -> Conflict | None:
    """Rule 4: deleted on one side, edited on the other. Data stays as the operator left it."""
    if _moved_by_us_alone(record, theirs, spec):
        return record.conflict  # trap: only ours moved it. There is nobody to disagree with.
    marked = record.conflict.fields if record.conflict else frozenset()
    return Conflict(marked | {WHOLE}, _ancestor(record))


def _moved_by_us_alone(record: Replicated, theirs: Base, spec: EntitySpec) -> bool:
    """Has central's version not moved since the base, but for what was sent?"""
    if theirs.version == record.base.version:
        return True
    if record.sent is None or theirs.version != record.base.version + 1:
        return False
    sent, central, before = record.sent.fields, theirs.fields, record.base.fields
    if sent is None or central is None:
        return sent is central
    recreated = before is None and record.base.version > 0  # central's part then came from a version not seen here
    kept = central if recreated else before or {}
    centrals_part = {name: value for name, value in kept.items() if spec.is_central(name, before)}
    ours = {name: value for name, value in sent.items() if not spec.is_central(name, before)}
    return same_fields(central, {**centrals_part, **ours})


def _school_part(data: Fields | None, spec: EntitySpec | None) -> Fields | None:
    """Rule 5: central has nothing, so nothing is confirmed, and only what is the school's to make anew can stay."""
    if data is None or spec is None or spec.central:
        return None
    return {name: value for name, value in data.items() if not spec.is_central(name, None)}


def _ancestor(record: Replicated) -> Fields | None:
    """What both sides came from: the base; if it is a tombstone under a conflict, the last live one before it."""
    if record.base.fields is None and record.conflict is not None:
        return record.conflict.ancestor
    return record.base.fields


def _in_doubt(record: Replicated, base: Fields) -> Fields:
    """The record as it was sent; a delete lacks every field; where nothing was sent, nothing differs from the base."""
    return base if record.sent is None else record.sent.fields or {}


def _overruled(before: Replicated, after: Replicated, spec: EntitySpec | None) -> Iterator[Overruled]:
    """Every field that an operator had typed, were it back to the base's value, and that `after` no longer shows."""
    if _untouched(before):
        return
    mine, now, base = before.data or {}, after.data or {}, _ancestor(before) or {}
    sent = _in_doubt(before, base)
    for name in sorted(mine.keys() | now.keys()):
        may_be_typed = spec is not None and not spec.is_central(name, base)
        typed_back = may_be_typed and not same(sent.get(name), base.get(name))
        if not same(mine.get(name), now.get(name)) and (typed_back or not same(mine.get(name), base.get(name))):
            yield Overruled(name, mine.get(name), now.get(name))


# ── the operator's hand ──────────────────────────────────────────────────────────────────────────────────────────────


def _start(record: Replicated, spec: EntitySpec | None) -> Fields:
    """What an upsert goes into: the record as it is, or of one deleted here what is central's in any case."""
    if record.data is not None:
        return record.data
    base = record.base.fields or {}
    return {name: value for name, value in base.items() if spec is None or spec.is_central(name, base)}


def _still_undecided(record: Replicated, data: Fields | None) -> Conflict | None:
    """The conflict after the operator's edit made `data`: of fields that keep their value it stands."""
    if record.conflict is None or record.conflict.whole or data is None:
        return None
    before = record.data or {}
    return _marks(frozenset(name for name in record.conflict.fields if same(before.get(name), data.get(name))))


def _marks(fields: frozenset[str]) -> Conflict | None:
    return Conflict(fields) if fields else None
