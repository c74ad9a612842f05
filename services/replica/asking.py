"""Requests as they come: stored, waiting for what they were asked to wait for, joined to a session that answers them.

One sync answers every request for one that came before it ended, but for edits after its gate; a session that was
verified after a pull was asked for answers the pull. A request with `after` joins nothing: it has a session that begins
when the validator has answered those events.
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

from services.database import Database, Transaction, to_json
from services.messages import Cause

ANSWERED = "selaras_answered"
"""Notices that an operator's event of the school in the payload was answered."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """A request: the event that asks for a session, and by whom. `revision`, of a restore: what had been listed.

    `after`: ids of change events that the validator must have answered first. `correlation`, `traceparent`: what the
    session is found by in logs and traces.
    """

    npsn: str
    kind: str
    source: str
    event_id: str
    actor: str
    revision: int | None = None
    after: tuple[str, ...] = ()
    correlation: str | None = None
    traceparent: str | None = None

    @property
    def cause(self) -> Cause:
        """The event that asks."""
        return Cause(source=self.source, id=self.event_id)

    @property
    def id(self) -> str:
        """The row's: the same event again finds the row it made."""
        return str(uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join((self.npsn, self.kind, self.source, self.event_id))))


@dataclass(frozen=True, slots=True)
class Overdue:
    """A request whose events were not answered in time, and which of them."""

    npsn: str
    id: str
    cause: Cause
    events: list[str]


UNANSWERED = """
    SELECT wanted.id FROM unnest(s.after) AS wanted (id)
    WHERE NOT EXISTS (SELECT 1 FROM answer a WHERE a.npsn = s.npsn AND a.id = wanted.id)
"""
"""The events that request `s` still waits for."""

TAKEABLE = f"""
    s.ended_at IS NULL AND s.not_before <= now()
    AND (s.after IS NULL OR s.attempt > 0 OR NOT EXISTS ({UNANSWERED}))
    AND NOT EXISTS (
        SELECT 1 FROM session o
        WHERE o.npsn = s.npsn AND o.kind = s.kind AND o.ended_at IS NULL AND (o.after IS NULL OR o.attempt > 0)
          AND (o.asked_at, o.id) < (s.asked_at, s.id)
    )
"""  # noqa: S608  the part is ours
"""Is request `s` next of its school and kind, and waits for nothing?"""


async def store(transaction: Transaction, wanted: Wanted, *, after_seconds: float = 0.0) -> bool:
    """Store a request, once; False: it had come before."""
    added = await transaction.run(
        """
        INSERT INTO session (npsn, id, kind, source, event_id, actor, revision, after, after_until, correlation,
                             traceparent)
        VALUES (:npsn, :id, :kind, :source, :event_id, :actor, :revision, CAST(:after AS text[]),
                now() + make_interval(secs => :seconds), :correlation, :traceparent)
        ON CONFLICT DO NOTHING
        """,
        npsn=wanted.npsn,
        id=wanted.id,
        kind=wanted.kind,
        source=wanted.source,
        event_id=wanted.event_id,
        actor=wanted.actor,
        revision=wanted.revision,
        after=list(wanted.after) or None,
        seconds=after_seconds,
        correlation=wanted.correlation,
        traceparent=wanted.traceparent,
    )
    return added == 1


@dataclass(frozen=True, slots=True)
class Asked:
    """What became of a request. `is_new`: it had not come before; `joins`: a session under way will answer it."""

    is_new: bool
    joins: bool


async def ask(
    transaction: Transaction,
    wanted: Wanted,
    *,
    after_seconds: float = 0.0,
    refused: tuple[str, dict[str, Any]] | None = None,
) -> Asked:
    """Store a request, once. `refused`: it becomes no session, for this reason and with this announcement; no worker
    ever sees it open.
    """
    is_new = await store(transaction, wanted, after_seconds=after_seconds)
    if is_new and refused is not None:
        await end(transaction, wanted.npsn, wanted.id, wanted.kind, "refused", *refused)
    return Asked(is_new, await joins(transaction, wanted))


async def ask_recover(transaction: Transaction, wanted: Wanted) -> None:
    """Store a request for a recover, unless one of the school is open. The caller holds the school's lock."""
    is_open = await transaction.value(
        "SELECT 1 FROM session WHERE npsn = :npsn AND kind = 'recover' AND ended_at IS NULL", npsn=wanted.npsn
    )
    if not is_open:
        await store(transaction, wanted)


async def go_on(transaction: Transaction, npsn: str) -> None:
    """A recover is complete: what waited for it may be taken at once, however long central had been away before."""
    await transaction.run(
        """
        UPDATE session SET not_before = now() WHERE npsn = :npsn AND ended_at IS NULL AND waiting ->> 'code' = 'SYN-14'
        """,
        npsn=npsn,
    )


async def is_registered(transaction: Transaction, npsn: str) -> bool:
    """Is the school registered at this site?"""
    return bool(await transaction.value("SELECT 1 FROM school WHERE npsn = :npsn", npsn=npsn))


