"""The site's store in memory: as services/replica/ does it in SQL, with the same methods and the real `absorb`.

Each step of a session first waits for its turn, then is one transaction: it looks whether the lease is still its own,
and does all or nothing. A worker that is asleep waits for its turn until it wakes up, or for ever.
"""

from __future__ import annotations

import copy
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from types import ModuleType
from typing import Any

from services.entities.schema import EntitySpec, Fields
from services.exchange import absorb as the_real_absorb
from services.exchange import canonical, digest
from services.exchange.absorb import Base, Replicated
from services.exchange.change import Change, diff, push_order
from services.exchange.marks import heard, reached, tried, trying
from services.messages import (
    Cause,
    GivenRecord,
    LineageEntry,
    Mark,
    PageRow,
    Problem,
    RecordKey,
    RecordVerdict,
    SessionGranted,
    SessionPage,
    Stated,
)
from services.problems import problem
from services.replica.recovering import NOT_GIVEN, Recovery, answered
from services.replica.requests import Job, LeaseLost
from services.replica.requests import School as Known
from services.replica.restoring import ListMoved
from services.replica.sessions import Completion, Foreseen, Gate, Opening, Standing
from services.replica.taking import as_answered, has_arrived, shown_by
from tests.simulation.entities import Key
from tests.simulation.safeguards import Broken, Safeguard

ASKED_AT = datetime(2025, 10, 6, tzinfo=UTC)


@dataclass
class Request:
    """A sync, a pull or a restore that was asked for; of a restore, what was listed as lost, and at which revision."""

    id: str
    kind: str
    revision: int | None = None
    listed: tuple[Key, ...] = ()
    attempt: int = 0
    replaced: int = 0
    outcome: str | None = None
    reason: str | None = None
    recovers_first: bool = False


@dataclass
class Aside:
    """A base that central may have forgotten, as it was."""

    base: Base
    rolled_back: bool = False
    given: bool = False


@dataclass
class Recovering:
    """A recover that is not complete, in one life of central's."""

    life: str
    common: int
    rewound: bool = False


@dataclass
class School:
    """What the site keeps of one school. `restoring`: until that is complete nothing else is done;
    `restoring_as_of`: and it has begun. `stated`: the latest statement, and the row hashes under it.
    """

    npsn: str
    install_id: str
    records: dict[Key, Replicated] = field(default_factory=dict)
    refusals: dict[Key, list[str]] = field(default_factory=dict)
    cursor: int = 0
    settled: int = 0
    highest_seq: int = 0
    lineage: list[dict[str, Any]] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    revision: int = 0
    epoch: int = 0
    holder: str | None = None
    requests: list[Request] = field(default_factory=list)
    statements: list[Mapping[str, Any]] = field(default_factory=list)
    overruled: list[tuple[Key, str, Any, Any]] = field(default_factory=list)
    restoring: bool = False
    restoring_as_of: int | None = None
    restoring_life: str | None = None
    registration_no: int = 1
    recovery: Recovering | None = None
    aside: dict[Key, Aside] = field(default_factory=dict)
    stated: Mapping[str, Any] | None = None
    hashes: dict[str, bytes] = field(default_factory=dict)

    def copy(self) -> School:
        """As a backup has it. Records are never changed in place."""
        shallow = copy.copy(self)
        for name in ("records", "refusals", "lineage", "marks", "statements", "overruled"):
            setattr(shallow, name, copy.copy(getattr(self, name)))
        shallow.requests = [copy.copy(request) for request in self.requests]
        shallow.recovery = copy.copy(self.recovery)
        shallow.aside = {key: copy.copy(aside) for key, aside in self.aside.items()}
        return shallow

    def take_over(self, install_id: str) -> None:
        """The school is registered anew: nothing is done before it is restored, and a session under way is over."""
        self.install_id, self.marks = install_id, {}
        self.registration_no += 1
        self.restoring, self.restoring_as_of = True, None
        self.epoch, self.holder = self.epoch + 1, None

    def unanswered(self) -> set[Key]:
        """The records of which it is not known what central holds."""
        return {key for key, aside in self.aside.items() if not aside.given}

    def in_hand(self) -> list[Key]:
        """What central does not have, or not for certain."""
        return [key for key, record in self.records.items() if record.pending or record.sent is not None] + [
            key for key, aside in self.aside.items() if self._is_edited_back(key, aside)
        ]

    def _is_edited_back(self, key: Key, aside: Aside) -> bool:
        held = self.records.get(key)
        return aside.rolled_back and not aside.given and aside.base.fields != (held.data if held else None)

    @property
    def open_requests(self) -> list[Request]:
        """Those that have not ended."""
        return [request for request in self.requests if request.outcome is None]

    def live(self) -> dict[Key, Fields]:
        """What the operators see."""
        return {key: record.data for key, record in self.records.items() if record.data is not None}

    def conflicts(self) -> list[Key]:
        """The records in conflict."""
        return [key for key, record in self.records.items() if record.conflict is not None]


