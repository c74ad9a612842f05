"""What the reference model keeps: per school a book, per record an account, per field the operator's last word."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.entities.schema import CONFIRMED, Fields
from services.exchange import digest
from services.exchange.absorb import Replicated
from services.exchange.canonical import same
from services.exchange.change import WHOLE
from services.exchange.lineage import Life, common
from services.messages import PushedChange
from tests.simulation import central
from tests.simulation.entities import AT_SITE, TYPED, Key


@dataclass
class Wish:
    """What the operator last typed into a field. `alone`: no officer has touched the record since."""

    value: Any
    reached: bool = False
    alone: bool = True


@dataclass
class Account:
    """One record, as people know it. `others_acted`: somebody else than this replica's operator has written it.

    `knew`: what the site had, and went back from. `acted_since`: where the operator has acted since central was put
    back; `came_back`: what it did not take back then, its own record being of `answered_seq`, over what both histories
    `shared`.
    """

    typed: Counter[tuple[str, Any]] = field(default_factory=Counter)
    written: Counter[tuple[str, Any]] = field(default_factory=Counter)
    wishes: dict[str, Wish] = field(default_factory=dict)
    seen: dict[str, list[Any]] = field(default_factory=dict)
    others_acted: bool = False
    knew: dict[str, list[Any]] = field(default_factory=dict)
    acted_since: set[str] = field(default_factory=set)
    came_back: Mapping[str, Any] | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    answered_seq: int = 0


Gate = tuple[str, int]
"""A session, by central's life and its number."""


@dataclass
class Book:
    """One school, and its present installation. `forgotten`: sessions that were gated here, and that a copy put back
    knows nothing of.

    `versions`: what central has; `ever`: what it has had in any life; `parted`: its head when it was last put back (0:
    never); `stated`: what the site goes by, while it recovers; `set_aside`: what the site has of lives
    before; `written_by`: of each version ever written, what had been written of its record by then; `early`: what the
    gate let pass to go with an OPEN of this id; `early_known`: such OPENs that the site, or the copy that was put back,
    knows of; `early_ids`: of the sessions that central took one with.
    """

    records: dict[Key, Account] = field(default_factory=dict)
    now: dict[Key, central.Version] = field(default_factory=dict)
    versions: dict[tuple[Key, int], central.Version] = field(default_factory=dict)
    head: int = 0
    confirmed: dict[Key, central.Version] = field(default_factory=dict)
    gates: dict[Gate, Mapping[Key, Replicated]] = field(default_factory=dict)
    taken: dict[Gate, list[PushedChange]] = field(default_factory=dict)
    ever_taken: set[Gate] = field(default_factory=set)
    forgotten: set[Gate] = field(default_factory=set)
    early: dict[str, Mapping[Key, Replicated]] = field(default_factory=dict)
    early_known: set[str] = field(default_factory=set)
    early_ids: dict[Gate, str] = field(default_factory=dict)
    ever: dict[tuple[Key, int], list[central.Version]] = field(default_factory=dict)
    install_id: str = "install-0"
    parted: int = 0
    life: str = central.LIFE
    lives: list[Life] = field(default_factory=list)
    stated: Mapping[str, Any] | None = None
    set_aside: dict[Key, bytes] = field(default_factory=dict)
    written_by: dict[bytes, Counter[tuple[str, Any]]] = field(default_factory=dict)

    def parted_from_stated(self) -> int:
        """Where the history of the site's latest statement and central's own part."""
        if self.stated is None:
            return 0
        theirs = [Life(**life) for life in self.stated["lineage"]]
        return common(theirs, self.stated["head_seq"], self.lives, self.head)

    def of(self, key: Key) -> Account:
        """The record's account."""
        return self.records.setdefault(key, Account())

    def unreached(self) -> Iterable[tuple[Key, str, Wish]]:
        """The words that central has not heard."""
        for key, account in self.records.items():
            for name, wish in account.wishes.items():
                if not wish.reached:
                    yield key, name, wish


@dataclass
class Memory:
    """What people knew when a copy of the site was made."""

    head: int
    gated: set[Gate]
    forgotten: set[Gate]
    early_known: set[str]
    accounts: dict[Key, tuple[dict[str, Wish], dict[str, list[Any]]]]


@dataclass
class Kept:
    """What central knew of a school when it was backed up."""

    head: int
    now: dict[Key, central.Version]
    versions: dict[tuple[Key, int], central.Version]
    confirmed: dict[Key, central.Version]
    taken: dict[Gate, list[PushedChange]]
    written: dict[Key, Counter[tuple[str, Any]]]


def root(versions: Iterable[central.Version]) -> str:
    """The root over versions, in hex."""
    return digest.root_of((*version.key, version.row_hash) for version in versions).hex()


def has_seen(account: Account, record: Replicated, *names: str) -> None:
    """The values that the operator knew when typing."""
    copies = [record.base.fields, record.data, record.sent.fields if record.sent else None]
    account.seen.update({name: [(held or {}).get(name) for held in copies] for name in names})


def touched(before: Fields | None, after: Fields | None) -> set[str]:
    """What an officer's version touched."""
    if before is None or after is None:
        return {name for names in TYPED.values() for name in names} | {WHOLE}
    names = {name for name in before.keys() | after.keys() if not same(before.get(name), after.get(name))}
    return names | {WHOLE} | ({"nik"} if CONFIRMED in names else set())


def brought_back(history: Sequence[central.Version], name: str, old: Any, value: Any) -> bool:
    """Does who makes a deleted record anew put back a field that the site's release does not know, as it last was?"""
    unknown = name not in AT_SITE[history[0].key[0]].fields
    was = any(before.fields and same(before.fields.get(name), value) for before in history[:-1])
    return unknown and old is None and was and any(version.fields is None for version in history)


def officers_own(history: Sequence[central.Version], name: str, value: Any, seen: Sequence[Any]) -> bool:
    """Is this a value of an officer's that the operator did not know when typing?"""
    values = [(version.fields or {}).get(name) for version in history]
    at = next((i for i in reversed(range(len(values))) if i == 0 or values[i - 1] != value), None)
    by_officer = at is not None and history[at].session is None and history[at].fields is not None
    return by_officer and value not in seen


def corrected_since(history: Sequence[central.Version], seq: int) -> set[str]:
    """The fields whose last writer after `seq` is an officer."""
    whose: dict[str, bool] = {}
    for before, now in zip([None, *history], history, strict=False):
        old, new = (before.fields if before else None) or {}, now.fields or {}
        for name in old.keys() | new.keys():
            if now.seq > seq and not same(old.get(name), new.get(name)):
                whose[name] = now.session is None
    return {name for name, by_officer in whose.items() if by_officer}


def has(fields: Fields | None, name: str, wish: Wish) -> bool:
    return fields is None if name == WHOLE else (fields or {}).get(name) == wish.value


def place(change: PushedChange) -> tuple[bool, int]:
    order = AT_SITE[change.entity].order
    return (True, -order) if change.op == "delete" else (False, order)
