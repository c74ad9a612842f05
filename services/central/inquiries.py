"""What officers ask of a school's past: its records as of a moment, or what changed from one moment to another.

The answer holds people's data, so it goes to nobody but who asked: to `reply_to`, like an answer to a site. Nothing is
written; the same question again is answered again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from services import logs, topology
from services.broker import Handlers, PublishRefused
from services.central import history, moments
from services.central.administration import Refused
from services.central.history import Change
from services.central.moments import Point
from services.central.speaking import Announce
from services.central.telling import told
from services.database import Database, Transaction
from services.errors import MessageRefused
from services.intake import Accounts
from services.messages import (
    HistoryAnswered,
    HistoryRefused,
    HistoryRequested,
    HistoryRow,
    Message,
    MomentSaid,
)
from services.problems import problem
from services.signing import PublicKeys
from services.wire import Event

log = logging.getLogger(__name__)


def inquiry_handlers(
    handlers: Handlers, database: Database, announce: Announce, *, page_bytes: int, keys: Callable[[], PublicKeys]
) -> None:
    """Add the handler of questions on `central.officers`. `page_bytes`: of canonical text in one answer, at most."""

    @handlers.on(topology.CENTRAL_OFFICERS, HistoryRequested)
    async def on_history_requested(event: Event[HistoryRequested]) -> None:
        """Give a page of a school's past, or say why not."""
        if event.routing_key != f"history.{event.subject}":
            raise MessageRefused("MSG-06")
        if not (event.reply_to or "").startswith(f"{event.sender}."):
            raise MessageRefused("MSG-05", "reply_to does not begin with the sender's name")
        answer: Message
        try:
            async with database.snapshot() as transaction:
                answer = await _answer(transaction, event, page_bytes, keys)
        except Refused as refused:
            answer = HistoryRefused(problem=refused.problem)
        logs.add(**told(event.data, answer))
        assert event.reply_to is not None
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


async def _answer(
    transaction: Transaction, event: Event[HistoryRequested], page_bytes: int, keys: Callable[[], PublicKeys]
) -> HistoryAnswered:
    asked = event.data
    account = await Accounts.read(transaction, event.sender, event.subject)
    if account is None or "officer" not in account.acts_as(asked.actor.role if asked.actor else None):
        raise Refused(problem("PUSAT-03"))

    async def located(text: str) -> Point:
        return await moments.locate(transaction, event.subject, moments.parse(text), held=asked.held, keys=keys)

    point = await located(asked.as_of)
    since = None if asked.since is None else await located(asked.since)
    if since is not None and since.seq > point.seq:
        raise Refused(problem("PUSAT-18", since=str(since.seq), seq=str(point.seq)))
    page = await history.between(
        transaction,
        event.subject,
        since.seq if since else 0,
        point.seq,
        cursor=asked.cursor,
        entity=asked.entity,
        records=asked.limit,
        text_bytes=page_bytes,
    )
    first = asked.cursor == 0
    roots = await history.roots_as_of(transaction, event.subject, point.seq) if first else None
    return HistoryAnswered(
        as_of=said(point),
        since=said(since) if since else None,
        root=roots.root if roots else None,
        counts=roots.counts if roots else None,
        rows=[_row(change, since is not None) for change in page.rows],
        cursor=page.cursor,
        complete=page.complete,
    )


def said(point: Point) -> MomentSaid:
    """A moment as an answer says it."""
    by, gap = point.by, point.forgotten
    return MomentSaid(
        seq=point.seq,
        meaning=point.meaning,
        session=by.session if by else None,
        signed_at=by.time if by else None,
        signed_root=by.root if by else None,
        back_from=point.back_from,
        forgotten_since=gap.known_until.isoformat() if gap and gap.known_until else None,
        forgotten_until=gap.until.isoformat() if gap else None,
    )


def _row(change: Change, is_change: bool) -> HistoryRow:
    stored, before = change.after.stored, change.before
    return HistoryRow(
        entity=stored.entity,
        record_id=stored.record_id,
        version=stored.version,
        seq=stored.seq,
        text=stored.text,
        written_by=change.after.by,
        written_session=change.after.session,
        written_at=change.after.at.isoformat(),
        old_version=(before.version if before else 0) if is_change else None,
        old_text=before.text if before else None,
    )
