"""What central tells a site whose request it cannot take, so that the site does not take it for silence (SYN-10)."""

from __future__ import annotations

from pydantic import TypeAdapter, ValidationError

from services import logs, topology, wire
from services.broker import Delivery, Handlers, PublishRefused
from services.central.speaking import Announce
from services.errors import MessageRefused
from services.messages import Npsn, SessionRefusal
from services.problems import problem


def refusal_handlers(handlers: Handlers, announce: Announce) -> None:
    """Add the answer to a request of a site that goes to quarantine: its code, to the sender's own queue alone."""

    @handlers.on_refused(topology.CENTRAL_REQUESTS)
    async def on_request_refused(delivery: Delivery, refused: MessageRefused) -> None:
        """Tell the site, if its message says which school it is about and the answer goes to itself."""
        npsn, correlation = _about(delivery)
        reply_to = delivery.reply_to or ""
        if npsn is None or not delivery.sender or not reply_to.startswith(f"{delivery.sender}."):
            return
        answer = SessionRefusal(problem=problem(refused.code, detail=refused.detail))
        logs.add(npsn=npsn, correlation=correlation)
        try:
            await announce(
                topology.REPLIES, reply_to, answer, subject=npsn,
                correlation_id=delivery.correlation_id or delivery.message_id,
            )  # fmt: skip
        except PublishRefused:
            return  # the process that asked is gone


def _about(delivery: Delivery) -> tuple[str | None, str | None]:
    """The school, and what the request is found by."""
    try:
        body = wire.unpack(delivery.body, delivery.content_encoding, wire.EXCHANGE_BODY_BYTES)
        envelope = wire.parse(body)
        npsn = _NPSN.validate_python(envelope["subject"])
        return npsn, wire.correlation_of("", delivery.message_id or "", envelope.get("correlationid"))
    except (MessageRefused, ValidationError, TypeError, KeyError):
        return None, None


_NPSN: TypeAdapter[str] = TypeAdapter(Npsn)
