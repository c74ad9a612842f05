"""Which OPEN is granted: decided from the school's row and what the site says of itself, without a clock or a database.

An old copy of a replica is known by its marks, a central that forgot by a site that is ahead of it (protocol.md 6).
"""

from __future__ import annotations

from services.central.schools import School
from services.messages import Problem, SessionOpen
from services.problems import problem

FORGOTTEN = "SYN-15"
"""The refusal that is also a violated invariant: central lacks what it had stated or given out."""


def not_the_installation(school: School, asked: SessionOpen, site: str) -> Problem | None:
    """Does somebody else speak than the school's present installation?"""
    if (asked.install_id, site) != (school.install_id, school.site):
        return problem("SYN-06")
    return None


def out_of_step(school: School, asked: SessionOpen, *, states: bool) -> Problem | None:
    """Is the site ahead of central, or an old copy? `states`: does central hold the statement that the site names?

    A restore is not asked for its marks: it makes an old copy new.
    """
    if is_ahead(school, asked, states=states):
        return problem(FORGOTTEN)
    if asked.kind != "restore" and is_old_copy(school, asked):
        return problem("SYN-05")
    return None


def is_ahead(school: School, asked: SessionOpen, *, states: bool) -> bool:
    """Within one incarnation, has the site seen what central has not? Then central forgot without saying so."""
    said = asked.statement
    if said is not None and said.incarnation == school.incarnation and not states:
        return True
    if asked.marks.get(school.incarnation, 0) > school.session:
        return True
    same_life = bool(asked.lineage) and asked.lineage[-1].incarnation == school.incarnation
    return same_life and max(asked.cursor, asked.highest_seq) > school.head_seq


def is_old_copy(school: School, asked: SessionOpen) -> bool:
    """Did this installation send something in a session that this replica knows nothing of?"""
    mark = school.mark
    return mark is not None and asked.marks.get(mark.incarnation, 0) < mark.session
