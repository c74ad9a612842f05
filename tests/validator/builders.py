"""A validator without a broker: deliveries in, announcements out, over the real database."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services import topology, wire
from services.broker import Delivery, Handlers, Publisher
from services.database import Database
from services.errors import BrokerAway
from services.messages import FieldsChange, Message
from services.validator.handlers import handlers
from tests.replica.builders import NPSN, OPERATOR, TODAY

SOURCE = "/uji/operator"


@dataclass(frozen=True)
class Announced:
    """One announcement: where to, under which id, and what."""

    routing_key: str
    id: str
    message: Any


class Heard(Publisher):
    """Keeps what is announced. `away`: the next announcements that the broker does not confirm."""

    def __init__(self) -> None:
        self.announced: list[Announced] = []
        self.away = 0

    async def announce(
        self,
        exchange: str,
        routing_key: str,
        message: Message,
        *,
        subject: str,
        id: str | None = None,
        reply_to: str | None = None,
        correlation_id: str | None = None,
        mandatory: bool = True,
    ) -> None:
        assert exchange == topology.EVENTS
        assert routing_key.endswith(f".{subject}")
        assert id is not None
        assert not mandatory
        if self.away:
            self.away -= 1
            raise BrokerAway("test")
        self.announced.append(Announced(routing_key, id, message))


class Validator:
    """The handlers, and what they announce."""

    def __init__(self, database: Database) -> None:
        self.heard = Heard()
        self.handlers: Handlers = handlers(database, self.heard, lambda: TODAY)

    async def take(self, delivery: Delivery) -> list[Announced]:
        """Handle one delivery; what was announced of it. Raises what the consumer would see."""
        before = len(self.heard.announced)
        await self.handlers.handle(delivery, limit_bytes=wire.MAX_BODY_BYTES)
        return self.heard.announced[before:]

    async def submit(self, *changes: FieldsChange, id: str | None = None, **envelope: Any) -> dict[str, Any]:
        """Submit changes; the answers by their kind (`accepted`, `rejected`)."""
        return by_kind(await self.take(a_submission(*changes, id=id, **envelope)))


def by_kind(announced: Sequence[Announced]) -> dict[str, Any]:
    """The messages by the first word of their routing key; at most one of each kind."""
    kinds = {a.routing_key.split(".")[0]: a.message for a in announced}
    assert len(kinds) == len(announced)
    return kinds


def an_envelope(type_name: str, data: Any, *, id: str | None = None, npsn: str = NPSN, **others: Any) -> dict[str, Any]:
    """A CloudEvent as an operator's program would make it."""
    return {
        "specversion": "1.0",
        "id": id or wire.new_id(),
        "source": SOURCE,
        "type": type_name,
        "subject": npsn,
        "data": data,
        **others,
    }


def a_delivery(
    envelope: Any,
    *,
    queue: str = topology.VALIDATOR_CHANGES[0],
    key: str | None = None,
    sender: str = OPERATOR,
) -> Delivery:
    """As the broker would give it."""
    body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
    subject = envelope.get("subject") if isinstance(envelope, dict) else NPSN
    return Delivery(queue=queue, body=body, sender=sender, routing_key=key or f"change.{subject}")


def a_submission(
    *changes: FieldsChange, id: str | None = None, npsn: str = NPSN, actor: Any = None, **delivery: Any
) -> Delivery:
    """A `change.submitted.v1`."""
    data = {"changes": [c.model_dump() for c in changes], **({"actor": actor} if actor else {})}
    return a_delivery(an_envelope("change.submitted.v1", data, id=id, npsn=npsn), **delivery)
