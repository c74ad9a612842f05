"""A reinstalled school returns to exactly its last completed sync: OPEN → FETCH* as of confirmed_seq → VERIFY.

A crash resumes; where confirmed_seq moved meanwhile, it starts over (protocol.md 6).
"""

from __future__ import annotations

from typing import Any

from services import wire
from services.errors import CentralAway
from services.link.session import Session
from services.messages import (
    PROTOCOL_VERSION,
    LineageEntry,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPage,
)
from tests.simulation.site import Replica

PAGE_RECORDS = 1000


async def restore(session: Session) -> None:
    """Bring the school back as it was. Ends the request's row when it completes. Raises as a pull does."""
    replica, job = session.replica, session.job
    assert isinstance(replica, Replica)
    school = await replica.school(job)
    kind: Any = "restore"  # not yet a kind of the messages
    asked = SessionOpen.model_construct(
        install_id=school.install_id,
        kind=kind,
        protocol_version=PROTOCOL_VERSION,
        rules_version="1",
        lineage=[LineageEntry.model_validate(entry) for entry in school.lineage],
        cursor=school.cursor,
        highest_seq=school.highest_seq,
        marks=school.marks,
        clock=wire.now_text(),
        actor=job.actor,
    )
    granted = await session.ask("open", asked)
    assert isinstance(granted, SessionGranted)
    session.number, session.incarnation = granted.session, granted.incarnation
    await replica.begin(job, granted.lineage)
    as_of = granted.page.head_seq
    cursor = await replica.begin_restore(job, as_of, {granted.incarnation: granted.session})
    page = granted.page
    if cursor != school.cursor:
        fetch = SessionFetch(session=session.number, incarnation=session.incarnation, cursor=0, limit=PAGE_RECORDS)
        page = await _page(session, fetch)
    await session.fetch(page, first=False)
    statement = await session.verify()
    await replica.complete(job, outcome="completed", statement=statement, data={})


async def _page(session: Session, asked: SessionFetch) -> SessionPage:
    answer = await session.ask("fetch", asked)
    if not isinstance(answer, SessionPage):
        raise CentralAway(answer.type)
    return answer
