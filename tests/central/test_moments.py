"""Which seq a moment means: seqs, sessions, receipts, dates; and what a date means once central was put back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from services.central import lives, moments
from services.central.administration import Refused, add_school
from services.central.moments import AtSeq, AtTime, Now, OfReceipt, OfSession, Point
from services.messages import SessionEqual
from tests.builders import NPSN
from tests.central.desk import KEYS, OTHER, Desk, baseline, corrects, expect, put

DAY = timedelta(days=1)


async def located(desk: Desk, text: str, *, held: bool = False, npsn: str = NPSN) -> Point:
    """The moment as central understands it."""
    async with desk.database.snapshot() as transaction:
        return await moments.locate(transaction, npsn, moments.parse(text), held=held, keys=lambda: KEYS.public)


async def refused(desk: Desk, text: str, **named: str) -> str:
    """The code with which it is refused."""
    with pytest.raises(Refused) as found:
        await located(desk, text, **named)  # type: ignore[arg-type]
    return found.value.problem.code


async def synced(desk: Desk, rt: int, version: int) -> str:
    """A sync that changes the first student's rt; its receipt."""
    session = await desk.open()
    await session.pushed(put(1, version, rt=(rt - 1 or None, rt)))
    return expect(await session.verify(), SessionEqual).jws


async def moved(desk: Desk, when: datetime, *, written: tuple[int, int] = (0, 0), session: int = 0) -> None:
    """Make it that these seqs were written at `when`, or this session's statement signed then: a clock cannot wait."""
    async with desk.database.transaction() as transaction:
        for table in ("record", "history"):
            await transaction.run(
                f"UPDATE {table} SET written_at = :when WHERE seq BETWEEN :first AND :last",
                when=when,
                first=written[0],
                last=written[1],
            )
        await transaction.run(
            """
            UPDATE statement SET at = :when, body = regexp_replace(body, '"time":"[^"]*"', '"time":"' || :time || '"'),
                confirmed_at = CASE WHEN confirmed_at IS NOT NULL THEN :time END
            WHERE session = :session
            """,
            when=when,
            time=f"{when.astimezone(UTC).isoformat(timespec='milliseconds')[:-6]}Z",
            session=session,
        )


async def in_the_past(desk: Desk) -> datetime:
    """The school was added two weeks ago; when."""
    added = datetime.now(UTC) - 14 * DAY
    async with desk.database.transaction() as transaction:
        await transaction.run("UPDATE school SET added_at = :when", when=added)
        await transaction.run("UPDATE incarnation SET begun_at = :when", when=added - DAY)
    await moved(desk, added, written=(1, 4))
    return added


def iso(when: datetime) -> str:
    """As it is typed."""
    return when.isoformat(timespec="microseconds")


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("confirmed", Now("confirmed")),
        ("head", Now("head")),
        ("1354", AtSeq(1354)),
        ("session:9", OfSession(9)),
        ("sesi:9", OfSession(9)),
        ("2026-11-30", AtTime(datetime(2026, 11, 30, 16, 59, 59, 999999, UTC))),
        ("2026-11-30T12:00", AtTime(datetime(2026, 11, 30, 5, tzinfo=UTC))),
        ("2026-11-30 12:00:01", AtTime(datetime(2026, 11, 30, 5, 0, 1, tzinfo=UTC))),
        ("2026-11-30 12:00 WIT", AtTime(datetime(2026, 11, 30, 3, tzinfo=UTC))),
        ("2026-11-30T12:00:00.250Z", AtTime(datetime(2026, 11, 30, 12, 0, 0, 250000, UTC))),
        ("2026-11-30T12:00-03:30", AtTime(datetime(2026, 11, 30, 15, 30, tzinfo=UTC))),
        ("eyJh.eyJi.c_-9", OfReceipt("eyJh.eyJi.c_-9")),
    ],
)
def test_a_moment_is_read_as_it_is_typed(text: str, moment: object) -> None:
    assert moments.parse(text) == moment


@pytest.mark.parametrize(
    "text",
    ["", "kemarin", "-1", "1.5", "99999999999999999999", "session:", "2026-02-30", "2026-13-01", "20261130T12",
     "2026-W48-1", "2026-11-30T25:00", "2026-11-30T12:00+25:00", "٣", "a.b.c", "ey.b"],
)  # fmt: skip
def test_what_is_no_moment_is_refused(text: str) -> None:
    with pytest.raises(Refused) as found:
        moments.parse(text)
    assert found.value.problem.code == "PUSAT-11"


async def test_a_seq_a_session_and_a_receipt_name_one_state(desk: Desk) -> None:
    token = await synced(desk, 1, 1)
    await desk.officer(corrects(2, 1, rt=7))
    for text, seq, meaning in (
        ("confirmed", 5, "confirmed"), ("head", 6, "head"), ("3", 3, "seq"), ("session:1", 5, "statement"),
        (token, 5, "statement"),
    ):  # fmt: skip
        point = await located(desk, text)
        assert (point.seq, point.meaning) == (seq, meaning), text
    assert (await located(desk, token)).by == (await located(desk, "session:1")).by
    assert await refused(desk, "0") == await refused(desk, "7") == "PUSAT-12"
    assert await refused(desk, "session:2") == "PUSAT-17"
    assert await refused(desk, "2020-01-01", npsn=OTHER) == "PUSAT-04"


