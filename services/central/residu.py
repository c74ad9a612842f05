"""Follow-ups: after a change of claims, every school that uses the same number gets, keeps or loses its `residu`.

A change is never refused for what only central can know. Its follow-up is looked into after the commit, under the locks
of all schools concerned, and is gone only once the residu stand as the claims do; until then it is looked into again.
"""

from __future__ import annotations

import logging
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

from services.central import claims, registry, schools
from services.central.claims import KINDS, STAYS
from services.central.registry import Key, NewVersion, Stored
from services.database import Database, Transaction
from services.entities import SPECS, Fields, natural_key
from services.entities.residu import OPEN, SETTLED
from services.errors import Transient
from services.exchange import canonical
from services.rules.school import School as Judged

log = logging.getLogger(__name__)

WRITER = "pusat"
SHOWN = 3
"""Other schools that a residu names, in the order of their NPSN; so the hundredth school changes no more than a few."""
MOST_SCHOOLS = 50
"""Schools that one transaction locks. A number that more use is nobody's; they get their residu in several."""
LONGEST_RETRY_SECONDS = 300


@dataclass(frozen=True, slots=True)
class FollowUp:
    """A change of one school's claims (see `claims.Changed`)."""

    id: int
    npsn: str
    added: list[bytes]
    freed: list[bytes]
    persons: list[Key]


class Slot(NamedTuple):
    """One kind of number of one person at one school: what a residu is about."""

    npsn: str
    kind: str
    record_id: str


@dataclass(frozen=True, slots=True)
class Use:
    """A claim as it stands: the digest `value` is used in `slot`."""

    value: bytes
    slot: Slot


@dataclass(frozen=True, slots=True)
class Look:
    """What is to be written at which school, and whose claims that rests on."""

    versions: dict[str, list[NewVersion]]
    concerned: set[str]


async def follow_up_next(database: Database, today: date) -> Counter[tuple[str, str]] | None:
    """Look into the oldest follow-up that is due and that nobody is at.

    Returns how many residu were written, by rule and state; None if there was no follow-up. Raises DatabaseAway. What
    fails otherwise is logged and tried again later.
    """
    found: FollowUp | None = None
    try:
        async with database.transaction() as transaction:
            found = await _take(transaction)
            return None if found is None else await _settle(transaction, found, today)
    except Transient:
        raise
    except Exception:
        if found is None:
            raise
        log.exception("a follow-up failed and is tried again later", extra={"follow_up": found.id})
        await _put_off(database, found.id)
        return Counter()


async def _settle(transaction: Transaction, follow_up: FollowUp, today: date) -> Counter[tuple[str, str]]:
    written: Counter[tuple[str, str]] = Counter()
    locked: dict[str, schools.School] = {}
    look = await _look(transaction, follow_up, today)
    if look.versions:
        whose = look.concerned if len(look.concerned) <= MOST_SCHOOLS else look.versions.keys()
        for npsn in sorted(whose)[:MOST_SCHOOLS]:
            school = await schools.lock(transaction, npsn)
            assert school is not None, "a school that has records is never removed"
            locked[npsn] = school
        look = await _look(transaction, follow_up, today)
        for npsn in locked.keys() & look.versions.keys():
            await registry.write(transaction, locked[npsn], look.versions[npsn], by=WRITER, session=None)
            written.update(map(_told, look.versions[npsn]))
    rests_on = look.concerned if len(look.concerned) <= MOST_SCHOOLS else look.versions.keys()
    if not look.versions or rests_on <= locked.keys():
        await transaction.run("DELETE FROM follow_up WHERE id = :id", id=follow_up.id)
    return written


