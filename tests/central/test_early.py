"""A small sync as one message: what central takes with an OPEN, what it leaves, and an OPEN that comes again."""

from __future__ import annotations

from typing import Any

import pytest

from services.central import registry
from services.errors import MessageRefused
from services.exchange import canonical, digest
from services.messages import (
    Early,
    LineageEntry,
    Mark,
    PushedChange,
    SchoolRegister,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionPage,
    SessionRefusal,
    SessionResult,
)
from tests.builders import NPSN
from tests.central.desk import KEYS, STUDENT, Desk, corrects, expect, new, put, student_id


@pytest.fixture
async def synced(desk: Desk) -> Desk:
    """A school whose site has fetched everything, in session 1."""
    session = await desk.open()
    await session.verified()
    return desk


async def foreseen(desk: Desk, *changes: PushedChange) -> str:
    """The root once all of it is taken as it is."""
    async with desk.database.transaction() as transaction:
        rows = await transaction.rows("SELECT entity, record_id, version, text FROM record WHERE npsn = :n", n=NPSN)
    held = {(row.entity, row.record_id): (row.version, row.text) for row in rows}
    for change in changes:
        key = (change.entity, change.record_id)
        version, text = held.get(key, (0, None))
        fields = canonical.decode(text) if text else {}
        for name, (_, value) in change.fields.items():
            fields[name] = value
        kept = {name: value for name, value in fields.items() if value is not None}
        held[key] = (version + 1, canonical.encode(kept))
    return digest.root_of((*key, digest.row_hash(*key, *made)) for key, made in held.items()).hex()


async def offered(desk: Desk, *changes: PushedChange, after: int = 1, root: str = "", **opening: Any) -> Any:
    """OPEN with these changes, by a site that has everything but what was not fetched."""
    early = Early(after=after, changes=list(changes), root=root or await foreseen(desk, *changes))
    return desk.opening(**{"cursor": 4, "early": early, **opening})


async def granted(desk: Desk, *changes: PushedChange, **more: Any) -> SessionGranted:
    sender = more.pop("sender", "situs-sync")
    id = more.pop("id", None)
    return expect(await desk.ask(sender, "open", await offered(desk, *changes, **more), id=id), SessionGranted)


def is_left(answer: SessionGranted) -> bool:
    """Was nothing of it taken?"""
    return answer.result is None and answer.equal is None


async def test_all_is_taken_and_stated_with_the_grant(synced: Desk) -> None:
    answer = await granted(synced, put(1, 1, rt=(None, 7)), new(9))
    assert answer.result is not None
    assert [(v.verdict, v.version, v.seq) for v in answer.result.verdicts] == [("applied", 2, 5), ("applied", 1, 6)]
    assert answer.equal is not None
    statement = answer.equal.statement
    assert (statement["session"], statement["kind"], statement["head_seq"]) == (answer.session, "sync", 6)
    assert KEYS.public.verify(answer.equal.jws) == statement
    assert answer.page == SessionPage(rows=[], cursor=6, head_seq=6)
    head = await synced.head()
    assert (head.head_seq, head.confirmed_seq, head.mark) == (
        6,
        6,
        Mark(incarnation=head.incarnation, session=answer.session),
    )


async def test_nothing_at_all_is_stated_too_and_marks_nothing(synced: Desk) -> None:
    answer = await granted(synced)
    assert answer.result is None
    assert answer.equal is not None
    assert answer.equal.statement["head_seq"] == 4
    assert (await synced.head()).mark is None


async def test_what_the_site_has_not_heard_of_comes_first(synced: Desk) -> None:
    await synced.officer(corrects(2, 1, rt=9))
    answer = await granted(synced, put(1, 1, rt=(None, 7)))
    assert is_left(answer)
    assert [row.seq for row in answer.page.rows] == [5]
    assert (await synced.head()).head_seq == 5


async def test_an_open_that_is_late_brings_nothing(synced: Desk) -> None:
    late = await offered(synced, put(1, 1, rt=(None, 7)))
    await synced.open(cursor=4)
    assert is_left(expect(await synced.ask("situs-sync", "open", late), SessionGranted))
    assert (await synced.head()).head_seq == 4


async def test_of_another_history_nothing_is_taken(synced: Desk) -> None:
    other = [*synced.lineage, LineageEntry(incarnation="another", head_seq=4)]
    answer = await synced.ask("situs-sync", "open", await offered(synced, put(1, 1, rt=(None, 7)), lineage=other))
    assert not isinstance(answer, SessionGranted) or is_left(answer)
    assert (await synced.head()).head_seq == 4


async def test_a_pull_brings_nothing_whatever_it_carries(synced: Desk) -> None:
    answer = await granted(synced, put(1, 1, rt=(None, 7)), sender="situs-pull", kind="pull")
    assert is_left(answer)
    assert (await synced.head()).head_seq == 4


async def test_more_than_a_batch_is_left_for_batches(synced: Desk) -> None:
    synced.rewire(batch_records=1)
    assert is_left(await granted(synced, put(1, 1, rt=(None, 7)), put(2, 1, rt=(None, 7))))
    assert (await synced.head()).head_seq == 4


async def test_a_record_twice_is_refused_as_in_any_batch(synced: Desk) -> None:
    asked = await offered(synced, put(1, 1, rt=(None, 7)), put(1, 1, rt=(None, 8)))
    with pytest.raises(MessageRefused, match="MSG-09"):
        await synced.ask("situs-sync", "open", asked)
    assert (await synced.head()).session == 1, "no session began"