async def test_a_forged_receipt_and_another_schools_are_refused(desk: Desk) -> None:
    token = await synced(desk, 1, 1)
    await add_school(desk.database, OTHER, baseline(1, OTHER))
    head, body, signature = token.split(".")
    assert await refused(desk, ".".join((head, body, signature[:-4] + "AAAA"))) == "PUSAT-15"
    assert await refused(desk, ".".join((head, head, signature))) == "PUSAT-15"
    assert await refused(desk, token, npsn=OTHER) == "PUSAT-15"


async def test_a_date_means_what_was_confirmed_then_or_all_that_was_held(desk: Desk) -> None:
    added = await in_the_past(desk)
    await synced(desk, 1, 1)
    await moved(desk, added + 3 * DAY, written=(5, 5), session=1)
    await desk.officer(corrects(2, 1, rt=7))
    await moved(desk, added + 5 * DAY, written=(6, 6))
    await (await desk.open("pull")).verified()
    await moved(desk, added + 6 * DAY, session=2)
    await (await desk.open()).verified()
    await moved(desk, added + 8 * DAY, session=3)
    instant = timedelta(milliseconds=1)
    for when, confirmed, held in (
        (added, 4, 4), (added + 3 * DAY - instant, 4, 4), (added + 3 * DAY, 5, 5), (added + 5 * DAY - instant, 5, 5),
        (added + 5 * DAY, 5, 6), (added + 7 * DAY, 5, 6), (added + 8 * DAY - instant, 5, 6), (added + 8 * DAY, 6, 6),
        (added + 9 * DAY, 6, 6),
    ):  # fmt: skip
        assert ((await located(desk, iso(when))).seq, (await located(desk, iso(when), held=True)).seq) == (
            confirmed, held,
        ), when - added  # fmt: skip
    by = (await located(desk, iso(added + 9 * DAY))).by
    assert by is not None
    assert (by.session, by.kind) == (3, "sync")
    assert (await located(desk, iso(added + DAY))).by is None
    assert await refused(desk, iso(added - instant)) == "PUSAT-13"
    assert await refused(desk, iso(datetime.now(UTC) + DAY)) == "PUSAT-14"


async def test_a_receipt_counts_from_the_millisecond_that_it_says_and_the_cut_off_is_the_end_of_the_day(
    desk: Desk,
) -> None:
    await in_the_past(desk)
    midnight = (datetime.now(UTC) - 2 * DAY).replace(hour=17, minute=0, second=0, microsecond=0)  # 0.00 WIB
    await synced(desk, 1, 1)
    day = (midnight - DAY + timedelta(hours=7)).date().isoformat()
    for when, seq in ((midnight - timedelta(milliseconds=1), 5), (midnight, 4)):
        await moved(desk, when, session=1)
        assert (await located(desk, day)).seq == seq
    await moved(desk, midnight, written=(5, 5))
    assert (await located(desk, day, held=True)).seq == 4
    await moved(desk, midnight - timedelta(microseconds=1), written=(5, 5))
    assert (await located(desk, day, held=True)).seq == 5


async def test_a_statement_of_an_older_release_confirms_if_it_is_a_syncs(desk: Desk) -> None:
    added = await in_the_past(desk)
    await synced(desk, 1, 1)
    await desk.officer(corrects(2, 1, rt=7))
    await (await desk.open("pull")).verified()
    async with desk.database.transaction() as transaction:
        assert await transaction.run("UPDATE statement SET confirmed_at = NULL") == 2
    assert (await located(desk, iso(datetime.now(UTC)))).seq == 5
    await moved(desk, added + DAY, session=1)
    assert (await located(desk, iso(added + 2 * DAY))).seq == 5


async def test_a_hands_text_in_a_statement_stops_no_date(desk: Desk) -> None:
    await in_the_past(desk)
    await synced(desk, 1, 1)
    async with desk.database.transaction() as transaction:
        await transaction.run("""UPDATE statement SET body = 'rusak "time":"bukan waktu"'""")
    assert (await located(desk, iso(datetime.now(UTC)))).seq in (4, 5)


async def test_a_date_in_a_time_that_central_may_have_forgotten_says_so(desk: Desk) -> None:
    added = await in_the_past(desk)
    await synced(desk, 1, 1)
    await moved(desk, added + 3 * DAY, written=(5, 5), session=1)
    assert (await located(desk, iso(added + 9 * DAY))).forgotten is None
    begun = await lives.restored(desk.database)
    async with desk.database.transaction() as transaction:
        await transaction.run(
            "UPDATE incarnation SET begun_at = :when WHERE incarnation = :one",
            when=added + 10 * DAY,
            one=begun.incarnation,
        )
    for held in (False, True):
        for days, is_forgotten in ((3, False), (4, True), (9, True), (10, False), (11, False)):
            point = await located(desk, iso(added + days * DAY), held=held)
            assert point.seq == 5
            assert (point.forgotten is not None) is is_forgotten, days
    gap = (await located(desk, iso(added + 9 * DAY))).forgotten
    assert gap is not None
    assert (gap.known_until, gap.until) == (added + 3 * DAY, added + 10 * DAY)
    assert (gap.incarnation, gap.why) == (begun.incarnation, "said")
    await desk.officer(corrects(2, 1, rt=7))
    assert (await located(desk, iso(added + 9 * DAY))).forgotten == gap, "what came later tells nothing of then"
