"""What a site asks of central: register, open, fetch, push, verify (docs/protocol.md 2).

Every request may come again; each is answered from what is stored. The answer is published after the commit.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from services import logs, topology
from services.broker import Handlers, PublishRefused
from services.central import (
    admission,
    descent,
    history,
    line,
    mending,
    pushing,
    receipts,
    recovering,
    registry,
    schools,
    versions,
)
from services.central.gauges import Counters
from services.central.identifiers import code_hash, uuid7
from services.central.line import Capacity
from services.central.registry import Key, Stored
from services.central.schools import School
from services.central.speaking import Announce, kinds, site_of
from services.central.telling import told
from services.database import Database, Transaction
from services.entities import SPECS
from services.errors import MessageRefused
from services.intake import Answers
from services.messages import (
    SCHEMA,
    Covered,
    EntityDigest,
    InSession,
    Limits,
    Message,
    PageRow,
    SchoolRegister,
    SchoolRegistered,
    SessionBehind,
    SessionDifferent,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionPush,
    SessionRefusal,
    SessionResult,
    SessionStale,
    SessionVerify,
    SessionWait,
)
from services.problems import problem
from services.rules import RULES_VERSION
from services.signing import NotProven, SigningKeys
from services.wire import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What central admits: a batch that it takes, a page that it gives, the oldest rules that may sync (None: any), and
    sessions.
    """

    batch_records: int = 500
    batch_bytes: int = 1024 * 1024
    page_records: int = 1000
    page_bytes: int = 1024 * 1024
    rules_for_sync: str | None = None
    capacity: Capacity = field(default_factory=Capacity)


def exchange_handlers(
    handlers: Handlers,
    database: Database,
    announce: Announce,
    *,
    bounds: Bounds,
    counters: Counters,
    today: Callable[[], date],
    keys: Callable[[], SigningKeys],
) -> None:
    """Add the handlers of `central.requests`."""

    async def reply(event: Event[Any], answer: Message) -> None:
        """Answer the sender. A queue that is gone belongs to a process that is gone: the site will ask again."""
        assert event.reply_to is not None
        logs.add(**told(event.data, answer))
        try:
            await announce(
                topology.REPLIES,
                event.reply_to,
                answer,
                subject=event.subject,
                correlation_id=event.correlation_id or event.id,
            )
        except PublishRefused:
            logs.add(outcome="unheard")
            log.debug("nobody waits for this answer any more")

    @handlers.on(topology.CENTRAL_REQUESTS, SchoolRegister)
    async def on_school_register(event: Event[SchoolRegister]) -> None:
        """Exchange the registration code for an installation id; the installation before is fenced."""
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            answer = await _register(transaction, event)
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionOpen)
    async def on_session_open(event: Event[SessionOpen]) -> None:
        """Grant a session, which ends the one before, with the first page; or say why not, or why not yet."""
        async with database.transaction() as transaction:
            allowed = await kinds(transaction, event)
            if event.data.kind not in allowed:
                raise MessageRefused("MSG-05", f"this user may not open a {event.data.kind}")
            answer = await _open(transaction, event, bounds, counters, keys())
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionFetch)
    async def on_session_fetch(event: Event[SessionFetch]) -> None:
        """Give the page after the cursor."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await _live(transaction, event)
            if school:
                asked = event.data
                if asked.as_of == school.as_of:
                    answer = await _page(transaction, school, asked.cursor, bounds, limit=asked.limit)
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionPush)
    async def on_session_push(event: Event[SessionPush]) -> None:
        """Take a batch, once; a verdict for every change, and with the last batch a page."""
        answer: Message = SessionStale()
        taken: pushing.Taken | None = None
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await _live(transaction, event)
            if school and school.session_kind == "sync":
                taken = await pushing.take(transaction, school, event, today=today())
            if school and taken:
                page = await _page(transaction, taken.school, event.data.cursor, bounds) if event.data.last else None
                answer = SessionResult(
                    batch_no=event.data.batch_no,
                    verdicts=taken.verdicts,
                    head_seq=taken.school.head_seq,
                    page=page,
                )
        if taken and not taken.again:
            counters.pushed(event.data.changes, taken.verdicts, frozenset(SPECS))
            counters.checked("version_known", not taken.strange)
        await reply(event, answer)

    descent.descent_handlers(handlers, database, reply=reply, live=_live, page_bytes=bounds.page_bytes)
    mending.mending_handlers(handlers, database, reply=reply, live=_live, counters=counters, keys=keys)
    recovering.recovering_handlers(
        handlers, database, reply=reply, live=_live, page_bytes=bounds.page_bytes, counters=counters, keys=keys
    )

    @handlers.on(topology.CENTRAL_REQUESTS, SessionVerify)
    async def on_session_verify(event: Event[SessionVerify]) -> None:
        """Say whether both sides are equal, and state it if they are."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await _live(transaction, event)
            if school:
                answer = await _verify(transaction, school, event.data, counters, keys())
        await reply(event, answer)


