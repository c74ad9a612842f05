"""A database that is not the one that was stored begins another life: tried on real clusters of PostgreSQL."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import pytest

from services import migrations
from services.central import lives, schools
from services.central.administration import add_school
from services.central.lives import FIRST, FOUND, SAID
from services.database import Database
from services.errors import DatabaseAway
from services.messages import LineageEntry
from tests.builders import NPSN
from tests.central.desk import OTHER, baseline
from tests.clusters import Cluster, Clusters, clusters

MANY = 25
T = TypeVar("T")


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clusters]:
    """A folder for clusters."""
    with clusters(tmp_path_factory.mktemp("clusters") / "run") as made:
        yield made


@pytest.fixture(scope="module")
def primary(many: Clusters) -> Cluster:
    """A cluster that archives its WAL, with central's tables and the school NPSN in the database `central`."""
    cluster = many.new().archiving()
    cluster.start()
    cluster.run("CREATE DATABASE central")
    migrations.upgrade("central", cluster.url())

    async def begin(database: Database) -> None:
        await lives.ensure(database)
        await add_school(database, NPSN, baseline())

    at(cluster, begin)
    return cluster


@dataclass(frozen=True)
class Told:
    """The lives that a database has had, the present one last, and why that began."""

    had: list[str]
    why: str


def at(cluster: Cluster, do: Callable[[Database], Awaitable[T]], name: str = "central") -> T:
    """Do something with one of a cluster's databases, over connections of its own."""

    async def over() -> T:
        database = Database(cluster.url(name), pool=MANY)
        try:
            return await do(database)
        finally:
            await database.close()

    return asyncio.run(over())


def told(cluster: Cluster, name: str = "central") -> Told:
    """The lives of the database, which is asked for the present one first."""

    async def tell(database: Database) -> Told:
        now = await lives.ensure(database)
        async with database.transaction() as transaction:
            begun = await lives.present(transaction)
            rows = await transaction.rows("SELECT incarnation FROM incarnation ORDER BY begun_at")
            currents = await transaction.value("SELECT count(*) FROM incarnation WHERE is_current")
        had = [row.incarnation for row in rows]
        assert (begun.incarnation, had[-1], currents) == (now, now, 1)
        return Told(had, begun.why)

    return at(cluster, tell, name)


def added(cluster: Cluster, npsn: str = OTHER) -> None:
    """A school more at central."""
    at(cluster, lambda database: add_school(database, npsn, baseline(npsn=npsn)))


async def head(database: Database, npsn: str = NPSN) -> schools.School | None:
    """The school under its lock."""
    async with database.transaction() as transaction:
        return await schools.lock(transaction, npsn)


def begun(before: Told, after: Told, why: str = FOUND) -> bool:
    """Has one life begun?"""
    return after.had[:-1] == before.had and after.why == why


# ── another database ─────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_point_in_time_recovery_begins_a_life_each_time_it_is_made(many: Clusters, primary: Cluster) -> None:
    before = told(primary)
    first, second = many.backup(primary), many.backup(primary)
    primary.restore_point("here")
    added(primary)
    assert at(primary, lambda database: head(database, OTHER))
    primary.run("SELECT pg_switch_wal()")
    heads = []
    for copy in (first, second):
        copy.recover(target="here")
        heads.append(at(copy, head))  # nobody asked before: the lock on a school finds it
        assert at(copy, lambda database: head(database, OTHER)) is None, "it has forgotten what came after the target"
    ends = [told(copy) for copy in (first, second)]
    assert all(begun(before, end) for end in ends)
    assert ends[0] != ends[1], "two recoveries on the same timeline are two lives all the same"
    for locked, end in zip(heads, ends, strict=True):
        assert locked is not None
        assert locked.lineage == [
            LineageEntry(incarnation=before.had[0], head_seq=0),
            LineageEntry(incarnation=end.had[-1], head_seq=4),
        ]
    first.stop()
    second.stop()


def test_two_recoveries_in_a_row_begin_two_lives(many: Clusters, primary: Cluster) -> None:
    before = told(primary)
    copy = many.backup(primary)
    primary.restore_point("a place")
    copy.recover(target="a place")
    once = told(copy)
    copy.settings = {}
    copy.archiving()
    copy.stop()
    copy.start()
    assert told(copy) == once, "a restart after it is none"
    again = many.backup(copy)
    copy.restore_point("another place")
    again.recover(target="another place")
    twice = told(again)
    assert begun(before, once)
    assert begun(once, twice)
    copy.stop()
    again.stop()


def test_a_standby_is_not_served_from_until_it_is_promoted_which_begins_a_life(
    many: Clusters, primary: Cluster
) -> None:
    before = told(primary)
    standby = many.backup(primary, "--write-recovery-conf")
    standby.start()
    with pytest.raises(DatabaseAway):
        at(standby, lives.ensure)
    with pytest.raises(DatabaseAway):
        at(standby, head)
    with pytest.raises(DatabaseAway):
        at(standby, lives.restored)
    standby.run("SELECT pg_promote()")
    assert begun(before, told(standby))
    assert told(primary) == before
    standby.stop()


