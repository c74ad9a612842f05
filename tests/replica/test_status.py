"""Where a school stands: for people (`status`) and for Prometheus (`gauges`), always read from the rows."""

from __future__ import annotations

from typing import Any

import pytest

from services.database import Database, to_json
from services.exchange.absorb import Conflict, Replicated
from services.intake import Quarantine
from services.replica import judging, records
from services.replica.gauges import SCHOOL_STATES, gauges
from services.replica.status import failed, status
from services.rules import CONFLICT
from tests.replica.builders import NPSN, OTHER_NPSN, TODAY, first, held, register


async def run(database: Database, sql: str, **values: Any) -> None:
    async with database.transaction() as transaction:
        await transaction.run(sql, **values)


async def edit(
    database: Database, entity: str, record_id: str, conflict: Conflict | None = None, **fields: Any
) -> None:
    key = (entity, record_id)
    record = (await held(database, key))[key]
    async with database.transaction() as transaction:
        data = {name: value for name, value in {**(record.data or {}), **fields}.items() if value is not None}
        await records.write(transaction, NPSN, {key: Replicated(record.base, data, None, conflict)})
        await records.touch(transaction, NPSN)
        await judging.judge(transaction, NPSN, TODAY)


async def ended(database: Database, kind: str, outcome: str, *, minute: int, reason: str | None = None) -> None:
    await run(
        database,
        """
        INSERT INTO standing (npsn, kind, session_id, outcome, reason, ended_at, succeeded_at)
        VALUES (:npsn, :kind, 's', :outcome, :reason, now() + make_interval(mins => CAST(:minute AS integer)),
                CASE WHEN :good THEN now() + make_interval(mins => CAST(:minute AS integer)) END)
        ON CONFLICT (npsn, kind) DO UPDATE SET outcome = excluded.outcome, reason = excluded.reason,
            ended_at = excluded.ended_at, succeeded_at = coalesce(excluded.succeeded_at, standing.succeeded_at)
        """,
        npsn=NPSN, kind=kind, outcome=outcome, reason=reason, minute=minute, good=outcome == "completed",
    )  # fmt: skip


async def completed(database: Database, kind: str, *, session: int, head_seq: int) -> None:
    """A session that ended well: its statement, its time, the cursor."""
    column = "last_sync_at" if kind == "sync" else "last_pull_at"
    await run(
        database,
        f"UPDATE school SET {column} = now(), cursor = :head WHERE npsn = :npsn",
        npsn=NPSN,
        head=head_seq,
    )
    await run(
        database,
        """
        INSERT INTO statement (npsn, incarnation, session, kind, head_seq, root, body, jws)
        VALUES (:npsn, 'i', :session, :kind, :head, 'r', CAST(:body AS jsonb), 'e30.e30.')
        """,
        npsn=NPSN, session=session, kind=kind, head=head_seq, body=to_json({}),
    )  # fmt: skip
    await ended(database, kind, "completed", minute=session)


async def state(database: Database) -> str:
    counts = (await gauges(database)).schools
    assert list(counts) == list(SCHOOL_STATES)
    (name,) = [name for name, n in counts.items() if n]
    return name


async def test_a_school_that_is_not_registered_here_has_no_status(site_database: Database) -> None:
    assert await status(site_database, OTHER_NPSN) is None


async def test_a_status_counts_what_is_pending_held_and_invalid(site_database: Database) -> None:
    school = await register(site_database)
    pupils = list(school["peserta_didik"])
    await edit(site_database, "peserta_didik", pupils[0], rt=9)
    await edit(site_database, "peserta_didik", pupils[1], Conflict(frozenset({"no_kk"})), no_kk="9900000000000009")
    await edit(site_database, "peserta_didik", pupils[2], alamat_jalan=None)
    found = await status(site_database, NPSN)
    assert found is not None
    assert (found.pending, found.held, found.invalid, found.refused) == (3, 1, 2, 0)
    assert found.judged
    assert len(found.root) == 64


