"""What a session does to the replica, step by step: every step one transaction under the school's lock and lease.

Cursor and records move together or not at all, so a session that stops anywhere leaves a replica the next one goes on
from.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services import wire
from services.database import Transaction, to_json
from services.entities import SPECS
from services.errors import CATALOGUE
from services.exchange.canonical import NotCanonical
from services.exchange.change import Change, diff, push_order
from services.exchange.digest import root as root_of
from services.exchange.marks import heard, reached, tried, trying
from services.messages import (
    Blocking,
    LineageEntry,
    Mark,
    Problem,
    RecordVerdict,
    SessionGranted,
    SessionPage,
    Stated,
)
from services.replica import asking, judging, mending, records, recovering, standing, taking
from services.replica.requests import Job, Requests, School
from services.replica.standing import Standing

log = logging.getLogger(__name__)

MOST_FINDINGS = 100
"""Findings listed in a refusal; the count is always the whole."""
MOST_EARLY = 100
"""Records that may go with an OPEN; if central has something new for the site, they go twice."""


@dataclass(frozen=True, slots=True)
class Opening:
    """What OPEN says: the school's state; the latest statement of central's present life, as far as this site knows it;
    `proof`, the latest one as it was signed. `is_recovering`: a recover has begun that is not complete.
    """

    school: School
    stated: Stated | None
    proof: str | None = None
    is_recovering: bool = False

    @property
    def latest_session(self) -> int:
        """The latest session of central's present life that this site knows of; 0: none."""
        life = self.school.lineage[-1]["incarnation"] if self.school.lineage else ""
        return max(self.school.marks.get(life, 0), self.stated.session if self.stated else 0)


@dataclass(frozen=True, slots=True)
class Foreseen:
    """What goes with the OPEN of this `id`, if central has begun no session since `after`: the site's root once central
    has taken all of it (hex).
    """

    id: str
    after: int
    root: str


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate said: the changes that pass, or why none does. `opening`: what OPEN says, where it comes next;
    `foreseen`: and the changes go with it. `arrived`: as `Replica.absorb_page` says of the page before it.
    """

    changes: list[Change]
    problem: Problem | None = None
    findings: tuple[Blocking, ...] = ()
    opening: Opening | None = None
    foreseen: Foreseen | None = None
    arrived: int = 0

    @property
    def open_id(self) -> str | None:
        """That OPEN's id, if it must have a certain one."""
        return self.foreseen.id if self.foreseen else None


@dataclass(frozen=True, slots=True)
class Completion:
    """How a session ends whose sides were proven equal: central's statement, and the same signed (`jws`); `data` is the
    announcement's.
    """

    outcome: str
    statement: Mapping[str, Any]
    jws: str
    data: dict[str, Any]


