"""How a request for a session becomes a row: who asks, may they, and is the school here; the same for both kinds."""

from __future__ import annotations

from services.database import Database
from services.errors import MessageRefused
from services.intake import Accounts
from services.link.workers import Workers
from services.messages import Cause, PullRequested, SyncRequested
from services.problems import problem
from services.replica.requests import Requests
from services.wire import Event


async def take_request(
    event: Event[SyncRequested] | Event[PullRequested],
    *,
    role: str,
    database: Database,
    requests: Requests,
    workers: Workers,
) -> None:
    """Store the request and wake a worker. It may wait for hours, so the message is acknowledged once the row is there.

    Raises MessageRefused MSG-05 or MSG-06. Who lacks `role` is refused with SYN-02, a school that is not here with
    SYN-11;
    the same event again announces its end again.
    """
    npsn = event.subject
    if event.routing_key != f"{workers.kind}.{npsn}":
        raise MessageRefused("MSG-06")
    account = await Accounts(database).of(event.sender, npsn)
    if account is None:
        raise MessageRefused("MSG-05")
    person = event.data.actor
    named = person if person is not None and account.names_people else None
    actor = named.id if named else event.sender
    why = None
    if role not in account.acts_as(named.role if named else None):
        why = problem("SYN-02")
    elif not await requests.is_registered(npsn):
        why = problem("SYN-11")
    request = await requests.ask(
        npsn,
        workers.kind,
        source=event.source,
        event_id=event.id,
        actor=actor,
        refused=workers.refusal(Cause(source=event.source, id=event.id), why) if why else None,
    )
    await workers.announce_end(request)
    workers.wake()
