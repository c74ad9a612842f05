"""The site's workers and the network: everything that waits for a turn, and what the scheduler may do with it.

A worker runs the real session code; wherever that awaits the store or central, it is parked until the scheduler lets
it go on. A request to central is a copy on its way there, and its answer a copy on its way back: each may be lost, come
late, come twice, come out of order. A worker that is asleep is one whose process was killed or stopped; it may wake.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any, cast

from services.errors import CentralAway
from services.link.session import Failed, Progress, RecoverFirst, Refused, Session, Stale, Waiting
from services.link.workers import MOST_REPLACED
from services.messages import Message, SessionEqual, SessionGranted
from services.problems import problem
from services.puller import restore as restoring
from services.puller.session import pull
from services.replica.mending import Proof
from services.replica.recovering import Recovery
from services.replica.requests import Job, LeaseLost
from services.replica.restoring import ListMoved
from services.syncer import recover as recovering
from services.syncer.session import sync
from tests.simulation.central import Central
from tests.simulation.loop import Loop
from tests.simulation.safeguards import Broken, Safeguard
from tests.simulation.site import Replica

GHOST = "-lama"
"""Behind a school's number: an older installation of it, living on elsewhere."""


@dataclass(eq=False)
class Parked:
    """A step that waits for its turn."""

    worker: Worker
    what: str
    turn: asyncio.Future[None]


@dataclass(eq=False)
class Asked:
    """A request, and the future of who waits for its answer. `held_up`: it will arrive long after."""

    worker: Worker
    id: str
    verb: str
    message: Message
    answer: asyncio.Future[Message]
    held_up: bool = False

    def __str__(self) -> str:
        """For the story."""
        return f"{self.verb.upper()} of {self.worker.name}"


@dataclass(eq=False)
class Worker:
    """One attempt at one request."""

    name: str
    job: Job
    asleep: bool = False
    task: asyncio.Task[None] | None = None
    parked: list[Parked] = field(default_factory=list)
    waiting: list[Asked] = field(default_factory=list)
    sent: int = 0

    @property
    def done(self) -> bool:
        """Has it ended?"""
        return self.task is not None and self.task.done()


def _to(npsn: str, answer: Message) -> Message:
    """What is stated, is stated of a school by the name that this site, a ghost maybe, has for it."""
    if isinstance(answer, SessionGranted) and answer.equal:
        return answer.model_copy(update={"equal": _to(npsn, answer.equal)})
    if isinstance(answer, SessionEqual):
        return answer.model_copy(update={"statement": {**answer.statement, "npsn": npsn}})
    return answer


class _Restoring:
    """`services.replica.restoring`, of the store in memory."""

    ListMoved = ListMoved

    @staticmethod
    async def opening_cursor(replica: Replica, job: Job) -> int:
        """Where the fetch goes on."""
        return await replica.opening_cursor(job)

    @staticmethod
    async def begin(replica: Replica, job: Job, granted: SessionGranted) -> int:
        """Wipe the school, or go on."""
        return await replica.begin_restore(job, granted)


class _Recovering:
    """`services.replica.recovering`, of the store in memory."""

    @staticmethod
    async def begin(replica: Replica, job: Job, granted: SessionGranted) -> Recovery:
        """Set aside, or go on."""
        return await replica.begin_recover(job, granted)

    to_roll_back = staticmethod(Replica.to_roll_back)
    roll_back = staticmethod(Replica.roll_back)
    rewound = staticmethod(Replica.rewound)
    to_give = staticmethod(Replica.to_give)
    absorb_answers = staticmethod(Replica.absorb_answers)


async def _proof_of(session: Session) -> Proof | None:
    """`services.link.repair.proof_of`, of the store in memory."""
    replica: Any = session.replica
    school = await replica.holding(session.job, "read what it can prove")
    return Proof(school.stated["jws"], school.stated, dict(school.hashes)) if school.stated else None


