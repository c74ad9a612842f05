"""What goes wrong: on the network, with the replica's machine, with its disk; and central's follow-ups."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.simulation import site as at_site
from tests.simulation.books import Kept, Memory
from tests.simulation.central import School
from tests.simulation.claims import FollowUp
from tests.simulation.site import Request
from tests.simulation.workers import GHOST, Asked

if TYPE_CHECKING:
    from tests.simulation.world import World


@dataclass
class Backup:
    """Central's database, and what it knew then."""

    schools: dict[str, School]
    books: dict[str, Kept]
    claims: list[FollowUp]


class Troubles:
    """Of all schools. `registered`: schools registered anew whose replica is not wiped yet, and the installation."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.rng = world.rng
        self.copies: dict[str, tuple[at_site.School, Memory]] = {}
        self.backups: list[Backup] = []
        self.registered: dict[str, str] = {}
        self.moves: dict[str, Callable[[str], None]] = {
            "answer gets lost": self.lose_answer,
            "request gets lost": self.lose_request,
            "request comes twice": self.come_twice,
            "push goes unheard": self.go_unheard,
            "request is held up": self.hold_up,
            "request arrives late": self.arrive_late,
            "request is sent again": self.send_again,
            "nobody answers": self.give_up,
            "claims are followed up": self.follow_up,
            "copy is made": self.make_copy,
            "copy is put back": self.put_back,
            "school is reinstalled": self.reinstall,
            "restore is asked for": self.ask_restore,
            "central is busy": self.be_busy,
            "central is backed up": self.back_up,
            "central is put back": self.put_central_back,
            "ghost walks": self.walk,
        }

    # ── the network ──────────────────────────────────────────────────────────────────────────────────────────────────

    def lose_answer(self, _npsn: str) -> None:
        """An answer goes astray, or central crashes after its commit."""
        if self.world.workers.answers:
            asked, _ = self.world.workers.answers.pop(self.rng.randrange(len(self.world.workers.answers)))
            self.world.say(f"the answer to {asked} is lost")

    def lose_request(self, _npsn: str) -> None:
        """A request goes astray, or central crashes before its commit."""
        if self.world.workers.requests:
            asked = self.world.workers.requests.pop(self.rng.randrange(len(self.world.workers.requests)))
            self.world.say(f"{asked} is lost")

    def come_twice(self, _npsn: str) -> None:
        """A request comes to central, and later it will again."""
        if self.world.workers.requests:
            self.world.workers.deliver(self._one_of(self.world.workers.requests), keep=True)

    def go_unheard(self, _npsn: str) -> None:
        """A batch comes to central or does not; who sent it is gone before an answer comes."""
        pushes = [asked for asked in self.world.workers.requests if _carries(asked) and not asked.worker.asleep]
        if pushes:
            asked = self.rng.choice(pushes)
            asked.worker.asleep = True
            self.world.say(f"{asked.worker.name} falls asleep over its {asked.verb.upper()}")
            if self.rng.random() < 0.7:
                self.world.workers.deliver(asked, keep=self.rng.random() < 0.3)
            else:
                asked.held_up = True

    def hold_up(self, _npsn: str) -> None:
        """A request is stuck somewhere."""
        if self.world.workers.requests:
            asked = self._one_of(self.world.workers.requests)
            asked.held_up = True
            self.world.say(f"{asked} is held up")

    def arrive_late(self, _npsn: str) -> None:
        """What was held up comes to central after all."""
        if late := [asked for asked in self.world.workers.requests if asked.held_up]:
            self.world.workers.deliver(self._one_of(late))

    def _one_of(self, asked: list[Asked]) -> Asked:
        """Rather one that carries changes: nothing else changes anything."""
        pushes = [one for one in asked if _carries(one)]
        return self.rng.choice(pushes if pushes and self.rng.random() < 0.7 else asked)

    def send_again(self, _npsn: str) -> None:
        """A worker has waited, and sends its request again under the same id."""
        if waiting := self.world.workers.unanswered():
            asked = self._one_of(waiting)
            self.world.workers.requests.append(asked)
            self.world.say(f"{asked} is sent again")

    def give_up(self, _npsn: str) -> None:
        """A worker has waited long enough."""
        if waiting := self.world.workers.unanswered():
            self.world.workers.give_up(self.rng.choice(waiting))

    # ── central's follow-ups, copies, reinstalls ─────────────────────────────────────────────────────────────────────

    def follow_up(self, _npsn: str) -> None:
        """One step of one of central's follow-ups."""
        if self.world.claims.open:
            self.world.claims.step(self.rng.randrange(len(self.world.claims.open)))

    def make_copy(self, npsn: str) -> None:
        """Somebody backs up the replica."""
        self.copies[npsn] = self.world.replica.schools[npsn].copy(), self.world.ledger.remember(npsn)
        self.world.say(f"a copy of {npsn} is made")

    def put_back(self, npsn: str) -> None:
        """The replica is put back from the copy, and its machine started anew."""
        held = self.copies.get(npsn)
        if held is None or held[0].install_id != self.world.replica.schools[npsn].install_id or npsn in self.registered:
            return
        self.world.workers.kill([worker for worker in self.world.workers.workers if worker.job.npsn == npsn])
        kept, memory = held
        lost = [*self.world.replica.schools[npsn].in_hand(), *kept.in_hand()]
        self.world.replica.schools[npsn] = kept.copy()
        self.world.replica.schools[npsn].holder = None
        self.world.say(f"the copy of {npsn} is put back")
        self.world.ledger.put_back(npsn, memory, self.world.central.schools[npsn].log[memory.head :], lost)

    def reinstall(self, npsn: str) -> None:
        """The school is registered anew; then, later, its replica told so. The old one may live on elsewhere."""
        if npsn not in self.registered:
            self.world.numbers += 1
            self.registered[npsn] = f"install-{self.world.numbers}"
            self.world.central.register(npsn, self.registered[npsn])
            self.world.say(f"{npsn} is registered anew")
            return
        school = self.world.replica.schools[npsn]
        if self.rng.random() < 0.3:
            ghost = self.world.replica.schools[npsn + GHOST] = school.copy()
            ghost.npsn, ghost.holder, ghost.requests, ghost.restoring = npsn + GHOST, None, [], False
        school.take_over(self.registered.pop(npsn))
        self.world.ledger.books[npsn].install_id = school.install_id
        self.world.say(f"{npsn} takes the new installation over")
        self.ask_restore(npsn)

    def ask_restore(self, npsn: str) -> None:
        """A person has read the list of what would be lost, and asks for it."""
        school = self.world.replica.schools[npsn]
        if not any(request.kind == "restore" for request in school.open_requests):
            self.world.numbers += 1
            listed = tuple(school.in_hand())
            name = f"restore-{self.world.numbers}"
            school.requests.insert(0, Request(name, "restore", revision=school.revision, listed=listed))

    def back_up(self, _npsn: str) -> None:
        """Central's database is copied."""
        world = self.world
        open_claims = [FollowUp(one.nik) for one in world.claims.open]
        self.backups = [*self.backups[-2:], Backup(world.central.back_up(), world.ledger.back_up(), open_claims)]
        world.say("central is backed up")

    def put_central_back(self, _npsn: str) -> None:
        """Central's database is what it was at one of the backups, not always the latest."""
        if not self.backups:
            return
        kept = self.rng.choice(self.backups)
        self.world.central.put_back(kept.schools, said=self.rng.random() < 0.3)
        self.world.claims.open = [FollowUp(one.nik) for one in kept.claims]
        self.world.say(f"central is put back: {self.world.central.life} begins")
        self.world.ledger.central_put_back(kept.books, self.world.central.schools)

    def be_busy(self, _npsn: str) -> None:
        """Central has as many sessions as it wants."""
        self.world.central.busy = self.rng.randrange(1, 4)

    def walk(self, npsn: str) -> None:
        """An older installation tries to sync."""
        if npsn + GHOST in self.world.replica.schools:
            self.world.ask(npsn + GHOST, "sync")
            self.world.begin(npsn + GHOST)


def _carries(asked: Asked) -> bool:
    return asked.verb == "push" or getattr(asked.message, "early", None) is not None
