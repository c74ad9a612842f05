"""What the compose files run before the services: secrets, what central handed out, tables and first accounts."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

from services.cli import show
from services.cli.outcomes import NOT_SET_UP, USAGE, Stop
from services.cli.settings import CommandSettings
from services.topology import SIDES

Kind = Annotated[
    Literal["all", "site"],
    typer.Option("--kind", help="A site and central together, or a site whose central is elsewhere"),
]
Folder = Annotated[Path, typer.Argument(metavar="DIR", help="The folder of the installation's secrets")]
SiteName = Annotated[str, typer.Option("--site", help="The site's name")]

app = typer.Typer(help="For the compose files: prepare an installation in containers.", no_args_is_help=True)


@app.command("prepare")
def prepare(
    folder: Folder,
    kind: Kind = "all",
    site: SiteName = "situs",
    host: Annotated[
        str, typer.Option("--host", help="The name under which others reach this broker over TLS")
    ] = "localhost",
) -> None:
    """Make what is missing: passwords, the broker's definitions and certificate, keys; again changes nothing."""
    from services.deploy import joining, preparing

    if not joining.SITE_NAME.fullmatch(site):
        raise Stop(f"--site {site}: 1 to 32 of a-z, 0-9 and -, no - at its ends.", USAGE)
    try:
        preparing.prepare(folder, kind, site=site, host=host)
    except preparing.NotJoined as error:
        raise Stop(str(error), NOT_SET_UP) from error
    show.line("rahasia instalasi lengkap · the installation's secrets are complete")


@app.command("join")
def join(folder: Folder) -> None:
    """Keep what `selaras site add` wrote, from standard input: this site's addresses at central."""
    from services.deploy import joining, preparing

    try:
        name = preparing.join(folder, sys.stdin.read())
    except joining.Unusable as error:
        raise Stop(str(error), USAGE) from error
    show.line(f"{name}: bergabung; jalankan semuanya · joined; now start everything")


@app.command("install")
def install(kind: Kind = "all", site: SiteName = "situs") -> None:
    """Bring the tables to this release, and at the first start grant the installation's own users their roles."""
    from services.deploy import installing

    settings = CommandSettings()
    for side in SIDES if kind == "all" else SIDES[:1]:
        new = asyncio.run(installing.install(side, settings.need(f"{side}_database_url"), site))
        show.line(
            f"{side}: tabelnya sesuai rilis ini · its tables are those of this release"
            + ("; hak pertama diberikan · first accounts granted" if new else "")
        )
