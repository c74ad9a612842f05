"""A school's row at this site: made by registration, with the install_id that central gave."""

from __future__ import annotations

from services.database import Database


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


async def is_registered(database: Database, npsn: str) -> bool:
    """Is the school at this site?"""
    async with database.transaction() as transaction:
        return bool(await transaction.value("SELECT 1 FROM school WHERE npsn = :npsn", npsn=npsn))
