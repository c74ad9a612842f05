"""Sites at central: let one in, see which there are, shut one out."""

from __future__ import annotations

import asyncio
import re
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from services.cli import files, show
from services.cli.arguments import AsJson
from services.cli.outcomes import NOT_SET_UP, REFUSED, USAGE, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.deploy import sites
from services.deploy.joining import SITE_NAME
from services.deploy.management import Management
from services.intake import Accounts

T = TypeVar("T")
_ADDRESS = re.compile(r"[A-Za-z0-9.-]+:[0-9]{1,5}|\[[0-9a-fA-F:]+\]:[0-9]{1,5}")


def _site_name(value: str) -> str:
    if not SITE_NAME.fullmatch(value):
        raise typer.BadParameter("1 to 32 of a-z, 0-9 and -, no - at its ends.")
    return value


Name = Annotated[str, typer.Argument(metavar="NAME", help="The site's name", callback=_site_name)]

app = typer.Typer(help="Sites that sync with this central.", no_args_is_help=True)


@app.command("add")
def add(
    name: Name,
    file: Annotated[
        Path | None, typer.Option("--file", help="A new file for what the site joins with; without it, standard output")
    ] = None,
    address: Annotated[
        str | None, typer.Option("--address", help="host:port of central's broker, as the site reaches it over TLS")
    ] = None,
    rotate: Annotated[bool, typer.Option("--rotate", help="New passwords for a site that is there")] = False,
) -> None:
    """Let a site in: its two broker users, their accounts, and the settings it joins with; again is harmless."""
    settings = CommandSettings()
    central = sites.Central(
        _address(address or settings.central_address),
        _content(settings.central_keys_file, "SELARAS_CENTRAL_KEYS_FILE"),
        _content(settings.central_ca_file, "SELARAS_CENTRAL_CA_FILE"),
    )
    if file is not None and file.exists():
        raise Stop(f"{file}: sudah ada, tidak ditimpa · is there already, and is not overwritten.", USAGE)
    try:
        joining = asyncio.run(
            _at_central(lambda accounts: sites.add(_management(), accounts, name, central, rotate=rotate))
        )
    except sites.NotASite as error:
        raise Stop(str(error), REFUSED) from error
    if joining is None:
        show.errors.print(
            f"{name}: sudah ada, haknya sesuai rilis ini; sandinya tetap · is there already and has the rights of this "
            "release; its passwords stay (--rotate makes new ones and writes the settings again)."
        )
        return
    if file is None:
        sys.stdout.write(joining.write())
    else:
        files.write_new(file, [joining.write().encode()])
    show.errors.print(
        f"{name}: boleh masuk · may join. Serahkan lewat jalan yang aman: isinya sandi · hand it over safely, it holds "
        "passwords."
    )


@app.command("list")
def list_all(json: AsJson = False) -> None:
    """The sites that were added."""
    names = sites.names(_management())
    if json:
        show.as_json(names)
    else:
        show.table("Situs · sites", ("nama · name",), [(name,) for name in names])


@app.command("remove")
def remove(name: Name, json: AsJson = False) -> None:
    """Shut a site out at once; its schools' data stay at central."""
    try:
        asyncio.run(_at_central(lambda accounts: sites.remove(_management(), accounts, name)))
    except sites.NotASite as error:
        raise Stop(str(error), REFUSED) from error
    show.said(json, {"site": name, "removed": True}, f"{name}: dikeluarkan · shut out")


def _management() -> Management:
    return Management(CommandSettings().need("management_url"))


async def _at_central(work: Callable[[Accounts], Awaitable[T]]) -> T:
    database = Database(CommandSettings().need("central_database_url"), pool=1)
    try:
        return await work(Accounts(database))
    finally:
        await database.close()


def _address(value: str | None) -> str:
    if not value:
        raise Stop("SELARAS_CENTRAL_ADDRESS is not set: set it to host:port, or say it with --address.", NOT_SET_UP)
    if not _ADDRESS.fullmatch(value):
        raise Stop(f"{value}: bukan · is not host:port.", USAGE)
    return value


def _content(file: Path | None, name: str) -> str:
    if file is None:
        raise Stop(f"{name} is not set: a site cannot be sure of central without it.", NOT_SET_UP)
    try:
        return file.read_text()
    except OSError as error:
        raise Stop(f"{name}: {file}: {error.strerror}.", NOT_SET_UP) from error