async def joins(transaction: Transaction, wanted: Wanted) -> bool:
    """Is this request open, and a session under way that will answer it?"""
    return bool(
        await transaction.value(
            """
            SELECT 1 FROM session s JOIN session o ON o.npsn = s.npsn AND o.kind = s.kind AND o.id <> s.id
            WHERE s.npsn = :npsn AND s.id = :id AND s.ended_at IS NULL AND s.after IS NULL AND s.attempt = 0
              AND o.ended_at IS NULL AND o.attempt > 0
            """,
            npsn=wanted.npsn,
            id=wanted.id,
        )
    )


async def say_answered(transaction: Transaction, npsn: str) -> None:
    """With the commit, tell whoever listens that an event of the school was answered: a request may wait for it."""
    await transaction.run("SELECT pg_notify(:channel, :npsn)", channel=ANSWERED, npsn=npsn)


async def overdue(database: Database, kind: str) -> list[Overdue]:
    """Requests that have waited long enough for events that nobody answered."""
    async with database.statement() as transaction:
        rows = await transaction.rows(
            f"""
            SELECT s.npsn, s.id, s.source, s.event_id, ARRAY({UNANSWERED}) AS events FROM session s
            WHERE s.kind = :kind AND s.ended_at IS NULL AND s.attempt = 0 AND s.after IS NOT NULL
              AND s.after_until < now() AND EXISTS ({UNANSWERED})
            ORDER BY s.asked_at LIMIT 100
            """,  # noqa: S608  the part is ours
            kind=kind,
        )
    return [Overdue(r.npsn, r.id, Cause(source=r.source, id=r.event_id), list(r.events)) for r in rows]


async def cover(transaction: Transaction, npsn: str, session_id: str) -> None:
    """This session is about to be verified: the pulls that have come so far are answered by it, if it completes."""
    await transaction.run(
        """
        UPDATE session SET covered_by = :id
        WHERE npsn = :npsn AND kind = 'pull' AND ended_at IS NULL AND after IS NULL AND id <> :id
        """,
        npsn=npsn,
        id=session_id,
    )


async def answered_too(
    transaction: Transaction, npsn: str, session_id: str, kind: str, outcome: str, data: dict[str, Any]
) -> list[tuple[str, str, str, dict[str, Any]]]:
    """The other requests that the end of this session answers: (id, kind, outcome, the announcement's data).

    Syncs that waited behind it, unless an operator has typed since its gate: then the next of them runs once for all.
    Pulls that it covers, if both sides were proven equal. What waited for a recover that was refused.
    """
    rows = await transaction.rows(
        """
        SELECT o.id, o.kind, o.source, o.event_id FROM session o JOIN session s ON s.npsn = o.npsn AND s.id = :id
        JOIN school k ON k.npsn = o.npsn
        WHERE o.npsn = :npsn AND o.id <> :id AND o.ended_at IS NULL AND (
            (:kind = 'sync' AND o.kind = 'sync' AND o.after IS NULL AND k.typed_revision <= s.seen_revision)
            OR (o.kind = 'pull' AND o.after IS NULL AND o.covered_by = :id AND :equal)
            OR (:recover_refused AND o.waiting ->> 'code' = 'SYN-14')
        )
        """,
        npsn=npsn,
        id=session_id,
        kind=kind,
        equal=outcome in ("completed", "needs_review"),
        recover_refused=(kind, outcome) == ("recover", "refused"),
    )
    found = []
    for row in rows:
        told, how = {**data, "cause": {"source": row.source, "id": row.event_id}, "kind": row.kind}, outcome
        if row.kind == "pull" and kind != "recover":
            how = "completed"
            told |= {"outcome": how, "sent": 0, "verdicts": {}}
        found.append((row.id, row.kind, how, told))
    return found


async def end(
    transaction: Transaction,
    npsn: str,
    request_id: str,
    kind: str,
    outcome: str,
    reason: str | None,
    data: dict[str, Any],
) -> None:
    """Write a request's end, and where the school stands with this kind of session.

    A failure stands until a session succeeds: a request that is refused does not hide it.
    """
    ended = await transaction.run(
        """
        UPDATE session SET state = 'ended', ended_at = now(), outcome = :outcome, reason = :reason,
            ending = CAST(:data AS jsonb)
        WHERE npsn = :npsn AND id = :id AND ended_at IS NULL
        """,
        npsn=npsn, id=request_id, outcome=outcome, reason=reason, data=to_json(data),
    )  # fmt: skip
    if not ended:
        return
    await transaction.run(
        """
        INSERT INTO standing (npsn, kind, session_id, outcome, reason, ended_at, succeeded_at)
        SELECT npsn, :kind, :id, CAST(:outcome AS text), :reason, now(),
               CASE WHEN CAST(:outcome AS text) IN ('completed', 'needs_review') THEN now() END
        FROM school WHERE npsn = :npsn
        ON CONFLICT (npsn, kind) DO UPDATE SET session_id = excluded.session_id, outcome = excluded.outcome,
            reason = excluded.reason, ended_at = excluded.ended_at,
            succeeded_at = coalesce(excluded.succeeded_at, standing.succeeded_at)
        WHERE NOT (standing.outcome = 'failed' AND excluded.outcome = 'refused')
        """,
        npsn=npsn, id=request_id, kind=kind, outcome=outcome, reason=reason,
    )  # fmt: skip
