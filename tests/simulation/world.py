"""One seed, one run: the site, central, the network between them, operators and officers, and all that can go wrong.

`World(seed).run()` lets things happen in an order that follows from the seed alone, then lets the edits stop and checks
that everything comes to rest as it should. `story` is what happened, line by line.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from services.entities.schema import Fields
from services.exchange import absorb as the_real_absorb
from services.exchange.absorb import Replicated
from services.messages import PushedChange
from tests.simulation import central as at_central
from tests.simulation import site as at_site
from tests.simulation.central import Central, Version
from tests.simulation.claims import Claims
from tests.simulation.entities import AT_CENTRAL, AT_SITE, Key, invalid_at_central, invalid_at_site
from tests.simulation.ledger import Ledger
from tests.simulation.loop import Loop
from tests.simulation.people import People
from tests.simulation.safeguards import Broken, Safeguard
from tests.simulation.site import Replica, Request
from tests.simulation.troubles import Troubles
from tests.simulation.workers import GHOST, Runs, Worker, Workers

SCHOOLS = ("20100001", "20100002")
ROUNDS = 15
"""Syncs within which a school whose edits have stopped comes to rest. Most need two."""
TRIES = 40
"""Attempts within which an undisturbed request ends."""

MOVES: Mapping[str, tuple[int, ...]] = {
    "operator types": (0, 2, 4),
    "operator types back": (0, 2, 4),
    "operator deletes": (0, 1, 2),
    "operator decides": (1, 2),
    "officer corrects": (0, 1, 3),
    "officer puts back": (0, 3, 6),
    "officer deletes": (0, 0, 1),
    "officer brings back": (0, 0, 1),
    "officer confirms": (0, 0, 1),
    "asked for a sync": (2, 4),
    "asked for a pull": (0, 1, 3),
    "worker begins": (3, 6),
    "things go on": (8, 16, 30),
    "worker falls asleep": (0, 1, 3),
    "worker wakes up": (0, 1, 3),
    "answer gets lost": (0, 1),
    "request gets lost": (0, 1),
    "request comes twice": (0, 2, 6),
    "push goes unheard": (0, 2, 4),
    "request is held up": (0, 1, 2),
    "request arrives late": (0, 1, 2),
    "request is sent again": (0, 1),
    "nobody answers": (0, 1),
    "claims are followed up": (2,),
    "copy is made": (1, 2),
    "copy is put back": (1, 2),
    "school is reinstalled": (1, 2),
    "restore is asked for": (0, 1),
    "central is busy": (0, 0, 1),
    "central is backed up": (1, 2),
    "central is put back": (1, 2),
    "ghost walks": (1,),
}
"""What may happen next, and the weights of which a seed takes one each: no two seeds are mixed alike."""
LENGTHS = (100, 200)
"""How many of these happen."""


@dataclass(frozen=True)
class Theme:
    """Moves that most seeds do without."""

    often: float
    moves: tuple[str, ...]


THEMES = (
    Theme(0.2, ("copy is made", "copy is put back")),
    Theme(0.2, ("school is reinstalled", "restore is asked for", "ghost walks")),
    Theme(0.3, ("central is backed up", "central is put back")),
)


class World(at_central.Listener, at_site.Watcher):
    """Everything there is."""

    def __init__(
        self,
        seed: int,
        *,
        without: frozenset[Safeguard] = frozenset(),
        core: ModuleType = the_real_absorb,
        runs: Runs | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.core = core
        self.story: list[str] = []
        self.loop = Loop()  # type: ignore[abstract]  # what is missing, no task asks for
        self.ledger = Ledger()
        self.central = Central(
            AT_CENTRAL,
            lambda _npsn, _entity, _id, fields: invalid_at_central(fields),
            self,
            page_records=self.rng.choice((1, 2, 3, 1000)),
            batch_records=self.rng.choice((1, 2, 500)),
            without=without,
        )
        self.claims = Claims(self.central)
        self.workers = Workers(self.loop, self.central, self.say, runs or Runs())
        self.replica = Replica(
            AT_SITE, _broken_records, self, self.workers.turn, core=core, without=without,
            most_early=self.rng.choice((0, 1, 2, 100)),
        )  # fmt: skip
        self.schools = SCHOOLS[: self.rng.choice((1, 1, 1, 2))]
        self.people = People(self)
        self.troubles = Troubles(self)
        self.numbers = 0
        for npsn in self.schools:
            self.central.add(npsn, "install-0", self.people.baseline())
            self.ledger.begin(npsn)
            self.replica.schools[npsn] = at_site.School(npsn, "install-0")
        self.moves: dict[str, Callable[[str], None]] = {
            **self.people.moves,
            **self.troubles.moves,
            "asked for a sync": lambda npsn: self.ask(npsn, "sync"),
            "asked for a pull": lambda npsn: self.ask(npsn, "pull"),
            "worker begins": self.begin,
            "things go on": self.go_on,
            "worker falls asleep": self.fall_asleep,
            "worker wakes up": self.wake,
        }

    def say(self, what: str) -> None:
        """A line of the story."""
        self.story.append(what)

    def run(self) -> World:
        """The whole life of this seed. Raises Broken."""
        try:
            self._live()
            self.settle()
        finally:
            self.workers.close()
        return self

    def _live(self) -> None:
        """Things happen."""
        rng = self.rng
        weights = {name: rng.choice(weights) for name, weights in MOVES.items()}
        for theme in THEMES:
            if rng.random() > theme.often:
                weights |= dict.fromkeys(theme.moves, 0)
        if rng.random() < 0.6:
            self.rest(self.schools[0])
        for name in rng.choices(list(weights), list(weights.values()), k=rng.choice(LENGTHS)):
            self.moves[name](rng.choice(self.schools))

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def ask(self, npsn: str, kind: str) -> None:
        """A request becomes a row."""
        if len(self.replica.schools[npsn].open_requests) < 3:
            self.numbers += 1
            self.replica.schools[npsn].requests.append(Request(f"{kind}-{self.numbers}", kind))

    def begin(self, npsn: str) -> None:
        """A worker takes the oldest request, if the lease is free or its holder has not been heard of for long."""
        school = self.replica.schools[npsn]
        holder = next((w for w in self.workers.workers if w.name == school.holder), None)
        if holder is not None and not holder.asleep and not holder.done:
            return
        if school.restoring and not any(request.kind == "restore" for request in school.open_requests):
            self.troubles.ask_restore(npsn)
        waiting = [r for r in school.open_requests if not school.restoring or r.kind == "restore"]
        if any(request.kind == "recover" for request in waiting):
            waiting = [request for request in waiting if request.kind in ("recover", "restore")]
        if waiting:
            kinds = {request.kind: request for request in reversed(waiting)}  # each kind has workers of its own
            self.workers.start(self.replica, npsn, self.rng.choice(list(kinds.values())))

    def go_on(self, _npsn: str) -> None:
        """A few steps of whatever can go on, in any order."""
        for _ in range(self.rng.randrange(1, 6)):
            on_their_way = [asked for asked in self.workers.requests if not asked.held_up]
            steps: list[Any] = [*self.workers.parked(), *on_their_way, *self.workers.answers]
            if not steps:
                return
            self._step(self.rng.choice(steps))

    def _step(self, step: Any) -> None:
        if step in self.workers.answers:
            self.workers.bring(self.workers.answers.index(step))
        elif step in self.workers.requests:
            self.workers.deliver(step)
        else:
            self.workers.go_on(step)

    def fall_asleep(self, npsn: str) -> None:
        """A worker's process is killed, or stopped; its lease runs out."""
        awake = [w for w in self.workers.workers if not w.asleep and not w.done and w.job.npsn == npsn]
        if awake:
            worker = self.rng.choice(awake)
            worker.asleep = True
            self.say(f"{worker.name} falls asleep")

    def wake(self, _npsn: str) -> None:
        """It was only stopped."""
        asleep = [worker for worker in self.workers.workers if worker.asleep]
        if asleep:
            worker = self.rng.choice(asleep)
            worker.asleep = False
            self.say(f"{worker.name} wakes up")

    # ── the edits stop ───────────────────────────────────────────────────────────────────────────────────────────────

    def settle(self) -> None:
        """Conflicts are decided, what was refused is mended, sessions complete; then everything is equal."""
        self.say("── the edits stop ──")
        if self.rng.random() < 0.5:
            self.workers.requests.clear()
        for npsn in [*self.schools, *(npsn + GHOST for npsn in self.schools if npsn + GHOST in self.replica.schools)]:
            self._end_requests(npsn)
        for _ in range(ROUNDS):
            while self.claims.open:
                self.claims.step(0)
            restless = [npsn for npsn in self.schools if not self._at_rest(npsn)]
            if not restless:
                break
            for npsn in restless:
                self.rest(npsn)
        else:
            raise Broken("after many syncs there is no rest")
        self._late_ones()
        self.claims.check()
        for npsn in self.schools:
            self._check(npsn)

    def rest(self, npsn: str) -> None:
        """A sync as it should be, after the operator has mended what can be mended."""
        self.people.mend(npsn)
        self.ask(npsn, "sync")
        self._end_requests(npsn)
        last = self.replica.schools[npsn].requests[-1]
        if last.outcome == "refused" and last.reason == "SYN-05":
            self.troubles.ask_restore(npsn)
            self._end_requests(npsn)
        elif last.outcome == "refused" and last.reason == "SYN-06":
            self.troubles.reinstall(npsn)
            self._end_requests(npsn)

    def _end_requests(self, npsn: str) -> None:
        """Every request of a school comes to its end."""
        if npsn in self.troubles.registered:
            self.troubles.reinstall(npsn)
        school = self.replica.schools[npsn]
        for _ in range(TRIES):
            if not school.open_requests:
                return
            for worker in self.workers.workers:
                worker.asleep = worker.asleep or (worker.job.npsn == npsn and not worker.done)
            self.begin(npsn)
            self.finish(self.workers.workers[-1])
            if school.restoring and npsn in self.schools and school.install_id != self.central.schools[npsn].install_id:
                self.troubles.reinstall(npsn)  # central has forgotten that it was registered
                self.troubles.reinstall(npsn)
        raise Broken(f"requests that never end: {school.open_requests}")

    def finish(self, worker: Worker) -> None:
        """Run one worker to its end, while others sleep; now and then something late comes in between."""
        while not worker.done:
            strays = [asked for asked in self.workers.requests if asked.worker is not worker]
            if strays and self.rng.random() < 0.3:
                self.workers.deliver(self.rng.choice(strays))
            mine = [asked for asked in self.workers.requests if asked.worker is worker]
            back = [n for n, (asked, _) in enumerate(self.workers.answers) if asked.worker is worker]
            if parked := self.workers.parked(worker):
                self.workers.go_on(parked[0])
            elif mine:
                self.workers.deliver(mine[0])
            elif back:
                self.workers.bring(back[0])
            else:
                self.workers.give_up(worker.waiting[0])  # its request, or the answer, had got lost

    def _late_ones(self) -> None:
        """Who slept through all this wakes up, and what was under way arrives: nothing may come of it."""
        for worker in self.workers.workers:
            worker.asleep = False
        while steps := [*self.workers.parked(), *self.workers.requests, *self.workers.answers]:
            self._step(self.rng.choice(steps))
        while waiting := self.workers.unanswered():
            self.workers.give_up(waiting[0])
            while steps := [*self.workers.parked(), *self.workers.requests, *self.workers.answers]:
                self._step(self.rng.choice(steps))

    def _at_rest(self, npsn: str) -> bool:
        school = self.replica.schools[npsn]
        last = school.requests[-1] if school.requests else None
        return (
            last is not None
            and (last.kind, last.outcome) == ("sync", "completed")
            and not school.restoring
            and school.lineage[-1]["incarnation"] == self.central.life
            and not any(r.pending or r.sent or r.conflict for r in school.records.values())
            and school.cursor == self.central.schools[npsn].head
        )

    def _check(self, npsn: str) -> None:
        school, there = self.replica.schools[npsn], self.central.schools[npsn]
        held = {key: (r.base.version, r.base.fields, r.data) for key, r in school.records.items() if not r.gone}
        wanted = {key: (v[-1].version, v[-1].fields, v[-1].fields) for key, v in there.records.items()}
        if held != wanted:
            raise Broken(f"the site has {held}, central {wanted}")
        if at_site.digests(school.records) != at_central.digests(v[-1] for v in there.records.values()):
            raise Broken("the digests differ")
        if school.open_requests:
            raise Broken(f"requests that never ended: {school.open_requests}")
        self.ledger.check_words(npsn)
        self.ledger.check_statements(there)

    # ── what the two sides tell ──────────────────────────────────────────────────────────────────────────────────────

    def central_wrote(self, school: at_central.School, before: Version | None, now: Version) -> None:
        whose = "a recover" if now.recovered else "a push" if now.session else "central"
        self.say(f"central: {whose} writes {_of(now.key)} version {now.version}, seq {now.seq}: {shown(now.fields)}")
        self.ledger.central_wrote(school, before, now)
        self.claims.noticed(before, now)

    def central_took(self, school: at_central.School, session: int, changes: Sequence[PushedChange]) -> None:
        for change in changes:
            fields = dict(sorted(change.fields.items()))
            self.say(f"central: pushed is {change.op} {_of((change.entity, change.record_id))} {fields}")
        self.ledger.central_took(school, session, changes)

    def central_takes_early(self, school: at_central.School, session: int, id: str) -> None:
        self.ledger.central_takes_early(school, session, id)

    def central_ended(self, school: at_central.School, session: int) -> None:
        self.ledger.central_ended(school, session)

    def central_stated(self, school: at_central.School, statement: Mapping[str, Any]) -> None:
        self.say(f"central: equal at {statement['head_seq']}, {statement['kind']} session {statement['session']}")
        self.ledger.central_stated(school, statement)

    def site_absorbed(self, school: at_site.School, key: Key, before: Replicated, theirs: Any, absorbed: Any) -> None:
        after = absorbed.record
        conflict = f", in conflict: {sorted(after.conflict.fields)}" if after.conflict else ""
        self.say(f"site: absorbs {_of(key)} version {theirs.version}; data is {shown(after.data)}{conflict}")
        self.ledger.site_absorbed(school, key, before, theirs, absorbed)

    def site_cleared(self, school: at_site.School, key: Key, record: Replicated) -> None:
        self.ledger.site_cleared(school, key, record)

    def site_gated(
        self, school: at_site.School, job: Any, session: tuple[str, int], passed: Mapping[Key, Replicated]
    ) -> None:
        self.say(f"site: the gate of session {session[1]} lets pass {[_of(key) for key in passed]}")
        self.ledger.site_gated(school, job, session, passed)

    def site_gated_early(self, school: at_site.School, job: Any, id: str, passed: Mapping[Key, Replicated]) -> None:
        self.say(f"site: the gate lets pass {[_of(key) for key in passed]}, to go with the OPEN {id}")
        self.ledger.site_gated_early(school, job, id, passed)

    def site_stands(self, school: at_site.School, job: Any) -> None:
        self.ledger.site_stands(school, job)

    def site_wiped(self, school: at_site.School, listed: Sequence[Key]) -> None:
        self.say(f"site: {school.npsn} is wiped")
        self.ledger.site_wiped(school, listed)

    def site_parts(self, school: at_site.School, common: int) -> None:
        self.ledger.site_parts(school, common)

    def site_set_aside(self, school: at_site.School, key: Key, base: Any) -> None:
        self.say(f"site: sets {_of(key)} version {base.version} aside: {shown(base.fields)}")
        self.ledger.site_set_aside(school, key, base)

    def site_lets_go(self, school: at_site.School, key: Key, base: Any) -> None:
        self.ledger.site_lets_go(school, key, base)

    def site_gives(self, school: at_site.School, session: tuple[str, int]) -> None:
        self.ledger.site_gives(school, session)

    def central_took_back(self, school: at_central.School, session: int) -> None:
        self.ledger.central_took_back(school, session)

    def site_not_taken(self, school: at_site.School, key: Key, aside: Any, before: Replicated, seq: int) -> None:
        self.say(f"site: {_of(key)} version {aside.version} is not taken back")
        self.ledger.site_not_taken(school, key, aside, before, seq)

    def central_knows_again(self, school: at_central.School, install_id: str) -> None:
        self.say(f"central: {install_id} takes its place again")
        self.ledger.central_knows_again(school, install_id)

    def site_refused(self, school: at_site.School, code: str) -> None:
        self.ledger.site_refused(school, code)

    def site_completed(self, school: at_site.School, job: Any, statement: Mapping[str, Any]) -> None:
        self.ledger.site_completed(school, job, statement)


def _broken_records(_npsn: str, live: Mapping[Key, Fields]) -> int:
    return sum(map(invalid_at_site, live.values()))


def _of(key: Key) -> str:
    return f"{key[0]} {key[1]}"


def shown(fields: Fields | None) -> str:
    """A record, for the story."""
    return "deleted" if fields is None else "{" + ", ".join(f"{n}: {v}" for n, v in sorted(fields.items())) + "}"
