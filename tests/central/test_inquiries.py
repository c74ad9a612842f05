"""An officer asks for a school's past over the broker: pages of one state, to who asked and to nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from services import topology, wire
from services.broker import Delivery
from services.central import moments
from services.errors import MessageRefused
from services.messages import HistoryAnswered, HistoryRefused, HistoryRequested, HistoryRow, Message, SessionEqual
from tests.builders import NPSN
from tests.central.desk import OTHER, STUDENT, Desk, corrects, delete, expect, put, student_id


async def ask(
    desk: Desk,
    *,
    sender: str = "dinas",
    npsn: str = NPSN,
    reply_to: str | None = "dinas.0a1b",
    routing_key: str | None = None,
    **asked: Any,
) -> Message:
    """The answer to an officer's question."""
    before = len(desk.heard)
    await desk.handlers.handle(
        Delivery(
            queue=topology.CENTRAL_OFFICERS,
            body=wire.encode(HistoryRequested(**asked), subject=npsn, source="/dinas"),
            sender=sender,
            routing_key=routing_key or f"history.{npsn}",
            reply_to=reply_to,
            correlation_id="c",
        ),
        limit_bytes=wire.MAX_BODY_BYTES,
    )
    (answer,) = desk.heard[before:]
    assert (answer.exchange, answer.routing_key, answer.subject) == (topology.REPLIES, reply_to, npsn)
    assert answer.correlation_id == "c"
    return answer.message


async def pages(desk: Desk, **asked: Any) -> list[HistoryAnswered]:
    """The first page, and those that follow by the seqs that it names."""
    found = [expect(await ask(desk, **asked), HistoryAnswered)]
    first = found[0]
    asked |= {"as_of": str(first.as_of.seq), **({"since": str(first.since.seq)} if first.since else {})}
    while not found[-1].complete:
        found.append(expect(await ask(desk, **asked, cursor=found[-1].cursor), HistoryAnswered))
    return found


async def test_a_state_and_what_changed_since_come_in_pages_of_one_state(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 5)), delete(2, 1))
    jws = expect(await session.verify(), SessionEqual).jws
    await desk.officer(corrects(9, 0, **STUDENT))
    first, *others = await pages(desk, as_of=jws, limit=2)
    rows = [row for page in (first, *others) for row in page.rows]
    assert (first.as_of.seq, first.as_of.session, first.as_of.signed_root) == (6, 1, first.root)
    assert first.counts == {"peserta_didik": 2, "sekolah": 1}
    assert [row.seq for row in rows] == [1, 4, 5, 6]
    assert all(row.old_version is None for row in rows)
    assert (rows[2].written_by, rows[2].written_session, rows[3].text) == ("situs", 1, None)
    assert others[0].root is None

    (changed,) = await pages(desk, since="4", as_of="head")
    assert [(row.old_version, row.version, row.seq) for row in changed.rows] == [(1, 2, 5), (1, 2, 6), (0, 1, 7)]
    assert changed.since is not None
    assert changed.rows[0].old_text is not None
    assert '"rt":5' in (changed.rows[0].text or "")
    (one,) = await pages(desk, since="4", as_of="confirmed", entity="ptk")
    assert (one.rows, one.complete, one.as_of.seq) == ([], True, 6)


async def test_who_is_no_officer_of_the_school_is_told_so(desk: Desk) -> None:
    for named in (
        {"sender": "situs-sync", "reply_to": "situs-sync.0a"},
        {"sender": "orang", "reply_to": "orang.0a"},
    ):
        answer = expect(await ask(desk, as_of="head", **named), HistoryRefused)
        assert answer.problem.code == "PUSAT-03"
    for asked, code in (
        ({"as_of": "kapan-kapan"}, "PUSAT-11"), ({"as_of": "99"}, "PUSAT-12"), ({"as_of": "2999-01-01"}, "PUSAT-14"),
        ({"as_of": "1", "since": "head"}, "PUSAT-18"), ({"as_of": "head", "npsn": OTHER}, "PUSAT-04"),
    ):  # fmt: skip
        assert expect(await ask(desk, **asked), HistoryRefused).problem.code == code


@pytest.mark.parametrize(
    ("named", "code"),
    [
        ({"reply_to": "lain-sync.0a"}, "MSG-05"),
        ({"reply_to": None}, "MSG-05"),
        ({"routing_key": "history.x"}, "MSG-06"),
    ],
)
async def test_an_answer_goes_to_nobody_but_who_asked(desk: Desk, named: dict[str, Any], code: str) -> None:
    with pytest.raises(MessageRefused) as refused:
        await ask(desk, as_of="head", **named)
    assert refused.value.code == code


async def test_a_page_is_never_larger_than_a_message_may_be(desk: Desk) -> None:
    desk.rewire(page_bytes=1500)
    long = {**STUDENT, "alamat_jalan": '"' * 80}
    await desk.officer(*(corrects(n, 0, **long) for n in range(10, 30)))
    await desk.officer(*(corrects(n, 1, alamat_jalan="\\" * 80) for n in range(10, 30)))
    found = await pages(desk, as_of="head", since="24", limit=1000)
    assert len(found) > 5
    rows: list[HistoryRow] = [row for page in found for row in page.rows]
    assert [row.record_id for row in rows] == [student_id(n) for n in range(10, 30)]
    for page in found:
        assert sum(len(row.text or "") + len(row.old_text or "") for row in page.rows) <= 1500


def test_a_moment_may_be_as_long_as_a_message_says() -> None:
    assert HistoryRequested.model_json_schema()["properties"]["as_of"]["maxLength"] == moments.LONGEST
