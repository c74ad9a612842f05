"""What a few changes can affect: those records' findings, found as judging the whole school would find them.

Every rule says what it reads (`reads`). From the changed records the same ways are gone backwards, to the records whose
rules read what has changed, and then forwards, to all that these rules read; so a few records are asked for instead of
the whole school. The caller looks them up, in rounds:

    reach = Reach(npsn, today, changes)
    while asked := reach.wanted():
        reach.take(asked, look_up(asked))
    reach.judge()

A way need not be gone in the school as it was: where a record on it has changed too, that one is a change itself, from
whose former value the way is gone.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, NamedTuple

from services.entities import CONFIRMED, SPECS, Fields, natural_key
from services.entities.residu import OPEN
from services.rules.findings import Finding, Record, number_of, text_of
from services.rules.judge import SCHOOL_RULES, is_of_residu, record_findings
from services.rules.reads import ID, NAME_AND_KIND, Others, SchoolRule, SchoolRules, value_of
from services.rules.school import School

Key = tuple[str, str]
"""(entity, record_id)."""


@dataclass(frozen=True, slots=True)
class Change:
    """A record's live fields before and after; None: it is not there, or deleted."""

    before: Fields | None
    after: Fields | None


class Lookup(NamedTuple):
    """The live records of `entity` whose `key` (`reads.value_of`) is `value`; all of them, where `key` is EVERY."""

    entity: str
    key: str
    value: str


EVERY = "*"


@dataclass(frozen=True, slots=True)
class Judged:
    """The findings after the changes, and which of those before them they replace.

    `records`: what the rules find there of the record alone is replaced; `rules`: (code, record) of any other.
    """

    records: frozenset[Key]
    rules: frozenset[tuple[str, Key]]
    findings: list[Finding]

    @property
    def touched(self) -> set[Key]:
        """The records whose findings may have changed."""
        return {*self.records, *(key for _, key in self.rules)}

    def replaces(self, finding: Finding) -> bool:
        """Is the finding, from before the changes, one of those that were judged again?"""
        key = (finding.entity, finding.record_id)
        if finding.rule in _OF_SCHOOL:
            return (finding.rule, key) in self.rules
        return key in self.records and not is_of_residu(finding.rule)


@dataclass(frozen=True, slots=True, eq=False)
class _Way:
    """How a rule of `reader` comes to the records at the end: its steps, the last of which is theirs."""

    reader: str
    rule: SchoolRule
    steps: tuple[Others, ...]
    read: frozenset[str]
    """The keys and fields that are read of the records at the end."""


