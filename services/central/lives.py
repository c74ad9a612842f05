"""The lives (incarnations) of central's database: a new one begins whenever it is not the one that was stored.

A database put back from a backup may have forgotten what it had stated. By `IDENTITY` a point-in-time recovery, a
promoted standby, a restored dump and another cluster are seen by themselves, with every lock of a school
(`schools.lock`); a copied volume is not, so that is said by command (`selaras central restored`).
"""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from datetime import datetime

from services.database import Database, Transaction

IDENTITY = """concat_ws('/',
    (SELECT system_identifier FROM pg_control_system()),
    left(pg_walfile_name(pg_current_wal_insert_lsn()), 8),
    (SELECT oid FROM pg_database WHERE datname = current_database()),
    CAST('incarnation' AS regclass)::oid)"""
"""What this database is: system identifier, timeline, its oid, the oid of the incarnations' table; any role may read
them. A standby has none: there the second one raises, and nothing is served from it.
"""
FIRST, FOUND, SAID = "first", "found", "said"
"""Why a life began: there was none; the database was found to be another; somebody said so."""


@dataclass(frozen=True, slots=True)
class Begun:
    """A life: its random id, when it began, and why."""

    incarnation: str
    at: datetime
    why: str


async def ensure(database: Database) -> str:
    """The present life; a new one if there is none, or the database is another than the one that was stored.

    Raises DatabaseAway for a standby.
    """
    async with database.transaction() as transaction:
        return await current(transaction)


async def current(transaction: Transaction) -> str:
    """As `ensure`, within a transaction."""
    row = await transaction.row(
        f"SELECT incarnation, identity = {IDENTITY} AS is_this FROM incarnation WHERE is_current"  # noqa: S608  a part of ours
    )
    if row is None or row.is_this is False:
        return await _begin(transaction, FIRST if row is None else FOUND)
    if row.is_this is None:  # begun by the release before, which does not say of what database it is
        await transaction.run(
            f"UPDATE incarnation SET identity = {IDENTITY} WHERE is_current AND identity IS NULL"  # noqa: S608
        )
    return str(row.incarnation)


async def restored(database: Database) -> Begun:
    """Begin a new life because somebody says that the database was put back; the one that has begun."""
    async with database.transaction() as transaction:
        await _begin(transaction, SAID, anyway=True)
        return await present(transaction)


async def present(transaction: Transaction) -> Begun:
    """The present life, as it is stored."""
    row = await transaction.row("SELECT incarnation, begun_at, why FROM incarnation WHERE is_current")
    assert row is not None
    return Begun(row.incarnation, row.begun_at, row.why or FIRST)


async def _begin(transaction: Transaction, why: str, *, anyway: bool = False) -> str:
    """One of those who find it out at once begins it."""
    await transaction.run("SELECT pg_advisory_xact_lock(hashtext('selaras: a life begins'))")
    now = await transaction.value(
        f"SELECT incarnation FROM incarnation WHERE is_current AND identity IS NOT DISTINCT FROM {IDENTITY}"  # noqa: S608
    )
    if now is not None and not anyway:
        return str(now)
    await transaction.run("UPDATE incarnation SET is_current = false WHERE is_current")
    return str(
        await transaction.value(
            f"""
            INSERT INTO incarnation (incarnation, identity, why) VALUES (:new, {IDENTITY}, :why)
            RETURNING incarnation
            """,  # noqa: S608
            new=str(uuid.uuid4()),
            why=why,
        )
    )