def restore_over(store: Any) -> Callable[[Session], Awaitable[None]]:
    """The real restore, with `store` in place of `services.replica.restoring`."""
    return FunctionType(restoring.restore.__code__, {**vars(restoring), "restoring": store})


def recover_over(store: Any, proof_of: Any) -> Callable[[Session], Awaitable[None]]:
    """The real recover, with `store` in place of `services.replica.recovering`."""
    names = {**vars(recovering), "recovering": store, "proof_of": proof_of}
    for name, one in vars(recovering).items():
        if isinstance(one, FunctionType) and one.__module__ == recovering.__name__:
            names[name] = FunctionType(one.__code__, names, name, one.__defaults__)
            names[name].__kwdefaults__ = one.__kwdefaults__
    return cast(Callable[[Session], Awaitable[None]], names["recover"])


restore = restore_over(_Restoring)
recover = recover_over(_Recovering, _proof_of)
"""On the store in memory."""


@dataclass
class Runs:
    """How each kind of session runs; the tests put others here."""

    sync: Callable[[Session], Awaitable[None]] = sync
    pull: Callable[[Session], Awaitable[None]] = pull
    restore: Callable[[Session], Awaitable[None]] = restore
    recover: Callable[[Session], Awaitable[None]] = recover


class Workers:
    """All workers of the site, the requests on their way to central, and the answers on their way back."""

    def __init__(self, loop: Loop, central: Central, say: Callable[[str], None], runs: Runs) -> None:
        self.loop = loop
        self.central = central
        self.say = say
        self.runs = runs
        self.workers: list[Worker] = []
        self.requests: list[Asked] = []
        self.answers: list[tuple[Asked, Message]] = []
        self._of_job: dict[int, Worker] = {}
        self._number = 0

    # ── what session code awaits ─────────────────────────────────────────────────────────────────────────────────────

    async def turn(self, job: Job, what: str) -> None:
        """Wait until the scheduler lets this step go on."""
        worker = self._of_job[id(job)]
        parked = Parked(worker, what, self.loop.create_future())
        worker.parked.append(parked)
        try:
            await parked.turn
        finally:
            worker.parked.remove(parked)
        self.say(f"{worker.name}: {what}")

    def line(self, worker: Worker) -> Line:
        """The worker's line to central."""
        return Line(self, worker)

    # ── what the scheduler does ──────────────────────────────────────────────────────────────────────────────────────

    def start(self, replica: Replica, npsn: str, request: Any) -> Worker:
        """A worker takes the request."""
        self._number += 1
        name = f"{request.kind} {self._number}"
        worker = Worker(name, replica.take(npsn, request, name))
        self.workers.append(worker)
        self._of_job[id(worker.job)] = worker
        self.say(f"{name} begins, attempt {worker.job.attempt} at request {request.id} of {npsn}")
        worker.task = self.loop.create_task(self._answer(worker, replica))
        self.loop.run_until_idle()
        return worker

    def go_on(self, parked: Parked) -> None:
        """A step has its turn."""
        parked.turn.set_result(None)
        self.loop.run_until_idle()

    def deliver(self, asked: Asked, *, keep: bool = False) -> None:
        """A request comes to central; `keep`: and it will once more. The answer sets out."""
        if not keep:
            self.requests.remove(asked)
        job = asked.worker.job
        sender = "sync" if job.kind in ("sync", "recover") else "pull"  # the puller restores, too
        npsn = job.npsn.removesuffix(GHOST)
        answer = _to(job.npsn, self.central.receive(sender, npsn, asked.id, asked.message))
        self.say(f"central: {asked} {asked.id} → {type(answer).__name__}{' (and again later)' if keep else ''}")
        self.answers.append((asked, answer))

    def bring(self, index: int) -> None:
        """An answer comes back; nobody may wait for it any more."""
        asked, answer = self.answers.pop(index)
        self.say(f"{asked.worker.name} hears {type(answer).__name__} to its {asked.verb.upper()}")
        if not asked.answer.done():
            asked.answer.set_result(answer)
        self.loop.run_until_idle()

    def give_up(self, asked: Asked) -> None:
        """Central does not answer in time."""
        self.say(f"{asked.worker.name} waits no longer for the answer to its {asked.verb.upper()}")
        asked.answer.set_exception(CentralAway("no answer"))
        self.loop.run_until_idle()

    def parked(self, worker: Worker | None = None) -> list[Parked]:
        """The steps that may go on: of this worker, or of all that are awake."""
        workers = [worker] if worker else [w for w in self.workers if not w.asleep]
        return [parked for one in workers for parked in one.parked if not parked.turn.done()]

    def unanswered(self) -> list[Asked]:
        """The requests whose senders are awake and wait."""
        awake = [worker for worker in self.workers if not worker.asleep]
        return [asked for worker in awake for asked in worker.waiting if not asked.answer.done()]

    def kill(self, workers: list[Worker]) -> None:
        """Their process is gone for ever. What they sent is still on its way."""
        for worker in workers:
            assert worker.task is not None
            worker.task.cancel()
        self.loop.run_until_idle()
        self.workers = [worker for worker in self.workers if worker not in workers]

    def close(self) -> None:
        """The end of this world, whatever state it is in."""
        for worker in self.workers:
            assert worker.task is not None
            worker.task.cancel()
        with suppress(Exception):
            self.loop.run_until_idle()

    async def _answer(self, worker: Worker, replica: Replica) -> None:
        """As services.link.Workers does: run the session and write its end, or put it off."""
        job = worker.job
        session = Session(
            job,
            cast(Any, Line(self, worker)),
            cast(Any, replica),
            report=_report,
            count=_count,
            diverged=_diverged,
            mended=_mended,
        )
        run = getattr(self.runs, job.kind)
        try:
            try:
                await run(session)
            except Refused as end:
                await replica.end(job, "refused", end.problem, {})
            except Failed as end:
                raise Broken(f"{worker.name} failed: {end.problem.code} {end.problem.text_en}") from end
            except Stale:
                if job.replaced + 1 >= MOST_REPLACED:
                    await replica.end(job, "failed", problem("SYN-22"), {})
                else:
                    await replica.wait(job, replaced=True)
            except RecoverFirst:
                await replica.recover_first(job)
            except (CentralAway, Waiting):
                await replica.wait(job)
        except LeaseLost:
            self.say(f"{worker.name}: the lease is another's")
        except Exception as error:
            self.loop.trouble = error


class Line:
    """One worker's line to central."""

    def __init__(self, workers: Workers, worker: Worker) -> None:
        self._workers = workers
        self._worker = worker

    async def ask(self, verb: str, npsn: str, request: Message, *, id: str | None = None) -> Message:
        """Send the request, and wait. Raises CentralAway."""
        worker, workers = self._worker, self._workers
        worker.sent += 1
        message_id = id or f"{worker.name} no. {worker.sent}"
        if verb == "open" and Safeguard.NEW_ID in workers.central.without:
            message_id = worker.job.id
        asked = Asked(worker, message_id, verb, request, workers.loop.create_future())
        workers.requests.append(asked)
        worker.waiting.append(asked)
        try:
            return await asked.answer
        finally:
            worker.waiting.remove(asked)


async def _report(_done: Progress) -> None:
    """Nobody watches."""


def _count(_entity: str, _verdict: str, _number: int) -> None:
    """Nobody counts."""


def _diverged(entity: str) -> None:
    """No hand alters a row here: what differs is a broken promise, and not to be mended."""
    raise Broken(f"the two sides differ in {entity}")


def _mended(entity: str, side: str, number: int) -> None:
    """Nothing ever is."""
    raise Broken(f"{number} rows of {entity} were mended at the {side}")
