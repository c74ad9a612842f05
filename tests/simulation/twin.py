"""The real store of a site and the real central, each on its PostgreSQL, and beside each its image in memory.

The real session code runs over both at once: every step is taken by the database and by the image, and they must say
the same and then hold the same. So what the simulation finds of the images holds for the SQL.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from services import wire
from services.central import registry, schools
from services.central.administration import add_school
from services.central.pushing import as_problem
from services.database import Database, from_json
from services.entities import SPECS, Fields, natural_key
from services.errors import CentralAway
from services.exchange.digest import root as root_of
from services.intake import Accounts
from services.link.session import Failed, Refused, Session, Stale
from services.messages import (
    DecidedConflict,
    FieldsChange,
    Message,
    OfficerChange,
    OfficerChangeAccepted,
    Problem,
    SchoolRegister,
    SchoolRegistered,
    SessionEqual,
    SessionRefusal,
    SessionResult,
)
from services.puller.session import pull
from services.replica import changes, records, registration, sessions
from services.replica import restoring as real_restoring
from services.replica.asking import Wanted
from services.replica.choosing import choose
from services.replica.deciding import Decision, decide, referred, touched
from services.replica.requests import Job, Requests
from services.rules import Context, Severity, record_findings, school_findings
from services.syncer.session import sync
from tests.builders import NPSN, TODAY, a_school
from tests.central.desk import Desk, expect
from tests.simulation import central as at_central
from tests.simulation import site as at_site
from tests.simulation.entities import Key
from tests.simulation.workers import restore_over

SITE = "situs"


class Crash(Exception):
    """The site's process dies here."""


@dataclass
class Plan:
    """What happens at each step of a session, in order; afterwards nothing. `hand`: who edits in between."""

    steps: Sequence[str] = ()
    hand: Callable[[], Awaitable[None]] | None = None
    taken: int = 0

    def next(self) -> str:
        """What happens at this step."""
        self.taken += 1
        return self.steps[self.taken - 1] if self.taken <= len(self.steps) else "nothing"