class Reach:
    """One set of changes, and what is known of the school around them."""

    def __init__(
        self, npsn: str, today: date, changes: Mapping[Key, Change], rules: SchoolRules = SCHOOL_RULES
    ) -> None:
        """`rules`: by entity, those that need the rest of the school."""
        self._npsn = npsn
        self._today = today
        self._changes = {key: change for key, change in changes.items() if key[0] in SPECS}
        self._rules = rules
        self._ways = _WAYS if rules is SCHOOL_RULES else _ways(rules)
        self._sekolah = natural_key("sekolah", npsn)
        self._known: dict[str, dict[str, Fields]] = defaultdict(dict)
        self._found: dict[Lookup, list[str]] = {}
        self._missing: set[Lookup] = set()
        self._again: set[tuple[SchoolRule, Key]] = set()
        for (entity, record_id), change in self._changes.items():
            self._found[Lookup(entity, ID, record_id)] = [record_id] if change.after is not None else []
            if change.after is not None:
                self._known[entity][record_id] = change.after

    def wanted(self) -> set[Lookup]:
        """What has to be looked up next, in the school as it is after the changes; nothing: `judge` can be called."""
        self._missing = set()
        self._again = set(self._affected())
        for rule, (entity, record_id) in self._again:
            for one in self._ids(Lookup(entity, ID, record_id)):
                self._follow(rule.others, one, self._fields(entity, one))
        self._ids(Lookup("residu", EVERY, ""))
        self._ids(Lookup("sekolah", ID, self._sekolah))
        return self._missing

    def take(self, asked: Iterable[Lookup], records: Iterable[tuple[str, str, Fields]]) -> None:
        """What was found: (entity, record_id, fields), each once. What answers none of `asked` is passed over."""
        by_key: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for lookup in asked:
            self._found.setdefault(lookup, [])
            by_key[lookup.entity][lookup.key].add(lookup.value)
        for entity, record_id, fields in records:
            for key, values in by_key[entity].items():
                value = "" if key == EVERY else value_of(key, record_id, fields)
                if value in values:
                    self._found[Lookup(entity, key, value)].append(record_id)
                    self._known[entity][record_id] = fields

    @property
    def is_everything(self) -> bool:
        """Can the changes affect what is not told apart here? Then the whole school is to be judged. Known in part
        before the first round, and in full after the last.

        The kind of school is read by many rules; what an open residu says of a record is not told apart from what the
        rules say of it, should central use a code of ours.
        """
        named = set()
        for residu in self._known["residu"].values():
            if text_of(residu, "keadaan") != OPEN:
                continue
            named.add((text_of(residu, "entitas"), text_of(residu, "data_id")))
            if not is_of_residu(text_of(residu, "kode")):
                return True
        for key, change in self._changes.items():
            if key[0] == "residu" or (key in named and _moved({CONFIRMED}, key[1], change)):
                return True
            if key == ("sekolah", self._sekolah) and _kind(change.before) != _kind(change.after):
                return True
        return False

    def judge(self) -> Judged:
        """Run the rules that are affected."""
        school = School(self._known, self._npsn, self._today)
        found: list[Finding] = []
        rules: set[tuple[str, Key]] = set()
        for (entity, record_id), change in self._changes.items():
            if change.after is not None:
                found += record_findings(entity, record_id, change.after, school.context)
            else:
                rules |= {(rule.code, (entity, record_id)) for rule in self._rules[entity]}
        for rule, key in self._again:
            fields = self._known[key[0]].get(key[1])
            if fields is not None:
                rules.add((rule.code, key))
                found += rule(Record(SPECS[key[0]], key[1], fields, school.context), school)
        return Judged(frozenset(self._changes), frozenset(rules), found)

    def _affected(self) -> Iterator[tuple[SchoolRule, Key]]:
        """Each rule that reads something that has changed, with the record whose rule it is."""
        for (entity, record_id), change in self._changes.items():
            for rule in self._rules[entity]:
                if _moved(rule.own, record_id, change):
                    yield rule, (entity, record_id)
            for way in self._ways[entity]:
                if not _moved(way.read, record_id, change):
                    continue
                for fields in (change.before, change.after):
                    if fields is not None:
                        for reader in self._readers(way, len(way.steps), record_id, fields):
                            yield way.rule, (way.reader, reader)

    def _readers(self, way: _Way, steps: int, record_id: str, fields: Fields) -> Iterator[str]:
        """The records from which the first `steps` of a way lead to this one."""
        last = way.steps[steps - 1]
        value = value_of(last.theirs, record_id, fields)
        if steps == 1:
            yield from self._ids(Lookup(way.reader, last.mine, value))
            return
        between = way.steps[steps - 2].entity
        for one in self._ids(Lookup(between, last.mine, value)):
            yield from self._readers(way, steps - 1, one, self._fields(between, one))

    def _follow(self, steps: Iterable[Others], record_id: str, fields: Fields) -> None:
        for step in steps:
            lookup = Lookup(step.entity, step.theirs, value_of(step.mine, record_id, fields))
            for one in self._ids(lookup):
                self._follow(step.then, one, self._fields(step.entity, one))

    def _fields(self, entity: str, record_id: str) -> Fields:
        return self._known[entity].get(record_id, {})

    def _ids(self, lookup: Lookup) -> list[str]:
        """What was found; what was not looked up yet is noted as missing. A record that is asked for by its id is taken
        to be there until then: what names it can be asked for in the same round.
        """
        if not lookup.value and lookup.key != EVERY:
            return []
        if lookup not in self._found:
            self._missing.add(lookup)
            return [lookup.value] if lookup.key == ID else []
        return self._found[lookup]


def _ways(rules: SchoolRules) -> Mapping[str, list[_Way]]:
    """Every way on which a rule comes to other records, by the entity at its end."""
    found: dict[str, list[_Way]] = {entity: [] for entity in SPECS}

    def go(reader: str, rule: SchoolRule, so_far: tuple[Others, ...], steps: Iterable[Others]) -> None:
        for step in steps:
            way = (*so_far, step)
            read = frozenset((step.theirs, *step.fields, *(further.mine for further in step.then)))
            found[step.entity].append(_Way(reader, rule, way, read))
            go(reader, rule, way, step.then)

    for reader, of_reader in rules.items():
        for rule in of_reader:
            go(reader, rule, (), rule.others)
    return found


def _moved(names: Iterable[str], record_id: str, change: Change) -> bool:
    """Is one of these keys or fields another than before? All are, where the record has come or gone."""
    before, after = change.before, change.after
    if before is None or after is None:
        return before is not after
    return any(_differ(_value(name, record_id, before), _value(name, record_id, after)) for name in names)


def _value(name: str, record_id: str, fields: Fields) -> Any:
    return value_of(name, record_id, fields) if name in (ID, NAME_AND_KIND) else fields.get(name)


def _differ(before: Any, after: Any) -> bool:
    return type(before) is not type(after) or before != after


def _kind(sekolah: Fields | None) -> int | None:
    return number_of(sekolah or {}, "bentuk_pendidikan_id")


_WAYS = _ways(SCHOOL_RULES)
_OF_SCHOOL = frozenset(rule.code for rules in SCHOOL_RULES.values() for rule in rules)
