"""Who speaks: the broker's user, what it may ask for, and where its answer goes.

A site has two users, `<site>-sync` and `<site>-pull`; the table of accounts says which kind each is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from services import topology
from services.database import Transaction
from services.errors import MessageRefused
from services.intake import Accounts
from services.messages import Kind, Message
from services.wire import Event

VERBS: Mapping[str, str] = {
    "school.register.v1": "register",
    "session.open.v1": "open",
    "session.fetch.v1": "fetch",
    "session.push.v1": "push",
    "session.verify.v1": "verify",
    "session.buckets.v1": "buckets",
    "session.rows.v1": "rows",
    "session.records.v1": "records",
    "session.mend.v1": "mend",
    "session.rollback.v1": "rollback",
    "session.proof.v1": "give",
    "session.give.v1": "give",
}
"""The routing key's second word for each request."""

ROLES: Mapping[str, tuple[frozenset[Kind], frozenset[str]]] = {
    "site-sync": (frozenset({"sync", "verify", "recover"}), frozenset(topology.SYNC_VERBS)),
    "site-pull": (frozenset({"pull", "restore"}), frozenset(topology.PULL_VERBS)),
}
"""The kinds of session that a site's user may open, and what it may send at all."""


class Announce(Protocol):
    """The one way to publish (`services.broker.Publisher.announce`)."""

    async def __call__(
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
        """Publish `message` about the school `subject`."""


async def kinds(transaction: Transaction, event: Event[Any]) -> frozenset[Kind]:
    """The kinds of session this sender may open. Raises MessageRefused MSG-05 or MSG-06 if it may not ask at all."""
    verb = VERBS[event.type]
    if event.routing_key != f"{event.sender}.{verb}":
        raise MessageRefused("MSG-06", "the routing key is not <sender>.<message>")
    if not (event.reply_to or "").startswith(f"{event.sender}."):
        raise MessageRefused("MSG-05", "reply_to does not begin with the sender's name")
    account = await Accounts.read(transaction, event.sender, event.subject)
    may = [ROLES[role] for role in (account.roles if account else ()) if role in ROLES]
    if not any(verb in verbs for _, verbs in may):
        raise MessageRefused("MSG-05", f"this user may not send {verb}")
    return frozenset(kind for kinds, verbs in may if verb in verbs for kind in kinds)


def site_of(user: str) -> str:
    """The site that a broker user belongs to."""
    site, _, role = user.rpartition("-")
    return site if role in ("sync", "pull") else user
