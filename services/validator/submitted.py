"""One operator's event, in a transaction that holds the lock on the school's row: answered, or parked for later."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Any

from services.database import Transaction
from services.errors import MessageRefused
from services.intake import Account, Accounts, Answers
from services.messages import (
    SCHEMA,
    Actor,
    Cause,
    ChangeAccepted,
    ChangeRejected,
    ChangeSubmitted,
    ConflictDecided,
    Message,
    Problem,
)
from services.problems import problem
from services.replica import asking, changes, parking
from services.wire import Event

ROLE = "operator"
"""Whose changes the validator takes."""
Submitted = Event[ChangeSubmitted] | Event[ConflictDecided]
"""An operator's changes, or decisions of conflicts."""


async def speaks_for(transaction: Transaction, sender: str, npsn: str) -> Account:
    """What the sender may do at the school. Raises MessageRefused MSG-05: nothing."""
    account = await Accounts.read(transaction, sender, npsn)
    if account is None:
        raise MessageRefused("MSG-05")
    return account


def not_registered(event: Event[Any]) -> Sequence[Message]:
    """The answer of a site that has not this school."""
    return [ChangeRejected(cause=cause_of(event), problems=[problem("UBAH-08")])]


async def take_in(transaction: Transaction, event: Submitted, account: Account, today: date) -> Sequence[Message]:
    """Store what may be stored, once, and say what became of it."""
    cause = cause_of(event)
    key = (event.subject, event.source, event.id, event.content_hash)
    try:
        before = await Answers.find(transaction, *key)
    except MessageRefused as refused:
        return [ChangeRejected(cause=cause, problems=[problem(refused.code)])]
    if before is not None:
        return [SCHEMA[name].model_validate(data) for name, data in before.messages]
    if ROLE not in account.acts_as(_role(event.data.actor)):
        return [ChangeRejected(cause=cause, problems=[problem("UBAH-11")])]
    asked, actor = event.data, _actor(event.data.actor, account)
    if isinstance(asked, ConflictDecided):
        taken = await changes.take_decisions(transaction, event.subject, asked.decisions, today, actor)
    else:
        taken = await changes.take_in(transaction, event.subject, asked.changes, today, actor)
    answer = _said(cause, taken)
    await Answers.keep(
        transaction, *key, [(message.type, message.model_dump()) for message in answer], revision=taken.revision
    )
    await asking.say_answered(transaction, event.subject)
    return answer


async def park(transaction: Transaction, event: Submitted) -> None:
    """Keep the event until its school's restore is complete; it may be acknowledged then."""
    await parking.park(
        transaction,
        event.subject,
        source=event.source,
        id=event.id,
        content_hash=event.content_hash,
        sender=event.sender,
        routing_key=event.routing_key,
        type=event.type,
        data=event.data.model_dump(),
    )


def cause_of(event: Event[Any]) -> Cause:
    """The event that is answered."""
    return Cause(source=event.source, id=event.id)


def why(refused: MessageRefused) -> Problem:
    """The refusal in words; `detail` begins with the field where one is at fault."""
    field, separator, _ = refused.detail.partition(": ")
    named = field if separator and refused.code == "MSG-09" else None
    return problem(refused.code, field=named, detail=refused.detail)


def _role(actor: Actor | None) -> str | None:
    return None if actor is None else actor.role


def _actor(actor: Actor | None, account: Account) -> str:
    """The person behind an event, as it is logged."""
    return actor.id if actor is not None and account.names_people else account.user_name


def _said(cause: Cause, taken: changes.TakenIn) -> list[Message]:
    """The answer: at most one event of each kind."""
    answer: list[Message] = []
    if taken.stored:
        answer.append(ChangeAccepted(cause=cause, changes=taken.stored, revision=taken.revision, counts=taken.counts))
    if taken.rejected:
        answer.append(ChangeRejected(cause=cause, changes=taken.rejected, counts=taken.counts))
    return answer
