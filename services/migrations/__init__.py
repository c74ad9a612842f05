"""The tables of both databases, as Alembic migrations: `site/` for a replica, `central/` for the registry."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

from alembic import command
from alembic.config import Config

Side = Literal["site", "central"]
HERE = Path(__file__).parent


def config(side: Side, url: str) -> Config:
    """Alembic's configuration for one side's database."""
    alembic = Config()
    alembic.set_main_option("script_location", str(HERE / side))
    alembic.attributes["url"] = url
    return alembic


def upgrade(side: Side, url: str, revision: str = "head") -> None:
    """Bring one database to `revision`. `url` as for `Database`."""
    command.upgrade(config(side, url), revision)


async def upgrade_async(side: Side, url: str) -> None:
    """As `upgrade`, from inside a running event loop."""
    await asyncio.to_thread(upgrade, side, url)
