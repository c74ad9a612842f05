"""The real store of a site and the real central, each on its PostgreSQL, and beside each its image in memory.

The real session code runs over both at once: every step is taken by the database and by the image, and they must say
the same and then hold the same. So what the simulation finds of the images holds for the SQL.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

from services.central import lives, registry
from services.central.administration import add_school
from services.database import Database
from services.entities import SPECS, Fields
from services.errors import CentralAway
from services.intake import Accounts
from services.link.repair import proof_of
from services.link.session import Failed, RecoverFirst, Refused, Session, Stale
from services.messages import (
    DecidedConflict,
    FieldsChange,
    Message,
    OfficerChange,
    OfficerChangeAccepted,
    SchoolRegister,
    SchoolRegistered,
    SessionEqual,
    SessionGranted,
)
from services.problems import problem
from services.puller.session import pull
from services.replica import changes, registration, sessions
from services.replica.asking import Wanted
from services.replica.choosing import choose
from services.replica.deciding import Decision, decide, referred, touched
from services.replica.requests import Job, Requests
from services.syncer.session import sync
from tests.builders import NPSN, TODAY, a_school
from tests.central.desk import KEYS, Desk, expect
from tests.simulation import central as at_central
from tests.simulation import site as at_site
from tests.simulation.comparing import alike, compare_central, compare_site, outcomes, same
from tests.simulation.doubles import Crash, Line, Plan, Recovering, Restoring, Step, Stores, taken_by_both
from tests.simulation.entities import Key
from tests.simulation.judging import broken_records, invalid_at_central
from tests.simulation.workers import _diverged, _mended, recover_over, restore_over

SITE = "situs"
CENTRALS = (
    "school", "record", "history", "last_batch", "statement", "claim", "follow_up", "proof", "proof_part", "given_back"
)  # fmt: skip
"""What a backup of central's has."""
WRITTEN = """
    SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
    WHERE table_schema = 'public' AND table_name = :table AND is_generated = 'NEVER'
"""
Said = tuple[str, str, str, Message]
"""A request: the kind of its session, its verb, its id."""


