"""How a request for a session becomes a row: who asks, may they, and is the school here; the same for every kind."""

from __future__ import annotations

from services import logs, tracing
from services.database import Database
from services.errors import MessageRefused
from services.intake import Accounts
from services.link.workers import Workers
from services.messages import Kind, PullRequested, RestoreRequested, SyncRequested, VerifyRequested
from services.problems import problem
from services.replica import asking
from services.replica.asking import Wanted
from services.wire import Event

Requested = Event[SyncRequested] | Event[PullRequested] | Event[RestoreRequested] | Event[VerifyRequested]


async def take_request(
    event: Requested,
    *,
    role: str,
    lacking: str,
    database: Database,
    workers: Workers,
) -> None:
    """Store the request and wake a worker. It may wait for hours, so the message is acknowledged once the row is there.

    Raises MessageRefused MSG-05 or MSG-06. Who lacks `role` is refused with the code `lacking`, a school that is not
    here with SYN-11; the same event again announces its end again.
    """
    npsn = event.subject
    if event.routing_key != f"{workers.kind}.{npsn}":
        raise MessageRefused("MSG-06")
    traceparent = tracing.traceparent()
    async with database.transaction() as transaction:
        account = await Accounts.read(transaction, event.sender, npsn)
        if account is None:
            raise MessageRefused("MSG-05")
        person = event.data.actor if account.names_people else None
        wanted = _wanted(event, workers.kind, person.id if person else event.sender, traceparent)
        why = None
        if role not in account.acts_as(person.role if person else None):
            why = problem(lacking)
        elif not await asking.is_registered(transaction, npsn):
            why = problem("SYN-11")
        logs.add(kind=wanted.kind, request=wanted.id, code=why and why.code)
        asked = await workers.store(transaction, wanted, why)
    await workers.accept(wanted, asked, why)


def _wanted(event: Requested, kind: Kind, actor: str, traceparent: str | None) -> Wanted:
    asked = event.data
    return Wanted(
        event.subject,
        kind,
        event.source,
        event.id,
        actor,
        revision=asked.revision if isinstance(asked, RestoreRequested) else None,
        after=() if isinstance(asked, RestoreRequested | VerifyRequested) else tuple(asked.after),
        correlation=event.correlation,
        traceparent=traceparent,
    )
