"""A pull: the first half of a sync, and no way to send in it: OPEN → FETCH* → VERIFY (docs/protocol.md 2)."""

from __future__ import annotations

from services.link import Session
from services.link.repair import prove


async def pull(session: Session) -> None:
    """Bring central's updates into the replica, valid or not. Ends the request's row when it completes.

    Raises Refused (central), Failed (not equal), Stale, CentralAway, LeaseLost.
    """
    await session.fetch((await session.open()).page, first=True)
    await session.complete(await prove(session))
