"""One record of one school, its operator, central's officers and a network that loses things: small, fast, repeatable.

A schedule is a list of (action, number): what happens, and which of its choices. `World.play` carries it out on the
real `diff`, `merge` and `absorb`, `World.settle` lets the edits stop and the sessions complete, and both check

- that a push writes a value no more often than it was typed (so no push overrules an officer twice);
- that every value an operator typed reached central, was logged as overruled, or lost a conflict that a person decided;
- that nothing an officer wrote into a shared field is overwritten by somebody who had not seen it;
- that only what is central's is overruled, and nothing is in conflict where no officer did anything;
- that absorbing twice is absorbing once, and that the site computes what central holds where no fields are carried;
- that in the end base, data and central are one.

`leave_out` takes a safeguard of the session out, `absorbing` brings another `services.exchange.absorb`: a safeguard
that can be taken out without any schedule going wrong would not be one.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import ModuleType
from typing import Any, Literal

from services.entities.schema import CONFIRMED, Fields
from services.exchange import absorb as the_real_absorb
from services.exchange.canonical import same_fields
from services.exchange.change import WHOLE, Change, diff, with_values
from services.exchange.merge import Held, Merged, Verdict, expected, merge, refuses_delete

from .builders import MURID

Safeguard = Literal[
    "fetch before push", "clear the doubt", "show what is covered", "one live session", "stored verdicts"
]
Step = tuple[str, int]

TYPED_FIELDS = ("alamat", "hobi", "no_kk", "nik")
ROUNDS = 12
"""Sessions within which a school whose edits have stopped comes to rest. Most need two."""


class Broken(AssertionError):
    """A promise of the protocol was not kept."""


@dataclass(frozen=True)
class Version:
    """One version of the record at central; `session`: whose push wrote it, None for an officer."""

    version: int
    fields: Fields | None
    session: int | None


@dataclass
class Wish:
    """What the operator last typed into a field. `alone`: no officer has touched the record since."""

    value: Any
    reached: bool
    alone: bool = True


class Central:
    """The registry, of one record: seq and version are the same here."""

    def __init__(self) -> None:
        self.history: list[Version] = []
        self.session = 0
        self.bare_pages = False

    @property
    def head(self) -> int:
        return len(self.history)

    @property
    def fields(self) -> Fields | None:
        return self.history[-1].fields if self.history else None

    @property
    def held(self) -> Held | None:
        if not self.history:
            return None
        last_live = next((v.fields for v in reversed(self.history) if v.fields is not None), None)
        return Held(self.head, self.fields, last_live)

    def write(self, fields: Fields | None, session: int | None) -> None:
        if not same_fields(fields, self.fields):
            self.history.append(Version(self.head + 1, fields, session))

    def grant(self) -> int:
        self.session += 1
        return self.session

    def page(self) -> tuple[Version | None, Version]:
        """The newest version, and the newest of a push that it covers, however old."""
        newest = self.history[-1]
        covered = [] if newest.session else [v for v in self.history if v.session]
        return (None if self.bare_pages or not covered else covered[-1]), newest


class World:
    """The school, central, and what is under way between them."""

    def __init__(
        self, start: int = 0, *, leave_out: Iterable[Safeguard] = (), absorbing: ModuleType = the_real_absorb
    ) -> None:
        self.leave_out = frozenset(leave_out)
        self.core = absorbing
        self.central = Central()
        self.central.bare_pages = "show what is covered" in self.leave_out
        self.record = absorbing.Replicated(absorbing.Base(0, 0, None), None)
        self.cursor = 0
        self.stage: Literal["idle", "fetched", "pushed", "answered"] = "idle"
        self.session = 0
        self.network: list[tuple[int, Change]] = []
        self.answer: tuple[Merged[str], int] | None = None
        self.stored: tuple[int, Merged[str], int] | None = None
        self.values = 0
        self.officers_acted = False
        self.typed: Counter[tuple[str, Any]] = Counter()
        self.written: Counter[tuple[str, Any]] = Counter()
        self.wishes: dict[str, Wish] = {}
        self.seen: dict[str, list[Any]] = {}
        self.actions: dict[str, Callable[[int], None]] = {
            "type": self.type,
            "type back": self.type_back,
            "delete": self.delete,
            "correct": self.correct,
            "put back": self.put_back,
            "officer deletes": self.officer_deletes,
            "officer restores": self.officer_restores,
            "confirm": self.confirm,
            "decide": self.decide,
            "go on": self.go_on,
            "break off": self.break_off,
            "late": self.late,
        }
        if start:
            self.central.write({name: f"{name} 0" for name in ("nisn", *TYPED_FIELDS)[: start + 1]}, None)
            self.whole_session()

    # ── the operator ─────────────────────────────────────────────────────────────────────────────────────────────────

    def type(self, n: int) -> None:
        """A value nobody has typed before."""
        self.values += 1
        self._type(TYPED_FIELDS[n % 4], f"mine {self.values}")

    def type_back(self, n: int) -> None:
        """A value the field had, here or at central; or none."""
        name = TYPED_FIELDS[n % 4]
        known = [None, f"{name} 0", (self.record.base.fields or {}).get(name), *self._earlier(name)]
        self._type(name, known[n // 4 % len(known)])

    def _type(self, name: str, value: Any) -> None:
        if MURID.is_central(name, self.record.base.fields):
            return
        before = self.record
        base = before.base.fields or {}
        sent = base if before.sent is None else before.sent.fields or {}
        nothing_new = base.get(name) == sent.get(name) == value or (before.data is None and value is None)
        self.record = self.core.type_over(before, {name: value}, "upsert", MURID)
        if self.record is before:
            return
        if before.conflict is not None and before.conflict.whole:
            self._typed_all()
        self.typed[name, value] += 1
        self._has_seen(before, name)
        self.wishes.pop(WHOLE, None)
        self.wishes.pop(name, None)
        if not nothing_new:
            self.wishes[name] = Wish(value, reached=False)
        self._look()

    def delete(self, _n: int) -> None:
        held = self.record.base.fields
        if self.record.data is None or (held is not None and refuses_delete(MURID, held)):
            return
        self.typed.update((name, None) for name in self.record.data)
        self._has_seen(self.record, *TYPED_FIELDS)
        self.record = self.core.type_over(self.record, {}, "delete", MURID)
        settled_already = self.record.sent is None and held is None
        self.wishes = {} if settled_already else {WHOLE: Wish(None, reached=False)}
        self._look()

    def decide(self, n: int) -> None:
        """One conflict, for one side."""
        conflict = self.record.conflict
        if conflict is None:
            return
        field = WHOLE if conflict.whole else sorted(conflict.fields)[n // 2 % len(conflict.fields)]
        held = self.record.base.fields
        not_offered = self.record.data is None and held is not None and refuses_delete(MURID, held)
        choice: Literal["mine", "central"] = "central" if not_offered or n % 2 else "mine"
        self.record = self.core.decide(self.record, field, choice)
        if choice == "mine":
            self._typed_all()
        elif field == WHOLE:
            self.wishes.clear()
        else:
            self.wishes.pop(field, None)

    def _has_seen(self, record: Any, *names: str) -> None:
        """The values that the operator knew when typing."""
        copies = [record.base.fields, record.data, record.sent.fields if record.sent else None]
        self.seen.update({name: [(copy or {}).get(name) for copy in copies] for name in names})

    def _typed_all(self) -> None:
        """To decide for mine is to type it all anew: it may be written once more."""
        names = {*TYPED_FIELDS, *(self.record.data or {})}
        self.typed.update((name, (self.record.data or {}).get(name)) for name in names)
        self._has_seen(self.record, *TYPED_FIELDS)

    # ── officers ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def correct(self, n: int) -> None:
        """An officer writes a new value into any field; into a record that is deleted or was never there, too."""
        self.values += 1
        name = ("nisn", *TYPED_FIELDS)[n % 5]
        self._officer(with_values(self.central.fields or {}, {name: f"theirs {self.values}"}), name)

    def put_back(self, n: int) -> None:
        """An officer writes a value that the field had before."""
        name = TYPED_FIELDS[n % 4]
        earlier = [None, *self._earlier(name)]
        if self.central.fields is not None:
            value = earlier[-1 - n // 4 % len(earlier)]
            self._officer(with_values(self.central.fields, {name: value}), name)

    def officer_deletes(self, _n: int) -> None:
        if self.central.fields is not None and not self.central.fields.get(CONFIRMED):
            self._officer(None, *TYPED_FIELDS, WHOLE)

    def officer_restores(self, _n: int) -> None:
        """The record is put back as it was before it was deleted, by whomever."""
        held = self.central.held
        if held is not None and held.fields is None:
            self._officer(held.last_live, *TYPED_FIELDS)

    def confirm(self, _n: int) -> None:
        if self.central.fields is not None:
            self._officer({**self.central.fields, CONFIRMED: True}, "nik", WHOLE)

    def _officer(self, fields: Fields | None, *touched: str) -> None:
        self.officers_acted = True
        self.central.write(fields, None)
        for name in (*touched, WHOLE):
            if name in self.wishes:
                self.wishes[name].alone = False
        self._look()

    def _earlier(self, name: str) -> list[Any]:
        return [(v.fields or {}).get(name) for v in self.central.history]

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def go_on(self, _n: int) -> None:
        """The session's next message, there and, if it is a request, back."""
        if self.stage == "idle":
            self._open_and_fetch()
        elif self.stage == "fetched":
            self._gate()
        elif self.stage == "pushed":
            self.late(len(self.network) - 1)
            if self.answer is not None:
                self._take_answer()
                self.stage = "answered"
            else:
                self.break_off(0)
        else:
            self._fetch(first=False)
            self.stage = "idle"

    def break_off(self, n: int) -> None:
        """The site forgets the session; what it pushed may still be on its way (even) or is lost (odd)."""
        if n % 2:
            self.network.clear()
        self.stage, self.answer = "idle", None

    def late(self, n: int) -> None:
        """A push comes to central, now or long after its session, once or again."""
        if not self.network:
            return
        session, change = self.network[n % len(self.network)]
        if n % 3 or n == len(self.network) - 1:
            self.network.remove((session, change))
        if session != self.central.session and "one live session" not in self.leave_out:
            return
        if self.stored is None or self.stored[0] != session or "stored verdicts" in self.leave_out:
            self.stored = session, *self._receive(change, session)
        if self.stage == "pushed" and session == self.session:
            self.answer = self.stored[1:]

    def _receive(self, change: Change, session: int) -> tuple[Merged[str], int]:
        before = self.central.fields or {}
        merged: Merged[str] = merge(change, self.central.held, MURID, _nothing_wrong)
        if merged.moved:
            self.central.write(merged.fields, session)
            self._count(before, merged.fields or {})
            self._look()
        return merged, self.central.head

    def whole_session(self) -> None:
        """From the beginning to the end, undisturbed."""
        self.break_off(1)
        self.go_on(0)
        while self.stage != "idle":
            self.go_on(0)

    def _open_and_fetch(self) -> None:
        self.session = self.central.grant()
        if "fetch before push" not in self.leave_out:
            self._fetch(first=True)
        self.stage = "fetched"

    def _fetch(self, *, first: bool) -> None:
        if self.central.head > self.cursor:
            covered, newest = self.central.page()
            if covered and self.record.sent is not None and self.record.base.version < covered.version:
                self._absorb(covered.version, covered.fields)
            if newest.session != self.session:  # its own pushes are not announced to a session
                self._absorb(newest.version, newest.fields)
            self.cursor = self.central.head
        if first and "clear the doubt" not in self.leave_out:
            self.record = self.core.clear_sent(self.record)
            self._forget()

    def _gate(self) -> None:
        if self.record.conflict is not None or not self.record.pending:
            self.stage = "answered"
            return
        held = self.record.base
        change = diff("murid", "1", held.version, held.fields, self.record.data)
        self.record = self.core.Replicated(held, self.record.data, self.core.Sent(self.record.data), None)
        self.network.append((self.session, change))
        self.pushed = change
        self.answer = None
        self.stage = "pushed"

    def _take_answer(self) -> None:
        assert self.answer is not None
        merged, version = self.answer
        self.answer = None
        fields = merged.fields
        if not merged.carries_fields:
            held = self.record.base.fields
            judged = merged.verdict in (Verdict.APPLIED, Verdict.UNCHANGED)
            fields = expected(held, self.pushed, merged.locked) if judged else held
            if not same_fields(fields, merged.fields):
                raise Broken("the site computes another record than central holds")
        self._absorb(version, fields)

    def _absorb(self, version: int, fields: Fields | None) -> None:
        theirs = self.core.Base(version, version, fields)
        for name, wish in self.wishes.items():
            if _has(fields, name, wish):  # central had it, as the site hears after it was typed
                wish.reached, wish.alone = True, False
        absorbed = self.core.absorb(self.record, theirs, MURID)
        self.record = absorbed.record
        for overruled in absorbed.overruled:
            self.wishes.pop(overruled.field, None)
            if not MURID.is_central(overruled.field, fields):
                raise Broken(f"{overruled} took the place of the school's")
        conflict = self.record.conflict
        if conflict is not None and conflict.whole:  # what is as it was before both sides parted is no edit
            parted = conflict.ancestor or {}
            self.wishes = {n: wish for n, wish in self.wishes.items() if n == WHOLE or parted.get(n) != wish.value}
        again = self.core.absorb(self.record, theirs, MURID)
        if again.record != self.record or again.overruled or again.changed_data:
            raise Broken("absorbed twice is not as absorbed once")
        if self.record.conflict is not None and not self.officers_acted:
            raise Broken("a conflict, and nobody to disagree with")
        self._forget()

    def _forget(self) -> None:
        """The row of a record that is gone goes too; what comes under its id later comes as new."""
        if self.record.gone:
            self.record = self.core.Replicated(self.core.Base(0, 0, None), None)

    # ── what must hold ───────────────────────────────────────────────────────────────────────────────────────────────

    def play(self, schedule: Iterable[Step]) -> World:
        for action, n in schedule:
            self.actions[action](n)
            if self.record.gone:
                self._forget()
        return self

    def settle(self, choices: Iterable[int] = ()) -> World:
        """The edits stop, sessions complete, conflicts are decided; then everything is equal."""
        choice = iter([*choices, *range(100)])
        self.network.clear()
        for _ in range(ROUNDS):
            self.whole_session()
            while self.record.conflict is not None:
                self.decide(next(choice))
            if not self.record.pending and self.record.sent is None and self.cursor == self.central.head:
                break
        self._check_equal()
        self._check_wishes()
        return self

    def _count(self, before: Fields, after: Fields) -> None:
        for name in before.keys() | after.keys():
            value = after.get(name)
            if value == before.get(name) or name not in TYPED_FIELDS or MURID.is_central(name, after or before):
                continue
            self.written[name, value] += 1
            if self.written[name, value] > self.typed[name, value]:
                raise Broken(f"{name}: {value!r} was written more often than typed")
            if name == "no_kk" and self._officers_own(name, before.get(name)):
                raise Broken(f"{name}: {value!r} was written over {before.get(name)!r}, which nobody had seen")

    def _officers_own(self, name: str, value: Any) -> bool:
        """Is this a value of an officer's that the operator did not know when typing?"""
        history = self.central.history[:-1]
        at = next((i for i in reversed(range(len(history))) if i == 0 or self._value(i - 1, name) != value), None)
        by_officer = at is not None and history[at].session is None and history[at].fields is not None
        return by_officer and value not in self.seen.get(name, [])

    def _value(self, index: int, name: str) -> Any:
        return (self.central.history[index].fields or {}).get(name)

    def _look(self) -> None:
        for name, wish in self.wishes.items():
            wish.reached = wish.reached or _has(self.central.fields, name, wish)

    def _check_equal(self) -> None:
        record, fields = self.record, self.central.fields
        if not same_fields(record.base.fields, fields) or record.base.version != self.central.head:
            raise Broken(f"base {record.base} is not central's {fields} at {self.central.head}")
        if not same_fields(record.data, fields) or record.sent is not None or record.pending:
            raise Broken(f"data {record.data} is not central's {fields}")

    def _check_wishes(self) -> None:
        fields = self.central.fields
        for name, wish in self.wishes.items():
            if not _has(fields, name, wish) and (wish.alone or not wish.reached):
                raise Broken(f"{name}: {wish} is lost, central has {fields}")


ACTIONS = tuple(World().actions)
STARTS = 5


def _has(fields: Fields | None, name: str, wish: Wish) -> bool:
    return fields is None if name == WHOLE else (fields or {}).get(name) == wish.value


def _nothing_wrong(_fields: Fields) -> list[str]:
    return []


def a_schedule(seed: int) -> tuple[int, list[Step], list[int]]:
    """Start, steps and decisions from a seed: for the runs that look for a schedule which breaks a changed core."""
    rng = random.Random(seed)
    weights = [3, 3, 1, 2, 3, 1, 1, 1, 1, 9, 2, 1]
    steps = [(rng.choices(ACTIONS, weights)[0], rng.randrange(24)) for _ in range(rng.randrange(4, 30))]
    return rng.randrange(STARTS), steps, [rng.randrange(4) for _ in range(6)]