async def _look(transaction: Transaction, follow_up: FollowUp, today: date) -> Look:
    """What the residu should be by the claims as they are now, where that is not what the schools hold."""
    used = await _uses(transaction, follow_up)
    slots = {use.slot for use in used}
    for entity, record_id in follow_up.persons:
        slots |= {Slot(follow_up.npsn, kind.name, record_id) for kind in KINDS.values() if kind.entity == entity}
    elsewhere = others(used, frozenset())
    if elsewhere:
        elsewhere = others(used, await _departed(transaction, used, today))
    names = await _names(transaction, {npsn for shared in elsewhere.values() for npsn in shared[:SHOWN]})
    by_school: dict[str, dict[Key, Fields | None]] = defaultdict(dict)
    for slot in slots:
        shared = elsewhere.get(slot)
        by_school[slot.npsn][_key(slot)] = _open(slot, shared, names) if shared else None
    versions = {}
    for npsn, wanted in by_school.items():
        held = await registry.read(transaction, npsn, wanted)
        if new := differing(wanted, held):
            versions[npsn] = new
    return Look(versions, {slot.npsn for slot in slots})


def others(used: Iterable[Use], departed: frozenset[Slot]) -> dict[Slot, list[str]]:
    """For each slot whose number another person at another school uses: the NPSN of those schools, in order.

    The same record_id at two schools is the same person (a transfer, a teacher's second school). Who has left a school
    uses no number there.
    """
    by_value: dict[bytes, list[Slot]] = defaultdict(list)
    for use in used:
        if use.slot not in departed:
            by_value[use.value].append(use.slot)
    found = {}
    for sharing in by_value.values():
        if len(sharing) < 2:
            continue
        persons_at: dict[str, set[str]] = defaultdict(set)
        for slot in sharing:
            persons_at[slot.npsn].add(slot.record_id)
        ordered = sorted(persons_at)
        for slot in sharing:
            shared = [npsn for npsn in ordered if npsn != slot.npsn and persons_at[npsn] - {slot.record_id}]
            if shared:
                found[slot] = shared
    return found


def differing(wanted: Mapping[Key, Fields | None], held: Mapping[Key, Stored]) -> list[NewVersion]:
    """The versions that make `held` what is `wanted` (None: no open residu), in a fixed order; none if it is so."""
    found = []
    for key in sorted(wanted):
        fields, stored = wanted[key], held.get(key)
        now = stored.fields if stored else None
        if fields is None and now is not None:
            fields = {name: value for name, value in now.items() if name != "sekolah_lain"} | {"keadaan": SETTLED}
        if fields is not None and not canonical.same_fields(fields, now):
            found.append(NewVersion(*key, stored.version if stored else 0, canonical.encode(fields)))
    return found


def _key(slot: Slot) -> Key:
    """The same finding is the same record, however often it comes and goes."""
    return "residu", natural_key("residu", slot.kind, slot.record_id)


def _open(slot: Slot, shared: list[str], names: Mapping[str, str]) -> Fields:
    kind = KINDS[slot.kind]
    shown = [f"{npsn} {names.get(npsn, '')[:100]}".strip() for npsn in shared[:SHOWN]]
    return {
        "kode": kind.rule,
        "entitas": kind.entity,
        "data_id": slot.record_id,
        "isian": kind.field,
        "keadaan": OPEN,
        "sekolah_lain": "; ".join([*shown, "…"] if len(shared) > SHOWN else shown),
        "saluran": SPECS[kind.entity].channel_of(kind.field),
    }


def _told(version: NewVersion) -> tuple[str, str]:
    fields = canonical.decode(version.text or "{}")
    return fields["kode"], fields["keadaan"]