async def _register(transaction: Transaction, event: Event[SchoolRegister]) -> Message:
    key = (event.subject, event.source, event.id)
    school = await schools.lock(transaction, event.subject)
    answered = await Answers.find(transaction, *key, event.content_hash)
    if answered:
        ((type_name, data),) = answered.messages
        return SCHEMA[type_name].model_validate(data)
    given = code_hash(event.data.code)
    if school is None or not hmac.compare_digest(given, school.registration_code_hash):
        return SessionRefusal(problem=problem("SYN-04"))
    install_id = uuid7()
    number = await schools.install(transaction, event.subject, install_id, site_of(event.sender))
    answer = SchoolRegistered(install_id=install_id, registration_no=number, nama=school.nama)
    await Answers.keep(transaction, *key, event.content_hash, [(answer.type, answer.model_dump())])
    return answer


async def _open(
    transaction: Transaction, event: Event[SessionOpen], bounds: Bounds, counters: Counters, keys: SigningKeys
) -> Message:
    asked = event.data
    school = await schools.lock(transaction, event.subject)
    if school is None:
        return SessionRefusal(problem=problem("SYN-11"))
    refused = admission.not_the_installation(school, asked, site_of(event.sender))
    if refused and (known := await _known_again(transaction, school, event, keys)):
        school, refused = known, None
    refused = refused or versions.misfit(asked, bounds.rules_for_sync)
    if refused:
        return SessionRefusal(problem=refused)
    if (school.session_open_id, school.session_sender) == (event.id, event.sender):
        if school.session_kind != asked.kind:
            raise MessageRefused("MSG-08")
    else:
        states = await receipts.holds(transaction, school.npsn, asked.statement)
        refused = admission.out_of_step(school, asked, states=states)
        counters.checked("nothing_forgotten", refused is None or refused.code != admission.FORGOTTEN)
        if refused:
            return SessionRefusal(problem=refused)
        place = await line.place(transaction, school, bounds.capacity)
        if place:
            counters.deferred(line.CAPACITY)
            return SessionWait(
                retry_at=place.at.isoformat(timespec="seconds"),
                retry_seconds=place.seconds,
                position=place.position,
                reason=line.CAPACITY,
            )
        await line.leave(transaction, school.npsn)
        session = await schools.begin_session(transaction, school.npsn, asked.kind, event.sender, event.id)
        school = replace(school, session=session, session_kind=asked.kind)
        counters.began(asked.kind)
    return SessionGranted(
        session=school.session,
        incarnation=school.incarnation,
        head_seq=school.head_seq,
        lineage=school.lineage,
        limits=Limits(records=bounds.batch_records, bytes=bounds.batch_bytes),
        page=(
            SessionPage(rows=[], cursor=asked.cursor, head_seq=school.head_seq)
            if asked.kind == "recover"
            else await _page(transaction, school, asked.cursor, bounds)
        ),
        mark=school.mark,
        as_of=school.as_of,
        common=admission.shared(school, asked),
    )


async def _known_again(
    transaction: Transaction, school: School, event: Event[SessionOpen], keys: SigningKeys
) -> School | None:
    """The school with the installation that central, put back from a backup, had forgotten; None: it is not that."""
    asked = event.data
    try:
        said = keys.public.verify(asked.proof) if asked.proof else None
    except NotProven:
        return None
    if said is None or not admission.takes_its_place(school, asked, site_of(event.sender), said):
        return None
    named = {"install_id": asked.install_id, "site": site_of(event.sender), "registration_no": said["registration_no"]}
    listed = await recovering.list_older(
        transaction, school, recovering.parted(school, said["lineage"], said["head_seq"])
    )
    await schools.reinstate(transaction, school.npsn, incarnation=said["incarnation"], **named)
    log.warning(
        "an installation that central had forgotten took its place", extra={"npsn": school.npsn, "repaired": listed}
    )
    return replace(school, **named, mark=None, session_kind=None, session_sender=None, session_open_id=None)


