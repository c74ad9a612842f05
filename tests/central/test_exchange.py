"""Sessions at central: open, fetch, verify; who may speak."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

from services.errors import BrokerAway, MessageRefused
from services.exchange import canonical
from services.messages import (
    PROTOCOL_VERSION,
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
)
from tests.builders import NPSN
from tests.central.desk import KEYS, OTHER, Desk, codes, corrects, expect, new, put, student_id


async def test_an_open_grants_a_session_with_the_first_page(desk: Desk) -> None:
    session = await desk.open()
    assert session.granted.session == 1
    assert session.granted.head_seq == 4
    assert [row.seq for row in session.granted.page.rows] == [1, 2, 3, 4]
    assert session.granted.page.complete
    assert [entry.head_seq for entry in session.granted.lineage] == [0]
    assert session.granted.lineage[0].incarnation == session.granted.incarnation


async def test_the_same_open_again_gets_the_same_session_and_a_new_one_ends_it(desk: Desk) -> None:
    first = expect(await desk.ask("situs-sync", "open", desk.opening(), id="a"), SessionGranted)
    again = expect(await desk.ask("situs-sync", "open", desk.opening(), id="a"), SessionGranted)
    assert again == first
    newer = expect(await desk.ask("situs-pull", "open", desk.opening("pull"), id="b"), SessionGranted)
    assert newer.session == first.session + 1


async def test_an_older_session_is_stale_and_changes_nothing(desk: Desk) -> None:
    older = await desk.open()
    await desk.open()
    for answer in (
        await older.fetch(0),
        await older.push(put(1, 1, rt=(None, 7))),
        await older.verify(),
    ):
        expect(answer, SessionStale)
    assert (await desk.head()).head_seq == 4


async def test_a_session_of_another_life_of_the_database_is_stale(desk: Desk) -> None:
    session = await desk.open()
    other = SessionFetch(session=session.granted.session, incarnation="another", cursor=0, limit=10)
    expect(await desk.ask("situs-sync", "fetch", other), SessionStale)


async def test_the_pullers_user_cannot_speak_in_the_syncers_session(desk: Desk) -> None:
    session = await desk.open()
    fetch = SessionFetch(**session.named, cursor=0, limit=10)
    expect(await desk.ask("situs-pull", "fetch", fetch), SessionStale)


async def test_open_is_refused_with_the_code_that_fits(desk: Desk) -> None:
    async def refused(npsn: str = NPSN, **changed: Any) -> str:
        return expect(
            await desk.ask("situs-sync", "open", desk.opening(**changed), npsn=npsn), SessionRefusal
        ).problem.code

    assert await refused(npsn=OTHER) == "SYN-11"
    assert await refused(install_id="another") == "SYN-06"
    assert await refused(protocol_version=0) == "SYN-03"
    assert await refused(protocol_version=PROTOCOL_VERSION + 1) == "SYN-23"
    assert (await desk.head()).session == 0


@pytest.mark.parametrize(
    ("sender", "verb", "kind", "code"),
    [
        ("situs-pull", "open", "sync", "MSG-05"),
        ("situs-sync", "open", "pull", "MSG-05"),
        ("dinas", "open", "sync", "MSG-05"),
        ("stranger", "open", "sync", "MSG-05"),
        ("situs-sync", "fetch", "sync", "MSG-06"),
    ],
)
async def test_an_open_by_the_wrong_user_or_key_is_refused(
    desk: Desk, sender: str, verb: str, kind: str, code: str
) -> None:
    with pytest.raises(MessageRefused) as refused:
        await desk.ask(sender, verb, desk.opening(kind))  # type: ignore[arg-type]
    assert refused.value.code == code


async def test_a_puller_may_not_push_or_register(desk: Desk) -> None:
    session = await desk.open("pull")
    with pytest.raises(MessageRefused, match="MSG-05"):
        await session.push(put(1, 1, rt=(None, 7)))
    with pytest.raises(MessageRefused, match="MSG-05"):
        await desk.ask("situs-pull", "register", SchoolRegister(code=desk.code))


async def test_another_sites_user_gets_nothing_and_changes_nothing(desk: Desk) -> None:
    session = await desk.open()
    refused = expect(await desk.ask("lain-sync", "open", desk.opening()), SessionRefusal)
    assert refused.problem.code == "SYN-06"
    session.user = "lain-sync"
    for answer in (await session.fetch(0), await session.push(put(1, 1, rt=(None, 7))), await session.verify()):
        expect(answer, SessionStale)
    assert (await desk.head()).head_seq == 4


async def test_an_answer_goes_only_to_the_senders_own_queue(desk: Desk) -> None:
    for reply_to in ("lain-sync.1234", "situs-sync", "situs-syncer.1"):
        with pytest.raises(MessageRefused, match="MSG-05"):
            await desk.ask("situs-sync", "open", desk.opening(), reply_to=reply_to)


async def test_an_answer_that_nobody_waits_for_is_dropped(desk: Desk) -> None:
    desk.gone.add("situs-sync.gone")
    with pytest.raises(ValueError, match="not enough values"):  # the desk found no answer; central raised nothing
        await desk.ask("situs-sync", "open", desk.opening(), reply_to="situs-sync.gone")
    assert (await desk.head()).session == 1


async def test_an_answer_that_the_broker_did_not_confirm_is_given_when_the_message_comes_again(desk: Desk) -> None:
    session = await desk.open()
    desk.away = True
    with pytest.raises(BrokerAway):
        await desk.ask("situs-sync", "open", desk.opening(), id="a")
    with pytest.raises(BrokerAway):
        await desk.officer(corrects(1, 1, rt=7), id="b")
    desk.away = False
    granted = expect(await desk.ask("situs-sync", "open", desk.opening(), id="a"), SessionGranted)
    assert granted.session == session.granted.session + 1
    assert (await desk.officer(corrects(1, 1, rt=7), id="b")).routing_key == f"accepted.{NPSN}"
    assert (await desk.head()).head_seq == 5


async def test_pages_are_bounded_by_records_and_reach_the_head(desk: Desk) -> None:
    session = await desk.open()
    pages = await session.pages(limit=3)
    assert [[row.seq for row in page.rows] for page in pages] == [[1, 2, 3], [4]]
    assert [page.cursor for page in pages] == [3, 4]
    desk.rewire(page_records=2)
    assert [len(page.rows) for page in await session.pages()] == [2, 2]


async def test_pages_are_bounded_by_bytes_but_one_record_always_fits(desk: Desk) -> None:
    session = await desk.open()
    size = len((await desk.student(1)).text.encode())  # type: ignore[union-attr]
    desk.rewire(page_bytes=2 * size)
    assert [[row.seq for row in page.rows] for page in await session.pages(1)] == [[2, 3], [4]]
    desk.rewire(page_bytes=1)
    assert [[row.seq for row in page.rows] for page in await session.pages()] == [[1], [2], [3], [4]]


async def test_a_page_leaves_out_what_this_session_wrote_and_the_cursor_reaches_the_head(desk: Desk) -> None:
    session = await desk.open(cursor=4)
    result = await session.pushed(put(1, 1, rt=(None, 7)), new(9), cursor=4)
    assert result.page is not None
    assert result.page.rows == []
    assert (result.page.cursor, result.head_seq) == (6, 6)
    await desk.officer(corrects(2, 1, nisn="0161234567"))
    page = expect(await session.fetch(4), SessionPage)
    assert [(row.record_id, row.seq) for row in page.rows] == [(student_id(2), 7)]
    assert page.cursor == 7
    later = await desk.open(cursor=4)
    assert [row.seq for row in later.granted.page.rows] == [5, 6, 7]


async def test_what_an_officer_wrote_over_this_sessions_push_is_shown(desk: Desk) -> None:
    session = await desk.open(cursor=4)
    await session.pushed(put(1, 1, rt=(None, 7)))
    await desk.officer(corrects(1, 2, rt=8))
    page = expect(await session.fetch(5), SessionPage)
    assert [(row.version, row.seq) for row in page.rows] == [(3, 6)]


async def test_a_record_that_moves_on_while_it_is_paged_comes_later(desk: Desk) -> None:
    session = await desk.open()
    first = expect(await session.fetch(0, 2), SessionPage)
    await desk.officer(corrects(2, 1, nisn="0161234567"))
    rest = await session.pages(first.cursor)
    assert [row.seq for page in rest for row in page.rows] == [4, 5]


async def test_equal_roots_at_the_head_get_a_statement(desk: Desk) -> None:
    session = await desk.open()
    statement = await session.verified(unsent=2, held=1)
    assert statement == statement | {
        "npsn": NPSN,
        "install_id": desk.install_id,
        "session": 1,
        "kind": "sync",
        "head_seq": 4,
        "root": await desk.root(),
        "counts": {"peserta_didik": 3, "sekolah": 1},
        "unsent": 2,
        "held": 1,
        "refused": 0,
    }
    assert "previous" not in statement
    later = await (await desk.open()).verified()
    assert len(later["previous"]) == 64


async def test_the_same_verify_again_gets_the_same_statement(desk: Desk) -> None:
    session = await desk.open()
    statement = await session.verified()
    root = await desk.root()
    await desk.officer(corrects(1, 1, nisn="0161234567"))
    again = expect(await session.verify(cursor=4, root=root), SessionEqual)
    assert again.statement == KEYS.public.verify(again.jws) == statement
    expect(await session.verify(), SessionEqual)


async def test_a_statement_is_signed_and_names_the_hash_of_the_one_before(desk: Desk) -> None:
    previous = None
    for _ in range(3):
        answer = expect(await (await desk.open()).verify(), SessionEqual)
        signed = KEYS.public.verify(answer.jws)
        assert signed == answer.statement
        assert signed.get("previous") == previous
        previous = hashlib.sha256(canonical.encode(signed).encode()).hexdigest()


async def test_a_sync_moves_confirmed_seq_and_a_pull_delivered_seq(desk: Desk) -> None:
    await desk.officer(corrects(1, 1, nisn="0161234567"))
    await (await desk.open("pull")).verified()
    school = await desk.head()
    assert (school.head_seq, school.confirmed_seq, school.delivered_seq) == (5, 4, 5)
    await (await desk.open("sync")).verified()
    assert (await desk.head()).confirmed_seq == 5


async def test_a_site_that_has_not_fetched_all_is_behind(desk: Desk) -> None:
    session = await desk.open()
    root = await desk.root()
    await desk.officer(corrects(1, 1, nisn="0161234567"))
    behind = expect(await session.verify(cursor=4, root=root), SessionBehind)
    assert behind.head_seq == 5
    assert (await desk.head()).confirmed_seq == 4


async def test_another_root_is_different_and_confirms_nothing(desk: Desk) -> None:
    session = await desk.open()
    await desk.officer(corrects(1, 1, nisn="0161234567"))
    answer = expect(await session.verify(root="00" * 32), SessionDifferent)
    assert {name: held.rows for name, held in answer.entities.items()} == {"peserta_didik": 3, "sekolah": 1}
    assert answer.root == await desk.root()
    assert (await desk.head()).confirmed_seq == 4
    assert desk.metrics.get_sample_value("selaras_central_divergence_total", {"site": "pusat"}) == 1


async def test_a_row_changed_by_hand_is_seen(desk: Desk) -> None:
    session = await desk.open()
    root = await desk.root()
    async with desk.database.transaction() as transaction:
        await transaction.run("UPDATE record SET text = '{}' WHERE npsn = :npsn AND seq = 2", npsn=NPSN)
    expect(await session.verify(root=root), SessionDifferent)


async def test_a_hole_in_seq_is_counted(desk: Desk) -> None:
    session = await desk.open()
    async with desk.database.transaction() as transaction:
        await transaction.run("DELETE FROM record WHERE npsn = :npsn AND seq = 2", npsn=NPSN)
    await session.verify()
    labels = {"site": "pusat", "invariant": "seq_without_holes"}
    assert desk.metrics.get_sample_value("selaras_central_invariant_violations_total", labels) == 1


async def test_registering_fences_the_installation_before(desk: Desk) -> None:
    session = await desk.open()
    again = expect(
        await desk.ask("situs-sync", "register", SchoolRegister(code=desk.code.lower().replace("-", " ")), id="r"),
        SchoolRegistered,
    )
    assert again.registration_no == 2
    assert again.nama == "SD Negeri 1 Sumber Rejo"
    expect(await session.push(put(1, 1, rt=(None, 7))), SessionStale)
    answer = expect(await desk.ask("situs-sync", "open", desk.opening()), SessionRefusal)
    assert codes([answer.problem]) == ["SYN-06"]
    repeated = await desk.ask(
        "situs-sync", "register", SchoolRegister(code=desk.code.lower().replace("-", " ")), id="r"
    )
    assert repeated == again


async def test_a_wrong_code_registers_nothing(desk: Desk) -> None:
    for npsn, code in ((NPSN, "0000-0000-0000-0000-0000"), (OTHER, desk.code)):
        answer = expect(await desk.ask("lain-sync", "register", SchoolRegister(code=code), npsn=npsn), SessionRefusal)
        assert answer.problem.code == "SYN-04"
    assert (await desk.head()).install_id == desk.install_id


async def test_a_school_may_move_to_another_site(desk: Desk) -> None:
    moved = expect(await desk.ask("lain-sync", "register", SchoolRegister(code=desk.code)), SchoolRegistered)
    desk.install_id = moved.install_id
    await desk.open(site="lain")
    former = expect(await desk.ask("situs-sync", "open", desk.opening()), SessionRefusal)
    assert former.problem.code == "SYN-06"
