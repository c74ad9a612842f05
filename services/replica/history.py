"""What became of a school's sessions at this site: every request as its row tells it, with central's statement.

Kept are: every request and its end, for ever; every statement; the latest registration alone, for a new one takes the
place of the one before (its number says how many there were at central).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.database import Database, Row, from_json


@dataclass(frozen=True, slots=True)
class Statement:
    """What central stated at the end. `signed`: `selaras receipt show --session` can hand it out. `is_alone`: no
    session of another life of central's, before it was put back or since, ended with a statement under the same number.
    """

    session: int
    incarnation: str
    seq: int
    root: str
    signed: bool
    is_alone: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One request for a session. `state`: queued, exchanging, waiting_slot, waiting_retry or ended; `outcome`:
    completed, needs_review, refused, failed, None while it is open; `reason`: its code.

    `joined`: no session of its own; another's end answered it. `waited_seconds`: from asking to the first attempt;
    `seconds`: from asking to the end. `findings`: how many a refusal listed. `verdicts`: records sent, by verdict.
    """

    id: str
    kind: str
    source: str
    event_id: str
    actor: str
    asked_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    waited_seconds: float | None
    seconds: float | None
    state: str
    outcome: str | None
    reason: str | None
    problem: dict[str, Any] | None
    attempts: int
    joined: bool
    received: int
    sent: int
    unsent: int | None
    repaired: int
    findings: int
    verdicts: dict[str, int] = field(default_factory=dict)
    statement: Statement | None = None


@dataclass(frozen=True, slots=True)
class History:
    """A school's registration here, and its sessions, newest first: `entries` of `total` that were asked about."""

    npsn: str
    nama: str
    registered_at: datetime
    registration_no: int
    restoring_since: datetime | None
    total: int
    entries: list[Entry]


async def history(
    database: Database, npsn: str, *, limit: int, kind: str | None = None, failed: bool = False
) -> History | None:
    """The newest `limit` sessions of a school, of one kind, or those that failed; None if it is not registered here."""
    chosen = """
        s.npsn = :npsn AND (CAST(:kind AS text) IS NULL OR s.kind = :kind) AND (NOT :failed OR s.outcome = 'failed')
    """
    values = {"npsn": npsn, "kind": kind, "failed": failed}
    async with database.transaction() as transaction:
        school = await transaction.row(
            "SELECT nama, registered_at, registration_no, restoring_since FROM school WHERE npsn = :npsn", npsn=npsn
        )
        if school is None:
            return None
        total = await transaction.value(f"SELECT count(*) FROM session s WHERE {chosen}", **values)  # noqa: S608
        rows = await transaction.rows(
            f"""
            SELECT s.id, s.kind, s.source, s.event_id, s.actor, s.asked_at, s.started_at, s.ended_at, s.state,
                   s.outcome, s.reason, s.attempt, s.progress, s.waiting,
                   s.ending - ARRAY['jws', 'receipt', 'findings'] AS told,
                   jsonb_array_length(coalesce(s.ending -> 'findings', '[]')) AS findings,
                   t.session, t.incarnation, t.head_seq, t.root, t.jws <> '' AS signed,
                   NOT EXISTS (
                       SELECT 1 FROM statement u
                       WHERE u.npsn = s.npsn AND u.session = t.session AND u.incarnation <> t.incarnation
                   ) AS is_alone
            FROM session s LEFT JOIN statement t
              ON t.npsn = s.npsn AND t.incarnation = s.ending -> 'receipt' ->> 'incarnation'
             AND t.session = CAST(s.ending -> 'receipt' ->> 'session' AS bigint)
            WHERE {chosen} ORDER BY s.asked_at DESC, s.id DESC LIMIT :limit
            """,  # noqa: S608  the part is ours
            limit=limit,
            **values,
        )
    return History(
        npsn, school.nama, school.registered_at, school.registration_no, school.restoring_since, total,
        [_entry(row) for row in rows],
    )  # fmt: skip


def _entry(row: Row) -> Entry:
    told = from_json(row.told) or {}
    counts = {**from_json(row.progress), **told}  # a session that did not complete has said how far it was
    return Entry(
        id=row.id,
        kind=row.kind,
        source=row.source,
        event_id=row.event_id,
        actor=row.actor,
        asked_at=row.asked_at,
        started_at=row.started_at,
        ended_at=row.ended_at,
        waited_seconds=_between(row.asked_at, row.started_at),
        seconds=_between(row.asked_at, row.ended_at),
        state=row.state,
        outcome=row.outcome,
        reason=row.reason,
        problem=told.get("problem") or from_json(row.waiting),
        attempts=row.attempt,
        joined=row.attempt == 0 and row.outcome in ("completed", "needs_review"),
        received=counts.get("received", 0),
        sent=counts.get("sent", 0),
        unsent=told.get("unsent"),
        repaired=told.get("repaired", 0),
        findings=row.findings,
        verdicts=told.get("verdicts", {}),
        statement=None
        if row.session is None
        else Statement(row.session, row.incarnation, row.head_seq, row.root, row.signed, row.is_alone),
    )


def _between(start: datetime, end: datetime | None) -> float | None:
    return None if end is None else round((end - start).total_seconds(), 3)
