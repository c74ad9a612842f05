"""Operators and officers: what they type, correct, delete, put back and decide, as a seed has it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from services.entities.schema import CONFIRMED, Fields
from services.exchange.absorb import Replicated
from services.exchange.change import WHOLE, with_values
from services.exchange.merge import refuses_delete
from tests.simulation.entities import AT_SITE, CORRECTED, INVALID, REFUSED, TYPED, Key, wrong_values

if TYPE_CHECKING:
    from tests.simulation.world import World

OPERATORS: tuple[Key, ...] = (("murid", "1"), ("murid", "1"), ("murid", "2"), ("murid", "3"), ("kelas", "1"))
OFFICERS: tuple[Key, ...] = (*OPERATORS, ("kejadian", "1"))
NIKS = ("nik A", "nik B")


class People:
    """The hands of all schools. `one`, `field`: what they meet at, `narrow` of the time."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self.values = 0
        self.one: Key = self.rng.choice(OPERATORS)
        self.field = self.rng.choice(TYPED[self.one[0]])
        self.narrow = self.rng.choice((0.0, 0.5, 0.9))
        if len(world.schools) > 1 and self.rng.random() < 0.6:
            self.one, self.field, self.narrow = ("murid", "1"), "nik", 0.6  # over the one identity
        self.moves: dict[str, Callable[[str], None]] = {
            "operator types": self.type,
            "operator types back": self.type_back,
            "operator deletes": self.delete,
            "operator decides": self.decide_one,
            "officer corrects": self.correct,
            "officer puts back": self.put_back,
            "officer deletes": self.officer_deletes,
            "officer brings back": self.bring_back,
            "officer confirms": self.confirm,
        }

    def baseline(self) -> list[tuple[Key, Fields]]:
        """Up to four records."""
        keys: list[Key] = [("kelas", "1"), ("murid", "1"), ("murid", "2")]
        there = [key for key in keys if self.rng.random() < 0.7]
        return [(key, {name: f"{name} 0" for name in TYPED[key[0]] if self.rng.random() < 0.7}) for key in there]

    # ── operators ────────────────────────────────────────────────────────────────────────────────────────────────────

    def type(self, npsn: str) -> None:
        """A value nobody has typed before; now and then one that a rule is against, or an identity that others have."""
        key, name = self._any(OPERATORS, TYPED)
        self.values += 1
        value = f"mine {self.values}"
        luck = self.rng.random()
        if name == "nik" and luck < 0.7:
            value = self.rng.choice(NIKS)
        elif luck < 0.06:
            value = f"{INVALID} {self.values}"
        elif luck < 0.12:
            value = f"{REFUSED} {self.values}"
        self.put(npsn, key, name, value)

    def type_back(self, npsn: str) -> None:
        """A value the field had, here or at central; or none."""
        key, name = self._any(OPERATORS, TYPED)
        record = self._record(npsn, key)
        self.put(
            npsn, key, name, self.rng.choice([(record.base.fields or {}).get(name), *self._known(npsn, key, name)])
        )

    def put(self, npsn: str, key: Key, name: str, value: Any) -> None:
        """The operator's hand, as far as the validator lets it."""
        world, before = self.world, self._record(npsn, key)
        if self._held_up(npsn) or AT_SITE[key[0]].is_central(name, _centrals(before)):
            return
        after = world.core.type_over(before, {name: value}, "upsert", AT_SITE[key[0]])
        if after is before:
            return
        world.say(f"operator: types {value!r} into {name} of {key[0]} {key[1]}")
        self._store(npsn, key, after)
        world.ledger.typed(npsn, key, name, value, before)

    def delete(self, npsn: str) -> None:
        """One record."""
        key, _ = self._any(OPERATORS, TYPED)
        world, before = self.world, self._record(npsn, key)
        if self._held_up(npsn) or before.data is None or refuses_delete(AT_SITE[key[0]], _centrals(before)):
            return
        world.say(f"operator: deletes {key[0]} {key[1]}")
        self._store(npsn, key, world.core.type_over(before, {}, "delete", AT_SITE[key[0]]))
        world.ledger.deleted(npsn, key, before)

    def decide_one(self, npsn: str) -> None:
        """One conflict, for one side."""
        keys = sorted(self.world.replica.schools[npsn].conflicts())
        if keys:
            self._decide(npsn, self.rng.choice(keys))

    def _decide(self, npsn: str, key: Key) -> bool:
        """Is it decided? For central only once that is known to have a value."""
        world, record = self.world, self._record(npsn, key)
        assert record.conflict is not None
        name = WHOLE if record.conflict.whole else self.rng.choice(sorted(record.conflict.fields))
        held = record.base.fields
        not_offered = record.data is None and held is not None and refuses_delete(AT_SITE[key[0]], held)
        choice: Literal["mine", "central"] = "central" if not_offered or self.rng.random() < 0.5 else "mine"
        if key in world.replica.schools[npsn].unanswered():
            if not_offered:
                return False
            choice = "mine"
        world.say(f"operator: decides {name} of {key[0]} {key[1]} for {choice}")
        self._store(npsn, key, world.core.decide(record, name, choice))
        if choice == "central":
            world.replica.schools[npsn].aside.pop(key, None)
        world.ledger.decided(npsn, key, name, choice, record)
        return True

    def mend(self, npsn: str) -> None:
        """Decide every conflict, and type something else where a rule is against it."""
        school = self.world.replica.schools[npsn]
        if self._held_up(npsn):
            return
        while any(self._decide(npsn, key) for key in sorted(school.conflicts())):
            pass
        for key in sorted(school.records):
            record = school.records[key]
            for name in wrong_values(record.data or {}):
                self.values += 1
                self.put(npsn, key, name, f"mended {self.values}")

    # ── officers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def correct(self, npsn: str) -> None:
        """A new value, in any field; in a record that is deleted or was never there, too."""
        key, name = self._any(OFFICERS, CORRECTED)
        self.values += 1
        value = f"theirs {self.values}" if name == "nik" or self.rng.random() < 0.95 else f"{INVALID} {self.values}"
        self._write(npsn, key, with_values(self._fields(npsn, key) or {}, {name: value}))

    def put_back(self, npsn: str) -> None:
        """A value that the field had before."""
        key, name = self._any(OPERATORS, TYPED)
        fields = self._fields(npsn, key)
        if fields is not None:
            self._write(npsn, key, with_values(fields, {name: self.rng.choice(self._known(npsn, key, name))}))

    def officer_deletes(self, npsn: str) -> None:
        """A record that nobody has confirmed."""
        key, _ = self._any(OFFICERS, CORRECTED)
        fields = self._fields(npsn, key)
        if fields is not None and not fields.get(CONFIRMED):
            self._write(npsn, key, None)

    def bring_back(self, npsn: str) -> None:
        """A deleted record, as it was."""
        school = self.world.central.schools[npsn]
        key, _ = self._any(OFFICERS, CORRECTED)
        held = school.held(key)
        if held is not None and held.fields is None:
            self._write(npsn, key, held.last_live)

    def confirm(self, npsn: str) -> None:
        """An identity."""
        key = ("murid", self.rng.choice("123"))
        fields = self._fields(npsn, key)
        if fields is not None:
            self._write(npsn, key, {**fields, CONFIRMED: True})

    def _write(self, npsn: str, key: Key, fields: Fields | None) -> None:
        self.world.say(f"officer: writes {key[0]} {key[1]}")
        self.world.central.write(self.world.central.schools[npsn], key, fields, session=None)

    def _any(self, keys: Sequence[Key], names: Mapping[str, Sequence[str]]) -> tuple[Key, str]:
        """A record, and a field of it."""
        key = self.one if self.rng.random() < self.narrow else self.rng.choice(keys)
        name = self.field if self.rng.random() < self.narrow and self.field in names[key[0]] else None
        return key, name or self.rng.choice(names[key[0]])

    # ── what they look at ────────────────────────────────────────────────────────────────────────────────────────────

    def _record(self, npsn: str, key: Key) -> Replicated:
        return self.world.replica.schools[npsn].records.get(key, self.world.replica.nothing)

    def _store(self, npsn: str, key: Key, record: Replicated) -> None:
        school = self.world.replica.schools[npsn]
        self.world.replica.write(school, key, record)
        school.revision += 1

    def _held_up(self, npsn: str) -> bool:
        """Until a reinstalled school is restored, its operator's changes wait."""
        return self.world.replica.schools[npsn].restoring

    def _fields(self, npsn: str, key: Key) -> Fields | None:
        return self.world.central.schools[npsn].fields(key)

    def _known(self, npsn: str, key: Key, name: str) -> list[Any]:
        """The values that the field has had, the latest first among equals; none is one of them."""
        versions = self.world.central.schools[npsn].records.get(key, ())
        return [None, f"{name} 0", *((version.fields or {}).get(name) for version in versions[-4:])]


def _centrals(record: Replicated) -> Fields | None:
    """Central's own copy; of a record that central deleted meanwhile, the last one that lived."""
    if record.base.fields is None and record.conflict is not None:
        return record.conflict.ancestor
    return record.base.fields
