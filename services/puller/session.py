"""A pull: the first half of a sync, and no way to send in it: OPEN → FETCH* → VERIFY (docs/protocol.md 2)."""

from __future__ import annotations

from typing import Literal

from services.link import Session
from services.link.repair import prove
from services.messages import PullCompleted


async def pull(session: Session) -> None:
    """Bring central's updates into the replica, valid or not. Ends the request's row when it completes.

    Raises Refused (central), Failed (not equal), Stale, CentralAway, LeaseLost.
    """
    await session.fetch(await session.open(), first=True)
    statement = await prove(session)
    outcome: Literal["completed", "needs_review"] = "needs_review" if statement["held"] else "completed"
    data = PullCompleted(
        cause=session.job.cause,
        kind="pull",
        outcome=outcome,
        received=session.progress.received,
        sent=0,
        verdicts={},
        receipt=statement,
        unsent=statement["unsent"],
        jws=session.jws,
        repaired=session.repaired,
    )
    await session.replica.complete(
        session.job, outcome=outcome, statement=statement, jws=session.jws, data=data.model_dump()
    )
