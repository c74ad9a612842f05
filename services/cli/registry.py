"""Central's database, for the commands of its administrators and officers that read or write it themselves."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.central.administration import Refused
from services.cli import show
from services.cli.outcomes import REFUSED, Stop
from services.cli.settings import CommandSettings
from services.database import Database

T = TypeVar("T")


def at(work: Callable[[Database], Awaitable[T]], json: bool = False) -> T:
    """Do it at central's database; what is refused is shown, and ends the command with 3."""

    async def run() -> T:
        database = Database(CommandSettings().need("central_database_url"), pool=1)
        try:
            return await work(database)
        finally:
            await database.close()

    try:
        return asyncio.run(run())
    except Refused as refused:
        if json:
            show.as_json(refused.problem.model_dump())
        else:
            show.problem(refused.problem)
        raise Stop("", REFUSED) from refused