@dataclass
class Twin:
    """Both sides, twice. `said`: the requests that came to central, to come again; the last ones only."""

    database: Database
    desk: Desk
    replica: sessions.Replica
    central: at_central.Central
    site: at_site.Replica
    requests: int = 0
    said: list[tuple[str, str, str, Message]] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def of(cls, site: Database, registry_: Database) -> Twin:
        """A small school with a baseline, registered, nothing fetched yet. Two records go in a batch and in a page."""
        life = await schools.ensure_incarnation(registry_)
        desk = Desk(registry_)
        desk.rewire(page_records=2, batch_records=2)
        accounts = Accounts(registry_)
        for user, role in (("situs-sync", "site-sync"), ("situs-pull", "site-pull"), ("dinas", "officer")):
            await accounts.grant(user, "*", role)
        baseline = [((name, one), fields) for name, found in a_school().items() for one, fields in found.items()]
        lines = [json.dumps({"entity": k[0], "record_id": k[1], "fields": fields}) for k, fields in baseline]
        desk.code = await add_school(registry_, NPSN, lines)
        twin = cls(
            site,
            desk,
            sessions.Replica(Requests(site, lease_seconds=0), lambda: TODAY),
            at_central.Central(SPECS, _invalid_at_central, at_central.Listener(), page_records=2, batch_records=2),
            at_site.Replica(SPECS, _broken_records, at_site.Watcher(), _no_wait),
        )
        twin.central.life = life
        install_id, number = await twin._register()
        await registration.register(site, NPSN, nama="SD", install_id=install_id, registration_no=number)
        twin.central.add(NPSN, install_id, baseline)
        twin.site.schools[NPSN] = at_site.School(NPSN, install_id)
        await twin.compare()
        return twin

    @property
    def here(self) -> at_site.School:
        """The site's image."""
        return self.site.schools[NPSN]

    @property
    def there(self) -> at_central.School:
        """Central's image."""
        return self.central.schools[NPSN]

    # ── people ───────────────────────────────────────────────────────────────────────────────────────────────────────

    async def operator(self, *given: FieldsChange) -> None:
        """An operator's event; parked while the school is restored."""
        if self.here.restoring:
            return
        held = {key: self.here.records[key] for key in touched(given) if key in self.here.records}
        known = {key for key in referred(given) if (one := self.here.records.get(key)) and one.data is not None}
        async with self.database.transaction() as transaction:
            assert await changes.lock(transaction, NPSN)
            taken = await changes.take_in(transaction, NPSN, given, TODAY, "operator")
        self._keep(decide(given, held, known), [stored.index for stored in taken.stored])
        await self.compare()

    async def decides(self, choice: str, nth: int) -> None:
        """A person decides the nth conflict."""
        marks = sorted((k, f) for k in self.here.conflicts() for f in _fields(self.here.records[k]))
        if self.here.restoring or not marks:
            return
        key, name = marks[nth % len(marks)]
        given = [DecidedConflict(entity=key[0], record_id=key[1], field=name, choice=cast(Any, choice))]
        async with self.database.transaction() as transaction:
            assert await changes.lock(transaction, NPSN)
            taken = await changes.take_decisions(transaction, NPSN, given, TODAY, "operator")
        self._keep(choose(given, {key: self.here.records[key]}), [stored.index for stored in taken.stored])
        await self.compare()

    def _keep(self, decision: Decision, stored: list[int]) -> None:
        assert decision.stored == stored
        for key, record in decision.records.items():
            self.site.write(self.here, key, record)
        self.here.revision += bool(decision.records)

    async def officer(self, key: Key, op: str, fields: Fields) -> None:
        """An officer's event about one record."""
        now = self.there.now(key)
        version = now.version if now else 0
        change = OfficerChange(entity=key[0], record_id=key[1], op=cast(Any, op), version=version, fields=fields)
        answer = (await self.desk.officer(change)).message
        if isinstance(answer, OfficerChangeAccepted):
            async with self.desk.database.transaction() as transaction:
                stored = (await registry.read(transaction, NPSN, [key]))[key]
            self.central.write(self.there, key, stored.fields, session=None)
        await self.compare()

    async def registers_again(self) -> None:
        """The school is registered anew, over what is here."""
        install_id, number = await self._register()
        wanted = self._wanted("restore", revision=self.here.revision)
        await registration.register_again(
            self.database, NPSN, install_id=install_id, registration_no=number, restore=wanted
        )
        self.central.register(NPSN, install_id)
        self.here.take_over(install_id)
        await self.compare()

    async def _register(self) -> tuple[str, int]:
        answer = expect(
            await self.desk.ask("situs-sync", "register", SchoolRegister(code=self.desk.code)), SchoolRegistered
        )
        return answer.install_id, answer.registration_no

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def session(self, kind: str, plan: Plan) -> str:
        """A session over both, with all that the plan says; how it ended."""
        requests = self.replica.requests
        await requests.ask(self._wanted(kind, revision=self.here.revision if kind == "restore" else None))
        job = await requests.take(kind, "worker")
        if job is None:
            assert self.here.restoring
            return "must wait for the restore"
        request = at_site.Request(job.id, kind, revision=job.revision)
        self.here.requests.append(request)
        image = self.site.take(NPSN, request, "worker")
        assert image.epoch == job.epoch
        self.plan = plan
        session = Session(
            job, cast(Any, _Central(self, kind)), cast(Any, _Replica(self, image)), report=_nothing, count=_uncounted
        )
        return await self._conclude(session, kind, image)

    async def _conclude(self, session: Session, kind: str, image: Job) -> str:
        replica = session.replica
        try:
            run = {"sync": sync, "pull": pull, "restore": restore_over(_Restoring)}[kind]
            await run(session)
        except Crash:
            return "crashed"
        except Refused as refused:
            self.plan = Plan()
            await replica.end(session.job, "refused", refused.problem, {})
            return f"refused {refused.problem.code}"
        except (Stale, CentralAway) as error:
            await self.replica.requests.wait(session.job, seconds=0)
            await self.site.wait(image)
            return type(error).__name__
        except Failed as failed:
            raise AssertionError(f"{failed.problem.code} {failed.entities}") from failed
        return "completed"

    def _wanted(self, kind: str, *, revision: int | None) -> Wanted:
        self.requests += 1
        return Wanted(NPSN, kind, "/uji", f"{kind}-{self.requests}", "kepala", revision=revision)

    async def ask(self, kind: str, verb: str, message: Message, id: str) -> Message:
        """A request to both centrals; the real one's answer."""
        sender = "sync" if kind == "sync" else "pull"
        answer = await self.desk.ask(f"{SITE}-{sender}", verb, message, id=id)
        image = self.central.receive(sender, NPSN, id, message)
        assert _alike(answer) == _alike(image), verb
        await self.compare()
        return answer

    async def comes_again(self, nth: int) -> None:
        """A request that came to central not long ago comes once more."""
        if self.said:
            kind, verb, id, message = self.said[nth % len(self.said)]
            await self.ask(kind, verb, message, id)

    # ── what both hold ───────────────────────────────────────────────────────────────────────────────────────────────

    async def compare(self) -> None:
        """Are the databases what the images are?"""
        await self._compare_site()
        await self._compare_central()

    async def _compare_site(self) -> None:
        async with self.database.transaction() as transaction:
            rows = await transaction.rows(
                "SELECT entity, record_id, pending, refusal IS NOT NULL AS refused FROM record WHERE npsn = :npsn",
                npsn=NPSN,
            )
            held = await records.read(transaction, NPSN, [(row.entity, row.record_id) for row in rows])
            school = await transaction.row("SELECT * FROM school WHERE npsn = :npsn", npsn=NPSN)
            overruled = await transaction.value("SELECT count(*) FROM overruled WHERE how = 'overruled'")
            root = await sessions.root(transaction, NPSN)
        here = self.here
        assert held == here.records
        assert {(r.entity, r.record_id) for r in rows if r.pending} == {k for k, r in here.records.items() if r.pending}
        assert {(r.entity, r.record_id) for r in rows if r.refused} == set(here.refusals)
        assert root == root_of(at_site.digests(here.records))
        assert overruled == len(here.overruled)
        assert school is not None
        assert (school.install_id, school.cursor, school.settled, school.highest_seq, school.lease_epoch) == (
            here.install_id, here.cursor, here.settled, here.highest_seq, here.epoch,
        )  # fmt: skip
        assert (from_json(school.marks), from_json(school.lineage)) == (here.marks, here.lineage)
        assert (school.restoring_since is not None, school.restoring_as_of) == (here.restoring, here.restoring_as_of)
        here.revision = school.revision  # it counts what changed, in the database a statement at a time

    async def _compare_central(self) -> None:
        async with self.desk.database.transaction() as transaction:
            school = await schools.lock(transaction, NPSN)
            rows = await transaction.rows(
                "SELECT entity, record_id, version, seq, text FROM record WHERE npsn = :npsn", npsn=NPSN
            )
            roots = await registry.roots(transaction, NPSN)
        there = self.there
        assert school is not None
        assert {(r.entity, r.record_id): (r.version, r.seq, r.text) for r in rows} == {
            key: (versions[-1].version, versions[-1].seq, versions[-1].text) for key, versions in there.records.items()
        }
        assert (school.head_seq, school.confirmed_seq, school.delivered_seq, school.session) == (
            there.head, there.confirmed_seq, there.delivered_seq, there.session,
        )  # fmt: skip
        assert (school.install_id, school.mark, school.as_of) == (there.install_id, there.mark, there.as_of)
        assert roots.root == root_of(at_central.digests(v[-1] for v in there.records.values())).hex()


