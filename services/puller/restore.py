"""A restore: what is here goes, and central's state of the last completed sync comes (docs/protocol.md 6).

OPEN → FETCH* as of confirmed_seq → VERIFY as of it. It can be killed anywhere: the next attempt goes on, or starts over
if central's last completed sync, or its life, is another one by then.
"""

from __future__ import annotations

from services.link import Refused, Session
from services.problems import problem
from services.replica import restoring


async def restore(session: Session) -> None:
    """Bring back exactly the last completed sync. Ends the request's row when it completes.

    Raises Refused (central, or the school changed since what would be lost was listed), Failed, Stale, CentralAway,
    LeaseLost.
    """
    requests = session.replica.requests
    opened_at = await restoring.opening_cursor(requests, session.job)
    granted = await session.granted(opened_at)
    try:
        cursor = await restoring.begin(requests, session.job, granted)
    except restoring.ListMoved:
        raise Refused(problem("SYN-16")) from None
    await session.fetch(granted.page if cursor == opened_at else await session.fetch_one(cursor), first=True)
    await session.complete(await session.verify())
