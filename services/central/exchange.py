"""What a site asks of central: register, open, fetch, push, verify (docs/protocol.md 2).

Every request may come again; each is answered from what is stored. The answer is published after the commit.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Callable, Mapping, Sequence
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
from services.central.verifying import verify, verify_early
from services.database import Database, Transaction
from services.entities import SPECS
from services.errors import MessageRefused
from services.intake import Answers
from services.messages import (
    SCHEMA,
    Covered,
    InSession,
    Limits,
    Message,
    PageRow,
    PushedChange,
    SchoolRegister,
    SchoolRegistered,
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

    def count_pushed(changes: Sequence[PushedChange], taken: pushing.Taken | None) -> None:
        """Once it is committed."""
        if taken and not taken.again:
            counters.pushed(changes, taken.verdicts, frozenset(SPECS))
            counters.checked("version_known", not taken.strange)

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
            opened = await _open(transaction, event, bounds, counters, keys(), today())
        count_pushed(event.data.early.changes if event.data.early else [], opened.taken)
        await reply(event, opened.answer)

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
        count_pushed(event.data.changes, taken)
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
                answer = await verify(transaction, school, event.data, counters, keys())
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


@dataclass(frozen=True, slots=True)
class _Opened:
    """The answer to OPEN, and what became of what came with it."""

    answer: Message
    taken: pushing.Taken | None = None


async def _open(
    transaction: Transaction,
    event: Event[SessionOpen],
    bounds: Bounds,
    counters: Counters,
    keys: SigningKeys,
    today: date,
) -> _Opened:
    asked = event.data
    school = await schools.lock(transaction, event.subject)
    if school is None:
        return _Opened(SessionRefusal(problem=problem("SYN-11")))
    refused = admission.not_the_installation(school, asked, site_of(event.sender))
    if refused and (known := await _known_again(transaction, school, event, keys)):
        school, refused = known, None
    refused = refused or versions.misfit(asked, bounds.rules_for_sync)
    if refused:
        return _Opened(SessionRefusal(problem=refused))
    came_before = (school.session_open_id, school.session_sender) == (event.id, event.sender)
    takes_early = False
    if came_before:
        if school.session_kind != asked.kind:
            raise MessageRefused("MSG-08")
    else:
        states = await receipts.holds(transaction, school.npsn, asked.statement)
        refused = admission.out_of_step(school, asked, states=states)
        counters.checked("nothing_forgotten", refused is None or refused.code != admission.FORGOTTEN)
        if refused:
            return _Opened(SessionRefusal(problem=refused))
        place = await line.place(transaction, school, bounds.capacity)
        if place:
            counters.deferred(line.CAPACITY)
            return _Opened(
                SessionWait(
                    retry_at=place.at.isoformat(timespec="seconds"),
                    retry_seconds=place.seconds,
                    position=place.position,
                    reason=line.CAPACITY,
                )
            )
        takes_early = admission.takes_early(school, asked, bounds.batch_records)
        await line.leave(transaction, school.npsn)
        session = await schools.begin_session(transaction, school.npsn, asked.kind, event.sender, event.id)
        school = replace(school, session=session, session_kind=asked.kind)
        counters.began(asked.kind)
    taken, early = await _early(transaction, school, event, counters, keys, today, again=came_before, takes=takes_early)
    school = taken.school if taken else school
    granted = SessionGranted(
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
        tried_taken=None if asked.tried is None else asked.tried == (event.id if taken else school.mark_open_id),
        **early,
    )
    return _Opened(granted, taken)


async def _early(
    transaction: Transaction,
    school: School,
    event: Event[SessionOpen],
    counters: Counters,
    keys: SigningKeys,
    today: date,
    *,
    again: bool,
    takes: bool,
) -> tuple[pushing.Taken | None, dict[str, Any]]:
    """What came with OPEN: taken at once, if central `takes` it, or `again` answered; and what the grant says of it."""
    asked = event.data
    if asked.early is None or not (takes or again):
        return None, {}
    changes, taken = asked.early.changes, None
    if again:
        taken = await pushing.early_again(transaction, school, event, changes)
    elif changes:
        taken = await pushing.take_early(transaction, school, event, changes, today)
    if changes and taken is None:
        return None, {}
    verdicts = taken.verdicts if taken else []
    equal = await verify_early(
        transaction,
        taken.school if taken else school,
        asked.early.claim(school.session, school.incarnation, asked.cursor, verdicts),
        counters,
        keys,
        again=again,
    )
    head = taken.school.head_seq if taken else school.head_seq
    result = SessionResult(batch_no=1, verdicts=verdicts, head_seq=head) if taken else None
    return taken, {"result": result, "equal": equal}


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
