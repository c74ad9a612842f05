"""The cut-off: many schools as of one moment, each as it is by itself, and a file that shows whether it is whole."""

from __future__ import annotations

import hashlib
import json
import random
from typing import Any

import pytest

from services.central import cutoff, history, lives, registry, schools
from services.central.administration import Refused
from services.central.cutoff import Wanted
from services.central.moments import AtTime, Now, parse
from services.central.registry import NewVersion
from services.database import Database
from services.exchange import canonical, digest
from services.exchange.digest import row_hash
from tests.central.desk import student_id
from tests.central.test_past import Lived, live, lived, root_of

NPSNS = [f"6990001{n}" for n in range(7)]


async def taken(database: Database, wanted: Wanted) -> tuple[list[dict[str, Any]], list[tuple[int, int]]]:
    """Every line of the file, which is whole; and how far it was said to be."""
    told: list[tuple[int, int]] = []
    parts = [part async for part in cutoff.lines(database, wanted, lambda *far: told.append(far))]
    file = b"".join(parts)
    *before, last = file.splitlines(keepends=True)
    found = [json.loads(line) for line in (*before, last)]
    trailer = found[-1]
    assert trailer["sha256"] == hashlib.sha256(b"".join(before)).hexdigest()
    assert trailer["schools"] == sum("root" in line for line in found)
    assert trailer["records"] == sum("record_id" in line for line in found)
    return found, told


def wanted(text: str, **more: Any) -> Wanted:
    """As the command wants it."""
    moment = parse(text)
    assert isinstance(moment, AtTime | Now)
    return Wanted(moment, **more)


async def many(database: Database) -> dict[str, Lived]:
    """Schools of different sizes; of each some middle seq is confirmed."""
    rng = random.Random(4)
    made = {npsn: await lived(database, rng, 3 + 4 * n, npsn) for n, npsn in enumerate(NPSNS)}
    async with database.transaction() as transaction:
        for npsn, school in made.items():
            await transaction.run(
                "UPDATE school SET confirmed_seq = :seq WHERE npsn = :npsn", seq=school.head // 2, npsn=npsn
            )
    return made