@pytest.mark.parametrize("where", ["beside it", "in its place", "in its tables' place", "in another cluster"])
def test_a_dump_that_is_restored_begins_a_life(many: Clusters, primary: Cluster, where: str) -> None:
    before = told(primary)
    target, name = (many.new(), "central") if where == "in another cluster" else (primary, "put_back")
    if target is not primary:
        target.start()
    if where == "in another cluster":
        target.run("CREATE DATABASE central")
    else:
        target.run("DROP DATABASE IF EXISTS put_back")
        target.run("CREATE DATABASE put_back")
    restore = ("--host=127.0.0.1", f"--username={'postgres'}")
    dump = many.home / f"dump {where}"
    there = ("--host=127.0.0.1", "--username=postgres", f"--port={primary.port}", "--format=custom")
    many.program("pg_dump", *there, f"--file={dump}", "central")
    into = (*restore, f"--port={target.port}", f"--dbname={name}")
    many.program("pg_restore", *into, str(dump))
    if where in ("in its place", "in its tables' place"):
        before = told(target, name)
        many.program("pg_dump", *there, f"--file={dump}", name)
        if where == "in its place":
            target.run(f"DROP DATABASE {name} WITH (FORCE)")
            target.run(f"CREATE DATABASE {name}")
            many.program("pg_restore", *into, str(dump))
        else:
            many.program("pg_restore", *into, "--clean", str(dump))
    assert begun(before, told(target, name))
    if target is not primary:
        target.stop()


# ── the same database ────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGQUIT])
def test_a_restart_goes_on_with_the_life_also_after_a_crash(primary: Cluster, how: signal.Signals) -> None:
    before = told(primary)
    primary.stop(how)
    primary.start()
    assert told(primary) == before


@pytest.mark.parametrize(
    "sql",
    [
        "VACUUM FULL incarnation",
        "REINDEX TABLE incarnation",
        "CLUSTER incarnation USING incarnation_pkey",
        "CHECKPOINT",
        "ALTER DATABASE central RENAME TO pusat",
        "ALTER TABLE incarnation SET UNLOGGED",
    ],
)
def test_upkeep_goes_on_with_the_life(primary: Cluster, sql: str) -> None:
    before = told(primary)
    renames = "RENAME" in sql
    primary.run(sql, "postgres" if renames else "central")
    assert told(primary, "pusat" if renames else "central") == before
    if renames:
        primary.run("ALTER DATABASE pusat RENAME TO central")
    primary.run("ALTER TABLE incarnation SET LOGGED", "central")
    assert told(primary) == before


def test_a_copied_volume_cannot_be_told_from_the_original_so_it_is_said(many: Clusters, primary: Cluster) -> None:
    before = told(primary)
    plain = many.backup(primary)  # started as it is: nothing of the archive is asked for, and the timeline goes on
    primary.stop()
    copy = many.copy(primary)
    primary.start()
    copy.start()
    plain.start()
    for one in (copy, plain):
        assert told(one) == before
        said = at(one, lives.restored)
        after = told(one)
        assert begun(before, after, SAID)
        assert (said.incarnation, said.why) == (after.had[-1], SAID)
        locked = at(one, head)
        assert locked is not None
        assert [life.incarnation for life in locked.lineage] == [before.had[0], said.incarnation]
        one.stop()
    assert told(primary) == before


def test_it_is_said_again_when_the_volume_is_put_back_again(many: Clusters, primary: Cluster) -> None:
    before = told(primary)
    copy = many.backup(primary)
    copy.start()
    first, second = at(copy, lives.restored), at(copy, lives.restored)
    assert told(copy).had == [*before.had, first.incarnation, second.incarnation]
    copy.stop()


# ── at once ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_many_that_find_it_at_once_begin_one_life(many: Clusters, primary: Cluster) -> None:
    before = told(primary)
    copy = many.backup(primary)
    primary.restore_point("many")
    copy.recover(target="many")

    async def all_at_once(database: Database) -> set[str]:
        async def locked() -> str:
            school = await head(database)
            assert school is not None
            assert school.lineage[-1].incarnation == school.incarnation
            return school.incarnation

        return set(await asyncio.gather(*(lives.ensure(database) if n % 2 else locked() for n in range(4 * MANY))))

    found = at(copy, all_at_once)
    after = told(copy)
    assert begun(before, after)
    assert found == {after.had[-1]}
    copy.stop()


def test_the_first_of_all_begins_the_first_life(primary: Cluster) -> None:
    primary.run("CREATE DATABASE anew")
    migrations.upgrade("central", primary.url("anew"))

    async def all_at_once(database: Database) -> set[str]:
        return set(await asyncio.gather(*(lives.ensure(database) for _ in range(MANY))))

    found = at(primary, all_at_once, "anew")
    first = told(primary, "anew")
    assert (set(first.had), first.why) == (found, FIRST)
    assert len(found) == 1