class Replica:
    """The site's store, as sessions use it."""

    def __init__(
        self,
        requests: Requests,
        today: Callable[[], date],
        checked: Callable[[str, bool], None] = lambda _invariant, _holds: None,
        most_early: int = MOST_EARLY,
    ) -> None:
        """`today` is the date that schools are judged by; `checked` is told of each self-check and whether it held.
        `most_early`: records that go with an OPEN.
        """
        self.requests = requests
        self.most_early = most_early
        self._told = checked
        self._today = today

    async def opening(self, job: Job) -> Opening:
        """What OPEN says."""
        async with self.requests.holding(job) as (transaction, school):
            return await _opening(transaction, school)

    async def begin(self, job: Job, lineage: Sequence[LineageEntry]) -> None:
        """Take the lineage that central granted, which has forgotten nothing that was seen here."""
        async with self.requests.holding(job) as (transaction, _):
            await transaction.run(
                "UPDATE school SET lineage = CAST(:lineage AS jsonb) WHERE npsn = :npsn",
                npsn=job.npsn,
                lineage=to_json([entry.model_dump() for entry in lineage]),
            )

    async def absorb_page(self, job: Job, page: SessionPage, *, clear_doubt: bool) -> int:
        """Take in a page and its cursor; of how many records it shows that what was in doubt has arrived.

        `clear_doubt`: with the page that completes a session's first FETCH, the remaining `sent` marks go: what central
        did not show, it does not have. [trap]
        """
        async with self.requests.holding(job) as (transaction, school):
            return await self._take_in(transaction, job, school, page, clear_doubt=clear_doubt)

    async def _take_in(
        self, transaction: Transaction, job: Job, school: School, page: SessionPage, *, clear_doubt: bool
    ) -> int:
        self._checked(job, "cursor_never_goes_back", page.cursor >= school.cursor)
        shown = {(row.entity, row.record_id): row for row in page.rows}
        taken = await taking.take_as_shown(transaction, job.npsn, shown)
        held = await records.read(transaction, job.npsn, shown.keys() - taken.keys())
        theirs = {key: taking.shown_by(row, held.get(key)) for key, row in shown.items() if key not in taken}
        absorbed = await taking.absorb_all(transaction, job.npsn, theirs, held)
        changed = absorbed.changed or any(one.changed for one in taken.values())
        went = clear_doubt and page.complete and await taking.clear_doubt(transaction, job.npsn)
        await transaction.run(
            """
            UPDATE school SET cursor = :cursor, highest_seq = greatest(highest_seq, :head),
                settled = CASE WHEN :complete THEN :cursor ELSE settled END, revision = revision + :changed
            WHERE npsn = :npsn
            """,
            npsn=job.npsn, cursor=page.cursor, head=page.head_seq, complete=page.complete,
            changed=int(changed or went),
        )  # fmt: skip
        if changed and page.complete and not went:  # of more pages, or older ones, all is judged at once, later
            with contextlib.suppress(NotCanonical):  # a hand made a row unreadable: all is judged once it is mended
                before, after = taking.moved(shown, taken)
                await judging.follow(
                    transaction, job.npsn, {**held, **before}, {**absorbed.after, **after}, self._today()
                )
        return sum(taking.has_arrived(record, theirs[key][-1]) for key, record in held.items())

    async def look(self, job: Job) -> Gate:
        """The gate before OPEN: a school that is plainly blocked costs central nothing.

        It marks nothing, unless the changes are few and nothing is in doubt: then it is the gate itself, for they go
        with the OPEN. They are in doubt until central has said what became of them (`never_came`, `absorb_early`).
        """
        async with self.requests.holding(job) as (transaction, school):
            opening = await _opening(transaction, school)
            blocked = await _blocked(transaction, job.npsn, self._today())
            if blocked is not None or opening.is_recovering:
                return replace(blocked or Gate([]), opening=opening)
            after = opening.latest_session
            if not after or tried(school.marks) or not await records.fit_early(transaction, job.npsn, self.most_early):
                return Gate([], opening=opening)
            open_id = wire.new_id()
            changes = await self._let_pass(transaction, job)
            marks = trying(school.marks, open_id) if changes else school.marks
            await self.requests.gated(transaction, job, marks)
            await asking.cover(transaction, job.npsn, job.id)
            root = root_of(await standing.digests_if_taken(transaction, job.npsn)).hex()
            opening = replace(opening, school=replace(school, marks=marks))
            return Gate(changes, opening=opening, foreseen=Foreseen(open_id, after, root))

    async def never_came(self, job: Job) -> None:
        """Central has not taken what went with the OPEN before, and a session has begun since, so it never will: none
        of it is in doubt any more. [trap]
        """
        async with self.requests.holding(job) as (transaction, school):
            went = await taking.clear_doubt(transaction, job.npsn)
            await transaction.run(
                "UPDATE school SET marks = CAST(:marks AS jsonb), revision = revision + :went WHERE npsn = :npsn",
                npsn=job.npsn,
                marks=to_json(heard(school.marks)),
                went=int(went),
            )

    async def gate(
        self, job: Job, *, incarnation: str, session: int, mark: Mark | None = None, last: SessionPage | None = None
    ) -> Gate:
        """The gate after the first FETCH, whose `last` page is taken in before, unless it has been. In the transaction
        that sees a passing verdict it writes `sent` for every pending record, and the session's mark; exactly that is
        pushed. `mark`: central's, of what went with an OPEN that this site may not have heard of again.
        """
        async with self.requests.holding(job) as (transaction, school):
            arrived = 0
            if last is not None:
                arrived = await self._take_in(transaction, job, school, last, clear_doubt=True)
            blocked = await _blocked(transaction, job.npsn, self._today())
            if blocked is not None:
                return blocked
            changes = await self._let_pass(transaction, job)
            marks = reached(school.marks, mark.incarnation, mark.session) if mark else school.marks
            await self.requests.gated(transaction, job, reached(marks, incarnation, session))
            return Gate(changes, arrived=arrived)

    async def _let_pass(self, transaction: Transaction, job: Job) -> list[Change]:
        sending = await records.sendable(transaction, job.npsn)
        if sending:
            await records.mark_sent(transaction, job.npsn, sending)
        changes = [
            diff(entity, record_id, record.base.version, record.base.fields, record.data)
            for (entity, record_id), record in sending.items()
        ]
        return push_order(changes, SPECS)

    async def absorb_verdicts(
        self, job: Job, changes: Sequence[Change], verdicts: Sequence[RecordVerdict], head_seq: int
    ) -> None:
        """Take in what central made of one batch: the new base of every record, refusals, conflicts."""
        async with self.requests.holding(job) as (transaction, _):
            await self._take_verdicts(transaction, job, changes, verdicts, head_seq)

    async def absorb_early(
        self,
        job: Job,
        changes: Sequence[Change],
        granted: SessionGranted,
        completion: Completion | None,
    ) -> bool:
        """Take in what central made of the changes that went with its OPEN, and what it stated of both sides: did the
        session end with that? If the rows are not what was foreseen, it goes on.
        """
        async with self.requests.holding(job) as (transaction, school):
            if granted.result is not None:
                await transaction.run(
                    "UPDATE school SET marks = CAST(:marks AS jsonb) WHERE npsn = :npsn",
                    npsn=job.npsn,
                    marks=to_json(reached(school.marks, granted.incarnation, granted.session)),
                )
                await self._take_verdicts(transaction, job, changes, granted.result.verdicts, granted.result.head_seq)
            await self._take_in(transaction, job, school, granted.page, clear_doubt=True)
            return completion is not None and await self._complete(transaction, job, completion, if_proven=True)

    async def _take_verdicts(
        self,
        transaction: Transaction,
        job: Job,
        changes: Sequence[Change],
        verdicts: Sequence[RecordVerdict],
        head_seq: int,
    ) -> None:
        keys = [(change.entity, change.record_id) for change in changes]
        answers = dict(zip(keys, verdicts, strict=True))
        taken = await taking.take_as_sent(transaction, job.npsn, answers)
        others = {key: verdict for key, verdict in answers.items() if key not in taken}
        held = await records.read(transaction, job.npsn, others)
        gated = all(key in held and held[key].sent is not None for key in others)
        self._checked(job, "pushed_as_gated", gated)
        theirs = {
            key: [taking.as_answered(held[key], change, others[key])]
            for key, change in zip(keys, changes, strict=True)
            if key in others and (others[key].verdict != "refused" or others[key].carries)
        }
        absorbed = await taking.absorb_all(transaction, job.npsn, theirs, held)
        refused = await taking.note_refusals(transaction, job.npsn, others, held, theirs)
        await transaction.run(
            """
            UPDATE school SET highest_seq = greatest(highest_seq, :head), revision = revision + :changed
            WHERE npsn = :npsn
            """,
            npsn=job.npsn, head=head_seq, changed=int(absorbed.changed or refused),
        )  # fmt: skip

    async def standing(self, job: Job) -> Standing:
        """The replica's side of VERIFY."""
        async with self.requests.holding(job) as (transaction, school):
            if job.kind in ("sync", "pull"):
                await asking.cover(transaction, job.npsn, job.id)
            unsent, held, refused = await standing.counts(transaction, job.npsn)
            receipt = await standing.last_receipt(transaction, job.npsn) if job.kind == "recover" else None
            return Standing(
                school.cursor, await standing.digests(transaction, job.npsn), unsent, held, refused, receipt
            )

    async def complete(self, job: Job, completion: Completion) -> None:
        """Both sides were proven equal: keep central's statement with the row hashes under it, judge what the school
        has become, end the request.
        """
        async with self.requests.holding(job) as (transaction, _):
            await self._complete(transaction, job, completion)

    async def _complete(
        self, transaction: Transaction, job: Job, completion: Completion, *, if_proven: bool = False
    ) -> bool:
        """Has it ended? `if_proven`: only if the rows that are here now make the root that was stated."""
        statement, jws = completion.statement, completion.jws
        if if_proven and (await standing.root(transaction, job.npsn)).hex() != statement["root"]:
            return False
        await mending.keep_stated(transaction, job.npsn, statement["root"], jws)
        if job.kind == "pull":
            doubtful = await transaction.value(
                "SELECT 1 FROM record WHERE npsn = :npsn AND is_sent LIMIT 1", npsn=job.npsn
            )
            self._checked(job, "pull_marks_nothing_sent", doubtful is None)
        await transaction.run(
            """
            INSERT INTO statement (npsn, incarnation, session, kind, head_seq, root, body, jws)
            VALUES (:npsn, :incarnation, :session, :kind, :head_seq, :root, CAST(:body AS jsonb), :jws)
            ON CONFLICT DO NOTHING
            """,
            npsn=job.npsn,
            body=to_json(dict(statement)),
            jws=jws,
            **{name: statement[name] for name in ("incarnation", "session", "kind", "head_seq", "root")},
        )
        if job.kind == "recover":
            await recovering.drop(transaction, job.npsn)
            await asking.go_on(transaction, job.npsn)
        await transaction.run(
            f"UPDATE school SET {_COMPLETED[job.kind]} WHERE npsn = :npsn",  # noqa: S608  one of the literals
            npsn=job.npsn,
        )
        await judging.count_invalid(transaction, job.npsn, self._today())  # what came may break a rule: show it now
        await self.requests.end(transaction, job, completion.outcome, None, completion.data)
        return True

    def _checked(self, job: Job, invariant: str, holds: bool) -> None:
        self._told(invariant, holds)
        if not holds:
            log.error("an invariant is violated", extra={"npsn": job.npsn, "request": job.id, "invariant": invariant})

    async def end(self, job: Job, outcome: str, problem: Problem, data: dict[str, Any]) -> None:
        """The session was refused or failed: nothing more is written."""
        async with self.requests.holding(job) as (transaction, _):
            await self.requests.end(transaction, job, outcome, problem.code, data)


