"""A site at central: two users of the broker, their accounts, and the document that the site joins with."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from urllib.parse import quote

from services import topology
from services.deploy.folder import PASSWORD_BYTES
from services.deploy.joining import Joining
from services.deploy.management import Management
from services.errors import SelarasError
from services.intake import Accounts
from services.intake.accounts import ANY_SCHOOL


class NotASite(SelarasError):
    """The name belongs to users that `site add` did not make, or to none."""


@dataclass(frozen=True, slots=True)
class Central:
    """What a site is told of central. `address`: host and port of its broker over TLS."""

    address: str
    keys: str
    ca: str


async def add(
    management: Management, accounts: Accounts, name: str, central: Central, *, rotate: bool
) -> Joining | None:
    """Let a site in; what it joins with, or None if it was there and keeps its passwords. Raises NotASite."""
    users = topology.link_users(name)
    known, tagged = management.names(), management.tagged()
    if any(user.name in known and user.name not in tagged for user in users):
        raise NotASite(f"{name}: situs ini bukan dari `site add` · that site was not made by `selaras site add`.")
    new = rotate or any(user.name not in known for user in users)
    passwords = {user.name: secrets.token_urlsafe(PASSWORD_BYTES) for user in users}
    for user in users:
        await accounts.grant(user.name, ANY_SCHOOL, _role(user.name))
        management.put(user, passwords[user.name] if new else None)
        if new and user.name in known:
            management.disconnect(user.name)
    if not new:
        return None
    sync, pull = (f"amqps://{u.name}:{quote(passwords[u.name], safe='')}@{central.address}/" for u in users)
    return Joining(
        site=name, sync_url=sync, pull_url=pull, central_keys=json.loads(central.keys), central_ca=central.ca
    )


def names(management: Management) -> list[str]:
    """The sites that were added."""
    return sorted({user.rpartition("-")[0] for user in management.tagged()})


async def remove(management: Management, accounts: Accounts, name: str) -> None:
    """Shut a site out: its connections end, and it cannot make new ones. Raises NotASite."""
    there = [user.name for user in topology.link_users(name) if user.name in management.tagged()]
    if not there:
        raise NotASite(f"{name}: tidak ada situs dengan nama itu dari `site add` · no such site was added.")
    for user in there:
        management.remove(user)
        await accounts.revoke(user, ANY_SCHOOL, _role(user))


def _role(user: str) -> str:
    return "site-sync" if user.endswith("-sync") else "site-pull"
