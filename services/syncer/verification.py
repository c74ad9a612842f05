"""A verification: compare, and mend as a sync does, but push nothing: OPEN → FETCH* → VERIFY (docs/protocol.md 4)."""

from __future__ import annotations

from services.link import Session
from services.link.repair import prove
from services.syncer.mend import bring


async def verify(session: Session) -> None:
    """Prove that the school and central are equal now, or make them so. Ends the request's row when it completes.

    Raises Refused (central), Failed (not equal), Stale, CentralAway, LeaseLost.
    """
    await session.fetch((await session.open()).page, first=True)
    await session.complete(await prove(session, bring))
