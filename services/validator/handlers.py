"""What the validator takes from the broker: operators' changes and decisions, and requests to judge a school.

Claim, decide, write, commit, announce; the acknowledgement comes after. A redelivered event finds its answer stored and
announces it again, under the same id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from datetime import date
from typing import Any

from services import topology
from services.broker import Delivery, Handlers, Publisher
from services.database import Database, Transaction
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
    ValidationCompleted,
    ValidationRequested,
)
from services.problems import problem
from services.replica import changes
from services.replica.judging import Verdict, judge
from services.validator.answering import announce, asked_by, asked_in
from services.wire import Event

ROLE = "operator"
"""Whose changes the validator takes."""
TakeIn = Callable[[Transaction, str], Awaitable[changes.TakenIn]]
"""Store what an event asks, as the person who asks it."""


def handlers(
    replica: Database,
    publisher: Publisher,
    today: Callable[[], date],
    judged: Callable[[Verdict], None] = lambda _verdict: None,
) -> Handlers:
    """The validator's handlers. `today` is the date it judges by; `judged` is told each verdict that was asked for."""
    take = Handlers()

    @take.on(topology.VALIDATOR_CHANGES, ChangeSubmitted)
    async def on_change_submitted(event: Event[ChangeSubmitted]) -> None:
        """Take an operator's changes into the replica and say what the rules think of them."""
        await _take(event, lambda t, actor: changes.take_in(t, event.subject, event.data.changes, today(), actor))

    @take.on(topology.VALIDATOR_CHANGES, ConflictDecided)
    async def on_conflict_decided(event: Event[ConflictDecided]) -> None:
        """Take an operator's decisions of conflicts into the replica and say what the rules think of it now."""
        await _take(
            event, lambda t, actor: changes.take_decisions(t, event.subject, event.data.decisions, today(), actor)
        )

    async def _take(event: Event[ChangeSubmitted] | Event[ConflictDecided], work: TakeIn) -> None:
        _one_school(event, "change")
        async with replica.transaction() as transaction:
            account = await _speaks_for(transaction, event.sender, event.subject)
            answer = await _answer(transaction, event, account, work)
        await announce(publisher, asked_by(event), answer)

    async def _answer(
        transaction: Transaction,
        event: Event[ChangeSubmitted] | Event[ConflictDecided],
        account: Account,
        work: TakeIn,
    ) -> Sequence[Message]:
        cause = _cause(event)
        if not await changes.lock(transaction, event.subject):
            return [ChangeRejected(cause=cause, problems=[problem("UBAH-08")])]
        key = (event.subject, event.source, event.id, event.content_hash)
        try:
            before = await Answers.find(transaction, *key)
        except MessageRefused as refused:
            return [ChangeRejected(cause=cause, problems=[problem(refused.code)])]
        if before is not None:
            return [SCHEMA[name].model_validate(data) for name, data in before.messages]
        if ROLE not in account.acts_as(_role(event.data.actor)):
            return [ChangeRejected(cause=cause, problems=[problem("UBAH-11")])]
        answer = _said(cause, await work(transaction, _actor(event.data.actor, account)))
        await Answers.keep(transaction, *key, [(message.type, message.model_dump()) for message in answer])
        return answer

    @take.on(topology.VALIDATOR_REQUESTS, ValidationRequested)
    async def on_validation_requested(event: Event[ValidationRequested]) -> None:
        """Judge the school as it is now, and say what was found."""
        _one_school(event, "validate")
        async with replica.transaction() as transaction:
            await _speaks_for(transaction, event.sender, event.subject)
            answer = await _verdict(transaction, event)
        await announce(publisher, asked_by(event), [answer])

    async def _verdict(transaction: Transaction, event: Event[ValidationRequested]) -> Message:
        if not await changes.lock(transaction, event.subject):
            return ChangeRejected(cause=_cause(event), problems=[problem("UBAH-08")])
        verdict = await judge(transaction, event.subject, today())
        judged(verdict)
        return ValidationCompleted(
            cause=_cause(event),
            revision=verdict.revision,
            rules_version=verdict.rules_version,
            date=verdict.date.isoformat(),
            findings=verdict.by_rule(),
            counts=await changes.counts(transaction, event.subject, verdict),
        )

    @take.on_refused(topology.VALIDATOR_CHANGES)
    async def on_change_refused(delivery: Delivery, refused: MessageRefused) -> None:
        """Tell the school that a message of its own could not be taken; quarantine keeps it all the same."""
        asked = asked_in(delivery)
        if asked is None:
            return
        async with replica.transaction() as transaction:
            if await Accounts.read(transaction, delivery.sender, asked.npsn) is None:
                return
        why = _why(refused)
        cause = Cause(source=asked.source, id=asked.id)
        await announce(publisher, asked, [ChangeRejected(cause=cause, problems=[why])])

    return take


def _one_school(event: Event[Any], verb: str) -> None:
    """The broker checks who may use a routing key; so what the body says must be what the key says."""
    if event.routing_key != f"{verb}.{event.subject}":
        raise MessageRefused("MSG-06")


async def _speaks_for(transaction: Transaction, sender: str, npsn: str) -> Account:
    account = await Accounts.read(transaction, sender, npsn)
    if account is None:
        raise MessageRefused("MSG-05")
    return account


def _cause(event: Event[Any]) -> Cause:
    return Cause(source=event.source, id=event.id)


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


def _why(refused: MessageRefused) -> Problem:
    """The refusal in words; `detail` begins with the field where one is at fault."""
    field, separator, _ = refused.detail.partition(": ")
    named = field if separator and refused.code == "MSG-09" else None
    return problem(refused.code, field=named, detail=refused.detail)
