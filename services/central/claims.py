"""Who uses which number: a person's NIK, NISN or NUPTK at one school, kept up with every write of records.

A number is kept as a digest, so that none stands in an index, a key or the database's log. A change of claims leaves a
`follow_up` in the same transaction; `residu` looks into it after the commit, when it sees what others did meanwhile.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from services.database import Transaction
from services.entities import Fields
from services.exchange import canonical
from services.rules.findings import number_of, text_of
from services.rules.reading import is_nisn, is_nuptk, is_possible_nik

DIGEST_BYTES = 16


@dataclass(frozen=True, slots=True)
class Kind:
    """One kind of number: `entity`.`field`, if it `fits`; `rule` speaks of one that is in use elsewhere.

    What does not fit is an invalid finding already, and no number of a person's.
    """

    name: str
    entity: str
    field: str
    rule: str
    fits: Callable[[str], bool]


KINDS: Mapping[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("nik", "peserta_didik", "nik", "PD-08", is_possible_nik),
        Kind("nisn", "peserta_didik", "nisn", "PD-29", is_nisn),
        Kind("nik_ptk", "ptk", "nik", "GTK-17", is_possible_nik),
        Kind("nuptk", "ptk", "nuptk", "GTK-18", is_nuptk),
    )
}
"""Students are compared with students and staff with staff: an adult student may be on another school's staff."""

_BY_ENTITY = {
    entity: tuple(kind for kind in KINDS.values() if kind.entity == entity) for entity in ("peserta_didik", "ptk")
}
STAYS: Mapping[str, tuple[str, str]] = {
    "registrasi_peserta_didik": ("peserta_didik", "peserta_didik_id"),
    "ptk_terdaftar": ("ptk", "ptk_id"),
}
"""What says whether a person is still at the school: (the person's entity, the field that names the person)."""

WATCHED = frozenset({*_BY_ENTITY, *STAYS})
"""The entities whose records decide who uses a number."""


class Moved(NamedTuple):
    """A record that was written: its text before and after; None: not there, or a tombstone."""

    entity: str
    record_id: str
    before: str | None
    after: str | None


class Claim(NamedTuple):
    """`value` (a digest) is used by record `record_id` of the kind's entity at a school."""

    value: bytes
    kind: str
    record_id: str


@dataclass(slots=True)
class Changed:
    """What a write did to a school's claims. `persons`: whose number is another or none, or who may have left."""

    added: set[Claim] = field(default_factory=set)
    freed: set[Claim] = field(default_factory=set)
    persons: set[tuple[str, str]] = field(default_factory=set)


def digest(kind: str, number: str) -> bytes:
    """A number as it is kept. Numbers are few enough to be tried out: it keeps them out of sight, not secret."""
    return hashlib.sha256(f"{kind}\x1f{number}".encode()).digest()[:DIGEST_BYTES]


def of_record(entity: str, record_id: str, fields: Fields | None) -> set[Claim]:
    """What a record claims; a tombstone (`fields` None) claims nothing."""
    return _claims(record_id, _numbers(entity, fields))


def _claims(record_id: str, numbers: list[tuple[str, str]]) -> set[Claim]:
    return {Claim(digest(kind, number), kind, record_id) for kind, number in numbers}


def _numbers(entity: str, fields: Fields | None) -> list[tuple[str, str]]:
    """The kinds of number that a record holds, with the numbers."""
    if fields is None:
        return []
    return [
        (kind.name, number) for kind in _BY_ENTITY.get(entity, ()) if kind.fits(number := text_of(fields, kind.field))
    ]


def changed(moved: Iterable[Moved]) -> Changed:
    """What a write changes in a school's claims."""
    found = Changed()
    for entity, record_id, before, after in moved:
        if entity not in WATCHED:
            continue
        old, new = _decoded(before), _decoded(after)
        if entity in STAYS:
            was, now = _stay(entity, old), _stay(entity, new)
            if was != now:
                found.persons |= {(STAYS[entity][0], stay[0]) for stay in (was, now) if stay}
            continue
        held, holds = _numbers(entity, old), _numbers(entity, new)
        if held == holds:
            continue
        had, has = _claims(record_id, held), _claims(record_id, holds)
        found.added |= has - had
        if had - has:
            found.freed |= had - has
            found.persons.add((entity, record_id))
    return found


async def keep(transaction: Transaction, npsn: str, moved: Iterable[Moved]) -> None:
    """Keep the claims up with what was written, in its transaction; nothing to do if no claim changed.

    One statement whatever the number. The caller holds the school's lock.
    """
    change = changed(moved)
    if not (change.added or change.freed or change.persons):
        return
    added, freed, persons = sorted(change.added), sorted(change.freed), sorted(change.persons)
    await transaction.run(
        """
        WITH gone AS (
            DELETE FROM claim c
            USING unnest(CAST(:freed AS bytea[]), CAST(:freed_ids AS text[])) AS f (value, record_id)
            WHERE c.value = f.value AND c.npsn = :npsn AND c.record_id = f.record_id
        ), come AS (
            INSERT INTO claim (value, npsn, record_id, kind)
            SELECT value, :npsn, record_id, kind
            FROM unnest(CAST(:added AS bytea[]), CAST(:added_ids AS text[]), CAST(:kinds AS text[]))
                AS a (value, record_id, kind)
            ON CONFLICT DO NOTHING
        )
        INSERT INTO follow_up (npsn, added, freed, entities, record_ids)
        VALUES (:npsn, CAST(:added AS bytea[]), CAST(:freed AS bytea[]),
                CAST(:entities AS text[]), CAST(:record_ids AS text[]))
        """,
        npsn=npsn,
        added=[claim.value for claim in added],
        added_ids=[claim.record_id for claim in added],
        kinds=[claim.kind for claim in added],
        freed=[claim.value for claim in freed],
        freed_ids=[claim.record_id for claim in freed],
        entities=[entity for entity, _ in persons],
        record_ids=[record_id for _, record_id in persons],
    )


def _decoded(text: str | None) -> Fields | None:
    return None if text is None else canonical.decode(text)


def _stay(entity: str, fields: Fields | None) -> tuple[str, bool, int | None] | None:
    """Whom a registration or an assignment is about, whether it has ended, and its year; None: about nobody."""
    if fields is None or not (person := text_of(fields, STAYS[entity][1])):
        return None
    return person, bool(text_of(fields, "jenis_keluar_id")), number_of(fields, "tahun_ajaran_id")
