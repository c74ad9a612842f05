"""What a receipt is worth at a central that was put back since: all of it, a part of it that is named, or unknown."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from datetime import datetime, timedelta

import pytest

from services.central import administration, explaining, history, lives, moments
from services.central.administration import Refused
from services.central.explaining import Explanation
from services.central.registry import Key, Stored
from services.database import Database
from services.exchange.digest import row_hash
from services.messages import (
    GivenRecord,
    SessionEqual,
    SessionGive,
    SessionGranted,
    SessionProof,
    SessionProven,
    SessionResult,
    SessionStale,
    SessionVerify,
)
from tests.builders import NPSN
from tests.central.desk import KEYS, STUDENT, Desk, SessionAt, corrects, expect, new, put, student_id


async def explained(desk: Desk, jws: str) -> Explanation:
    """As an officer asks."""
    async with desk.database.snapshot() as transaction:
        return await explaining.explain(transaction, jws, KEYS.public)


State = dict[Key, Stored]


async def kept(desk: Desk) -> State:
    """All records as they are: a replica's base."""
    async with desk.database.transaction() as transaction:
        head = (await moments.past(transaction, NPSN)).head_seq
        return {(one.entity, one.record_id): one for one in await history.as_of(transaction, NPSN, head)}


async def put_back(desk: Desk, seq: int) -> None:
    """The database is what it was at `seq`, as far as this school's rows go, and somebody says so."""
    async with desk.database.transaction() as transaction:
        await transaction.run("DELETE FROM record WHERE seq > :seq", seq=seq)
        await transaction.run(
            """
            INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by, written_session, written_at)
            SELECT npsn, entity, record_id, version, seq, text, written_by, written_session, written_at FROM history
            WHERE seq <= :seq AND superseded_seq > :seq
            """,
            seq=seq,
        )
        await transaction.run("DELETE FROM history WHERE superseded_seq > :seq", seq=seq)
        await transaction.run("DELETE FROM statement WHERE head_seq > :seq", seq=seq)
        await transaction.run("DELETE FROM last_batch")
        await transaction.run(
            """
            UPDATE school SET head_seq = :seq, mark_session = NULL, mark_incarnation = NULL,
                confirmed_seq = least(confirmed_seq, :seq), session = (SELECT coalesce(max(session), 0) FROM statement)
            """,
            seq=seq,
        )
    await lives.restored(desk.database)


async def recovering(desk: Desk) -> SessionAt:
    """A recover that is granted."""
    answer = await desk.ask("situs-sync", "open", desk.opening("recover"))
    return SessionAt(desk, "situs-sync", expect(answer, SessionGranted))


async def prove(session: SessionAt, jws: str, base: State) -> None:
    """The row hashes under the statement."""
    entities = sorted({entity for entity, _ in base})
    for part, entity in enumerate(entities, 1):
        rows = sorted((one.record_id, one) for key, one in base.items() if key[0] == entity)
        hashes = b"".join(row_hash(entity, one.record_id, one.version, one.text) for _, one in rows)
        answer = await session.desk.ask(
            session.user, "give",
            SessionProof(
                **session.named, statement=jws, part=part, entity=entity,
                hashes=base64.b64encode(hashes).decode(), last=part == len(entities),
            ),
        )  # fmt: skip
    assert expect(answer, SessionProven).proven is True


async def give(session: SessionAt, base: Mapping[Key, Stored], batch_no: int, *numbers: int) -> list[str]:
    """These students, verbatim."""
    keys = [("peserta_didik", student_id(n)) for n in numbers]
    records = [GivenRecord(*key, base[key].version, base[key].text) for key in keys]
    answer = await session.desk.ask(
        session.user, "give", SessionGive(**session.named, batch_no=batch_no, records=records)
    )
    assert not isinstance(answer, SessionStale)
    return [one.verdict for one in expect(answer, SessionResult).verdicts]


async def lost(desk: Desk) -> tuple[str, State, int]:
    """Central forgets a sync that changed two students and brought a third: its receipt, the site's base, the seq that
    central was put back to.
    """
    await (await desk.open()).verified()
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 5)), put(2, 1, rt=(None, 6)), new(9))
    jws = expect(await session.verify(), SessionEqual).jws
    base = await kept(desk)
    await put_back(desk, 4)
    return jws, base, 4


async def test_a_receipt_of_centrals_own_history_has_its_root_or_a_hand_was_there(desk: Desk) -> None:
    session = await desk.open()
    await session.pushed(put(1, 1, rt=(None, 5)))
    jws = expect(await session.verify(), SessionEqual).jws
    await desk.officer(corrects(1, 2, rt=6))
    await lives.restored(desk.database)
    await desk.head()
    found = await explained(desk, jws)
    assert (found.basis, found.seq, found.common, found.holds, found.ended) == ("history", 5, 5, True, None)
    assert found.there == found.rows == 4
    async with desk.database.transaction() as transaction:
        await transaction.run("UPDATE history SET text = '{}' WHERE npsn = :npsn", npsn=NPSN)
        await transaction.run("UPDATE record SET text = '{}' WHERE seq = 2")
    found = await explained(desk, jws)
    assert (found.basis, found.holds, found.there) == ("history", False, None)