async def _live(transaction: Transaction, event: Event[Any]) -> School | None:
    """The school, locked, if this message belongs to its live session; None: the message is stale, as all are of an
    installation that another one has replaced.
    """
    school = await schools.lock(transaction, event.subject)
    if school is None or school.install_id is None:
        return None
    asked: InSession = event.data
    if not school.is_live(asked.session, asked.incarnation, event.sender):
        return None
    await line.heard_of(transaction, school)
    return school


async def _page(
    transaction: Transaction,
    school: School,
    cursor: int,
    bounds: Bounds,
    *,
    limit: int | None = None,
) -> SessionPage:
    records = min(limit or bounds.page_records, bounds.page_records)
    hidden: Mapping[Key, Stored] = {}
    if school.as_of is not None:
        page = await history.page_as_of(
            transaction, school.npsn, school.as_of, cursor, records=records, text_bytes=bounds.page_bytes
        )
    else:
        page = await registry.page(
            transaction, school, cursor, session=school.session, records=records, text_bytes=bounds.page_bytes
        )
        hidden = await history.covered(transaction, school.npsn, page.rows)

    def row(shown: Stored) -> PageRow:
        older = hidden.get((shown.entity, shown.record_id))
        return PageRow(
            entity=shown.entity,
            record_id=shown.record_id,
            version=shown.version,
            seq=shown.seq,
            text=shown.text,
            covers=Covered(version=older.version, seq=older.seq, text=older.text) if older else None,
        )

    return SessionPage(
        rows=[row(shown) for shown in page.rows],
        cursor=page.cursor,
        head_seq=page.head_seq,
    )


async def _verify(
    transaction: Transaction, school: School, asked: SessionVerify, counters: Counters, keys: SigningKeys
) -> Message:
    given = await receipts.find(transaction, school, asked)
    if given:
        return SessionEqual(statement=given.body, jws=given.jws)
    seq = school.head_seq if school.as_of is None else school.as_of
    if asked.cursor < seq:
        return SessionBehind(head_seq=seq)
    if school.as_of is None:
        roots = await registry.roots(transaction, school.npsn)
    else:
        roots = await history.roots_as_of(transaction, school.npsn, seq)
    counters.checked("seq_without_holes", await registry.without_holes(transaction, school))
    counters.compared()
    if not hmac.compare_digest(roots.root, asked.root) or asked.cursor > seq:
        counters.differed()
        own = await descent.past(transaction, school, keys)
        counters.checked("past_as_stated", own.holds)
        return SessionDifferent(
            entities={name: EntityDigest(rows=n, digest=digest.hex()) for name, (n, digest) in roots.entities.items()},
            root=roots.root,
            past_holds=own.holds,
            stated_seq=own.seq,
        )
    as_stated = await _as_stated(transaction, school, seq, roots.root, keys)
    counters.checked("past_as_stated", as_stated)
    if not as_stated:
        log.error("both sides are equal, and not what was signed before", extra={"npsn": school.npsn})
    receipt = _as_synced(school, asked, roots.root, keys)
    statement = await receipts.issue(
        transaction, school, seq, roots, asked, keys, rules_version=RULES_VERSION, receipt=receipt
    )
    await schools.completed(transaction, school, as_synced=receipt is not None)
    return SessionEqual(statement=statement.body, jws=statement.jws)


def _as_synced(school: School, asked: SessionVerify, root: str, keys: SigningKeys) -> dict[str, Any] | None:
    """What the site's last receipt says, if a recover ended on its very root."""
    if school.session_kind != "recover" or asked.receipt is None:
        return None
    try:
        said = keys.public.verify(asked.receipt)
    except NotProven:
        return None
    return said if (said["npsn"], said["kind"], said["root"]) == (school.npsn, "sync", root) else None


async def _as_stated(transaction: Transaction, school: School, seq: int, root: str, keys: SigningKeys) -> bool:
    """Is what central is about to sign of a piece with what it signed before? Two sides may be equal and yet altered:
    over a row that a hand had altered somebody wrote, or a restore took it.
    """
    if await receipts.contradicted(transaction, school, seq, root):
        return False
    last = await receipts.latest_signed(transaction, school.npsn)
    if last is None or last.body["head_seq"] == seq:
        return True  # nothing was written since: what was just compared is what it says
    return (await descent.past(transaction, school, keys)).holds
