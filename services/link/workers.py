"""The workers that answer requests: take one under the school's lease, run its session, announce how it ended.

Central out of reach does not fail a session: it waits, with growing, jittered pauses. The end of a session is a row
first; the announcement is made from the row and marked after the broker's confirm, so a crash between the two
announces it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import secrets
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

from services import logs, topology, tracing, wire
from services.broker import Publisher, PublishRefused
from services.database import Transaction
from services.errors import CentralAway, DatabaseAway, Transient
from services.link.channel import Channel
from services.link.session import Failed, Progress, RecoverFirst, Refused, Session, Stale, Waiting
from services.messages import SCHEMA, Cause, Kind, Message, Problem, SessionProgressed
from services.metrics import SessionMetrics
from services.problems import problem
from services.replica import asking
from services.replica.asking import Asked, Wanted
from services.replica.requests import Ending, Job, LeaseLost, Requests
from services.replica.sessions import Replica
from services.signing import PublicKeys

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
FIRST_RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 300.0
MOST_REPLACED = 5
"""Sessions that another one replaced before the request fails with SYN-22."""

Run = Callable[[Session], Awaitable[None]]
"""A whole session, from OPEN to the row that ends it. Raises Refused, RecoverFirst, Failed, Stale, CentralAway,
LeaseLost.
"""


class Workers:
    """The sessions of one kind in this process: at most `number` at once."""

    def __init__(
        self,
        kind: Kind,
        run: Run,
        *,
        requests: Requests,
        replica: Replica,
        central: Channel,
        publisher: Publisher,
        metrics: SessionMetrics,
        number: int,
        after_seconds: float,
        keys: PublicKeys | None = None,
    ) -> None:
        """`keys`: central's, pinned."""
        self.kind = kind
        self._run = run
        self._requests = requests
        self._replica = replica
        self._central = central
        self._publisher = publisher
        self._metrics = metrics
        self._number = number
        self._after_seconds = after_seconds
        self._keys = keys
        self._holder = secrets.token_hex(8)
        self._wake = asyncio.Event()
        self._told: dict[str, asyncio.Task[None]] = {}
        self._expecting: set[str] = set()

    def wake(self) -> None:
        """There is a new request: do not wait for the sweep."""
        self._wake.set()

    def answered(self, npsn: str) -> None:
        """The validator has answered an event of this school: a request may have waited for that."""
        if npsn in self._expecting:
            self._wake.set()

    async def work(self, stopping: asyncio.Event) -> None:
        """Answer requests until told to stop; sessions under way are then given a moment, and taken up again later."""
        running: set[asyncio.Task[None]] = set()
        stop = asyncio.create_task(stopping.wait())
        swept = -SWEEP_SECONDS
        try:
            while not stopping.is_set():
                self._wake.clear()
                try:
                    if time.monotonic() >= swept + SWEEP_SECONDS:
                        swept = time.monotonic()
                        await self._refuse_overdue()
                        await self._announce_ends()
                    while len(running) < self._number and (job := await self._requests.take(self.kind, self._holder)):
                        self._expecting.discard(job.npsn)
                        task = asyncio.create_task(self._answer(job))
                        running.add(task)
                        task.add_done_callback(running.discard)
                        task.add_done_callback(lambda _task: self._wake.set())
                except (Transient, PublishRefused) as error:
                    log.warning("workers wait", extra={"kind": self.kind, "error": type(error).__name__})
                wake = asyncio.create_task(self._wake.wait())
                await asyncio.wait([stop, wake], timeout=SWEEP_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                wake.cancel()
            if running:
                await asyncio.wait(running)
            if self._told:
                await asyncio.wait([*self._told.values()])
        finally:
            stop.cancel()
            for task in running:
                task.cancel()

    async def store(self, transaction: Transaction, wanted: Wanted, refused: Problem | None) -> Asked:
        """Store a request, once, or the end of one that is `refused`."""
        if wanted.after and refused is None:
            self._expecting.add(wanted.npsn)
        ending = None if refused is None else (refused.code, self._refusal(wanted.cause, refused))
        return await asking.ask(transaction, wanted, after_seconds=self._after_seconds, refused=ending)

    async def accept(self, wanted: Wanted, asked: Asked, refused: Problem | None) -> None:
        """Wake a worker for a request that is stored; one that is `refused`, or has ended before, is announced."""
        if asked.joins and self.kind == "sync":
            logs.add(code="SYN-13")
            self._say_waiting(wanted.npsn, wanted.cause, problem("SYN-13"))
        if refused is not None or not asked.is_new:
            await self.announce_end(wanted.npsn, wanted.id)
        self.wake()

    def _refusal(self, cause: Cause, why: Problem) -> dict[str, Any]:
        return self._message("refused", cause=cause, kind=self.kind, problem=why, findings=[]).model_dump()

    async def _refuse_overdue(self) -> None:
        """Requests that waited long enough for events that nobody answered."""
        for late in await asking.overdue(self._requests.database, self.kind):
            why = problem("SYN-17", events=", ".join(late.events))
            await self._requests.refuse(late.npsn, late.id, self.kind, why.code, self._refusal(late.cause, why))

    async def announce_end(self, npsn: str, request_id: str) -> None:
        """Announce the end of one request, if it has ended: its message came again."""
        for ending in await self._requests.unannounced(self.kind, npsn, request_id=request_id):
            await self._announce(ending)

    async def _answer(self, job: Job) -> None:
        correlation = job.correlation or wire.correlation_of(job.cause.source, job.cause.id)
        named = {"npsn": job.npsn, "kind": job.kind, "request": job.id, "attempt": job.attempt}
        with (
            logs.about(correlation=correlation, **named),
            tracing.span(f"session {self.kind}", parent=job.traceparent),
        ):
            await self._run_one(job)

    async def _run_one(self, job: Job) -> None:
        self._metrics.attempts.labels(self._metrics.site, self.kind).inc()
        log.info("session begun")
        heartbeat = asyncio.create_task(self._keep_lease(job))
        try:
            self._tell(job.npsn, "started", cause=job.cause, kind=self.kind, attempt=job.attempt)
            await self._conclude(job)
            await self._announce_ends(job.npsn)
        except asyncio.CancelledError:
            with contextlib.suppress(LeaseLost, DatabaseAway):
                await self._requests.wait(job, seconds=0)  # another worker may go on at once
            raise
        except LeaseLost:
            logs.add(outcome="lease_lost")
            log.info("another session took over")
        except (Transient, PublishRefused) as error:
            logs.add(outcome="left")
            log.warning("session left for the next sweep", extra={"error": type(error).__name__})
        finally:
            heartbeat.cancel()

    async def _conclude(self, job: Job) -> None:
        """Run the session and write its end, or put it off."""
        session = Session(
            job,
            self._central,
            self._replica,
            report=lambda done: self._report(job, done),
            count=self._count,
            diverged=lambda entity: self._metrics.divergence.labels(self._metrics.site, entity).inc(),
            mended=lambda entity, side, n: self._metrics.repaired.labels(self._metrics.site, entity, side).inc(n),
            keys=self._keys,
            compared=self._metrics.verifications.labels(self._metrics.site, self.kind).inc,
            progress=Progress.after(job.done),
        )
        try:
            try:
                await self._run(session)
            finally:
                await self._all_said(job.npsn)  # no progress is written over what is written now
            logs.add(outcome="completed")
        except Refused as end:
            message = self._message(
                "refused", cause=job.cause, kind=self.kind, problem=end.problem, findings=list(end.findings)
            )
            await self._replica.end(job, "refused", end.problem, message.model_dump())
            logs.add(outcome="refused", code=end.problem.code)
        except Failed as end:
            await self._fail(job, end.problem)
        except Stale:
            if job.replaced + 1 >= MOST_REPLACED:
                await self._fail(job, problem("SYN-22"))
            else:
                await self._wait(job, _pause(job.replaced + 1), "replaced", replaced=True)
        except Waiting as told:
            await self._wait(job, told.seconds, "waiting_slot", code=told.problem.code, slot=told.problem)
            self._say_waiting(job.npsn, job.cause, told.problem)
        except RecoverFirst:
            await self._wait_for_recover(job)
        except CentralAway:
            await self._wait_for_central(job)
        except (DatabaseAway, LeaseLost):
            raise
        except Exception:
            log.exception("the session stopped on an error")
            await self._fail(job, problem("SYN-21"))

    async def _fail(self, job: Job, why: Problem) -> None:
        self._metrics.failures.labels(self._metrics.site, self.kind, why.code).inc()
        message = self._message("failed", cause=job.cause, kind=self.kind, problem=why)
        await self._replica.end(job, "failed", why, message.model_dump())
        logs.add(outcome="failed", code=why.code)

    async def _wait(self, job: Job, seconds: float, outcome: str, code: str | None = None, **why: Any) -> None:
        await self._requests.wait(job, seconds=seconds, **why)
        logs.add(outcome=outcome, code=code)
        log.info("session waits", extra={"retry_seconds": round(seconds, 1)})

    async def _wait_for_recover(self, job: Job) -> None:
        """A syncer recovers the school before this request goes on, whoever found that it must."""
        seconds, why = _pause(job.attempt), problem("SYN-14")
        await self._requests.recover_first(job, seconds=seconds, told=why)
        logs.add(outcome="waiting_retry", code=why.code)
        log.info("session waits", extra={"retry_seconds": round(seconds, 1)})
        self._say_waiting(job.npsn, job.cause, why)

    async def _wait_for_central(self, job: Job) -> None:
        seconds = _pause(job.attempt)
        await self._wait(job, seconds, "waiting_retry", code="SYN-10", unreachable=True)
        now = datetime.now(UTC)
        since = job.unreachable_since or now
        why = problem(
            "SYN-10",
            since=since.isoformat(timespec="seconds"),
            retry_at=(now + timedelta(seconds=seconds)).isoformat(timespec="seconds"),
        )
        self._say_waiting(job.npsn, job.cause, why)

    def _say_waiting(self, npsn: str, cause: Cause, why: Problem) -> None:
        nothing: dict[str, Any] = {"received": 0, "to_receive": 0, "sent": 0, "to_send": 0}
        self._tell(npsn, "progressed", cause=cause, kind=self.kind, waiting=why, **nothing)

    async def _report(self, job: Job, done: Progress) -> None:
        data: dict[str, Any] = {"cause": job.cause, "kind": self.kind, **vars(done)}
        self._tell(job.npsn, "progressed", job, **data)

    def _count(self, entity: str, verdict: str, number: int) -> None:
        self._metrics.records.labels(self._metrics.site, self.kind, entity, verdict).inc(number)

    async def _keep_lease(self, job: Job) -> None:
        """Put off the lease's expiry while the session lives; a lost lease shows at the session's next transaction."""
        while True:
            await asyncio.sleep(self._requests.lease_seconds / 3)
            with contextlib.suppress(DatabaseAway):
                await self._requests.keep_lease(job)

    async def _announce_ends(self, npsn: str | None = None) -> None:
        """Announce what has ended and was not announced: of one school, or what others have left."""
        for ending in await self._requests.unannounced(self.kind, npsn):
            await self._announce(ending)

    async def _announce(self, ending: Ending) -> None:
        stage = ending.outcome if ending.outcome in ("refused", "failed") else "completed"
        message = SCHEMA[f"{self.kind}.{stage}.v1"].model_validate(ending.data)
        cause = ending.data["cause"]
        correlation = ending.correlation or wire.correlation_of(cause["source"], cause["id"])
        named = {"npsn": ending.npsn, "kind": ending.kind, "request": ending.id, "attempt": None}
        with (
            logs.about(correlation=correlation, **named),
            tracing.span(f"announce {self.kind}", parent=ending.traceparent),
        ):
            await self._all_said(ending.npsn)
            await self._publish(ending.npsn, stage, message, event_id=f"{ending.id}-end")
            is_first = await self._requests.announced(ending)
            if is_first:
                log.info("session ended", extra=_how(ending))
        if is_first:
            self._metrics.completed.labels(self._metrics.site, self.kind, ending.outcome).inc()
            self._metrics.duration.labels(self._metrics.site, self.kind, ending.outcome).observe(ending.seconds)

    def _tell(self, npsn: str, stage: str, job: Job | None = None, **data: Any) -> None:
        """Say how it goes, in order. Nothing depends on it: the session waits for no confirm, nor does a broker that is
        away stop it.
        """
        before = self._told.get(npsn)
        task = asyncio.create_task(self._say(before, npsn, stage, self._message(stage, **data), job))
        self._told[npsn] = task
        task.add_done_callback(lambda done: self._told.pop(npsn) if self._told.get(npsn) is done else None)

    async def _all_said(self, npsn: str) -> None:
        """What was to be told of a school's session has been, or could not be."""
        if npsn in self._told:
            await asyncio.wait([self._told[npsn]])

    async def _say(
        self, before: asyncio.Task[None] | None, npsn: str, stage: str, message: Message, job: Job | None
    ) -> None:
        """`job`: whose progress it is, for `status` too."""
        if before is not None:
            await asyncio.wait([before])
        try:
            if isinstance(message, SessionProgressed) and job is not None:
                await self._requests.progress(job, {name: getattr(message, name) for name in vars(Progress())})
            await self._publish(npsn, stage, message, event_id=wire.new_id())
        except (Transient, PublishRefused) as error:
            log.debug("not told", extra={"error": type(error).__name__})

    async def _publish(self, npsn: str, stage: str, message: Message, *, event_id: str) -> None:
        await self._publisher.announce(
            topology.EVENTS, f"{self.kind}.{stage}.{npsn}", message, subject=npsn, id=event_id, mandatory=False
        )

    def _message(self, stage: str, **data: Any) -> Message:
        return SCHEMA[f"{self.kind}.{stage}.v1"](**data)


def _how(ending: Ending) -> dict[str, Any]:
    """What the log says of an end: outcome, code, time from request to end, counts."""
    counts = {name: ending.data.get(name) for name in ("received", "sent", "verdicts", "repaired")}
    session = (ending.data.get("receipt") or {}).get("session")
    return {
        "outcome": ending.outcome, "code": ending.reason, "duration_seconds": round(ending.seconds, 3),
        "session": session, **counts,
    }  # fmt: skip


def _pause(attempt: int) -> float:
    """Seconds until the next attempt: doubling, bounded, and different for every school."""
    doublings = min(attempt - 1, 10)
    return float(min(FIRST_RETRY_SECONDS * 2**doublings, LONGEST_RETRY_SECONDS) * random.uniform(0.5, 1.0))  # noqa: S311
