"""A school's row at this site: made by registration, with the install_id that central gave."""

from __future__ import annotations

from services.database import Database
from services.replica.asking import Wanted, store
from services.replica.restoring import ListMoved


async def register(database: Database, npsn: str, *, nama: str, install_id: str, registration_no: int) -> bool:
    """Make the school's row, empty: the puller brings the baseline in.

    False if the school is registered here already.
    """
    async with database.transaction() as transaction:
        return await transaction.run(
            """
            INSERT INTO school (npsn, nama, install_id, registration_no)
            VALUES (:npsn, :nama, :install_id, :number) ON CONFLICT DO NOTHING
            """,
            npsn=npsn, nama=nama, install_id=install_id, number=registration_no,
        ) == 1  # fmt: skip


async def register_again(
    database: Database, npsn: str, *, install_id: str, registration_no: int, restore: Wanted
) -> None:
    """Take a new install_id over what an older installation left, and ask for its restore, in one step.

    From here on nothing of the school is sent or stored before the restore is complete: its edits are of an
    installation that central has replaced. A session under way loses its lease. Raises ListMoved: nothing is done.
    """
    async with database.transaction() as transaction:
        revision = await transaction.value("SELECT revision FROM school WHERE npsn = :npsn FOR UPDATE", npsn=npsn)
        if revision != restore.revision:
            raise ListMoved(npsn)
        await transaction.run(
            """
            UPDATE school SET install_id = :install_id, registration_no = :number, registered_at = now(), marks = '{}',
                restoring_since = coalesce(restoring_since, now()), restoring_as_of = NULL, restoring_life = NULL,
                lease_epoch = lease_epoch + 1, lease_holder = NULL, lease_expires = NULL
            WHERE npsn = :npsn
            """,
            npsn=npsn, install_id=install_id, number=registration_no,
        )  # fmt: skip
        await store(transaction, restore)


async def is_registered(database: Database, npsn: str) -> bool:
    """Is the school at this site?"""
    async with database.transaction() as transaction:
        return bool(await transaction.value("SELECT 1 FROM school WHERE npsn = :npsn", npsn=npsn))


async def registered(database: Database) -> list[str]:
    """Every school of this site."""
    async with database.transaction() as transaction:
        return [r.npsn for r in await transaction.rows("SELECT npsn FROM school ORDER BY npsn")]
