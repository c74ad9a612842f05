"""A look over all schools at once: its statements name no npsn, as those of the line."""

from __future__ import annotations

from typing import Literal, get_args

from services.database import Database

State = Literal["unregistered", "never", "pulled_not_synced", "pending", "in_sync"]
"""The first that fits: no installation; never synced; what it pulled is not confirmed; has not fetched all; equal."""


async def schools_by_state(database: Database) -> dict[State, int]:
    """How many schools are in each state."""
    async with database.transaction() as transaction:
        rows = await transaction.rows(
            """
            SELECT CASE
                       WHEN install_id IS NULL THEN 'unregistered'
                       WHEN last_sync_at IS NULL THEN 'never'
                       WHEN delivered_seq > confirmed_seq THEN 'pulled_not_synced'
                       WHEN head_seq > confirmed_seq THEN 'pending'
                       ELSE 'in_sync'
                   END AS state, count(*) AS n
            FROM school GROUP BY 1
            """
        )
    counted = {row.state: row.n for row in rows}
    return {state: counted.get(state, 0) for state in get_args(State)}
