"""How the validator answers: on `selaras.events`, to whoever listens, under ids that follow from what is answered."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import TypeAdapter, ValidationError

from services import logs, topology, wire
from services.broker import Delivery, Publisher
from services.errors import MessageRefused
from services.messages import ChangeAccepted, ChangeRejected, Message, Npsn, Text, ValidationCompleted
from services.wire import Event

KEYS = {
    ChangeAccepted.type: "accepted",
    ChangeRejected.type: "rejected",
    ValidationCompleted.type: "validated",
}
"""The first word of each answer's routing key; the school's npsn is the second."""
LARGEST_LOOKED_INTO_BYTES = wire.EXCHANGE_BODY_BYTES
"""A message that is too large is still opened this far to see whom to tell."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What an answer is about: the school, the event by its source and id, a hash of what the event said, and what all
    that follows from it is found by.
    """

    npsn: str
    source: str
    id: str
    content: bytes
    correlation: str

    def answer_id(self, kind: str) -> str:
        """The same event again is answered under the same id."""
        return str(
            uuid.uuid5(uuid.NAMESPACE_OID, "\x1f".join((self.npsn, self.source, self.id, self.content.hex(), kind)))
        )


async def announce(publisher: Publisher, asked: Asked, answer: Sequence[Message]) -> None:
    """Say it; it is durable already. Returns when the broker has confirmed every message."""
    logs.add(npsn=asked.npsn, correlation=asked.correlation)
    for message in answer:
        logs.add(**_told(message))
        await publisher.announce(
            topology.EVENTS,
            f"{KEYS[message.type]}.{asked.npsn}",
            message,
            subject=asked.npsn,
            id=asked.answer_id(message.type),
            mandatory=False,
        )


def _told(message: Message) -> dict[str, Any]:
    """What the log says of an answer."""
    if isinstance(message, ChangeAccepted):
        return {"stored": len(message.changes)}
    if isinstance(message, ChangeRejected):
        problems = message.problems or [p for change in message.changes for p in change.problems]
        return {"rejected": len(message.changes), "code": problems[0].code if problems else None}
    return {"answer": message.type}


def asked_by(event: Event[Any]) -> Asked:
    """What was asked, by a message that could be taken."""
    return Asked(event.subject, event.source, event.id, event.content_hash, event.correlation)


def asked_in(delivery: Delivery) -> Asked | None:
    """What was asked, by a message that could not be taken; None if not even its envelope can be read."""
    try:
        envelope = wire.parse(wire.unpack(delivery.body, delivery.content_encoding, LARGEST_LOOKED_INTO_BYTES))
        npsn = _NPSN.validate_python(envelope["subject"])
        source, event_id = (_TEXT.validate_python(envelope[name]) for name in ("source", "id"))
    except (MessageRefused, ValidationError, TypeError, KeyError):
        return None
    correlation = wire.correlation_of(source, event_id, envelope.get("correlationid"))
    return Asked(npsn, source, event_id, hashlib.sha256(delivery.body).digest(), correlation)


_NPSN: TypeAdapter[str] = TypeAdapter(Npsn)
_TEXT: TypeAdapter[str] = TypeAdapter(Text)
