"""Central was put back from a backup (protocol.md 6): what it takes of a record that a site gives back, and what the
site makes of the answer.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum

from services.entities.schema import EntitySpec, Fields
from services.exchange.absorb import Absorbed, Base, Conflict, Overruled, Replicated, absorb, differs
from services.exchange.canonical import same, same_fields
from services.exchange.change import WHOLE, with_values
from services.exchange.merge import refuses_delete


class Given(StrEnum):
    """What becomes of a record that is given back."""

    SAME = "same"
    """Central has this very version: it had not forgotten it, or was given it before."""
    TAKEN = "taken"
    MOVED = "moved"
    """Somebody has written the record since the histories parted: what is there now stays."""
    UNPROVEN = "unproven"
    """Nothing shows that central ever held it so."""


@dataclass(frozen=True, slots=True)
class Now:
    """The record as central holds it."""

    version: int
    seq: int


def judge(
    row_hash: bytes, version: int, now: Now | None, *, held: bool, proven: Container[bytes], parted: int
) -> Given:
    """`held`: central has a version of that hash, now or in its history. `proven`: the row hashes under a statement of
    this school that central signed. `parted`: the seq where that statement's history and central's own part.
    """
    if held:
        return Given.SAME
    if row_hash not in proven:
        return Given.UNPROVEN
    if now is not None and (now.seq > parted or now.version >= version):
        return Given.MOVED  # trap: what an officer wrote since is not undone by what comes back
    return Given.TAKEN


def give_back(record: Replicated, aside: Base, theirs: Base, spec: EntitySpec | None) -> Absorbed:
    """Central was put back from a backup, and has answered about what it held before: `aside` was the base, until the
    record was rolled back to what both histories share. `theirs` is what central holds now; version 0: nothing.

    If that is the very version again, the base is what it was, and all that is the school's stays. If not it is
    absorbed, what was typed over `aside` as what was typed; but what the record still shows of that, and somebody has
    changed at central by then, is a conflict whoever owns it.
    """
    if 0 < theirs.version < record.base.version:
        return Absorbed(record, (), changed_data=False)  # the base is a later one, of a history that is still shared
    if theirs.version == aside.version and same_fields(theirs.fields, aside.fields):
        return _as_it_was(record, theirs, spec)
    base = replace(record.base, fields=_ancestor(record, aside, theirs))
    absorbed = absorb(replace(record, base=base), theirs, spec)
    after = absorbed.record
    if after.conflict is None or not after.conflict.whole:
        marked = after.conflict.fields if after.conflict else frozenset()
        parted = marked | _still_shown(record, aside, after)
        after = replace(after, conflict=Conflict(parted) if parted else None)
    return Absorbed(after, absorbed.overruled, changed_data=differs(record, after))


def _ancestor(record: Replicated, aside: Base, theirs: Base) -> Fields | None:
    """What the operator's edits and central's came from: `aside` where both have moved, for that is what was typed
    over; else what both histories share.
    """
    mine, was, shared, central = record.data, aside.fields, record.base.fields, theirs.fields
    if mine is None or was is None or central is None:
        return shared if same_fields(mine, was) or same_fields(central, shared) else was
    before = shared or {}
    values = {
        name: was.get(name)
        if not same(mine.get(name), was.get(name)) and not same(central.get(name), before.get(name))
        else before.get(name)
        for name in mine.keys() | was.keys() | before.keys() | central.keys()
    }
    return with_values({}, values) or (None if shared is None else {})


def _still_shown(record: Replicated, aside: Base, after: Replicated) -> frozenset[str]:
    """What was set aside and is shown still, and is another value at central than both histories share."""
    mine, was, shared, central = after.data, aside.fields, record.base.fields or {}, after.base.fields
    if mine is None or was is None or central is None:
        return frozenset()
    return frozenset(
        name
        for name in mine.keys() | central.keys()
        if same(mine.get(name), was.get(name))
        and not same(central.get(name), shared.get(name))
        and not same(central.get(name), mine.get(name))
    )


def _as_it_was(record: Replicated, theirs: Base, spec: EntitySpec | None) -> Absorbed:
    """What is central's may be of yet another life, which has ended before its answer came."""
    data, central = record.data, theirs.fields
    if spec is None or spec.central:
        data = central
    elif data is not None and central is not None:
        names = data.keys() | central.keys()
        data = with_values(data, {name: central.get(name) for name in names if spec.is_central(name, central)})
    conflict = _deleted_meanwhile(record, theirs, spec) or record.conflict
    after = replace(record, base=theirs, data=data, conflict=None if same_fields(data, central) else conflict)
    mine, now = record.data or {}, data or {}
    overruled = [
        Overruled(name, mine.get(name), now.get(name))
        for name in sorted(mine.keys() | now.keys())
        if not same(mine.get(name), now.get(name))
    ]
    return Absorbed(after, tuple(overruled), changed_data=differs(record, after))


def _deleted_meanwhile(record: Replicated, theirs: Base, spec: EntitySpec | None) -> Conflict | None:
    """Deleted here, while it was rolled back to a time when that was allowed: a person must choose."""
    if record.data is not None or theirs.fields is None or spec is None or not refuses_delete(spec, theirs.fields):
        return None
    return Conflict(frozenset({WHOLE}), theirs.fields)
