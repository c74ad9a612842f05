"""What the validator takes from the broker: operators' changes and decisions, and requests to judge a school.

Claim, decide, write, commit, announce; the acknowledgement comes after. A redelivered event finds its answer stored and
announces it again, under the same id.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from typing import Any

from services import logs, topology
from services.broker import Delivery, Handlers, Publisher
from services.database import Database, Transaction
from services.errors import MessageRefused
from services.intake import Accounts
from services.messages import (
    Cause,
    ChangeRejected,
    ChangeSubmitted,
    ConflictDecided,
    Message,
    ValidationCompleted,
    ValidationRequested,
)
from services.problems import problem
from services.replica import changes, parking
from services.replica.judging import Verdict, judge
from services.validator.answering import announce, asked_by, asked_in
from services.validator.submitted import Submitted, cause_of, not_registered, park, speaks_for, take_in, why
from services.wire import Event


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
        await _take(event)

    @take.on(topology.VALIDATOR_CHANGES, ConflictDecided)
    async def on_conflict_decided(event: Event[ConflictDecided]) -> None:
        """Take an operator's decisions of conflicts into the replica and say what the rules think of it now."""
        await _take(event)

    async def _take(event: Submitted) -> None:
        _one_school(event, "change")
        async with replica.transaction() as transaction:
            account = await speaks_for(transaction, event.sender, event.subject)
            if not await changes.lock(transaction, event.subject):
                answer = not_registered(event)
            elif await parking.must_wait(transaction, event.subject):
                await park(transaction, event)
                logs.add(outcome="parked")
                answer = []
            else:
                answer = await take_in(transaction, event, account, today())
        await announce(publisher, asked_by(event), answer)

    @take.on(topology.VALIDATOR_REQUESTS, ValidationRequested)
    async def on_validation_requested(event: Event[ValidationRequested]) -> None:
        """Judge the school as it is now, and say what was found."""
        _one_school(event, "validate")
        async with replica.transaction() as transaction:
            await speaks_for(transaction, event.sender, event.subject)
            answer = await _verdict(transaction, event)
        await announce(publisher, asked_by(event), [answer])

    async def _verdict(transaction: Transaction, event: Event[ValidationRequested]) -> Message:
        if not await changes.lock(transaction, event.subject):
            return ChangeRejected(cause=cause_of(event), problems=[problem("UBAH-08")])
        if await parking.must_wait(transaction, event.subject):
            return ChangeRejected(cause=cause_of(event), problems=[problem("SYN-19")])
        verdict = await judge(transaction, event.subject, today())
        judged(verdict)
        return ValidationCompleted(
            cause=cause_of(event),
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
        cause = Cause(source=asked.source, id=asked.id)
        await announce(publisher, asked, [ChangeRejected(cause=cause, problems=[why(refused)])])

    return take


def _one_school(event: Event[Any], verb: str) -> None:
    """The broker checks who may use a routing key; so what the body says must be what the key says."""
    if event.routing_key != f"{verb}.{event.subject}":
        raise MessageRefused("MSG-06")
