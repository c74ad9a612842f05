"""Receipts as the site keeps them: what central signed, to be handed on."""

from __future__ import annotations

from services.database import Database


async def find(database: Database, npsn: str, session: int | None, life: str | None = None) -> str | None:
    """The signed statement of that session; without one, of the last sync: the receipt. None if there is none.

    Where sessions of several lives of central's have that number it is the newest one, unless `life` (an incarnation)
    names another.
    Statements that central had not signed (an older release's) are passed over.
    """
    which = "kind = 'sync'" if session is None else "session = :session"
    which += "" if life is None else " AND incarnation = :life"
    named = {name: value for name, value in (("session", session), ("life", life)) if value is not None}
    async with database.transaction() as transaction:
        found = await transaction.value(
            f"""
            SELECT jws FROM statement WHERE npsn = :npsn AND jws <> '' AND {which}
            ORDER BY at DESC, session DESC LIMIT 1
            """,  # noqa: S608
            npsn=npsn,
            **named,
        )
    return None if found is None else str(found)


async def newest_signed(database: Database) -> str | None:
    """The newest signed statement of the school that was heard of last."""
    async with database.transaction() as transaction:
        found = await transaction.value(
            """
            SELECT t.jws FROM statement t WHERE t.jws <> '' AND t.npsn = (
                SELECT npsn FROM school WHERE greatest(last_sync_at, last_pull_at) IS NOT NULL
                ORDER BY greatest(last_sync_at, last_pull_at) DESC LIMIT 1
            ) ORDER BY t.at DESC, t.session DESC LIMIT 1
            """
        )
    return None if found is None else str(found)
