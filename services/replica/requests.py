"""Requests for a sync or a pull as rows: asked, taken under the school's lease, ended, announced.

A request outlives its message, so the row remembers whether its end was announced. The lease says whose session is a
school's current one: an epoch that only grows. Its expiry, by the database's clock, only says when another worker may
take over; a live lease is never stolen.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.database import Database, Transaction, from_json, to_json
from services.errors import SelarasError
from services.messages import Cause, Problem
from services.replica import asking
from services.replica.asking import Wanted


class LeaseLost(SelarasError):
    """Another worker's session is the school's current one; this one stops where it is."""


@dataclass(frozen=True, slots=True)
class Job:
    """A request that this worker is to answer. `epoch` is the lease under which it may write; `revision`, of a restore,
    the school's when what would be lost was listed. `correlation` and `traceparent`: absent, if an older release took
    the request. `done`: records received and sent by its attempts before.
    """

    npsn: str
    id: str
    kind: str
    epoch: int
    attempt: int
    cause: Cause
    actor: str
    asked_at: datetime
    unreachable_since: datetime | None
    revision: int | None = None
    replaced: int = 0
    correlation: str | None = None
    traceparent: str | None = None
    done: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended; `data` is the announcement's."""

    npsn: str
    id: str
    kind: str
    outcome: str
    reason: str | None
    data: dict[str, Any]
    seconds: float
    correlation: str | None = None
    traceparent: str | None = None


@dataclass(frozen=True, slots=True)
class School:
    """The site's state of one school, read under the lock on its row."""

    npsn: str
    install_id: str
    cursor: int
    settled: int
    highest_seq: int
    lineage: list[dict[str, Any]]
    marks: dict[str, int]
    revision: int
    restoring_as_of: int | None = None