class Watcher:
    """Who is told of what the site does, after it is durable: the reference model."""

    def site_absorbed(self, school: School, key: Key, before: Replicated, theirs: Base, absorbed: Any) -> None:
        """A record came in."""

    def site_cleared(self, school: School, key: Key, record: Replicated) -> None:
        """What was sent of a record is known not to be at central."""

    def site_gated(self, school: School, job: Job, session: tuple[str, int], passed: Mapping[Key, Replicated]) -> None:
        """The gate let these records pass, in this session of this life of central's."""

    def site_gated_early(self, school: School, job: Job, id: str, passed: Mapping[Key, Replicated]) -> None:
        """The gate let these records pass, to go with the OPEN of this id."""

    def site_stands(self, school: School, job: Job) -> None:
        """VERIFY is about to be asked."""

    def site_wiped(self, school: School, listed: Sequence[Key]) -> None:
        """A restore is about to wipe the school; these records were listed as lost."""

    def site_parts(self, school: School, common: int) -> None:
        """A recover begins: this is what both histories share."""

    def site_set_aside(self, school: School, key: Key, base: Base) -> None:
        """Central may have forgotten this base."""

    def site_lets_go(self, school: School, key: Key, base: Base) -> None:
        """This base is of a life between: another one is set aside already, what was the school's is pending again."""

    def site_gives(self, school: School, session: tuple[str, int]) -> None:
        """A recover is about to give something back."""

    def site_not_taken(self, school: School, key: Key, aside: Base, before: Replicated, seq: int) -> None:
        """Central does not take this back, its own is of `seq`: what was the school's is pending again."""

    def site_refused(self, school: School, code: str) -> None:
        """A session ended before anything was sent, or failed."""

    def site_completed(self, school: School, job: Job, statement: Mapping[str, Any]) -> None:
        """A session is complete."""


Turn = Callable[[Job, str], Awaitable[None]]


