"""A sync, from the gate to the receipt: OPEN → FETCH* → gate → PUSH* → FETCH* → VERIFY (docs/protocol.md 2).

Few changes go with the OPEN, and if central has nothing new, all is done with its answer.
"""

from __future__ import annotations

from services.link import RecoverFirst, Refused, Session
from services.link.repair import prove
from services.replica.sessions import Gate
from services.syncer import early
from services.syncer.mend import bring
from services.syncer.push import push


async def sync(session: Session) -> None:
    """Make the school and central equal, both ways, and prove it. Ends the request's row when it completes.

    Raises Refused (the gate, or central), RecoverFirst, Failed (not equal), Stale, CentralAway, LeaseLost.
    """
    replica, job = session.replica, session.job
    looked = await replica.look(job)
    if looked.opening is not None and looked.opening.is_recovering:
        raise RecoverFirst  # whatever the gate says
    _passes(looked)
    offered = early.offer(looked)
    granted = await session.open(looked.opening, early=offered, id=looked.open_id)
    if early.may_hide(looked, granted):
        granted = await session.open()
    if offered is not None and early.is_taken(granted):
        if await early.take(session, looked, offered, granted):
            return
    else:
        last = await session.fetch_to_last(granted.page, first=True)
        gate = await replica.gate(
            job, incarnation=session.incarnation, session=session.number, mark=granted.mark, last=last
        )
        await session.took(last, arrived=gate.arrived)
        page = await push(session, _passes(gate).changes)
        if page is not None:
            await session.fetch(page, first=False)
    await session.complete(await prove(session, bring), review=session.is_to_review)


def _passes(gate: Gate) -> Gate:
    if gate.problem is not None:
        raise Refused(gate.problem, gate.findings)
    return gate
