"""Giving a school back as central has it as of its last completed sync: the wipe, once, and what is under way.

The wipe is one transaction under the school's lock and the restore's own lease, after central has granted the restore
and only if the school is still what was listed as lost. Until the restore is complete, sessions of the school wait
(`requests.take`) and its change events are parked (`parking`).
"""

from __future__ import annotations

from services.database import Transaction, to_json
from services.errors import SelarasError
from services.intake import Answers
from services.messages import SessionGranted
from services.replica import recovering
from services.replica.requests import Job, Requests


class ListMoved(SelarasError):
    """The school has changed since it was listed what would be lost: nothing is wiped."""


async def opening_cursor(requests: Requests, job: Job) -> int:
    """Where the fetch goes on, if a restore was under way; else the beginning."""
    async with requests.holding(job) as (_, school):
        return 0 if school.restoring_as_of is None else school.cursor


async def begin(requests: Requests, job: Job, granted: SessionGranted) -> int:
    """Wipe the school, or go on where a restore to the very same state had come; the cursor to fetch from.

    Starts over if central's confirmed_seq or its incarnation has moved. Raises ListMoved, LeaseLost.
    """
    async with requests.holding(job) as (transaction, school):
        life = await transaction.value("SELECT restoring_life FROM school WHERE npsn = :npsn", npsn=job.npsn)
        if (school.restoring_as_of, life) == (granted.as_of, granted.incarnation):
            return school.cursor
        if school.restoring_as_of is None and school.revision != job.revision:
            raise ListMoved(job.npsn)
        await _wipe(transaction, job.npsn, granted)
    return 0


async def _wipe(transaction: Transaction, npsn: str, granted: SessionGranted) -> None:
    """Records, findings, and the answers about what no completed sync sent. Statements and the conflict log stay."""
    synced = await transaction.value("SELECT synced_revision FROM school WHERE npsn = :npsn", npsn=npsn)
    await Answers.forget_after(transaction, npsn, synced)
    await transaction.run("DELETE FROM record WHERE npsn = :npsn", npsn=npsn)
    await transaction.run("DELETE FROM finding WHERE npsn = :npsn", npsn=npsn)
    await recovering.drop(transaction, npsn)
    await transaction.run(
        """
        UPDATE school SET cursor = 0, settled = 0, highest_seq = 0, lineage = CAST(:lineage AS jsonb),
            marks = CAST(:marks AS jsonb), revision = revision + 1, verdict_revision = NULL, invalid = 0, warning = 0,
            restoring_since = coalesce(restoring_since, now()), restoring_as_of = :as_of, restoring_life = :life
        WHERE npsn = :npsn
        """,
        npsn=npsn,
        lineage=to_json([entry.model_dump() for entry in granted.lineage]),
        marks=to_json({granted.mark.incarnation: granted.mark.session} if granted.mark else {}),
        as_of=granted.as_of,
        life=granted.incarnation,
    )
