"""Tables, and at the first start the accounts of an installation's own users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from services import migrations, topology
from services.database import Database
from services.intake import Accounts
from services.intake.accounts import ANY_SCHOOL


def own_accounts(site: str) -> Mapping[topology.Side, Sequence[tuple[str, str, bool]]]:
    """(user, role, names people) of each side: the command's user, the officers', and the site beside central."""
    sync, pull = (user.name for user in topology.link_users(site))
    return {
        "site": [(topology.PERSON_USER, "operator", True), (topology.PERSON_USER, "principal", True)],
        "central": [(sync, "site-sync", False), (pull, "site-pull", False), (topology.OFFICER_USER, "officer", True)],
    }


async def install(side: topology.Side, url: str, site: str) -> bool:
    """Bring one database to this release; True if it was new, and got its first accounts.

    Later starts grant nothing: what somebody has revoked stays revoked.
    """
    await migrations.upgrade_async(side, url)
    database = Database(url, pool=1)
    try:
        accounts = Accounts(database)
        if await accounts.every():
            return False
        for user, role, names_people in own_accounts(site)[side]:
            await accounts.grant(user, ANY_SCHOOL, role, names_people=names_people)
        return True
    finally:
        await database.close()