async def test_what_nobody_gave_back_cannot_be_told(desk: Desk) -> None:
    jws, _, common = await lost(desk)
    found = await explained(desk, jws)
    assert (found.basis, found.common, found.seq, found.there) == ("unknown", common, None, None)
    assert found.ended is None, "nobody has noticed yet"
    await desk.head()
    found = await explained(desk, jws)
    assert found.ended is not None
    assert (found.ended.why, found.ended.incarnation) == ("said", await lives.ensure(desk.database))
    with pytest.raises(Refused, match="PUSAT-16"):
        await _located(desk.database, jws)


async def _located(database: Database, jws: str) -> moments.Point:
    async with database.snapshot() as transaction:
        return await moments.locate(transaction, NPSN, moments.parse(jws), keys=lambda: KEYS.public)


async def test_all_of_it_is_back_though_others_stand_beside_it(desk: Desk) -> None:
    jws, base, _ = await lost(desk)
    await desk.head()
    await desk.officer(corrects(20, 0, **STUDENT))
    session = await recovering(desk)
    await prove(session, jws, base)
    await desk.officer(corrects(21, 0, **STUDENT))
    assert await give(session, base, 1, 1, 2, 9) == ["applied", "applied", "applied"]
    found = await explained(desk, jws)
    assert (found.basis, found.there, found.rows) == ("given", len(base), len(base))
    assert not found.holds
    assert found.lacking == []


async def test_it_is_found_by_its_root_at_a_seq_of_today(desk: Desk) -> None:
    jws, base, common = await lost(desk)
    await desk.head()
    session = await recovering(desk)
    await prove(session, jws, base)
    await give(session, base, 1, 1, 2, 9)
    asked = SessionVerify(**session.named, cursor=7, root=await desk.root(), unsent=0, held=0, refused=0, receipt=jws)
    stated = expect(await desk.ask("situs-sync", "verify", asked), SessionEqual)
    await desk.officer(corrects(1, 2, rt=8))
    found = await explained(desk, jws)
    assert (found.basis, found.common, found.seq, found.holds) == ("found", common, 7, True)
    assert (found.there, found.rows, found.root) == (len(base), len(base), stated.statement["root"])
    point = await _located(desk.database, jws)
    assert (point.seq, point.back_from, point.meaning) == (7, common, "statement")
    confirmed = await administration.describe(desk.database, NPSN)
    assert confirmed.seq == 7, "what the receipt confirmed is confirmed again"
    async with desk.database.transaction() as transaction:
        since = await transaction.value("SELECT confirmed_at FROM statement WHERE kind = 'recover'")
    assert since == found.statement["time"] < stated.statement["time"], "and since the receipt's own time"


async def test_what_was_not_taken_back_is_named(desk: Desk) -> None:
    jws, base, _ = await lost(desk)
    await desk.head()
    await desk.officer(corrects(2, 1, nama="Nama Sesudahnya"))
    session = await recovering(desk)
    await prove(session, jws, base)
    assert await give(session, base, 1, 1, 2, 9) == ["applied", "unchanged", "applied"]
    found = await explained(desk, jws)
    assert (found.basis, found.there, found.rows) == ("given", len(base) - 1, len(base))
    (one,) = found.lacking
    assert (one.record_id, one.version, one.outcome) == (student_id(2), 2, "moved")


async def test_by_the_hashes_that_were_proven_it_is_told_how_much_is_back(desk: Desk) -> None:
    jws, base, _ = await lost(desk)
    await desk.head()
    session = await recovering(desk)
    await prove(session, jws, base)
    assert await give(session, base, 1, 1, 9) == ["applied", "applied"], "the second is still to come"
    found = await explained(desk, jws)
    assert (found.basis, found.there, found.rows) == ("hashes", len(base) - 1, len(base))
    assert found.lacking == []


async def test_a_receipt_that_proves_nothing_is_not_explained(desk: Desk) -> None:
    jws, _, _ = await lost(desk)
    with pytest.raises(Refused, match="PUSAT-15"):
        await explained(desk, jws[:-6] + "AAAAAA")


async def test_a_receipt_that_a_recover_ended_on_counts_from_its_own_time(desk: Desk) -> None:
    """The last day before a cut-off is lost with central's database, and comes back from the schools."""
    jws, base, common = await lost(desk)
    signed = datetime.fromisoformat(KEYS.public.verify(jws)["time"])
    await desk.head()

    async def at(when: datetime, *, held: bool = False) -> moments.Point:
        async with desk.database.snapshot() as transaction:
            return await moments.locate(transaction, NPSN, moments.AtTime(when), held=held, keys=lambda: KEYS.public)

    instant = timedelta(milliseconds=1)
    assert (await at(signed)).seq == common
    assert (await at(signed)).forgotten is not None
    session = await recovering(desk)
    await prove(session, jws, base)
    await give(session, base, 1, 1, 2, 9)
    asked = SessionVerify(**session.named, cursor=7, root=await desk.root(), unsent=0, held=0, refused=0, receipt=jws)
    expect(await desk.ask("situs-sync", "verify", asked), SessionEqual)
    point = await at(signed)
    assert (point.seq, point.forgotten) == (7, None)
    before = await at(signed - instant)
    assert before.seq == common
    assert before.forgotten is not None, "there may have been other receipts"
    held = await at(signed, held=True)
    assert (held.seq, held.forgotten is None) == (common, False)
