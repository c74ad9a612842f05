"""Which OPEN is granted: decided from the school's row and what the site says of itself, without a clock or a database.

An old copy of a replica is known by its marks, a central that forgot by a site that is ahead of it, a central that was
put back by the two lineages (protocol.md 6).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from services.central.schools import School
from services.exchange.lineage import Life, common
from services.messages import Problem, SessionOpen
from services.problems import problem

FORGOTTEN = "SYN-15"
"""The refusal that is also a violated invariant: central lacks what it had stated or given out."""


def not_the_installation(school: School, asked: SessionOpen, site: str) -> Problem | None:
    """Does somebody else speak than the school's present installation?"""
    if school.install_id is None:
        return problem("SYN-11")
    if (asked.install_id, site) != (school.install_id, school.site):
        return problem("SYN-06")
    return None


def takes_its_place(school: School, asked: SessionOpen, site: str, said: Mapping[str, Any]) -> bool:
    """Is this the installation that a central which was put back has forgotten? `said`: what central signed for it, at
    this very site; a receipt is nobody's secret.

    It came after the one that central knows, and that one was not registered since the two histories parted.
    """
    number = said.get("registration_no")
    lived = {life["incarnation"] for life in said["lineage"]}
    return (
        (said["npsn"], said["install_id"], said.get("site")) == (school.npsn, asked.install_id, site)
        and said["incarnation"] != school.incarnation
        and isinstance(number, int)
        and number > school.registration_no
        and (school.registered_incarnation is None or school.registered_incarnation in lived)
    )


def out_of_step(school: School, asked: SessionOpen, *, states: bool) -> Problem | None:
    """Is the site ahead of central, an old copy, or to recover first? `states`: does central hold the statement that
    the site names?

    A restore is not asked for its marks: it makes an old copy new.
    """
    if is_ahead(school, asked, states=states):
        return problem(FORGOTTEN)
    if asked.kind != "restore" and is_old_copy(school, asked):
        return problem("SYN-05")
    if asked.kind not in ("restore", "recover") and must_recover(school, asked):
        return problem("SYN-14")
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
    """Did this installation send something in a session that this replica knows nothing of?

    Of what it sent with an OPEN it knows that OPEN, and the session once it has heard the answer.
    """
    mark = school.mark
    if mark is None or (asked.tried is not None and asked.tried == school.mark_open_id):
        return False
    return asked.marks.get(mark.incarnation, 0) < mark.session


def takes_early(school: School, asked: SessionOpen, most_records: int) -> bool:
    """May what came with this OPEN be taken at once? Only if there is nothing that the site has to hear of before; and
    if no session began since the site sent it, which may have taken an OPEN that is late for lost. `school`: as it is
    before this session begins.
    """
    return (
        asked.early is not None
        and asked.kind == "sync"
        and asked.early.after == school.session
        and asked.lineage == school.lineage
        and asked.cursor == school.head_seq
        and len(asked.early.changes) <= most_records
    )


def must_recover(school: School, asked: SessionOpen) -> bool:
    """Has central forgotten something that the site has seen, in a life that has ended?"""
    return max(asked.cursor, asked.highest_seq) > shared(school, asked)


def shared(school: School, asked: SessionOpen) -> int:
    """The highest seq that the site's history and central's have in common."""
    theirs = [Life(entry.incarnation, entry.head_seq) for entry in asked.lineage]
    return common(theirs, max(asked.cursor, asked.highest_seq), school.lives, school.head_seq)