async def test_a_pull_is_said_not_to_be_a_sync_while_something_is_unsent(site_database: Database) -> None:
    school = await register(site_database)
    pupil, _ = first(school, "peserta_didik")

    async def badge() -> str | None:
        found = await status(site_database, NPSN)
        assert found is not None
        return found.badge()

    await edit(site_database, "peserta_didik", pupil, rt=9)
    assert await badge() is None
    await completed(site_database, "pull", session=1, head_seq=9)
    assert await badge() == "tarik data BUKAN sinkronisasi; 1 perubahan belum terkirim"
    await completed(site_database, "sync", session=2, head_seq=10)
    assert await badge() is None


async def test_failed_lists_the_schools_whose_latest_session_failed(site_database: Database) -> None:
    await register(site_database)
    await ended(site_database, "pull", "completed", minute=1)
    await ended(site_database, "sync", "failed", minute=2, reason="SYN-20")
    assert [(f.npsn, f.kind, f.reason) for f in await failed(site_database)] == [(NPSN, "sync", "SYN-20")]
    found = await status(site_database, NPSN)
    assert found is not None
    assert {kind: latest.outcome for kind, latest in found.latest.items()} == {"pull": "completed", "sync": "failed"}


async def test_a_school_is_counted_under_the_first_state_that_fits(site_database: Database) -> None:
    school = await register(site_database)
    pupil, fields = first(school, "peserta_didik")
    assert await state(site_database) == "never"
    await edit(site_database, "peserta_didik", pupil, rt=9)
    assert await state(site_database) == "pending"
    await completed(site_database, "pull", session=1, head_seq=8)
    assert await state(site_database) == "pending"  # the first statement is the baseline's
    await completed(site_database, "pull", session=2, head_seq=9)
    assert await state(site_database) == "pulled_not_synced"
    await completed(site_database, "sync", session=3, head_seq=10)
    await edit(site_database, "peserta_didik", pupil, rt=fields["rt"])
    assert await state(site_database) == "in_sync"
    await completed(site_database, "pull", session=4, head_seq=10)
    assert await state(site_database) == "in_sync"
    await run(site_database, "UPDATE school SET last_sync_at = now() - interval '40 days'")
    assert await state(site_database) == "stale"
    await edit(site_database, "peserta_didik", pupil, rt=9)
    await run(site_database, "UPDATE record SET refusal = '[]' WHERE pending")
    assert await state(site_database) == "needs_review"
    await edit(site_database, "peserta_didik", pupil, alamat_jalan=None)
    assert await state(site_database) == "blocked"
    await ended(site_database, "pull", "failed", minute=5)
    assert await state(site_database) == "failed"
    await ended(site_database, "sync", "completed", minute=6)
    assert await state(site_database) == "blocked"


async def test_the_gauges_are_what_the_rows_say(site_database: Database) -> None:
    school = await register(site_database)
    empty = await gauges(site_database)
    assert (empty.pending_records, empty.pending_oldest, empty.invalid_findings) == ({}, 0.0, {})
    pupils = list(school["peserta_didik"])
    await edit(site_database, "peserta_didik", pupils[0], alamat_jalan=None)
    await edit(site_database, "peserta_didik", pupils[1], Conflict(frozenset({"no_kk"})), no_kk="9900000000000009")
    await Quarantine(site_database).put(
        queue="validator.changes.0", code="MSG-01", cause="", sender="x", routing_key="x", properties={}, body=b""
    )
    now = await gauges(site_database)
    assert now.pending_records == {"peserta_didik": 2}
    assert now.pending_oldest == pytest.approx(await _clock(site_database), abs=60)
    assert now.invalid_findings[CONFLICT.code] == 1
    assert sum(now.invalid_findings.values()) == 2
    assert now.conflicts_open == {"peserta_didik": 1}
    assert now.dead_letters == {("validator.changes.0", "MSG-01"): 1}


async def _clock(database: Database) -> float:
    async with database.transaction() as transaction:
        return float(await transaction.value("SELECT extract(epoch FROM now())"))


async def test_a_school_that_gives_back_what_central_has_forgotten_says_since_when(site_database: Database) -> None:
    await register(site_database)
    before = await status(site_database, NPSN)
    assert before is not None
    assert before.recovering_since is None
    for npsn in (NPSN, OTHER_NPSN):
        await run(site_database, "INSERT INTO recovery (npsn, life, common) VALUES (:npsn, 'l', 0)", npsn=npsn)
    during = await status(site_database, NPSN)
    assert during is not None
    assert during.recovering_since is not None