class Requests:
    """The rows of `session`, and the leases."""

    def __init__(self, database: Database, *, lease_seconds: float) -> None:
        self.database = database
        self.lease_seconds = lease_seconds

    async def ask(
        self, wanted: Wanted, *, after_seconds: float = 0.0, refused: tuple[str, dict[str, Any]] | None = None
    ) -> asking.Asked:
        """`asking.ask`, in a transaction of its own."""
        async with self.database.transaction() as transaction:
            return await asking.ask(transaction, wanted, after_seconds=after_seconds, refused=refused)

    async def take(self, kind: str, holder: str) -> Job | None:
        """The oldest request of `kind` whose school no live session holds, with a new lease on it; None if there is
        none. While a school is restored, nothing else of it is taken; nor while a recover is asked for.
        """
        async with self.database.statement() as transaction:
            row = await transaction.row(
                f"""
                WITH next AS (
                    SELECT s.npsn, s.id FROM session s JOIN school k ON k.npsn = s.npsn
                    WHERE s.kind = :kind AND {asking.TAKEABLE}
                      AND (k.lease_expires IS NULL OR k.lease_expires < now())
                      AND (k.restoring_since IS NULL OR s.kind = 'restore')
                      AND (s.kind IN ('recover', 'restore') OR NOT EXISTS (
                          SELECT 1 FROM session r
                          WHERE r.npsn = s.npsn AND r.kind = 'recover' AND r.ended_at IS NULL
                      ))
                    ORDER BY s.asked_at LIMIT 1
                    FOR UPDATE OF s, k SKIP LOCKED
                ),
                leased AS (
                    UPDATE school k SET lease_epoch = k.lease_epoch + 1, lease_holder = :holder,
                        lease_expires = now() + make_interval(secs => :seconds)
                    FROM next WHERE k.npsn = next.npsn RETURNING k.lease_epoch, k.revision
                )
                UPDATE session s SET state = 'exchanging', attempt = s.attempt + 1, epoch = leased.lease_epoch,
                    waiting = NULL, started_at = coalesce(s.started_at, now()), seen_revision = leased.revision
                FROM next, leased WHERE s.npsn = next.npsn AND s.id = next.id
                RETURNING s.npsn, s.id, s.kind, s.epoch, s.attempt, s.source, s.event_id, s.actor, s.asked_at,
                    s.unreachable_since, s.revision, s.replaced, s.correlation, s.traceparent, s.progress
                """,  # noqa: S608  the part is ours
                kind=kind, holder=holder, seconds=self.lease_seconds,
            )  # fmt: skip
        if row is None:
            return None
        return Job(
            row.npsn, row.id, row.kind, row.epoch, row.attempt, Cause(source=row.source, id=row.event_id), row.actor,
            row.asked_at, row.unreachable_since, row.revision, row.replaced, row.correlation, row.traceparent,
            from_json(row.progress),
        )  # fmt: skip

    @asynccontextmanager
    async def holding(self, job: Job) -> AsyncIterator[tuple[Transaction, School]]:
        """A transaction under the lock on the school's row, for as long as the lease is this job's.

        Raises LeaseLost.
        """
        async with self.database.transaction() as transaction:
            row = await transaction.row(
                """
                SELECT npsn, install_id, cursor, settled, highest_seq, lineage, marks, revision, restoring_as_of,
                       lease_epoch
                FROM school WHERE npsn = :npsn FOR UPDATE
                """,
                npsn=job.npsn,
            )
            if row is None or row.lease_epoch != job.epoch:
                raise LeaseLost(job.npsn)
            yield transaction, School(
                row.npsn, row.install_id, row.cursor, row.settled, row.highest_seq,
                from_json(row.lineage), from_json(row.marks), row.revision, row.restoring_as_of,
            )  # fmt: skip

    async def keep_lease(self, job: Job) -> None:
        """Put off the lease's expiry. Raises LeaseLost."""
        async with self.database.statement() as transaction:
            kept = await transaction.run(
                """
                UPDATE school SET lease_expires = now() + make_interval(secs => :seconds)
                WHERE npsn = :npsn AND lease_epoch = :epoch AND lease_holder IS NOT NULL
                """,
                npsn=job.npsn, epoch=job.epoch, seconds=self.lease_seconds,
            )  # fmt: skip
        if not kept:
            raise LeaseLost(job.npsn)

    async def wait(
        self,
        job: Job,
        *,
        seconds: float,
        unreachable: bool = False,
        replaced: bool = False,
        slot: Problem | None = None,
    ) -> None:
        """Put the request off; the lease is free meanwhile. Because central does not answer (`unreachable`), another
        session replaced this one (`replaced`), or central gave it a place in line (`slot`: what people are told).
        """
        async with self.holding(job) as (transaction, _):
            await self._put_off(transaction, job, seconds, unreachable=unreachable, replaced=replaced, slot=slot)

    async def recover_first(self, job: Job, *, seconds: float, told: Problem) -> None:
        """Put the request off, and ask for a recover, which goes before it, unless one is asked for. `told`: people."""
        async with self.holding(job) as (transaction, _):
            await asking.ask_recover(transaction, Wanted(
                job.npsn, "recover", job.cause.source, f"{job.cause.id}.{job.attempt}", job.actor,
                correlation=job.correlation, traceparent=job.traceparent,
            ))  # fmt: skip
            await self._put_off(transaction, job, seconds, told=told)

    async def _put_off(
        self,
        transaction: Transaction,
        job: Job,
        seconds: float,
        *,
        unreachable: bool = False,
        replaced: bool = False,
        slot: Problem | None = None,
        told: Problem | None = None,
    ) -> None:
        why = slot or told
        await transaction.run(
            """
            UPDATE session SET state = CAST(:state AS text), not_before = now() + make_interval(secs => :seconds),
                unreachable_since = CASE WHEN :unreachable THEN coalesce(unreachable_since, now()) END,
                replaced = replaced + :replaced, waiting = CAST(:waiting AS jsonb)
            WHERE npsn = :npsn AND id = :id AND ended_at IS NULL
            """,
            npsn=job.npsn, id=job.id, seconds=seconds, unreachable=unreachable, replaced=int(replaced),
            state="waiting_retry" if slot is None else "waiting_slot",
            waiting=None if why is None else to_json(why.model_dump()),
        )  # fmt: skip
        await self._free(transaction, job)

    async def gated(self, transaction: Transaction, job: Job, marks: dict[str, int]) -> None:
        """The gate has passed: what is typed from here on is not in this session, whose mark is in `marks`."""
        await transaction.run(
            """
            WITH gated AS (
                UPDATE school SET marks = CAST(:marks AS jsonb), gated_revision = revision WHERE npsn = :npsn
                RETURNING revision
            )
            UPDATE session SET seen_revision = gated.revision FROM gated WHERE npsn = :npsn AND id = :id
            """,
            npsn=job.npsn, id=job.id, marks=to_json(marks),
        )  # fmt: skip

    async def progress(self, job: Job, counts: dict[str, int]) -> None:
        """What the session has done so far, for `status`."""
        async with self.database.statement() as transaction:
            await transaction.run(
                """
                UPDATE session SET progress = CAST(:counts AS jsonb), unreachable_since = NULL
                WHERE npsn = :npsn AND id = :id AND epoch = :epoch
                """,
                npsn=job.npsn, id=job.id, epoch=job.epoch, counts=to_json(counts),
            )  # fmt: skip

    async def end(
        self, transaction: Transaction, job: Job, outcome: str, reason: str | None, data: dict[str, Any]
    ) -> None:
        """The session's end as a row, in the transaction that makes it so; the announcement follows from the row."""
        others = await asking.answered_too(transaction, job.npsn, job.id, job.kind, outcome, data)
        await asking.end(transaction, job.npsn, job.id, job.kind, outcome, reason, data)
        for other, kind, how, told in others:
            await asking.end(transaction, job.npsn, other, kind, how, reason, told)
        await self._free(transaction, job)

    async def refuse(self, npsn: str, request_id: str, kind: str, reason: str, data: dict[str, Any]) -> None:
        """End a request that never became a session."""
        async with self.database.transaction() as transaction:
            await asking.end(transaction, npsn, request_id, kind, "refused", reason, data)

    async def unannounced(self, kind: str, npsn: str | None = None, *, request_id: str | None = None) -> list[Ending]:
        """Ends that nobody was told yet, oldest first: of a school, or of all. With `request_id` the end of that one
        request of the school, told or not.
        """
        which = "announced_at IS NULL" if request_id is None else "id = :id"
        which += " AND npsn = :npsn" if npsn is not None else ""
        named = {name: value for name, value in (("npsn", npsn), ("id", request_id)) if value is not None}
        async with self.database.statement() as transaction:
            rows = await transaction.rows(
                f"""
                SELECT npsn, id, kind, outcome, reason, ending, extract(epoch FROM ended_at - asked_at) AS seconds,
                       correlation, traceparent
                FROM session WHERE kind = :kind AND ended_at IS NOT NULL AND {which} ORDER BY ended_at LIMIT 100
                """,  # noqa: S608  of the literals above
                kind=kind, **named,
            )  # fmt: skip
        return [
            Ending(
                r.npsn, r.id, r.kind, r.outcome, r.reason, from_json(r.ending), float(r.seconds), r.correlation,
                r.traceparent,
            )
            for r in rows
        ]  # fmt: skip

    async def announced(self, ending: Ending) -> bool:
        """The broker has confirmed the announcement; False if somebody else had said so before."""
        async with self.database.statement() as transaction:
            return (
                await transaction.run(
                    "UPDATE session SET announced_at = now() WHERE npsn = :npsn AND id = :id AND announced_at IS NULL",
                    npsn=ending.npsn,
                    id=ending.id,
                )
                == 1
            )

    async def _free(self, transaction: Transaction, job: Job) -> None:
        await transaction.run(
            "UPDATE school SET lease_holder = NULL, lease_expires = NULL WHERE npsn = :npsn AND lease_epoch = :epoch",
            npsn=job.npsn,
            epoch=job.epoch,
        )

    async def gauges(self, kinds: Sequence[str]) -> dict[str, dict[tuple[str, ...], float]]:
        """What the session gauges show: pending, oldest, failed, refused, last_success."""
        async with self.database.transaction() as transaction:
            pending = await transaction.rows(
                """
                SELECT kind, state, count(*) AS n, extract(epoch FROM min(asked_at)) AS oldest
                FROM session WHERE kind = ANY(:kinds) AND ended_at IS NULL GROUP BY kind, state
                """,
                kinds=list(kinds),
            )
            latest = await transaction.rows(
                """
                SELECT kind, outcome, reason, count(*) AS n, extract(epoch FROM max(succeeded_at)) AS success
                FROM standing WHERE kind = ANY(:kinds) GROUP BY kind, outcome, reason
                """,
                kinds=list(kinds),
            )
        states = ("queued", "exchanging", "waiting_slot", "waiting_retry")
        counts: dict[tuple[str, ...], float] = {(kind, state): 0.0 for kind in kinds for state in states}
        counts |= {(r.kind, r.state): float(r.n) for r in pending}
        oldest: dict[tuple[str, ...], float] = {
            (kind,): min((float(r.oldest) for r in pending if r.kind == kind), default=0.0) for kind in kinds
        }
        success: dict[tuple[str, ...], float] = {
            (kind,): max((float(r.success or 0) for r in latest if r.kind == kind), default=0.0) for kind in kinds
        }
        return {
            "pending": counts,
            "oldest": oldest,
            "failed": {(r.kind, r.reason or ""): float(r.n) for r in latest if r.outcome == "failed"},
            "refused": {(r.kind, r.reason or ""): float(r.n) for r in latest if r.outcome == "refused"},
            "last_success": success,
        }
