"""The table `backup`, which both databases have: every attempt, when it began and what came of it.

A row that has not ended, while nobody is at it, is that of a process that died.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from services.database import Database, Transaction

SCHEMA = """
CREATE TABLE backup (                                       -- of this database: what was tried, and what came of it
    id       bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
    begun_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    outcome  text,                                          -- completed, failed; NULL: under way, or its process died
    reason   text,                                          -- of a failure: its code
    file     text,                                          -- the name alone
    bytes    bigint
)
"""
KEPT_DAYS = 400
_LOCK = int.from_bytes(b"cadangan")
"""Held by whoever makes a backup of this database, until its snapshot ends."""


@dataclass(frozen=True, slots=True)
class State:
    """What the ledger says now, by the database's clock. `failures`: attempts since the last success that came to
    nothing, `last_failed_at` when the latest of them began.
    """

    now: datetime
    last_success_at: datetime | None = None
    last_bytes: int = 0
    last_seconds: float = 0.0
    failures: int = 0
    last_failed_at: datetime | None = None


async def lock(snapshot: Transaction) -> bool:
    """Be the only one at it as long as this transaction lasts; False if somebody is."""
    return bool(await snapshot.value("SELECT pg_try_advisory_xact_lock(:lock)", lock=_LOCK))


class Ledger:
    """The table. On tables of a release that had none, nothing is written down."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def begin(self) -> int | None:
        """An attempt begins; its id. Only for whoever holds the lock."""
        async with self._database.transaction() as transaction:
            if not await transaction.value("SELECT to_regclass('public.backup') IS NOT NULL"):
                return None
            await transaction.run(
                "DELETE FROM backup WHERE begun_at < now() - make_interval(days => :days)", days=KEPT_DAYS
            )
            return int(await transaction.value("INSERT INTO backup DEFAULT VALUES RETURNING id"))

    async def completed(self, row_id: int | None, file: str, size: int) -> None:
        """It is there."""
        await self._end(row_id, "completed", None, file, size)

    async def failed(self, row_id: int | None, code: str) -> None:
        """It came to nothing."""
        await self._end(row_id, "failed", code, None, None)

    async def forget(self, row_id: int | None) -> None:
        """It was broken off because the process was told to stop: that says nothing of backups."""
        if row_id is not None:
            async with self._database.transaction() as transaction:
                await transaction.run("DELETE FROM backup WHERE id = :id", id=row_id)

    async def _end(
        self, row_id: int | None, outcome: str, reason: str | None, file: str | None, size: int | None
    ) -> None:
        if row_id is None:
            return
        async with self._database.transaction() as transaction:
            await transaction.run(
                """
                UPDATE backup SET ended_at = now(), outcome = :outcome, reason = :reason, file = :file, bytes = :size
                WHERE id = :id
                """,
                id=row_id, outcome=outcome, reason=reason, file=file, size=size,
            )  # fmt: skip

    async def state(self, *, under_way: bool = True) -> State:
        """What it says. `under_way`: somebody may be at the newest attempt, so it has not failed; False for whoever
        holds the lock, and so knows better.
        """
        async with self._database.transaction() as transaction:
            row = await transaction.row(
                """
                WITH good AS (
                    SELECT id, begun_at, ended_at, bytes FROM backup WHERE outcome = 'completed'
                    ORDER BY id DESC LIMIT 1
                ), bad AS (
                    SELECT count(*) AS n, max(begun_at) AS at FROM backup
                    WHERE id > coalesce((SELECT id FROM good), 0) AND (
                        outcome = 'failed'
                        OR outcome IS NULL AND (NOT :under_way OR id < (SELECT max(id) FROM backup))
                    )
                )
                SELECT now() AS now, good.begun_at, good.bytes,
                       extract(epoch FROM good.ended_at - good.begun_at) AS seconds, bad.n, bad.at
                FROM bad LEFT JOIN good ON true
                """,
                under_way=under_way,
            )
        assert row is not None
        return State(row.now, row.begun_at, row.bytes or 0, float(row.seconds or 0), row.n, row.at)
