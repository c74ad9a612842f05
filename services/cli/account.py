"""Who may speak for which school: grant, revoke, list, at the site or at central."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Annotated, Literal, TypeVar

import typer

from services.cli import show
from services.cli.arguments import AsJson, npsn_or_any
from services.cli.ops import SideOption
from services.cli.outcomes import REFUSED, USAGE, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.intake import Accounts
from services.topology import Side

T = TypeVar("T")
ROLES: dict[Side, tuple[str, ...]] = {
    "site": ("operator", "principal"),
    "central": ("officer", "site-sync", "site-pull"),
}
"""What a user may be at each side."""
User = Annotated[str, typer.Argument(metavar="USER", help="The broker user")]
School = Annotated[str, typer.Argument(metavar="NPSN", help="The school's NPSN; '*' for all", callback=npsn_or_any)]
RoleName = Annotated[
    Literal["operator", "principal", "officer", "site-sync", "site-pull"],
    typer.Argument(metavar="ROLE", help="At the site operator or principal; at central officer, site-sync, site-pull"),
]

app = typer.Typer(help="Which broker user may speak for which school.", no_args_is_help=True)


@app.command("grant")
def grant(
    user: User,
    npsn: School,
    role: RoleName,
    side: SideOption = "site",
    names_people: Annotated[
        bool, typer.Option("--names-people", help="Its messages may name the person who acts, and the person's role")
    ] = False,
    json: AsJson = False,
) -> None:
    """Let a broker user act in a role for a school, or for all ('*'); again is harmless."""
    if role not in ROLES[side]:
        raise Stop(f"{role} tidak ada di sisi ini · is no role there; --side {side}: {', '.join(ROLES[side])}.", USAGE)
    asyncio.run(_with_accounts(side, lambda accounts: accounts.grant(user, npsn, role, names_people=names_people)))
    show.said(
        json,
        {"side": side, "user": user, "npsn": npsn, "role": role, "names_people": names_people},
        f"{user}: {role} untuk · for {npsn}",
    )


@app.command("revoke")
def revoke(user: User, npsn: School, role: RoleName, side: SideOption = "site", json: AsJson = False) -> None:
    """Take a grant back, as it was given; it counts from the next message on."""
    if not asyncio.run(_with_accounts(side, lambda accounts: accounts.revoke(user, npsn, role))):
        raise Stop(
            f"{user} tidak punya · has no grant {role} for {npsn} (selaras account list --side {side}).", REFUSED
        )
    show.said(
        json,
        {"side": side, "user": user, "npsn": npsn, "role": role, "revoked": True},
        f"{user}: {role} untuk {npsn} dicabut · revoked",
    )


@app.command("list")
def list_all(side: SideOption = "site", json: AsJson = False) -> None:
    """Every grant of one side."""
    grants = asyncio.run(_with_accounts(side, lambda accounts: accounts.every()))
    if json:
        show.as_json([asdict(one) for one in grants])
    else:
        show.table(
            f"Hak · grants ({side})",
            ("user", "NPSN", "peran · role", "menyebut orang · names people"),
            [(one.user_name, one.npsn, one.role, "ya · yes" if one.names_people else "") for one in grants],
        )


async def _with_accounts(side: Side, work: Callable[[Accounts], Awaitable[T]]) -> T:
    database = Database(CommandSettings().need(f"{side}_database_url"), pool=1)
    try:
        return await work(Accounts(database))
    finally:
        await database.close()
