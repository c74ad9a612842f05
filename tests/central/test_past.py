"""The state as of any seq, and what changed from one to another, held against a model that keeps every state whole."""

from __future__ import annotations

import random
from typing import NamedTuple

import pytest

from services.central import history, lives, registry, schools
from services.central.history import Change
from services.central.registry import Key, NewVersion, Stored
from services.database import Database, Transaction
from services.exchange import canonical, digest
from services.exchange.digest import row_hash
from tests.builders import NPSN
from tests.central.desk import OTHER, student_id

ENTITIES = ("peserta_didik", "ptk", "entitas_rilis_baru")
KEYS = [(entity, student_id(n)) for entity in ENTITIES for n in range(1, 6)]
Model = dict[Key, Stored]


class Lived(NamedTuple):
    """A school that was written at random: its state after each seq, by seq."""

    states: list[Model]

    @property
    def head(self) -> int:
        return len(self.states) - 1


async def lived(database: Database, rng: random.Random, writes: int, npsn: str = NPSN) -> Lived:
    """Some records are written, removed, written again; some to what they were already."""
    await lives.ensure(database)
    states: list[Model] = [{}]
    for _ in range(writes):
        async with database.transaction() as transaction:
            await schools.create(transaction, npsn, "Sekolah", b"")
            school = await schools.lock(transaction, npsn)
            assert school is not None
            keys = rng.sample(KEYS, rng.randint(1, 4))
            new = [NewVersion(*key, states[-1][key].version if key in states[-1] else 0, text(rng)) for key in keys]
            session = rng.choice([None, 3])
            for stored in await registry.write(transaction, school, new, by="situs", session=session):
                states.append({**states[-1], (stored.entity, stored.record_id): stored})
    return Lived(states)


def text(rng: random.Random) -> str | None:
    """A canonical text with few values, or a tombstone."""
    if rng.random() < 0.25:
        return None
    return canonical.encode({"rt": rng.randint(1, 3), "nama": rng.choice("ABé\\")})


async def all_between(
    transaction: Transaction, since: int, seq: int, *, page: int, entity: str | None = None, npsn: str = NPSN
) -> list[Change]:
    """Every page."""
    found: list[Change] = []
    cursor, complete = 0, False
    while not complete:
        part = await history.between(
            transaction, npsn, since, seq, cursor=cursor, entity=entity, records=page, text_bytes=1000
        )
        assert len(part.rows) <= page
        assert part.rows or part.complete
        found += part.rows
        cursor, complete = part.cursor, part.complete
    assert cursor == seq
    return found


def root_of(state: Model) -> str:
    """The root, computed from the model."""
    return digest.root_of((*key, row_hash(*key, one.version, one.text)) for key, one in state.items()).hex()


def live(state: Model) -> dict[str, int]:
    """Live records by entity, of the entities that have rows."""
    counts = dict.fromkeys((entity for entity, _ in state), 0)
    for (entity, _), one in state.items():
        counts[entity] += one.text is not None
    return counts


@pytest.mark.parametrize("seed", range(8))
async def test_every_seq_gives_the_state_that_was_then_and_a_diff_makes_one_of_the_other(
    central_database: Database, seed: int
) -> None:
    rng = random.Random(seed)
    school = await lived(central_database, rng, 25)
    await lived(central_database, rng, 5, OTHER)
    async with central_database.snapshot() as transaction:
        for seq, state in enumerate(school.states[1:], 1):
            assert registry.by_key(await history.as_of(transaction, NPSN, seq)) == state
            whole = await all_between(transaction, 0, seq, page=rng.randint(1, 9))
            assert {(c.after.stored.entity, c.after.stored.record_id): c.after.stored for c in whole} == state
            assert all(c.before is None and c.after.by == "situs" for c in whole)
            roots = await history.roots_as_of(transaction, NPSN, seq)
            assert (roots.root, roots.counts) == (root_of(state), live(state))
        for _ in range(40):
            since, seq = sorted(rng.choices(range(1, school.head + 1), k=2))
            before, after = school.states[since], school.states[seq]
            changes = await all_between(transaction, since, seq, page=rng.randint(1, 9))
            keys = [(c.after.stored.entity, c.after.stored.record_id) for c in changes]
            assert len(set(keys)) == len(keys)
            assert [c.after.stored.seq for c in changes] == sorted(c.after.stored.seq for c in changes)
            assert [c.before for c in changes] == [before.get(key) for key in keys]
            assert {**before, **{key: c.after.stored for key, c in zip(keys, changes, strict=True)}} == after
            assert all(before.get(key) != after[key] for key in keys), "only what changed"
            entity = rng.choice(ENTITIES)
            of_one = await all_between(transaction, since, seq, page=3, entity=entity)
            assert of_one == [c for c in changes if c.after.stored.entity == entity]


@pytest.mark.parametrize("seed", range(3))
async def test_the_seq_that_has_a_root_is_found_by_it(
    central_database: Database, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    monkeypatch.setattr(history, "PAGE_VERSIONS", 7)
    school = await lived(central_database, random.Random(seed), 20)
    async with central_database.snapshot() as transaction:
        for seq, state in enumerate(school.states[1:], 1):
            for since in {0, seq // 2, seq - 1, seq}:
                found = await history.seq_of(transaction, NPSN, root_of(state), live(state), since)
                assert found == seq
            assert await history.seq_of(transaction, NPSN, root_of(state), {**live(state), "ptk": 99}, 0) is None
        assert await history.seq_of(transaction, NPSN, "0" * 64, live(school.states[-1]), 0) is None
        assert await history.seq_of(transaction, NPSN, root_of(school.states[3]), live(school.states[3]), 4) is None