async def _uses(transaction: Transaction, follow_up: FollowUp) -> list[Use]:
    """Who uses the numbers that the follow-up is about: what was freed, what its persons use, and of what was added
    only what another school uses too. The one statement that is keyed by the number.
    """
    held = await registry.read(transaction, follow_up.npsn, follow_up.persons) if follow_up.persons else {}
    present = {claim.value for stored in held.values() for claim in claims.of_record(*_identity(stored), stored.fields)}
    rows = await transaction.rows(
        """
        SELECT value, kind, npsn, record_id FROM claim WHERE value = ANY(CAST(:looked AS bytea[]))
        UNION
        SELECT c.value, c.kind, c.npsn, c.record_id
        FROM (
            SELECT value FROM claim WHERE value = ANY(CAST(:added AS bytea[]))
            GROUP BY value HAVING min(npsn) <> max(npsn)
        ) AS shared
        JOIN claim c USING (value)
        """,
        looked=[*follow_up.freed, *present],
        added=follow_up.added,
    )
    return [Use(bytes(r.value), Slot(r.npsn, r.kind, r.record_id)) for r in rows]


def _identity(stored: Stored) -> Key:
    return stored.entity, stored.record_id


async def _departed(transaction: Transaction, used: Iterable[Use], today: date) -> frozenset[Slot]:
    """Of those who use a number, who has left the school, as the rules see it. Not asked where too many use one."""
    sharing: dict[bytes, list[Slot]] = defaultdict(list)
    for use in used:
        sharing[use.value].append(use.slot)
    asked: dict[str, list[Slot]] = defaultdict(list)
    for slots in sharing.values():
        if 1 < len(slots) <= MOST_SCHOOLS:
            for slot in slots:
                asked[slot.npsn].append(slot)
    found = set()
    for npsn, slots in asked.items():
        school = Judged(await _stays(transaction, npsn, [slot.record_id for slot in slots]), npsn, today)
        for slot in slots:
            gone = school.has_left if KINDS[slot.kind].entity == "peserta_didik" else school.has_ended_duty
            if gone(slot.record_id):
                found.add(slot)
    return frozenset(found)


async def _stays(transaction: Transaction, npsn: str, persons: list[str]) -> dict[str, dict[str, Fields]]:
    """The registrations and assignments of these persons at a school: entity to record_id to fields."""
    rows = await transaction.rows(
        """
        SELECT r.entity, r.record_id, r.text
        FROM unnest(CAST(:entities AS text[]), CAST(:names AS text[])) AS stay (entity, field)
        JOIN record r ON r.npsn = :npsn AND r.entity = stay.entity AND r.text IS NOT NULL
            AND CAST(r.text AS jsonb) ->> stay.field = ANY(CAST(:persons AS text[]))
        """,
        npsn=npsn,
        entities=list(STAYS),
        names=[name for _, name in STAYS.values()],
        persons=persons,
    )
    found: dict[str, dict[str, Fields]] = defaultdict(dict)
    for row in rows:
        found[row.entity][row.record_id] = canonical.decode(row.text)
    return found


async def _names(transaction: Transaction, npsns: set[str]) -> dict[str, str]:
    """The schools' names as central shows them."""
    if not npsns:
        return {}
    rows = await transaction.rows(
        "SELECT npsn, nama FROM school WHERE npsn = ANY(CAST(:npsns AS text[]))", npsns=sorted(npsns)
    )
    return {row.npsn: row.nama for row in rows}


async def _take(transaction: Transaction) -> FollowUp | None:
    row = await transaction.row(
        """
        SELECT id, npsn, added, freed, entities, record_ids FROM follow_up
        WHERE retry_at <= now() ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
        """
    )
    if row is None:
        return None
    persons = list(zip(row.entities, row.record_ids, strict=True))
    return FollowUp(row.id, row.npsn, [bytes(v) for v in row.added], [bytes(v) for v in row.freed], persons)


async def _put_off(database: Database, follow_up: int) -> None:
    """Try again later, ever less often: what failed does not hold up what comes after it, and is never dropped."""
    async with database.transaction() as transaction:
        await transaction.run(
            """
            UPDATE follow_up SET attempts = attempts + 1,
                retry_at = now() + make_interval(secs => least(power(2, least(attempts, 20)), :longest))
            WHERE id = :id
            """,
            id=follow_up,
            longest=LONGEST_RETRY_SECONDS,
        )
