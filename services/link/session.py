"""The steps that a sync and a pull share: open, fetch, verify. What does not go on comes out as one of these.

Refused  central (or the gate) will have no session now: a result, told to the operator
Failed   the exchange stopped on something that is for ops
Waiting  central has kept a place in its line: not yet
Stale    another session is the school's current one: this attempt is over
RecoverFirst  central was put back from a backup: the school gives back its part before anything else
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from services import logs, wire
from services.errors import CentralAway, SelarasError
from services.link import statement
from services.link.channel import Channel
from services.messages import (
    OLDEST_PROTOCOL_VERSION,
    PROTOCOL_VERSION,
    SCHEMA,
    Blocking,
    Early,
    LineageEntry,
    Message,
    Problem,
    SessionBehind,
    SessionDifferent,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionRefusal,
    SessionStale,
    SessionVerify,
    SessionWait,
)
from services.problems import problem
from services.replica.requests import Job
from services.replica.sessions import Completion, Opening, Replica, Standing
from services.rules import RULES_VERSION
from services.signing import PublicKeys

PAGE_RECORDS = 1000
"""Records asked for in one FETCH; central may send fewer."""
VERIFY_ROUNDS = 10
"""Times a session fetches again because central moved on while it was verifying."""


class Refused(SelarasError):
    """The session is refused; the operator is told why and what to do."""

    def __init__(self, why: Problem, findings: tuple[Blocking, ...] = ()) -> None:
        super().__init__(why.code)
        self.problem = why
        self.findings = findings


class Failed(SelarasError):
    """The session stopped; the next one goes on from what is stored."""

    def __init__(self, why: Problem) -> None:
        super().__init__(why.code)
        self.problem = why


class Different(Failed):
    """Both sides stand at the same seq and have different roots; `answer` is what central holds."""

    def __init__(self, here: Standing, answer: SessionDifferent) -> None:
        entities = here.differing(answer.entities)
        super().__init__(problem("SYN-20", entities=", ".join(entities)))
        self.here = here
        self.answer = answer
        self.entities = entities


class Waiting(SelarasError):
    """Central has no place for the session yet; it has kept one in its line."""

    def __init__(self, told: SessionWait) -> None:
        super().__init__(told.reason)
        self.seconds = float(told.retry_seconds)
        self.problem = problem("SYN-09", position=str(told.position), retry_at=told.retry_at)


class Stale(SelarasError):
    """Central answers to another session of this school."""


class RecoverFirst(SelarasError):
    """Central was put back from a backup, or a recover is not complete: that comes before this session."""


@dataclass
class Progress:
    """Records done and known of, per direction."""

    received: int = 0
    to_receive: int = 0
    sent: int = 0
    to_send: int = 0

    @classmethod
    def after(cls, done: Mapping[str, int]) -> Progress:
        """As the attempts before left it."""
        received, sent = done.get("received", 0), done.get("sent", 0)
        return cls(received, received, sent, sent)


@dataclass
class Session:
    """One session of one school with central, as central granted it.

    `report` is told how far it is, `count` what became of records (entity, verdict, number); those that came down count
    as `received`. `diverged` is told an entity whose digests differ, `mended` how many of its rows were mended, and at
    which side. `compared` is told that roots were. `keys`: central's, pinned. `jws`: the signed statement, once both
    sides were proven equal.
    """

    job: Job
    central: Channel
    replica: Replica
    report: Callable[[Progress], Awaitable[None]]
    count: Callable[[str, str, int], None]
    diverged: Callable[[str], None]
    mended: Callable[[str, Literal["site", "central"], int], None]
    keys: PublicKeys | None = None
    compared: Callable[[], None] = lambda: None
    number: int = 0
    incarnation: str = ""
    cursor: int = 0
    as_of: int | None = None
    batch_records: int = 500
    batch_bytes: int = 1024 * 1024
    progress: Progress = field(default_factory=Progress)
    verdicts: Counter[str] = field(default_factory=Counter)
    jws: str = ""
    repaired: int = 0

    @property
    def is_to_review(self) -> bool:
        """Did something come up that a person is to look at?"""
        return self.verdicts["conflict"] + self.verdicts["refused"] > 0

    @property
    def named(self) -> dict[str, Any]:
        """What every message after OPEN carries."""
        return {"session": self.number, "incarnation": self.incarnation}

    async def open(
        self, opening: Opening | None = None, *, early: Early | None = None, id: str | None = None
    ) -> SessionGranted:
        """OPEN, and take central's lineage; the grant, with the first page. `opening`: what it says, if it was just
        looked up; `early`: what goes with it, `id`: then its own. Raises Refused, RecoverFirst, Waiting, CentralAway.
        """
        opening = opening or await self.replica.opening(self.job)
        if opening.is_recovering:
            raise RecoverFirst
        try:
            granted = await self._granted(opening, opening.school.cursor, early=early, id=id)
        except Refused as refused:
            if refused.problem.code == "SYN-14":
                raise RecoverFirst from None
            raise
        if [entry.model_dump() for entry in granted.lineage] != opening.school.lineage:
            await self.replica.begin(self.job, granted.lineage)
        if granted.result is None and granted.tried_taken is False:
            await self.replica.never_came(self.job)
        return granted

    async def granted(self, cursor: int | None = None) -> SessionGranted:
        """OPEN, by default from where the school stands, and nothing more. Raises Refused, Waiting, CentralAway."""
        opening = await self.replica.opening(self.job)
        return await self._granted(opening, opening.school.cursor if cursor is None else cursor)

    async def _granted(
        self, opening: Opening, cursor: int, *, early: Early | None = None, id: str | None = None
    ) -> SessionGranted:
        school = opening.school
        granted = await self.ask(
            "open",
            SessionOpen(
                install_id=school.install_id,
                kind=self.job.kind,  # type: ignore[arg-type]
                protocol_version=PROTOCOL_VERSION,
                oldest_protocol_version=OLDEST_PROTOCOL_VERSION,
                rules_version=RULES_VERSION,
                lineage=[LineageEntry.model_validate(entry) for entry in school.lineage],
                cursor=cursor,
                highest_seq=school.highest_seq,
                marks=school.marks,
                clock=wire.now_text(),
                actor=self.job.actor,
                statement=opening.stated,
                proof=opening.proof,
                early=early,
            ),
            id=id,
        )
        if isinstance(granted, SessionWait):
            raise Waiting(granted)
        if not isinstance(granted, SessionGranted):
            raise CentralAway(f"answered OPEN with {granted.type}")
        logs.add(session=granted.session)
        self.number = granted.session
        self.incarnation = granted.incarnation
        self.batch_records = granted.limits.records
        self.batch_bytes = granted.limits.bytes
        self.as_of = granted.as_of
        return granted

    async def fetch(self, page: SessionPage, *, first: bool) -> None:
        """Take in `page` and all that follow it. `first`: this is the session's first FETCH, which settles what is in
        doubt.
        """
        last = await self.fetch_to_last(page, first=first)
        arrived = await self.replica.absorb_page(self.job, last, clear_doubt=first)
        await self.took(last, arrived=arrived)

    async def fetch_to_last(self, page: SessionPage, *, first: bool) -> SessionPage:
        """As `fetch`, but for the last page: that is for the caller to take in, and then to tell `took`. Central reads
        the next while the site stores this one.
        """
        while not page.complete:
            following = asyncio.create_task(self.fetch_one(page.cursor))
            try:
                arrived = await self.replica.absorb_page(self.job, page, clear_doubt=first)
                await self.took(page, arrived=arrived)
                page = await following
            finally:
                following.cancel()
                await asyncio.gather(following, return_exceptions=True)
        return page

    async def took(self, page: SessionPage, *, arrived: int = 0) -> None:
        """A page is stored here. `arrived`: records of it that this site had sent in a session that it did not hear
        the answer of; a sync has sent them.
        """
        own = arrived if self.job.kind == "sync" else 0
        self.progress.sent += own
        self.progress.received += len(page.rows) - own
        self.progress.to_receive = max(self.progress.to_receive, self.progress.received)
        self.cursor = page.cursor
        for entity, number in Counter(row.entity for row in page.rows).items():
            self.count(entity, "received", number)
        if page.rows:
            await self.report(self.progress)

    async def fetch_one(self, cursor: int) -> SessionPage:
        """FETCH: the page after `cursor`. Raises Stale, CentralAway."""
        answer = await self.ask(
            "fetch",
            SessionFetch(
                session=self.number,
                incarnation=self.incarnation,
                cursor=cursor,
                limit=PAGE_RECORDS,
                as_of=self.as_of,
            ),
        )
        if not isinstance(answer, SessionPage):
            raise CentralAway(f"answered FETCH with {answer.type}")
        return answer

    async def verify(self) -> dict[str, Any]:
        """VERIFY until both sides are equal at the same seq; central's statement, which is then in `jws` too.

        Raises Different when they are not equal, Failed when the statement does not prove it.
        """
        for _ in range(VERIFY_ROUNDS):
            here = await self.replica.standing(self.job)
            asked = SessionVerify(
                **self.named,
                cursor=here.cursor,
                root=here.root,
                unsent=here.unsent,
                held=here.held,
                refused=here.refused,
                receipt=here.receipt,
            )
            answer = await self.ask("verify", asked)
            if isinstance(answer, SessionEqual | SessionDifferent):
                self.compared()
            if isinstance(answer, SessionEqual):
                return self.believed(answer, asked)
            if isinstance(answer, SessionDifferent):
                raise Different(here, answer)
            if not isinstance(answer, SessionBehind):
                raise CentralAway(f"answered VERIFY with {answer.type}")
            await self.fetch(await self.fetch_one(here.cursor), first=False)
        raise Stale

    async def complete(self, statement: dict[str, Any], *, review: bool = False) -> None:
        """Both sides were proven equal: end the request's row with what was done. `review`: something came up that a
        person is to look at, beside what `statement` says is held. Raises LeaseLost.
        """
        await self.replica.complete(self.job, self.completion(statement, review=review))

    def completion(self, statement: dict[str, Any], *, review: bool = False) -> Completion:
        """What is kept of a session that ends with both sides equal."""
        outcome = "needs_review" if review or statement["held"] else "completed"
        data = SCHEMA[f"{self.job.kind}.completed.v1"].model_validate(
            {
                "cause": self.job.cause,
                "kind": self.job.kind,
                "outcome": outcome,
                "received": self.progress.received,
                "sent": self.progress.sent,
                "verdicts": dict(self.verdicts),
                "receipt": statement,
                "unsent": statement["unsent"],
                "jws": self.jws,
                "repaired": self.repaired,
            }
        )
        return Completion(outcome, statement, self.jws, data.model_dump())

    def believed(self, answer: SessionEqual, asked: SessionVerify) -> dict[str, Any]:
        """Central's statement, if it is one about what was asked. Raises Failed."""
        why = statement.wrong(answer, asked, self.keys, npsn=self.job.npsn, kind=self.job.kind)
        if why is not None:
            raise Failed(problem("SYN-24", reason=why))
        self.jws = answer.jws
        return answer.statement

    async def ask(self, verb: str, request: Message, *, id: str | None = None) -> Message:
        """Central's answer. Raises Stale, Refused to an OPEN, Failed to what is no request at all, CentralAway."""
        answer = await self.central.ask(verb, self.job.npsn, request, id=id)
        if isinstance(answer, SessionStale):
            raise Stale
        if isinstance(answer, SessionRefusal):
            raise Refused(answer.problem) if verb == "open" else Failed(answer.problem)
        return answer


__all__ = ["Different", "Failed", "Progress", "RecoverFirst", "Refused", "Session", "Stale", "Waiting"]
