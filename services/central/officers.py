"""Officers' changes: add, correct, confirm or remove records of one school; all of an event or nothing.

Officers correct partial data, so the rules' findings do not stop them: the school sees them after its next pull.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence

from services import logs, topology
from services.broker import Handlers
from services.central import registry, revising, schools
from services.central.registry import NewVersion
from services.central.speaking import Announce
from services.central.telling import told
from services.database import Database, Transaction
from services.entities import NAMESPACE
from services.errors import MessageRefused
from services.intake import Accounts, Answers
from services.messages import (
    SCHEMA,
    Cause,
    Message,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    OfficerChangeSubmitted,
    OfficerWritten,
    Problem,
    Rejected,
)
from services.problems import problem
from services.wire import Event

_KEYS = {OfficerChangeAccepted.type: "accepted", OfficerChangeRejected.type: "rejected"}


def officer_handlers(handlers: Handlers, database: Database, announce: Announce) -> None:
    """Add the handler of `central.officers`."""

    @handlers.on(topology.CENTRAL_OFFICERS, OfficerChangeSubmitted)
    async def on_officer_change_submitted(event: Event[OfficerChangeSubmitted]) -> None:
        """Write what an officer changed, or say of each change why not."""
        if event.routing_key != f"change.{event.subject}":
            raise MessageRefused("MSG-06")
        async with database.transaction() as transaction:
            answer = await _answer(transaction, event)
        logs.add(**told(event.data, answer))
        await announce(
            topology.OFFICERS,
            f"{_KEYS[answer.type]}.{event.subject}",
            answer,
            subject=event.subject,
            id=_answer_id(event, answer),
            mandatory=False,
        )


async def _answer(transaction: Transaction, event: Event[OfficerChangeSubmitted]) -> Message:
    """The answer to an event, given before or now. What a stranger asks is answered, not remembered."""
    actor = event.data.actor
    account = await Accounts.read(transaction, event.sender, event.subject)
    if account is None or "officer" not in account.acts_as(actor.role if actor else None):
        return _rejected(event, [problem("PUSAT-03")])
    school = await schools.lock(transaction, event.subject)
    if school is None:
        return _rejected(event, [problem("PUSAT-04")])
    key = (event.subject, event.source, event.id)
    answered = await Answers.find(transaction, *key, event.content_hash)
    if answered:
        ((type_name, data),) = answered.messages
        return SCHEMA[type_name].model_validate(data)
    by = actor.id if actor and account.names_people else event.sender
    answer = await _write(transaction, school, event, by)
    await Answers.keep(transaction, *key, event.content_hash, [(answer.type, answer.model_dump())])
    return answer


async def _write(
    transaction: Transaction, school: schools.School, event: Event[OfficerChangeSubmitted], by: str
) -> Message:
    revision = await revising.revise(transaction, school.npsn, event.data.changes)
    if revision.problems:
        return OfficerChangeRejected(
            cause=_cause(event),
            changes=[
                Rejected(index=index, entity=change.entity, record_id=change.record_id, problems=problems)
                for index, change in enumerate(event.data.changes)
                if (problems := revision.problems.get(index))
            ],
        )
    written = await registry.write(
        transaction,
        school,
        [
            NewVersion(draft.entity, draft.record_id, draft.version, draft.text)
            for draft in revision.drafts.values()
            if draft.moved
        ],
        by=by,
        session=None,
    )
    now = {key: (draft.version, draft.seq) for key, draft in revision.drafts.items()}
    now |= {(stored.entity, stored.record_id): (stored.version, stored.seq) for stored in written}
    changes = []
    for change in event.data.changes:
        version, seq = now[change.entity, change.record_id]
        changes.append(OfficerWritten(entity=change.entity, record_id=change.record_id, version=version, seq=seq))
    return OfficerChangeAccepted(
        cause=_cause(event), changes=changes, head_seq=written[-1].seq if written else school.head_seq
    )


def _rejected(event: Event[OfficerChangeSubmitted], problems: Sequence[Problem]) -> OfficerChangeRejected:
    return OfficerChangeRejected(cause=_cause(event), problems=list(problems))


def _cause(event: Event[OfficerChangeSubmitted]) -> Cause:
    return Cause(source=event.source, id=event.id)


def _answer_id(event: Event[OfficerChangeSubmitted], answer: Message) -> str:
    """The same event's answer has the same id, however often it is announced."""
    return str(uuid.uuid5(NAMESPACE, "\x1f".join((event.subject, event.source, event.id, answer.type))))