class _Central:
    """A session's line to both centrals, as the plan has it."""

    def __init__(self, twin: Twin, kind: str) -> None:
        self._twin = twin
        self._kind = kind

    async def ask(self, verb: str, _npsn: str, request: Message) -> Message:
        """One request. Raises CentralAway, Crash."""
        twin, id = self._twin, wire.new_id()
        async with twin.one_at_a_time:
            what = twin.plan.next()
            if what == "crash":
                raise Crash
            await _edit(twin, what)
            twin.said = [*twin.said[-5:], (self._kind, verb, id, request)]
            answer = await twin.ask(self._kind, verb, request, id)
            if what == "twice":
                answer = await twin.ask(self._kind, verb, request, id)
            if what in ("crash after", "no answer"):
                raise Crash if what == "crash after" else CentralAway
            return answer


class _Replica:
    """Both stores, as session code uses them: every step on the database and on the image, with the same outcome."""

    def __init__(self, twin: Twin, image: Job) -> None:
        self.twin = twin
        self._image = image
        self.requests = self

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real, image = getattr(self.twin.replica, name), getattr(self.twin.site, name)

        async def step(job: Job, *args: Any, **kwargs: Any) -> Any:
            return await self.both(lambda: real(job, *args, **kwargs), lambda: image(self._image, *args, **kwargs))

        return step

    async def both(self, real: Callable[[], Awaitable[Any]], image: Callable[[], Awaitable[Any]]) -> Any:
        """One step on both. Raises Crash, and what both raise."""
        twin = self.twin
        async with twin.one_at_a_time:
            what = twin.plan.next()
            if what == "crash":
                raise Crash
            await _edit(twin, what)
            wanted = await _outcome(real)
            assert _seen(wanted) == _seen(await _outcome(image))
            await twin.compare()
            if what == "crash after":
                raise Crash
            if isinstance(wanted, Exception):
                raise wanted
            return wanted


