"""Central as its callers meet it: requests go in as bytes off the wire, answers are caught where they are published."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from joserfc.jwk import OKPKey
from prometheus_client import CollectorRegistry

from services import topology, wire
from services.broker import Delivery, Handlers, PublishRefused
from services.central import registry, schools
from services.central.administration import add_school
from services.central.app import handlers
from services.central.exchange import Bounds
from services.central.gauges import Counters
from services.database import Database
from services.entities import Fields, natural_key
from services.errors import BrokerAway
from services.intake import Accounts
from services.messages import (
    PROTOCOL_VERSION,
    Kind,
    LineageEntry,
    Message,
    OfficerChange,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    OfficerChangeSubmitted,
    PushedChange,
    SchoolRegister,
    SchoolRegistered,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionPush,
    SessionResult,
    SessionVerify,
)
from services.signing import SigningKeys
from tests.builders import NPSN, TODAY, a_new_student, a_sekolah, new_id

OTHER = "69900002"
KEYS = SigningKeys([OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, private=True, auto_kid=True)])
STUDENT = a_new_student()

M = TypeVar("M", bound=Message)


def student_id(n: int) -> str:
    """The nth student's id: they sort as they count."""
    return new_id(1000 + n)


def line(entity: str, record_id: str, fields: Fields) -> str:
    """A line of a baseline."""
    return json.dumps({"entity": entity, "record_id": record_id, "fields": fields})


def baseline(students: int = 3, npsn: str = NPSN) -> list[str]:
    """A school and its students."""
    lines = [line("sekolah", natural_key("sekolah", npsn), a_sekolah())]
    return lines + [line("peserta_didik", student_id(n), STUDENT) for n in range(1, students + 1)]


def put(n: int, base_version: int, **fields: tuple[Any, Any]) -> PushedChange:
    """A change of the nth student: name=(old, new)."""
    return PushedChange(
        entity="peserta_didik",
        record_id=student_id(n),
        op="put",
        base_version=base_version,
        fields=fields,
    )


def new(n: int, **fields: Any) -> PushedChange:
    """A new nth student."""
    return put(n, 0, **{name: (None, value) for name, value in {**STUDENT, **fields}.items()})


def delete(n: int, base_version: int) -> PushedChange:
    """The nth student deleted."""
    return PushedChange(entity="peserta_didik", record_id=student_id(n), op="delete", base_version=base_version)


def corrects(n: int, version: int, **fields: Any) -> OfficerChange:
    """An officer's change of the nth student, read at this version; 0 adds one."""
    return OfficerChange(entity="peserta_didik", record_id=student_id(n), version=version, fields=fields)


@dataclass(frozen=True, slots=True)
class Heard:
    """A message that central published."""

    exchange: str
    routing_key: str
    message: Message
    subject: str
    id: str | None
    correlation_id: str | None
    mandatory: bool


