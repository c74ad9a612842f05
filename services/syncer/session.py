"""A sync, from the gate to the receipt: OPEN → FETCH* → gate → PUSH* → FETCH* → VERIFY (docs/protocol.md 2)."""

from __future__ import annotations

from services.link import RecoverFirst, Refused, Session
from services.link.repair import prove
from services.replica.sessions import Gate
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
    last = await session.fetch_to_last(await session.open(looked.opening), first=True)
    gate = await replica.gate(job, incarnation=session.incarnation, session=session.number, last=last)
    await session.took(last)
    _passes(gate)
    page = await push(session, gate.changes)
    if page is not None:
        await session.fetch(page, first=False)
    statement = await prove(session, bring)
    await session.complete(statement, review=session.verdicts["conflict"] + session.verdicts["refused"] > 0)


def _passes(gate: Gate) -> Gate:
    if gate.problem is not None:
        raise Refused(gate.problem, gate.findings)
    return gate
