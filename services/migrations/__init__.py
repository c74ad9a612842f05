"""The tables of both databases, as Alembic migrations: `site/` for a replica, `central/` for the registry.

A migration runs while the release before goes on reading and writing. So it waits for no lock longer than half a second
(whoever comes after it waits behind it), gives up what it has done, and tries again; and each is a transaction of its
own. What a migration may do and what it declares (`oldest_code`): docs/decisions/0019.
"""

from __future__ import annotations

import asyncio
import random
import time
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy.exc import DBAPIError

from services import tables
from services.database import Database
from services.tables import Side as Side
from services.tables import Tables

HERE = Path(__file__).parent
PATIENCE_SECONDS = 60.0
"""How long one migration tries to get its locks."""
LONGEST_PAUSE_SECONDS = 2.0
_IN_THE_WAY = ("55P03", "40P01")
"""SQLSTATE: a lock was not to be had in time; a deadlock. Nothing was changed."""


class TablesInUse(Exception):
    """A transaction that does not end keeps a migration from the tables; the message is one sentence."""


class TablesUnfit(Exception):
    """The tables are of a release on whose tables this one may not run; the message is one sentence."""


def config(side: Side, url: str) -> Config:
    """Alembic's configuration for one side's database."""
    alembic = Config()
    alembic.set_main_option("script_location", str(HERE / side))
    alembic.attributes["url"] = url
    return alembic


def upgrade(side: Side, url: str, revision: str = "head", *, patience_seconds: float = PATIENCE_SECONDS) -> Tables:
    """Bring one database to `revision`, with services running on it; what it has then. `url` as for `Database`.

    Tables of a newer release are left alone. Raises TablesInUse, and TablesUnfit if those do not fit this one.
    """
    found = asyncio.run(_found(url))
    if tables.newer(side, found):
        if why := tables.misfit(side, found):
            raise TablesUnfit(why)
        return found
    alembic = config(side, url)
    scripts = ScriptDirectory.from_config(alembic)
    for script in reversed(list(scripts.iterate_revisions(revision, found.revision or "base"))):
        _patiently(alembic, script.revision, patience_seconds)
    return asyncio.run(_found(url))


async def upgrade_async(side: Side, url: str) -> None:
    """As `upgrade`, from inside a running event loop."""
    await asyncio.to_thread(upgrade, side, url)


def _patiently(alembic: Config, revision: str, patience_seconds: float) -> None:
    deadline = time.monotonic() + patience_seconds
    pause = 0.1
    while True:
        try:
            command.upgrade(alembic, revision)
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) not in _IN_THE_WAY:
                raise
            if time.monotonic() > deadline:
                holder = asyncio.run(_longest_transaction(alembic.attributes["url"]))
                raise TablesInUse(
                    f"Migration {revision} found its tables in use for {patience_seconds:.0f} s and changed nothing: "
                    f"{holder}; end that, or wait for it, and run `selaras migrate` again."
                ) from error
        else:
            return
        time.sleep(pause * random.uniform(0.5, 1.0))  # noqa: S311  so that two do not stay in step
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _found(url: str) -> Tables:
    database = Database(url, pool=1, name="migrate")
    try:
        async with database.transaction() as transaction:
            return await tables.read(transaction)
    finally:
        await database.close()


async def _longest_transaction(url: str) -> str:
    """Whose transaction has been open for longest, as far as this role may see."""
    database = Database(url, pool=1, name="migrate")
    try:
        async with database.transaction() as transaction:
            row = await transaction.row(
                """
                SELECT pid, application_name, extract(epoch FROM now() - xact_start) AS seconds FROM pg_stat_activity
                WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
                ORDER BY xact_start LIMIT 1
                """
            )
    finally:
        await database.close()
    if row is None:
        return "whose, this role may not see (pg_stat_activity)"
    who = row.application_name or "a client"
    return f"the longest transaction is that of {who}, pid {row.pid}, {row.seconds:.0f} s old"
