"""A small sync as a whole: its changes go with the OPEN, and what central made of them comes with the grant.

Central takes them from there only if nothing comes before them; else the session goes on as if they had not been sent.
"""

from __future__ import annotations

from services.errors import CentralAway
from services.link import Session
from services.messages import Early, SessionGranted
from services.replica.sessions import Gate
from services.syncer.push import note, pushed


def offer(gate: Gate) -> Early | None:
    """What goes with the OPEN, if anything may."""
    if gate.foreseen is None:
        return None
    changes = [pushed(change) for change in gate.changes]
    return Early(after=gate.foreseen.after, changes=changes, root=gate.foreseen.root)


def is_taken(granted: SessionGranted) -> bool:
    """Has central taken it?"""
    return granted.result is not None or granted.equal is not None


def may_hide(gate: Gate, granted: SessionGranted) -> bool:
    """Is this a central of the release before, which does not say what became of the changes? It may answer an OPEN
    that comes again and that a newer one has taken: then its pages hide, as of this very session, what the site has yet
    to see. [trap]
    """
    return bool(gate.changes) and granted.result is None and granted.tried_taken is None


async def take(session: Session, gate: Gate, offered: Early, granted: SessionGranted) -> bool:
    """Store what central made of it; is that the end of the session? Raises Failed, CentralAway, LeaseLost."""
    assert gate.opening is not None
    verdicts = granted.result.verdicts if granted.result else []
    if len(verdicts) != len(gate.changes):
        raise CentralAway(f"answered {len(gate.changes)} changes with {len(verdicts)} verdicts")
    note(session, gate.changes, verdicts)
    completion = None
    if granted.equal is not None:
        session.compared()
        claim = offered.claim(session.number, session.incarnation, gate.opening.school.cursor, verdicts)
        completion = session.completion(session.believed(granted.equal, claim), review=session.is_to_review)
    has_ended = await session.replica.absorb_early(session.job, gate.changes, granted, completion)
    await session.took(granted.page)
    return has_ended