class _Restoring:
    """`services.replica.restoring`, of both stores."""

    ListMoved = real_restoring.ListMoved

    @staticmethod
    async def opening_cursor(replica: _Replica, job: Job) -> Any:
        """Where the fetch goes on."""
        real, image = replica.twin.replica.requests, replica._image
        return await replica.both(
            lambda: real_restoring.opening_cursor(real, job), lambda: replica.twin.site.opening_cursor(image)
        )

    @staticmethod
    async def begin(replica: _Replica, job: Job, granted: Any) -> Any:
        """Wipe the school, or go on."""
        real, image = replica.twin.replica.requests, replica._image
        return await replica.both(
            lambda: real_restoring.begin(real, job, granted), lambda: replica.twin.site.begin_restore(image, granted)
        )


async def _edit(twin: Twin, what: str) -> None:
    """Somebody types, or corrects, between two steps."""
    if what == "edit" and twin.plan.hand is not None:
        await twin.plan.hand()


async def _outcome(step: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await step()
    except (real_restoring.ListMoved, AssertionError) as error:
        if isinstance(error, AssertionError):
            raise
        return error


def _seen(outcome: Any) -> Any:
    """What session code goes by."""
    if isinstance(outcome, Exception):
        return type(outcome)
    if isinstance(outcome, sessions.Gate):
        return outcome.changes, outcome.problem and outcome.problem.code
    if hasattr(outcome, "revision"):
        return [getattr(outcome, name) for name in ("npsn", "install_id", "cursor", "settled", "lineage", "marks")]
    return outcome


def _alike(answer: Message) -> Any:
    """An answer without what only the database knows: texts of findings, times, what a statement says beside."""
    if isinstance(answer, SessionRefusal):
        return answer.problem.code
    if isinstance(answer, SessionEqual):
        names = ("incarnation", "session", "kind", "head_seq", "root", "unsent", "held", "refused")
        return {name: answer.statement[name] for name in names}
    if isinstance(answer, SessionResult):
        verdicts = [verdict.model_dump(exclude={"findings"}) for verdict in answer.verdicts]
        return answer.model_dump(exclude={"verdicts"}), verdicts
    return answer.type, answer.model_dump()


def _fields(record: Any) -> list[str]:
    return ["*"] if record.conflict.whole else sorted(record.conflict.fields)


def _broken_records(npsn: str, live: Mapping[Key, Fields]) -> int:
    school: dict[str, dict[str, Fields]] = {}
    for (entity, record_id), fields in live.items():
        school.setdefault(entity, {})[record_id] = fields
    found = school_findings(school, npsn, TODAY)
    return len({(f.entity, f.record_id) for f in found if f.severity is Severity.INVALID})


def _invalid_at_central(npsn: str, entity: str, record_id: str, fields: Fields) -> list[Problem]:
    sekolah = a_school()["sekolah"][natural_key("sekolah", npsn)]
    context = Context(npsn, TODAY, sekolah["bentuk_pendidikan_id"])
    found = record_findings(entity, record_id, fields, context)
    return [as_problem(finding) for finding in found if finding.severity is Severity.INVALID]


async def _no_wait(_job: Job, _what: str) -> None:
    """Images take their turn at once."""


async def _nothing(_done: Any) -> None:
    """Nobody watches."""


def _uncounted(_entity: str, _verdict: str) -> None:
    """Nobody counts."""


__all__ = ["Crash", "Plan", "Twin"]