@dataclass
class Desk:
    """Central at one database. `heard` has all it published; `gone`: reply queues that are no longer there;
    `marks`: those of a replica that gates what it pushes; `lineage`: central's, as it was granted last.
    """

    database: Database
    bounds: Bounds = field(default_factory=lambda: Bounds(page_records=100))
    heard: list[Heard] = field(default_factory=list)
    gone: set[str] = field(default_factory=set)
    away: bool = False
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    code: str = ""
    install_id: str = ""
    marks: dict[str, int] = field(default_factory=dict)
    lineage: list[LineageEntry] = field(default_factory=list)

    @classmethod
    async def of(cls, database: Database, students: int = 3) -> Desk:
        """With the school NPSN, added with a baseline and registered at the site `situs`."""
        desk = cls(database)
        accounts = Accounts(database)
        for user in ("situs", "lain"):
            await accounts.grant(f"{user}-sync", "*", "site-sync")
            await accounts.grant(f"{user}-pull", "*", "site-pull")
        await accounts.grant("dinas", "*", "officer")
        desk.code = await add_school(database, NPSN, baseline(students))
        answer = await desk.ask("situs-sync", "register", SchoolRegister(code=desk.code))
        desk.install_id = expect(answer, SchoolRegistered).install_id
        desk.lineage = (await desk.head()).lineage
        return desk

    def __post_init__(self) -> None:
        self.counters = Counters(self.metrics, "pusat")
        self.rewire()

    def rewire(self, **bounds: Any) -> None:
        """Central anew, with other bounds."""
        self.bounds = replace(self.bounds, **bounds)
        self.handlers: Handlers = handlers(
            self.database,
            self._announce,
            bounds=self.bounds,
            counters=self.counters,
            today=lambda: TODAY,
            keys=lambda: KEYS,
        )

    async def _announce(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        subject: str,
        id: str | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
        mandatory: bool = True,
    ) -> None:
        if self.away:
            raise BrokerAway("no confirm")
        if routing_key in self.gone:
            raise PublishRefused(routing_key)
        self.heard.append(Heard(exchange, routing_key, message, subject, id, correlation_id, mandatory))

    async def ask(
        self,
        sender: str,
        verb: str,
        data: Message,
        *,
        npsn: str = NPSN,
        id: str | None = None,
        routing_key: str | None = None,
        reply_to: str | None = None,
    ) -> Message:
        """A site's request; its answer."""
        reply_to = reply_to or f"{sender}.{uuid.uuid4().hex}"
        correlation_id = uuid.uuid4().hex
        await self.handlers.handle(
            Delivery(
                queue=topology.CENTRAL_REQUESTS,
                body=wire.encode(data, subject=npsn, source=f"/{sender}", id=id),
                sender=sender,
                routing_key=routing_key or f"{sender}.{verb}",
                reply_to=reply_to,
                correlation_id=correlation_id,
            ),
            limit_bytes=wire.EXCHANGE_BODY_BYTES,
        )
        (answer,) = (h for h in self.heard if h.correlation_id == correlation_id)
        assert (answer.exchange, answer.routing_key, answer.subject) == (topology.REPLIES, reply_to, npsn)
        return answer.message

    async def officer(
        self, *changes: OfficerChange, sender: str = "dinas", npsn: str = NPSN, id: str | None = None
    ) -> Heard:
        """An officer's event; what central answered."""
        id = id or wire.new_id()
        await self.handlers.handle(
            Delivery(
                queue=topology.CENTRAL_OFFICERS,
                body=wire.encode(OfficerChangeSubmitted(changes=list(changes)), subject=npsn, source="/dinas", id=id),
                sender=sender,
                routing_key=f"change.{npsn}",
            ),
            limit_bytes=wire.MAX_BODY_BYTES,
        )
        answers = (OfficerChangeAccepted, OfficerChangeRejected)
        return [h for h in self.heard if isinstance(h.message, answers) and h.message.cause.id == id][-1]

    def opening(self, kind: Kind = "sync", *, cursor: int = 0, **changed: Any) -> SessionOpen:
        """An OPEN."""
        asked: dict[str, Any] = {
            "install_id": self.install_id,
            "kind": kind,
            "protocol_version": PROTOCOL_VERSION,
            "rules_version": "1",
            "lineage": self.lineage,
            "cursor": cursor,
            "highest_seq": cursor,
            "marks": self.marks,
            "clock": "2026-08-03T01:00:00Z",
        }
        return SessionOpen(**{**asked, **changed})

    async def open(self, kind: Kind = "sync", *, cursor: int = 0, site: str = "situs") -> SessionAt:
        """A granted session."""
        granted = expect(await self.ask(f"{site}-{kind}", "open", self.opening(kind, cursor=cursor)), SessionGranted)
        self.lineage = granted.lineage
        return SessionAt(self, f"{site}-{kind}", granted)

    async def head(self, npsn: str = NPSN) -> schools.School:
        """The school as it is now."""
        async with self.database.transaction() as transaction:
            school = await schools.lock(transaction, npsn)
        assert school is not None
        return school

    async def student(self, n: int) -> registry.Stored | None:
        """The nth student as central holds it."""
        key = ("peserta_didik", student_id(n))
        async with self.database.transaction() as transaction:
            return (await registry.read(transaction, NPSN, [key])).get(key)

    async def root(self) -> str:
        """The root over what central holds."""
        async with self.database.transaction() as transaction:
            return (await registry.roots(transaction, NPSN)).root


@dataclass
class SessionAt:
    """A site's side of one session."""

    desk: Desk
    user: str
    granted: SessionGranted
    batch_no: int = 0

    @property
    def named(self) -> dict[str, Any]:
        """What every later message carries."""
        return {"session": self.granted.session, "incarnation": self.granted.incarnation}

    async def fetch(self, cursor: int, limit: int = 1000) -> Message:
        """FETCH."""
        return await self.desk.ask(self.user, "fetch", SessionFetch(**self.named, cursor=cursor, limit=limit))

    async def pages(self, cursor: int = 0, limit: int = 1000) -> list[SessionPage]:
        """All pages after the cursor."""
        pages = [expect(await self.fetch(cursor, limit), SessionPage)]
        while not pages[-1].complete:
            pages.append(expect(await self.fetch(pages[-1].cursor, limit), SessionPage))
        return pages

    async def push(
        self, *changes: PushedChange, last: bool = True, batch_no: int | None = None, cursor: int = 0
    ) -> Message:
        """PUSH the next batch, or that of a given number."""
        self.batch_no = batch_no or self.batch_no + 1
        self.desk.marks = {**self.desk.marks, self.granted.incarnation: self.granted.session}
        return await self.desk.ask(
            self.user,
            "push",
            SessionPush(**self.named, batch_no=self.batch_no, changes=list(changes), cursor=cursor, last=last),
        )

    async def pushed(self, *changes: PushedChange, last: bool = True, cursor: int = 0) -> SessionResult:
        """PUSH, and its RESULT."""
        return expect(await self.push(*changes, last=last, cursor=cursor), SessionResult)

    async def verify(
        self, *, cursor: int | None = None, root: str | None = None, unsent: int = 0, held: int = 0
    ) -> Message:
        """VERIFY, as a site that holds what central holds."""
        asked = SessionVerify(
            **self.named,
            cursor=(await self.desk.head()).head_seq if cursor is None else cursor,
            root=root or await self.desk.root(),
            unsent=unsent,
            held=held,
            refused=0,
        )
        return await self.desk.ask(self.user, "verify", asked)

    async def verified(self, *, unsent: int = 0, held: int = 0) -> dict[str, Any]:
        """VERIFY, and its statement."""
        return expect(await self.verify(unsent=unsent, held=held), SessionEqual).statement


def expect(answer: Message, kind: type[M]) -> M:
    """The answer, which must be of this kind."""
    assert isinstance(answer, kind), answer
    return answer


def codes(problems: Iterable[Any]) -> list[str]:
    """The codes of problems."""
    return [p.code for p in problems]