_COMPLETED = {
    "sync": "last_sync_at = now(), synced_revision = gated_revision",
    "pull": "last_pull_at = now()",
    "verify": "last_pull_at = now()",  # it brought what a pull brings
    "recover": "last_pull_at = now()",
    "restore": "restoring_since = NULL, restoring_as_of = NULL, restoring_life = NULL",
}


async def _opening(transaction: Transaction, school: School) -> Opening:
    row = await transaction.row(
        """
        SELECT k.stated, EXISTS (SELECT 1 FROM recovery r WHERE r.npsn = k.npsn) AS is_recovering,
               t.incarnation, t.session, t.head_seq, t.root
        FROM school k LEFT JOIN LATERAL (
            SELECT * FROM statement WHERE npsn = k.npsn AND incarnation = :life ORDER BY session DESC LIMIT 1
        ) AS t ON true
        WHERE k.npsn = :npsn
        """,
        npsn=school.npsn,
        life=school.lineage[-1]["incarnation"] if school.lineage else None,
    )
    assert row is not None
    stated = row.incarnation and Stated(
        incarnation=row.incarnation, session=row.session, head_seq=row.head_seq, root=row.root
    )
    return Opening(school, stated, row.stated, row.is_recovering)


async def _blocked(transaction: Transaction, npsn: str, today: date) -> Gate | None:
    invalid, conflicts = await judging.count_invalid(transaction, npsn, today)
    if not invalid and not conflicts:
        return None
    breaks_rules = await judging.breaks_rules(transaction, npsn)
    code, n = ("SYN-01", invalid) if breaks_rules else ("SYN-12", conflicts)
    findings = await judging.findings(transaction, npsn, "invalid", MOST_FINDINGS)
    params = {"n": str(n)}
    explained = CATALOGUE[code]
    problem = Problem(
        code=code,
        text_id=explained.text("id", params), text_en=explained.text("en", params),
        next_id=explained.next_step("id", params), next_en=explained.next_step("en", params),
    )  # fmt: skip
    blocking = tuple(
        Blocking(
            rule=f.rule, entity=f.entity, record_id=f.record_id, field=f.field,
            text_id=f.text("id"), text_en=f.text("en"), next_id=f.todo("id"), next_en=f.todo("en"),
        )
        for f in findings
    )  # fmt: skip
    return Gate([], problem, blocking)


__all__ = ["Completion", "Foreseen", "Gate", "Opening", "Replica", "Standing"]
