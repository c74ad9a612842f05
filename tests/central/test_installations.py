"""Which replica may go on: old copies, a central that forgot, and a school given back as of its last completed sync."""

from __future__ import annotations

from typing import Any

import pytest

from services.central import registry
from services.database import Database
from services.messages import (
    LineageEntry,
    SchoolRegister,
    SchoolRegistered,
    SessionBehind,
    SessionDifferent,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionPage,
    SessionRefusal,
    SessionStale,
    SessionVerify,
    Stated,
)
from tests.central.desk import Desk, SessionAt, corrects, expect, put, student_id


async def refused(desk: Desk, kind: Any = "sync", **changed: Any) -> str | None:
    """The code with which an OPEN is refused; None if it is granted."""
    user = "situs-sync" if kind == "sync" else "situs-pull"
    answer = await desk.ask(user, "open", desk.opening(kind, **changed))
    return answer.problem.code if isinstance(answer, SessionRefusal) else None


async def life(desk: Desk) -> str:
    return (await desk.head()).incarnation


async def forget(database: Database, sql: str) -> None:
    """What a backup that was put back does, without its new incarnation."""
    async with database.transaction() as transaction:
        assert await transaction.run(sql)


@pytest.mark.parametrize("kind", ["sync", "pull"])
async def test_a_replica_whose_marks_do_not_reach_centrals_is_an_old_copy(desk: Desk, kind: str) -> None:
    await desk.open()
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)))
    incarnation, number = session.granted.incarnation, session.granted.session
    assert await refused(desk, kind, marks={}) == "SYN-05"
    assert await refused(desk, kind, marks={incarnation: number - 1}) == "SYN-05"
    assert await refused(desk, kind, marks={"another life": number}) == "SYN-05"
    assert await refused(desk, kind, marks={incarnation: number}) is None
    assert await refused(desk, kind, marks={incarnation: number, "another life": 3}) is None


async def test_an_old_copy_that_is_refused_ends_nobodys_session(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)))
    assert await refused(desk, marks={}) == "SYN-05"
    expect(await session.verify(), SessionEqual)


async def test_a_session_that_was_gated_here_and_never_came_is_no_reason_to_refuse(desk: Desk) -> None:
    session = await desk.open()
    assert await refused(desk, marks={session.granted.incarnation: session.granted.session}) is None


async def test_marks_are_compared_within_one_installation(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)))
    again = expect(await desk.ask("situs-sync", "register", SchoolRegister(code=desk.code)), SchoolRegistered)
    desk.install_id = again.install_id
    assert await refused(desk, marks={}) is None


async def test_a_site_that_is_ahead_within_one_life_stops_and_is_counted(desk: Desk) -> None:
    session = await desk.open()
    incarnation = session.granted.incarnation
    lineage = [LineageEntry(incarnation=incarnation, head_seq=0)]
    unknown = Stated(incarnation=incarnation, session=1, head_seq=4, root="00")
    for ahead in (
        {"lineage": lineage, "highest_seq": 5},
        {"lineage": lineage, "cursor": 5},
        {"marks": {incarnation: 2}},
        {"statement": unknown},
    ):
        assert await refused(desk, **ahead) == "SYN-15", ahead
        assert await refused(desk, "restore", **ahead) == "SYN-15", "what the site alone still has is not wiped"
    violations = "selaras_central_invariant_violations_total"
    labels = {"site": "pusat", "invariant": "nothing_forgotten"}
    assert desk.metrics.get_sample_value(violations, labels) == 8
    assert (await desk.head()).session == 1, "no session is granted"


async def test_a_site_that_is_ahead_of_another_life_is_not_called_ahead(desk: Desk) -> None:
    lineage = [LineageEntry(incarnation="another life", head_seq=0)]
    said = Stated(incarnation="another life", session=9, head_seq=90, root="00")
    ahead = {"lineage": lineage, "highest_seq": 90, "marks": {"another life": 9}, "statement": said}
    assert await refused(desk, **ahead) == "SYN-14"
    assert await refused(desk, "restore", **ahead) is None, "it takes whatever central has"