class Replica:
    """All schools of the site. `blocked`: how many records break a rule (npsn, the live records). `open_id`: of the
    next OPEN that something goes with, if it is to have a certain one.
    """

    def __init__(
        self,
        specs: Mapping[str, EntitySpec],
        blocked: Callable[[str, Mapping[Key, Fields]], int],
        watcher: Watcher,
        turn: Turn,
        *,
        core: ModuleType = the_real_absorb,
        without: frozenset[Safeguard] = frozenset(),
        most_early: int = 100,
    ) -> None:
        self.specs = specs
        self.most_early = most_early
        self.opens = 0
        self.open_id: str | None = None
        self.blocked = blocked
        self.watcher = watcher
        self.turn = turn
        self.core = core
        self.without = without
        self.schools: dict[str, School] = {}
        self.requests = self
        self.late_marks: dict[int, dict[str, int]] = {}
        self.nothing: Replicated = core.Replicated(core.Base(0, 0, None), None)

    # ── requests and leases ──────────────────────────────────────────────────────────────────────────────────────────

    def take(self, npsn: str, request: Request, holder: str) -> Job:
        """A worker takes a request, and with it the school's lease."""
        school = self.schools[npsn]
        school.epoch += 1
        school.holder = holder
        request.attempt += 1
        request.recovers_first = False
        cause = Cause(source="/uji", id=request.id)
        return Job(
            npsn, request.id, request.kind, school.epoch, request.attempt, cause, "kepala", ASKED_AT, None,
            revision=request.revision, replaced=request.replaced,
        )  # fmt: skip

    async def holding(self, job: Job, what: str) -> School:
        """Wait for the turn; from here to the next await is one transaction. Raises LeaseLost."""
        await self.turn(job, what)
        school = self.schools[job.npsn]
        if school.epoch != job.epoch and Safeguard.LEASE_CHECKED not in self.without:
            raise LeaseLost(job.npsn)
        return school

    async def wait(self, job: Job, *, replaced: bool = False) -> None:
        """The request is put off, and the lease is free. `replaced`: another session took this one's place."""
        school = await self.holding(job, "put off")
        for request in school.open_requests:
            request.replaced += replaced and request.id == job.id
        self._free(school, job)

    async def end(self, job: Job, outcome: str, why: Problem, data: dict[str, Any]) -> None:
        """The session was refused or failed."""
        school = await self.holding(job, f"end: {outcome} {why.code}")
        self._end(school, job, outcome, why.code)
        for request in school.open_requests:
            if job.kind == "recover" and outcome == "refused" and request.recovers_first:
                request.outcome, request.reason = outcome, why.code
        self.watcher.site_refused(school, why.code)

    def _end(self, school: School, job: Job, outcome: str, reason: str | None = None) -> None:
        request = next((r for r in school.requests if r.id == job.id and r.outcome is None), None)
        if request is not None:
            request.outcome, request.reason = outcome, reason
        self._free(school, job)

    def _free(self, school: School, job: Job) -> None:
        if school.epoch == job.epoch:
            school.holder = None

    # ── a session's steps ────────────────────────────────────────────────────────────────────────────────────────────

    async def recover_first(self, job: Job) -> None:
        """The request is put off behind a recover."""
        school = await self.holding(job, "put off, to recover first")
        if not any(request.kind == "recover" for request in school.open_requests):
            school.requests.insert(0, Request(f"recover for {job.id}, attempt {job.attempt}", "recover"))
        for request in school.open_requests:
            request.recovers_first = request.recovers_first or request.id == job.id
        self._free(school, job)

    async def opening(self, job: Job) -> Opening:
        """What OPEN says: the school's state, and the latest statement of central's present life that it knows."""
        return self._opening(await self.holding(job, "read what OPEN says"))

    def _opening(self, school: School) -> Opening:
        life = school.lineage[-1]["incarnation"] if school.lineage else None
        of_life = [one for one in school.statements if one["incarnation"] == life]
        last = max(of_life, key=lambda one: one["session"], default=None)
        named = last and {name: last[name] for name in ("incarnation", "session", "head_seq", "root")}
        proof = school.stated["jws"] if school.stated else None
        return Opening(_known(school), Stated(**named) if named else None, proof, school.recovery is not None)

    async def begin(self, job: Job, lineage: Sequence[LineageEntry]) -> None:
        """Take the lineage that central granted."""
        school = await self.holding(job, "begin")
        school.lineage = [entry.model_dump() for entry in lineage]

    async def never_came(self, job: Job) -> None:
        """What went with the OPEN before is in doubt no more."""
        school = await self.holding(job, "what went with the OPEN never came")
        refusals = dict(school.refusals)
        school.marks = heard(school.marks)
        for key, record in list(school.records.items()):
            if record.sent is not None:
                self._clear(school, key, record)
        school.revision += school.refusals != refusals

    async def absorb_page(self, job: Job, page: SessionPage, *, clear_doubt: bool) -> int:
        """Take in a page and its cursor; of how many records it shows that what was in doubt has arrived."""
        school = await self.holding(job, f"absorb a page: {len(page.rows)} records, up to {page.cursor}")
        return await self._take_in(school, job, page, clear_doubt=clear_doubt)

    async def _take_in(self, school: School, job: Job, page: SessionPage, *, clear_doubt: bool) -> int:
        if Safeguard.CURSOR_WITH_RECORDS in self.without:
            school.cursor = page.cursor
            school = await self.holding(job, "absorb the page's records")
        changed, refusals, arrived = False, dict(school.refusals), 0
        for row in page.rows:
            key = (row.entity, row.record_id)
            covering = Safeguard.COVERS_TAKEN not in self.without
            held = school.records.get(key)
            shown = shown_by(row if covering else replace(row, covers=None), held)
            arrived += held is not None and has_arrived(held, shown[-1])
            for theirs in shown:
                changed |= self._absorb(school, key, theirs)
        if clear_doubt and self._clears(page):
            for key, record in list(school.records.items()):
                if record.sent is not None:
                    self._clear(school, key, record)
        school.cursor = page.cursor
        school.highest_seq = max(school.highest_seq, page.head_seq)
        school.settled = page.cursor if page.complete else school.settled
        school.revision += changed or school.refusals != refusals
        return arrived

    def _clears(self, page: SessionPage) -> bool:
        if Safeguard.DOUBT_STAYS_TILL_COMPLETE in self.without:
            return True
        return page.complete and Safeguard.CLEAR_DOUBT not in self.without

    async def opening_cursor(self, job: Job) -> int:
        """Where a restore's fetch goes on."""
        school = await self.holding(job, "look how far the restore is")
        return 0 if school.restoring_as_of is None else school.cursor

    async def begin_restore(self, job: Job, granted: SessionGranted) -> int:
        """Wipe the school, or go on. Raises ListMoved."""
        school = await self.holding(job, f"restore as of {granted.as_of}")
        if (school.restoring_as_of, school.restoring_life) == (granted.as_of, granted.incarnation):
            return school.cursor
        moved = school.restoring_as_of is None and school.revision != job.revision
        if moved and Safeguard.LIST_IS_WHOLE not in self.without:
            raise ListMoved(job.npsn)
        listed = next(request.listed for request in school.requests if request.id == job.id)
        self.watcher.site_wiped(school, listed)
        school.records.clear()
        school.refusals.clear()
        school.recovery, school.aside = None, {}
        school.cursor = school.settled = school.highest_seq = 0
        school.lineage = [entry.model_dump() for entry in granted.lineage]
        school.marks = {granted.mark.incarnation: granted.mark.session} if granted.mark else {}
        school.revision += 1
        school.restoring, school.restoring_as_of = True, granted.as_of
        school.restoring_life = granted.incarnation
        return 0

    async def look(self, job: Job) -> Gate:
        """The gate before OPEN; of few changes the gate itself."""
        school = await self.holding(job, "look at the gate")
        opening, blocked = self._opening(school), self._blocked(school)
        if blocked or opening.is_recovering or not self._goes_early(school, opening):
            return replace(blocked or Gate([]), opening=opening)
        self.opens += 1
        id = self.open_id or f"early {self.opens}"
        passed = self._pass(school)
        if passed:
            school.marks = trying(school.marks, id)
        self.watcher.site_gated_early(school, job, id, passed)
        root = digest.root(digests(self._if_taken(school.records))).hex()
        opened = replace(opening, school=replace(opening.school, marks=dict(school.marks)))
        return Gate(self._changes(passed), opening=opened, foreseen=Foreseen(id, opening.latest_session, root))

    def _goes_early(self, school: School, opening: Opening) -> bool:
        in_doubt = any(record.sent is not None for record in school.records.values())
        unheard = tried(school.marks) is not None and Safeguard.TRIED_UNTIL_HEARD not in self.without
        pending = sum(record.pending for record in school.records.values())
        return bool(opening.latest_session) and not in_doubt and not unheard and pending <= self.most_early

    def _if_taken(self, records: Mapping[Key, Replicated]) -> dict[Key, Replicated]:
        """Every pending record as if central had taken it as it is."""
        return {
            key: replace(record, base=self.core.Base(record.base.version + 1, 0, record.data))
            if record.pending
            else record
            for key, record in records.items()
            if record.base.version or record.data is not None
        }

    async def gate(
        self, job: Job, *, incarnation: str, session: int, mark: Mark | None = None, last: SessionPage | None = None
    ) -> Gate:
        """The gate after the first FETCH and its last page: `sent`, and the session's mark."""
        school = await self.holding(job, "pass the gate")
        arrived = 0
        if last is not None:
            arrived = await self._take_in(school, job, last, clear_doubt=True)
        if blocked := self._blocked(school):
            return blocked
        passed = self._pass(school)
        school.marks = reached(school.marks, mark.incarnation, mark.session) if mark else heard(school.marks)
        if Safeguard.MARK_WITH_THE_GATE in self.without:
            self.late_marks[job.epoch] = {incarnation: session}
        else:
            school.marks = reached(school.marks, incarnation, session)
        self.watcher.site_gated(school, job, (incarnation, session), passed)
        return Gate(self._changes(passed), arrived=arrived)

    def _pass(self, school: School) -> dict[Key, Replicated]:
        passed = {k: r for k, r in sorted(school.records.items()) if r.pending and r.conflict is None}
        if Safeguard.SENT_BEFORE_PUSH not in self.without:
            for key, record in passed.items():
                self.write(school, key, replace(record, sent=self.core.Sent(record.data)))
        return passed

    def _changes(self, passed: Mapping[Key, Replicated]) -> list[Change]:
        changes = [diff(*key, record.base.version, record.base.fields, record.data) for key, record in passed.items()]
        return push_order(changes, self.specs)

    def _blocked(self, school: School) -> Gate | None:
        invalid, conflicts = self.blocked(school.npsn, school.live()), len(school.conflicts())
        if not invalid and not conflicts:
            return None
        return Gate([], problem("SYN-01" if invalid else "SYN-12", n=str(invalid or conflicts)))

    async def absorb_verdicts(
        self, job: Job, changes: Sequence[Change], verdicts: Sequence[RecordVerdict], head_seq: int
    ) -> None:
        """Take in what central made of one batch."""
        school = await self.holding(job, f"absorb {len(verdicts)} verdicts")
        self._take_verdicts(school, changes, verdicts, head_seq)
        school.marks |= self.late_marks.pop(job.epoch, {})

    async def absorb_early(
        self, job: Job, changes: Sequence[Change], granted: SessionGranted, completion: Completion | None
    ) -> bool:
        """Take in what central made of what went with its OPEN; did the session end with that?"""
        school = await self.holding(job, f"absorb what came of {len(changes)} early changes")
        if granted.result is not None:
            school.marks = reached(school.marks, granted.incarnation, granted.session)
            self._take_verdicts(school, changes, granted.result.verdicts, granted.result.head_seq)
        await self._take_in(school, job, granted.page, clear_doubt=True)
        if completion is None or digest.root(digests(school.records)).hex() != completion.statement["root"]:
            return False
        self.watcher.site_stands(school, job)
        self._complete(school, job, completion)
        return True

    def _take_verdicts(
        self, school: School, changes: Sequence[Change], verdicts: Sequence[RecordVerdict], head_seq: int
    ) -> None:
        changed, refusals = False, dict(school.refusals)
        for change, verdict in zip(changes, verdicts, strict=True):
            key = (change.entity, change.record_id)
            held = school.records.get(key)
            if held is None:
                raise Broken(f"{key}: a verdict comes about a record that is no longer there")
            if verdict.verdict != "refused" or verdict.carries:
                changed |= self._absorb(school, key, as_answered(held, change, verdict))
            else:
                self._clear(school, key, held)
            school.refusals.pop(key, None)
            if verdict.verdict == "refused" and key in school.records and school.records[key].pending:
                school.refusals[key] = [finding.field or "" for finding in verdict.findings]
        school.highest_seq = max(school.highest_seq, head_seq)
        school.revision += changed or school.refusals != refusals

    async def standing(self, job: Job) -> Standing:
        """The replica's side of VERIFY."""
        school = await self.holding(job, "take stock")
        self.watcher.site_stands(school, job)
        receipt = next((one["jws"] for one in reversed(school.statements) if one["kind"] == "sync"), None)
        receipt = receipt if job.kind == "recover" else None
        return Standing(school.cursor, digests(school.records), *counts(school), receipt)

    async def complete(self, job: Job, completion: Completion) -> None:
        """Both sides were proven equal."""
        school = await self.holding(job, f"complete: {completion.outcome}")
        self._complete(school, job, completion)

    def _complete(self, school: School, job: Job, completion: Completion) -> None:
        statement, jws = completion.statement, completion.jws
        school.stated, school.hashes = {**statement, "jws": jws}, hashes(school.records)
        school.statements.append(school.stated)
        if job.kind == "restore":
            school.restoring, school.restoring_as_of = False, None
        if job.kind == "recover":
            school.recovery, school.aside = None, {}
        self._end(school, job, completion.outcome)
        self.watcher.site_completed(school, job, statement)

    # ── a recover ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def begin_recover(self, job: Job, granted: SessionGranted) -> Recovery:
        """Set aside what central may have forgotten, or go on."""
        school = await self.holding(job, f"recover, back to {granted.common}")
        under_way = school.recovery
        if under_way is not None and under_way.life == granted.incarnation:
            return Recovery(under_way.common, under_way.rewound, school.cursor)
        common = granted.common or 0
        school.recovery = Recovering(granted.incarnation, common)
        self.watcher.site_parts(school, common)
        parted = {k: r.base for k, r in school.records.items() if r.base.version > 0 and r.base.seq > common}
        if Safeguard.SET_ASIDE_AT_ONCE in self.without:
            parted = dict(list(parted.items())[:1])
        for key, base in parted.items():
            if key not in school.aside or Safeguard.KEPT_FROM_EARLIER in self.without:
                school.aside[key] = Aside(base)
                self.watcher.site_set_aside(school, key, base)
            elif base != school.aside[key].base:
                self.watcher.site_lets_go(school, key, base)
        for key, aside in school.aside.items():
            aside.given, aside.rolled_back = False, key not in parted
        return Recovery(common, False, school.cursor)

    async def to_roll_back(self, job: Job, number: int) -> list[RecordKey]:
        """What is still of the history that central has forgotten."""
        school = await self.holding(job, "look what is to be rolled back")
        return [RecordKey(*key) for key, aside in sorted(school.aside.items()) if not aside.rolled_back][:number]

    async def roll_back(self, job: Job, rows: Sequence[PageRow], absent: Sequence[RecordKey]) -> None:
        """The bases are what both histories share."""
        school = await self.holding(job, f"roll back {len(rows) + len(absent)} records")
        shared = {(row.entity, row.record_id): _base(row.version, row.seq, row.text) for row in rows}
        shared |= {(key.entity, key.record_id): Base(0, 0, None) for key in absent}
        changed = False
        for key, base in shared.items():
            school.aside[key].rolled_back = True
            if key not in school.records:
                continue
            held = replace(school.records[key], base=self._of(base))
            if key[0] in NOT_GIVEN:
                changed |= held.data != base.fields
                held = replace(held, data=base.fields, sent=None, conflict=None)
            school.records[key] = held
        school.revision += changed

    async def rewound(self, job: Job, granted: SessionGranted, common: int) -> int:
        """Central's lineage, and the cursor."""
        school = await self.holding(job, f"rewind to {common}")
        assert school.recovery is not None
        school.recovery.rewound = True
        school.lineage = [entry.model_dump() for entry in granted.lineage]
        if Safeguard.REWINDS_THE_CURSOR not in self.without:
            school.cursor = min(school.settled, common)
        school.settled = min(school.settled, common)
        school.highest_seq = common
        return school.cursor

    async def to_give(self, job: Job, number: int, *, mark: tuple[str, int] | None = None) -> list[GivenRecord]:
        """What central has not answered about."""
        school = await self.holding(job, "look what is to be given back")
        left = [(a.base.seq, k, a.base) for k, a in school.aside.items() if not a.given and k[0] not in NOT_GIVEN]
        if left and mark:
            school.marks[mark[0]] = mark[1]
            self.watcher.site_gives(school, mark)
        return [GivenRecord(*key, base.version, _text(base)) for _, key, base in sorted(left, key=_by_seq)[:number]]

    async def absorb_answers(
        self, job: Job, given: Sequence[GivenRecord], verdicts: Sequence[RecordVerdict], head_seq: int
    ) -> None:
        """Take in what central made of them."""
        school = await self.holding(job, f"absorb {len(verdicts)} answers")
        refusals = dict(school.refusals)
        changed = False
        for one, verdict in zip(given, verdicts, strict=True):
            key = (one.entity, one.record_id)
            before = school.records.get(key, self.nothing)
            absorbed = self._answered(before, one, verdict)
            self.write(school, key, absorbed.record)
            school.overruled += [(key, what.field, what.mine, what.theirs) for what in absorbed.overruled]
            self.watcher.site_absorbed(school, key, before, absorbed.record.base, absorbed)
            school.aside[key].given = True
            if verdict.carries:
                self.watcher.site_not_taken(school, key, school.aside[key].base, before, verdict.seq)
            changed |= absorbed.changed_data
        school.highest_seq = max(school.highest_seq, head_seq)
        school.revision += changed or school.refusals != refusals

    def _answered(self, before: Replicated, given: GivenRecord, verdict: RecordVerdict) -> Any:
        if Safeguard.CONFLICT_WHOEVER_OWNS in self.without and verdict.carries:
            theirs = self._of(_base(verdict.version, verdict.seq, verdict.text))
            return self.core.absorb(before, theirs, self.specs.get(given.entity))
        return answered(before, given, verdict, self.specs.get(given.entity))

    def _of(self, base: Base) -> Base:
        return self.core.Base(base.version, base.seq, base.fields)  # type: ignore[no-any-return]

    # ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def write(self, school: School, key: Key, record: Replicated) -> None:
        """Store a record; one of which nothing is left loses its row."""
        if not record.pending:
            school.refusals.pop(key, None)
        if record.gone:
            school.records.pop(key, None)
        else:
            school.records[key] = record

    def _clear(self, school: School, key: Key, record: Replicated) -> None:
        self.write(school, key, self.core.clear_sent(record))
        self.watcher.site_cleared(school, key, record)

    def _absorb(self, school: School, key: Key, theirs: Base) -> bool:
        before = school.records.get(key, self.nothing)
        absorbed = self.core.absorb(before, theirs, self.specs.get(key[0]))
        self.write(school, key, absorbed.record)
        school.overruled += [(key, one.field, one.mine, one.theirs) for one in absorbed.overruled]
        self.watcher.site_absorbed(school, key, before, theirs, absorbed)
        return bool(absorbed.changed_data)