async def test_what_was_not_foreseen_is_taken_and_not_stated(synced: Desk) -> None:
    answer = await granted(synced, put(1, 1, rt=(None, 7)), put(2, 1, tanggal_lahir=("2017-03-02", "2999-01-01")))
    assert answer.result is not None
    assert [verdict.verdict for verdict in answer.result.verdicts] == ["applied", "refused"]
    assert answer.equal is None
    assert (await synced.head()).confirmed_seq == 4
    fetch = SessionFetch(session=answer.session, incarnation=answer.incarnation, cursor=4, limit=10)
    page = expect(await synced.ask("situs-sync", "fetch", fetch), SessionPage)
    assert (page.rows, page.cursor) == ([], 5), "the session goes on, and shows nothing of its own"


async def test_the_same_open_again_gets_the_same_answer_and_writes_nothing(synced: Desk) -> None:
    change = put(1, 1, rt=(None, 7))
    asked = await offered(synced, change)
    first = expect(await synced.ask("situs-sync", "open", asked, id="a"), SessionGranted)
    again = expect(await synced.ask("situs-sync", "open", asked, id="a"), SessionGranted)
    assert (again.session, again.result, again.equal) == (first.session, first.result, first.equal)
    assert (await synced.head()).head_seq == 5
    await synced.officer(corrects(1, 2, rt=9))
    later = expect(await synced.ask("situs-sync", "open", asked, id="a"), SessionGranted)
    assert isinstance(later.result, SessionResult)
    assert isinstance(later.equal, SessionEqual)
    assert (later.result.verdicts, later.equal) == (first.result.verdicts if first.result else None, first.equal)
    assert [row.version for row in later.page.rows] == [3], "what an officer wrote over it"


async def test_what_was_left_is_not_stated_when_the_same_open_comes_again(synced: Desk) -> None:
    await synced.open(cursor=4)
    asked = await offered(synced)
    assert is_left(expect(await synced.ask("situs-sync", "open", asked, id="a"), SessionGranted))
    assert is_left(expect(await synced.ask("situs-sync", "open", asked, id="a"), SessionGranted))


async def test_a_site_that_never_heard_of_it_is_no_old_copy(synced: Desk) -> None:
    await granted(synced, put(1, 1, rt=(None, 7)), id="a")  # and the answer is lost
    for marks in ({}, {"another": 0}):
        refused = expect(await synced.ask("situs-sync", "open", synced.opening(cursor=4, marks=marks)), SessionRefusal)
        assert refused.problem.code == "SYN-05"
    for sender, kind in (("situs-pull", "pull"), ("situs-sync", "sync")):
        asked = synced.opening(kind, cursor=4, marks={"a": 0})  # type: ignore[arg-type]
        assert expect(await synced.ask(sender, "open", asked), SessionGranted).tried_taken is True


async def test_the_grant_says_that_what_never_came_never_will(synced: Desk) -> None:
    late = await offered(synced, put(1, 1, rt=(None, 7)))
    answer = await synced.ask("situs-sync", "open", synced.opening(cursor=4, marks={"a": 0}))
    assert expect(answer, SessionGranted).tried_taken is False
    assert is_left(expect(await synced.ask("situs-sync", "open", late, id="a"), SessionGranted))
    assert expect(await synced.ask("situs-sync", "open", synced.opening(cursor=4)), SessionGranted).tried_taken is None


async def test_the_release_before_goes_on_with_its_own_mark(synced: Desk) -> None:
    """It neither knows of the OPEN, nor refuses a site that has not heard of it."""
    await granted(synced, put(1, 1, rt=(None, 7)), id="a")
    async with synced.database.transaction() as transaction:
        row = await transaction.row("SELECT mark_incarnation, mark_session FROM school WHERE npsn = :n", n=NPSN)
        assert row is not None
        assert (row.mark_incarnation, row.mark_session) == (None, None)
        await transaction.run(  # it registers another installation: what it does not know of stays
            "UPDATE school SET registration_no = registration_no + 1 WHERE npsn = :n", n=NPSN
        )
    assert (await synced.head()).mark is None


async def test_an_id_means_nothing_once_a_later_session_sent_something(synced: Desk) -> None:
    first = await granted(synced, put(1, 1, rt=(None, 7)), id="a")
    synced.marks = {first.incarnation: first.session}
    session = await synced.open(cursor=5)
    await session.pushed(put(1, 2, rt=(7, 8)))
    refused = await synced.ask("situs-sync", "open", synced.opening(cursor=4, marks={"a": 0}))
    assert expect(refused, SessionRefusal).problem.code == "SYN-05"


async def test_another_installation_clears_it(synced: Desk) -> None:
    await granted(synced, put(1, 1, rt=(None, 7)), id="a")
    await synced.ask("situs-sync", "register", SchoolRegister(code=synced.code))
    head = await synced.head()
    assert (head.mark, head.mark_open_id) == (None, None)


async def test_what_is_taken_is_counted_once(synced: Desk) -> None:
    asked = await offered(synced, put(1, 1, rt=(None, 7)))
    for _ in range(2):
        await synced.ask("situs-sync", "open", asked, id="a")
    samples = {
        (sample.labels.get("entity"), sample.labels.get("verdict")): sample.value
        for family in synced.metrics.collect()
        for sample in family.samples
        if "verdict" in sample.labels and sample.name.endswith("_total")
    }
    assert samples["peserta_didik", "applied"] == 1
    async with synced.database.transaction() as transaction:
        stored = (await registry.read(transaction, NPSN, [("peserta_didik", student_id(1))])).popitem()[1]
    assert stored.text is not None
    assert canonical.decode(stored.text) == {**STUDENT, "rt": 7}