async def test_a_statement_that_central_gave_is_known_and_one_that_it_lost_is_not(desk: Desk) -> None:
    statement = await (await desk.open()).verified()
    said = Stated(**{name: statement[name] for name in ("incarnation", "session", "head_seq", "root")})
    assert await refused(desk, statement=said) is None
    await forget(desk.database, "DELETE FROM statement")
    assert await refused(desk, statement=said) == "SYN-15"


# ── a restore ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def open_restore(desk: Desk, cursor: int = 0) -> SessionAt:
    answer = await desk.ask("situs-pull", "open", desk.opening("restore", cursor=cursor, marks={}))
    return SessionAt(desk, "situs-pull", expect(answer, SessionGranted))


async def fetched(session: SessionAt, cursor: int, *, limit: int = 1000, as_of: int | None = None) -> Any:
    asked = SessionFetch(
        **session.named, cursor=cursor, limit=limit, as_of=session.granted.as_of if as_of is None else as_of
    )
    return await session.desk.ask("situs-pull", "fetch", asked)


async def synced_then_moved(desk: Desk) -> str:
    """A completed sync at seq 6, and after it a correction of the same record, another one, and an unfinished push; the
    root at the sync.
    """
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 7)), put(2, 1, rt=(None, 8)))
    statement = await session.verified()
    assert statement["head_seq"] == 6
    await desk.officer(corrects(1, 2, rt=1), corrects(3, 1, rt=2))
    await (await desk.open()).pushed(put(2, 2, rw=(None, 3)))
    return str(statement["root"])


async def test_a_restore_gives_exactly_the_last_completed_sync(desk: Desk) -> None:
    root = await synced_then_moved(desk)
    session = await open_restore(desk)
    assert session.granted.as_of == 6
    assert session.granted.mark is not None
    assert (session.granted.mark.session, session.granted.head_seq) == (2, 9)
    page = session.granted.page
    assert page.complete
    assert [(row.seq, row.version) for row in page.rows] == [(1, 1), (4, 1), (5, 2), (6, 2)]
    assert all(row.covers is None for row in page.rows)
    verify = SessionVerify(**session.named, cursor=6, root=root, unsent=0, held=0, refused=0)
    statement = expect(await desk.ask("situs-pull", "verify", verify), SessionEqual).statement
    assert (statement["kind"], statement["head_seq"], statement["root"]) == ("restore", 6, root)
    assert (await desk.head()).confirmed_seq == 6, "a restore confirms nothing"


async def test_a_restore_is_paged_by_seq_within_bounds(desk: Desk) -> None:
    await synced_then_moved(desk)
    session = await open_restore(desk)
    cursor, seen = 0, []
    for _ in range(10):
        page = expect(await fetched(session, cursor, limit=1), SessionPage)
        assert len(page.rows) == 1
        seen += [row.seq for row in page.rows]
        cursor = page.cursor
        if page.complete:
            break
    assert seen == [1, 4, 5, 6]
    assert cursor == 6
    desk.rewire(page_bytes=1)
    assert [row.seq for row in expect(await fetched(session, 0), SessionPage).rows] == [1]


async def test_a_restore_that_stands_elsewhere_is_told_so(desk: Desk) -> None:
    root = await synced_then_moved(desk)
    session = await open_restore(desk)
    named = session.named

    async def verify(cursor: int, root: str) -> Any:
        asked = SessionVerify(**named, cursor=cursor, root=root, unsent=0, held=0, refused=0)
        return await desk.ask("situs-pull", "verify", asked)

    assert expect(await verify(5, root), SessionBehind).head_seq == 6
    expect(await verify(6, "00"), SessionDifferent)
    expect(await verify(9, await desk.root()), SessionDifferent)
    expect(await fetched(session, 0, as_of=9), SessionStale)


async def test_a_school_that_never_synced_gets_its_baseline(desk: Desk) -> None:
    await desk.officer(corrects(1, 1, rt=7))
    await (await desk.open("pull")).verified()
    session = await open_restore(desk)
    assert session.granted.as_of == 4
    assert [(row.record_id, row.version) for row in session.granted.page.rows][1] == (student_id(1), 1)


async def test_a_restore_pushes_nothing(desk: Desk) -> None:
    session = await open_restore(desk)
    session.user = "situs-sync"
    expect(await session.push(put(1, 1, rt=(None, 7))), SessionStale)
    async with desk.database.transaction() as transaction:
        assert await registry.without_holes(transaction, await desk.head())