def digests(records: Mapping[Key, Replicated]) -> dict[str, tuple[int, bytes]]:
    """Of each entity: its number of rows of base, and the digest over their hashes."""
    hashes: dict[str, list[bytes]] = {}
    for key, record in sorted(records.items()):
        if record.base.version > 0:
            text = None if record.base.fields is None else canonical.encode(record.base.fields)
            hashes.setdefault(key[0], []).append(digest.row_hash(*key, record.base.version, text))
    return {name: (len(found), digest.entity_digest(found)) for name, found in hashes.items()}


def hashes(records: Mapping[Key, Replicated]) -> dict[str, bytes]:
    """The row hashes of every entity, as a statement is proven by them."""
    found: dict[str, bytes] = {}
    for key, record in sorted(records.items()):
        if record.base.version > 0:
            hashed = digest.row_hash(*key, record.base.version, _text(record.base))
            found[key[0]] = found.get(key[0], b"") + hashed
    return found


def _base(version: int, seq: int, text: str | None) -> Base:
    return Base(version, seq, None if text is None else canonical.decode(text))


def _text(base: Base) -> str | None:
    return None if base.fields is None else canonical.encode(base.fields)


def _by_seq(one: tuple[int, Key, Base]) -> tuple[int, Key]:
    return one[:2]


def counts(school: School) -> tuple[int, int, int]:
    """Records that are unsent, held and refused, as a receipt counts them."""
    records: Iterable[tuple[Key, Replicated]] = school.records.items()
    open_ones = [(key, record) for key, record in records if record.pending or record.conflict is not None]
    unsent = sum(record.conflict is None for _, record in open_ones)
    return unsent, len(open_ones) - unsent, sum(record.pending and key in school.refusals for key, record in open_ones)


def _known(s: School) -> Known:
    marks, as_of = dict(s.marks), s.restoring_as_of
    return Known(s.npsn, s.install_id, s.cursor, s.settled, s.highest_seq, s.lineage, marks, s.revision, as_of)
