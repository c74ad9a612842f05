"""A verification: compare, and mend as a sync does, but push nothing: OPEN → FETCH* → VERIFY (docs/protocol.md 4)."""

from __future__ import annotations

from typing import Literal

from services.link import Session
from services.link.repair import prove
from services.messages import VerifyCompleted
from services.syncer.mend import bring


async def verify(session: Session) -> None:
    """Prove that the school and central are equal now, or make them so. Ends the request's row when it completes.

    Raises Refused (central), Failed (not equal), Stale, CentralAway, LeaseLost.
    """
    await session.fetch(await session.open(), first=True)
    statement = await prove(session, bring)
    outcome: Literal["completed", "needs_review"] = "needs_review" if statement["held"] else "completed"
    data = VerifyCompleted(
        cause=session.job.cause,
        kind="verify",
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
