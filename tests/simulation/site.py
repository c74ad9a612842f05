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
from services.messages import Cause, LineageEntry, Problem, RecordVerdict, SessionGranted, SessionPage, Stated
from services.problems import problem
from services.replica.requests import Job, LeaseLost
from services.replica.requests import School as Known
from services.replica.restoring import ListMoved
from services.replica.sessions import Gate, Standing, _answered, _shown
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


@dataclass
class School:
    """What the site keeps of one school. `restoring`: until that is complete nothing else is done;
    `restoring_as_of`: and it has begun.
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

    def copy(self) -> School:
        """As a backup has it. Records are never changed in place."""
        shallow = copy.copy(self)
        for name in ("records", "refusals", "lineage", "marks", "statements", "overruled"):
            setattr(shallow, name, copy.copy(getattr(self, name)))
        shallow.requests = [copy.copy(request) for request in self.requests]
        return shallow

    def take_over(self, install_id: str) -> None:
        """The school is registered anew: nothing is done before it is restored, and a session under way is over."""
        self.install_id, self.marks = install_id, {}
        self.restoring, self.restoring_as_of = True, None
        self.epoch, self.holder = self.epoch + 1, None

    def in_hand(self) -> list[Key]:
        """What central does not have, or not for certain."""
        return [key for key, record in self.records.items() if record.pending or record.sent is not None]

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

    def site_gated(self, school: School, job: Job, session: int, passed: Mapping[Key, Replicated]) -> None:
        """The gate let these records pass."""

    def site_stands(self, school: School, job: Job) -> None:
        """VERIFY is about to be asked."""

    def site_wiped(self, school: School, listed: Sequence[Key]) -> None:
        """A restore is about to wipe the school; these records were listed as lost."""

    def site_refused(self, school: School, code: str) -> None:
        """A session ended before anything was sent, or failed."""

    def site_completed(self, school: School, job: Job, statement: Mapping[str, Any]) -> None:
        """A session is complete."""


Turn = Callable[[Job, str], Awaitable[None]]


class Replica:
    """All schools of the site. `blocked`: how many records break a rule (npsn, the live records)."""

    def __init__(
        self,
        specs: Mapping[str, EntitySpec],
        blocked: Callable[[str, Mapping[Key, Fields]], int],
        watcher: Watcher,
        turn: Turn,
        *,
        core: ModuleType = the_real_absorb,
        without: frozenset[Safeguard] = frozenset(),
    ) -> None:
        self.specs = specs
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

    async def opening(self, job: Job) -> tuple[Known, Stated | None]:
        """What OPEN says: the school's state, and the latest statement that this site knows."""
        return _opening(await self.holding(job, "read what OPEN says"))

    async def begin(self, job: Job, lineage: Sequence[LineageEntry]) -> None:
        """Take the lineage that central granted."""
        school = await self.holding(job, "begin")
        school.lineage = [entry.model_dump() for entry in lineage]

    async def absorb_page(self, job: Job, page: SessionPage, *, clear_doubt: bool) -> None:
        """Take in a page and its cursor."""
        school = await self.holding(job, f"absorb a page: {len(page.rows)} records, up to {page.cursor}")
        await self._take_in(school, job, page, clear_doubt=clear_doubt)

    async def _take_in(self, school: School, job: Job, page: SessionPage, *, clear_doubt: bool) -> None:
        if Safeguard.CURSOR_WITH_RECORDS in self.without:
            school.cursor = page.cursor
            school = await self.holding(job, "absorb the page's records")
        changed, refusals = False, dict(school.refusals)
        for row in page.rows:
            key = (row.entity, row.record_id)
            covering = Safeguard.COVERS_TAKEN not in self.without
            shown = _shown(row if covering else replace(row, covers=None), school.records.get(key))
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
        if school.restoring_as_of == granted.as_of:
            return school.cursor
        moved = school.restoring_as_of is None and school.revision != job.revision
        if moved and Safeguard.LIST_IS_WHOLE not in self.without:
            raise ListMoved(job.npsn)
        listed = next(request.listed for request in school.requests if request.id == job.id)
        self.watcher.site_wiped(school, listed)
        school.records.clear()
        school.refusals.clear()
        school.cursor = school.settled = school.highest_seq = 0
        school.lineage = [entry.model_dump() for entry in granted.lineage]
        school.marks = {granted.mark.incarnation: granted.mark.session} if granted.mark else {}
        school.revision += 1
        school.restoring, school.restoring_as_of = True, granted.as_of
        return 0

    async def look(self, job: Job) -> Gate:
        """The gate before OPEN."""
        school = await self.holding(job, "look at the gate")
        return self._blocked(school) or Gate([], opening=_opening(school))

    async def gate(self, job: Job, *, incarnation: str, session: int, last: SessionPage | None = None) -> Gate:
        """The gate after the first FETCH and its last page: `sent`, and the session's mark."""
        school = await self.holding(job, "pass the gate")
        if last is not None:
            await self._take_in(school, job, last, clear_doubt=True)
        if blocked := self._blocked(school):
            return blocked
        passed = {k: r for k, r in sorted(school.records.items()) if r.pending and r.conflict is None}
        if Safeguard.SENT_BEFORE_PUSH not in self.without:
            for key, record in passed.items():
                self.write(school, key, replace(record, sent=self.core.Sent(record.data)))
        if Safeguard.MARK_WITH_THE_GATE in self.without:
            self.late_marks[job.epoch] = {incarnation: session}
        else:
            school.marks[incarnation] = session
        self.watcher.site_gated(school, job, session, passed)
        changes = [diff(*key, record.base.version, record.base.fields, record.data) for key, record in passed.items()]
        return Gate(push_order(changes, self.specs))

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
        changed, refusals = False, dict(school.refusals)
        for change, verdict in zip(changes, verdicts, strict=True):
            key = (change.entity, change.record_id)
            held = school.records.get(key)
            if held is None:
                raise Broken(f"{key}: a verdict comes about a record that is no longer there")
            if verdict.verdict != "refused" or verdict.carries:
                changed |= self._absorb(school, key, _answered(held, change, verdict))
            else:
                self._clear(school, key, held)
            school.refusals.pop(key, None)
            if verdict.verdict == "refused" and key in school.records and school.records[key].pending:
                school.refusals[key] = [finding.field or "" for finding in verdict.findings]
        school.marks |= self.late_marks.pop(job.epoch, {})
        school.highest_seq = max(school.highest_seq, head_seq)
        school.revision += changed or school.refusals != refusals

    async def standing(self, job: Job) -> Standing:
        """The replica's side of VERIFY."""
        school = await self.holding(job, "take stock")
        self.watcher.site_stands(school, job)
        return Standing(school.cursor, digests(school.records), *counts(school))

    async def complete(
        self, job: Job, *, outcome: str, statement: Mapping[str, Any], jws: str, data: dict[str, Any]
    ) -> None:
        """Both sides were proven equal."""
        school = await self.holding(job, f"complete: {outcome}")
        school.statements.append(statement)
        if job.kind == "restore":
            school.restoring, school.restoring_as_of = False, None
        self._end(school, job, outcome)
        self.watcher.site_completed(school, job, statement)

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


def counts(school: School) -> tuple[int, int, int]:
    """Records that are unsent, held and refused, as a receipt counts them."""
    records: Iterable[tuple[Key, Replicated]] = school.records.items()
    open_ones = [(key, record) for key, record in records if record.pending or record.conflict is not None]
    unsent = sum(record.conflict is None for _, record in open_ones)
    return unsent, len(open_ones) - unsent, sum(record.pending and key in school.refusals for key, record in open_ones)


def _opening(school: School) -> tuple[Known, Stated | None]:
    if not school.statements:
        return _known(school), None
    last = max(school.statements, key=lambda one: one["session"])
    named = {name: last[name] for name in ("incarnation", "session", "head_seq", "root")}
    return _known(school), Stated(**named)


def _known(s: School) -> Known:
    marks, as_of = dict(s.marks), s.restoring_as_of
    return Known(s.npsn, s.install_id, s.cursor, s.settled, s.highest_seq, s.lineage, marks, s.revision, as_of)