@dataclass
class Twin:
    """Both sides, twice. `seen` counts what came about. `said`, `opened`: the last requests that came to central, and
    the last OPENs, to come again. `asleep`: the steps of workers that were killed or stopped in the middle.
    """

    database: Database
    desk: Desk
    replica: sessions.Replica
    central: at_central.Central
    site: at_site.Replica
    seen: Counter[str]
    requests: int = 0
    signed: dict[str, str] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    opened: list[Said] = field(default_factory=list)
    asleep: list[tuple[Step, Step]] = field(default_factory=list)
    backups: list[tuple[dict[str, str], dict[str, at_central.School]]] = field(default_factory=list)
    plan: Plan = field(default_factory=Plan)
    one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    @classmethod
    async def of(cls, site: Database, registry_: Database, seen: Counter[str]) -> Twin:
        """A small school with a baseline, registered, nothing fetched yet. Two records go in a batch and in a page."""
        life = await lives.ensure(registry_)
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
            at_central.Central(
                SPECS, invalid_at_central, at_central.Listener(), page_records=2, batch_records=2, rollback_records=1000
            ),
            at_site.Replica(SPECS, broken_records, at_site.Watcher(), _no_wait),
            seen,
        )
        twin.central.life = life
        install_id, number = await twin._register()
        await registration.register(site, NPSN, nama="SD", install_id=install_id, registration_no=number)
        twin.central.add(NPSN, install_id, baseline)
        twin.site.schools[NPSN] = at_site.School(NPSN, install_id)
        await twin.compare_site()
        await twin.compare_central()
        return twin

    @property
    def here(self) -> at_site.School:
        """The site's image."""
        return self.site.schools[NPSN]

    @property
    def there(self) -> at_central.School:
        """Central's image."""
        return self.central.schools[NPSN]

    def few(self, records: int) -> None:
        """So many changes may go with an OPEN."""
        self.replica.most_early = self.site.most_early = records

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
        await self.compare_site()

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
        decided = choose(given, {key: self.here.records[key]}, self.here.unanswered())
        self._keep(decided, [stored.index for stored in taken.stored])
        if decided.stored and choice == "central":
            self.here.aside.pop(key, None)
        await self.compare_site()

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
        await self.compare_central()

    async def registers_again(self) -> None:
        """The school is registered anew, over what is here."""
        install_id, number = await self._register()
        wanted = self._wanted("restore", revision=self.here.revision)
        await registration.register_again(
            self.database, NPSN, install_id=install_id, registration_no=number, restore=wanted
        )
        self.central.register(NPSN, install_id)
        self.here.take_over(install_id)
        await self.compare_site()
        await self.compare_central()

    async def backs_up(self) -> None:
        """Central's database is copied."""
        async with self.desk.database.transaction() as transaction:
            rows = {
                table: await transaction.value(f"SELECT coalesce(json_agg(t), '[]')::text FROM {table} t")
                for table in CENTRALS
            }
        self.backups.append((rows, self.central.back_up()))

    async def puts_central_back(self, nth: int) -> None:
        """Central's database is what it was, and a new life of it begins."""
        if not self.backups:
            return
        rows, image = self.backups[nth % len(self.backups)]
        async with self.desk.database.transaction() as transaction:
            for table, kept in rows.items():
                names = await transaction.value(WRITTEN, table=table)
                given = f"json_populate_recordset(NULL::public.{table}, :rows)"
                await transaction.run(f"DELETE FROM {table}")
                await transaction.run(
                    f"INSERT INTO {table} ({names}) OVERRIDING SYSTEM VALUE SELECT {names} FROM {given}", rows=kept
                )
        life = (await lives.restored(self.desk.database)).incarnation
        self.central.put_back(image, life, said=True)
        self.said = []  # of another life: what they say of each other, only the real one knows
        self.seen["central put back"] += 1
        await self.compare_central()

    async def _register(self) -> tuple[str, int]:
        answer = expect(
            await self.desk.ask("situs-sync", "register", SchoolRegister(code=self.desk.code)), SchoolRegistered
        )
        return answer.install_id, answer.registration_no

    # ── sessions ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def session(self, kind: str, plan: Plan) -> str:
        """A session over both, with all that the plan says; how it ended."""
        requests = self.replica.requests
        if kind != "recover":
            await requests.ask(self._wanted(kind, revision=self.here.revision if kind == "restore" else None))
        job = await requests.take(kind, "worker")
        if job is None:
            return "must wait for the restore" if self.here.restoring else "must wait for the recover"
        request = at_site.Request(job.id, kind, revision=job.revision)
        self.here.requests.append(request)
        image = self.site.take(NPSN, request, "worker")
        assert image.epoch == job.epoch
        self.plan = plan
        session = Session(
            job,
            cast(Any, Line(self, kind)),
            cast(Any, Stores(self, image)),
            report=_nothing,
            count=_uncounted,
            diverged=_diverged,
            mended=_mended,
            keys=KEYS.public,
        )
        return await self._conclude(session, kind, image)

    async def _conclude(self, session: Session, kind: str, image: Job) -> str:
        replica = session.replica
        try:
            run = {
                "sync": sync,
                "pull": pull,
                "restore": restore_over(Restoring),
                "recover": recover_over(Recovering(), self._proof_of),
            }[kind]
            await run(session)
        except Crash:
            return "crashed"
        except Refused as refused:
            self.plan = Plan()
            await replica.end(session.job, "refused", refused.problem, {})
            return f"refused {refused.problem.code}"
        except RecoverFirst:
            await self.replica.requests.recover_first(session.job, seconds=0, told=problem("SYN-14"))
            await self.site.wait(image)
            return "must recover first"
        except (Stale, CentralAway) as error:
            await self.replica.requests.wait(session.job, seconds=0)
            await self.site.wait(image)
            return type(error).__name__
        except Failed as failed:
            raise AssertionError(f"{failed.problem.code} {failed.problem.text_en}") from failed
        return "completed"

    async def _proof_of(self, session: Session) -> Any:
        """Of the real store; the image's must be the same."""
        real = await proof_of(cast(Any, SimpleNamespace(replica=self.replica, job=session.job, keys=KEYS.public)))
        here = self.here
        same("the proof", real and real.hashes, here.hashes if here.stated else None)
        return real

    def _wanted(self, kind: str, *, revision: int | None) -> Wanted:
        self.requests += 1
        return Wanted(NPSN, kind, "/uji", f"{kind}-{self.requests}", "kepala", revision=revision)

    async def ask(self, kind: str, verb: str, message: Message, id: str) -> Message:
        """A request to both centrals; the real one's answer."""
        sender = "sync" if kind in ("sync", "recover") else "pull"
        answer = await self.desk.ask(f"{SITE}-{sender}", verb, message, id=id)
        image = self.central.receive(sender, NPSN, id, self._as_the_image_signs(message))
        stated, as_imaged = (one.equal if isinstance(one, SessionGranted) else one for one in (answer, image))
        if isinstance(stated, SessionEqual) and isinstance(as_imaged, SessionEqual):
            self.signed[stated.jws] = as_imaged.jws
        same(f"the answer to {verb.upper()}", alike(answer), alike(image))
        self.seen.update(outcomes(answer))
        await self.compare_central()
        return answer

    def _as_the_image_signs(self, message: Message) -> Message:
        """The same request with the image's signature in place of the real one."""
        names = [name for name in ("proof", "receipt", "statement") if isinstance(getattr(message, name, None), str)]
        return message.model_copy(update={name: self.signed.get(getattr(message, name), "") for name in names})

    def remember(self, *said: *Said) -> None:
        """A request comes to central."""
        self.said = [*self.said[-5:], said]
        if said[1] == "open":
            self.opened = [*self.opened[-2:], said]

    async def comes_again(self, nth: int) -> None:
        """A request that came to central not long ago comes once more."""
        if self.said:
            kind, verb, id, message = self.said[nth % len(self.said)]
            await self.ask(kind, verb, message, id)

    async def comes_late(self, nth: int) -> None:
        """The OPEN of an earlier attempt comes in the middle of a session."""
        earlier = [said for said in self.opened if said != self.opened[-1]]
        if earlier:
            kind, verb, id, message = earlier[nth % len(earlier)]
            await self.ask(kind, verb, message, id)

    async def wakes_up(self) -> None:
        """A worker that was only stopped takes the step it was about to take."""
        if self.asleep:
            outcome = await taken_by_both(self, *self.asleep.pop())
            self.seen[f"woke up: {type(outcome).__name__ if isinstance(outcome, Exception) else 'went on'}"] += 1

    # ── what both hold ───────────────────────────────────────────────────────────────────────────────────────────────

    async def compare_site(self) -> None:
        """Is the replica what its image is? Raises Differs."""
        await compare_site(self.database, self.here)

    async def compare_central(self) -> None:
        """Is the registry what its image is? Raises Differs."""
        await compare_central(self.desk.database, self.there)


def _fields(record: Any) -> list[str]:
    return ["*"] if record.conflict.whole else sorted(record.conflict.fields)


async def _no_wait(_job: Job, _what: str) -> None:
    """Images take their turn at once."""


async def _nothing(_done: Any) -> None:
    """Nobody watches."""


def _uncounted(_entity: str, _verdict: str, _number: int) -> None:
    """Nobody counts."""


__all__ = ["Crash", "Plan", "Twin"]