@pytest.mark.parametrize(("schools_at_once", "records_at_once"), [(200, 5000), (2, 3), (3, 40), (1, 1)])
async def test_every_school_is_as_it_is_by_itself(
    central_database: Database, monkeypatch: pytest.MonkeyPatch, schools_at_once: int, records_at_once: int
) -> None:
    monkeypatch.setattr(cutoff, "BATCH_SCHOOLS", schools_at_once)
    monkeypatch.setattr(cutoff, "BATCH_RECORDS", records_at_once)
    made = await many(central_database)
    for text in ("confirmed", "head"):
        seqs = {npsn: one.head if text == "head" else one.head // 2 for npsn, one in made.items()}
        found, told = await taken(central_database, wanted(text))
        header, *lines, _ = found
        assert (header["selaras"], header["meaning"]) == ("snapshot", text)
        assert told[-1] == (7, 7)
        at: dict[str, list[dict[str, Any]]] = {}
        for line in lines:
            at.setdefault(line["npsn"], []).append(line)
        assert list(at) == NPSNS
        for npsn, (about, *records) in at.items():
            state = made[npsn].states[seqs[npsn]]
            assert (about["seq"], about["root"]) == (seqs[npsn], root_of(state))
            assert (about["counts"], about["rows"]) == (live(state), len(state))
            as_they_were = [(s.entity, s.record_id, s.version, s.seq, s.fields) for s in state.values()]
            assert [(r["entity"], r["record_id"], r["version"], r["seq"], r["fields"]) for r in records] == sorted(
                as_they_were, key=lambda one: one[3]
            )
            again = digest.root_of(
                (r["entity"], r["record_id"], row_hash(
                    r["entity"], r["record_id"], r["version"], r["fields"] and canonical.encode(r["fields"])
                )) for r in records
            )  # fmt: skip
            assert again.hex() == about["root"], "who has the file can compute the root from it"


async def test_some_entities_or_the_schools_alone(central_database: Database) -> None:
    made = await many(central_database)
    whole, _ = await taken(central_database, wanted("head"))
    two, _ = await taken(central_database, wanted("head", entities=("ptk", "peserta_didik")))
    assert [line for line in two if "record_id" in line] == [
        line for line in whole if line.get("entity") in ("ptk", "peserta_didik")
    ]
    alone, _ = await taken(central_database, wanted("head", records=False))
    assert alone[1:-1] == [line for line in whole if "root" in line]
    assert len(alone) == len(made) + 2


async def test_a_date_leaves_out_who_was_not_there_and_none_may_be_to_come(central_database: Database) -> None:
    await many(central_database)
    async with central_database.transaction() as transaction:
        await transaction.run(
            "UPDATE school SET added_at = '2026-03-01T00:00Z' WHERE npsn = ANY(:some)", some=NPSNS[2:]
        )
        for table in ("record", "history"):
            await transaction.run(
                f"UPDATE {table} SET written_at = '2026-03-02T00:00Z' WHERE npsn = ANY(:some)", some=NPSNS[2:]
            )
            await transaction.run(
                f"UPDATE {table} SET written_at = '2026-03-01T00:00Z' WHERE npsn = ANY(:some) AND seq <= 3",
                some=NPSNS[2:],
            )
    found, _ = await taken(central_database, wanted("2026-03-01"))
    assert [line["npsn"] for line in found if "root" in line] == NPSNS[2:]
    assert {line["seq"] for line in found if "root" in line} == {3}
    assert {line["receipt"] for line in found if "root" in line} == {None}
    assert (found[-1]["schools"], found[-1]["not_there"], found[0]["meaning"]) == (5, 2, "confirmed")
    assert found[0]["as_of"] == "2026-03-01T23:59:59.999999+07:00"
    held, _ = await taken(central_database, wanted("2026-03-02", held=True))
    assert {line["seq"] for line in held if "root" in line} != {3}
    none, _ = await taken(central_database, wanted("2026-02-01"))
    assert (none[-1]["schools"], none[-1]["not_there"]) == (0, 7)
    with pytest.raises(Refused, match="PUSAT-14"):
        await taken(central_database, wanted("2999-01-01"))


async def test_all_of_it_is_of_one_moment_whatever_is_written_meanwhile(
    central_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cutoff, "BATCH_SCHOOLS", 1)
    made = await many(central_database)
    expected, _ = await taken(central_database, wanted("head"))
    lines = cutoff.lines(central_database, wanted("head"), lambda *_: None)
    parts = [await anext(lines)]
    rng = random.Random(5)
    for npsn, school in made.items():
        async with central_database.transaction() as transaction:
            locked = await schools.lock(transaction, npsn)
            assert locked is not None
            await registry.write(
                transaction, locked, [NewVersion("ptk", student_id(90), 0, "{}")], by="situs", session=None
            )
            if rng.random() < 0.5:
                key, stored = next(iter(school.states[-1].items()))
                locked = await schools.lock(transaction, npsn)
                assert locked is not None
                await registry.write(
                    transaction, locked, [NewVersion(*key, stored.version, None)], by="situs", session=None
                )
    parts += [part async for part in lines]
    found = [json.loads(line) for line in b"".join(parts).splitlines()]
    assert found[1:-1] == expected[1:-1]


async def test_of_a_large_school_no_more_is_read_at_once(
    central_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """12,000 records, a third of them superseded since, beside small ones."""
    made = await many(central_database)
    await lives.ensure(central_database)
    number, big = 12_000, "69900099"
    texts = [canonical.encode({"nama": f"Nama {n}", "rt": n % 20}) for n in range(number)]
    async with central_database.transaction() as transaction:
        await schools.create(transaction, big, "Besar", b"")
        for versions, count in ((0, number), (1, number // 3)):
            school = await schools.lock(transaction, big)
            assert school is not None
            new = [NewVersion("peserta_didik", student_id(n), versions, texts[n]) for n in range(count)]
            await registry.write(transaction, school, new, by="situs", session=None)
        await transaction.run("UPDATE school SET confirmed_seq = :n WHERE npsn = :npsn", n=number, npsn=big)
    most = 0
    read = cutoff._records

    async def measured(*asked: Any) -> Any:
        nonlocal most
        async for rows in read(*asked):
            most = max(most, len(rows))
            yield rows

    monkeypatch.setattr(cutoff, "_records", measured)
    found, _ = await taken(central_database, wanted("confirmed"))
    assert most == cutoff.BATCH_RECORDS
    records = [line for line in found if line.get("npsn") == big and "record_id" in line]
    assert [r["seq"] for r in records] == list(range(1, number + 1))
    assert {r["version"] for r in records} == {1}
    assert len([line for line in found if "root" in line]) == len(made) + 1
    async with central_database.snapshot() as transaction:
        roots = await history.roots_as_of(transaction, big, number)
        page = await history.between(transaction, big, number, number + 4000, records=1000, text_bytes=10**9)
    assert {line["root"] for line in found if line.get("rows") == number} == {roots.root}
    assert (len(page.rows), page.complete) == (1000, False)
