"""Where a school stands at this site, for people: read in one go, never stored."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.database import Database, Transaction, from_json
from services.replica import parking
from services.replica.standing import root


@dataclass(frozen=True, slots=True)
class Latest:
    """The latest session of one kind. `outcome`: completed, needs_review, refused or failed; `reason`: its code."""

    npsn: str
    kind: str
    outcome: str
    reason: str | None
    ended_at: datetime
    succeeded_at: datetime | None


@dataclass(frozen=True, slots=True)
class Open:
    """A request that has not ended. `state`: queued, exchanging, waiting_slot or waiting_retry; `waiting`: central's
    answer, if it gave a place in its line.
    """

    kind: str
    state: str
    asked_at: datetime
    waiting: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Status:
    """One school at this site. `judged`: is the verdict (`invalid`, `warning`) about the school as it is now?

    `pending` counts the records central has not got yet, `held` those of them that wait for a decided conflict,
    `refused` those that central refused last. `root` (hex) is of what this site knows central to hold at `cursor`.
    `restoring_since`: a restore is under way, or asked for; `parked` change events wait for its end.
    `recovering_since`: what a central that was put back has forgotten is being given back; so long it is `pending`.
    """

    npsn: str
    nama: str
    registered_at: datetime
    revision: int
    judged: bool
    judged_at: datetime | None
    invalid: int
    warning: int
    pending: int
    held: int
    refused: int
    cursor: int
    root: str
    last_sync_at: datetime | None
    last_pull_at: datetime | None
    latest: dict[str, Latest]
    restoring_since: datetime | None = None
    recovering_since: datetime | None = None
    parked: int = 0
    open: list[Open] = field(default_factory=list)

    @property
    def pulled_last(self) -> bool:
        """Did a pull complete since the last sync?"""
        return self.last_pull_at is not None and (self.last_sync_at is None or self.last_sync_at < self.last_pull_at)

    def badge(self, language: str = "id") -> str | None:
        """What a pull alone must not let anybody forget; None when there is nothing to say."""
        if not self.pending or not self.pulled_last:
            return None
        if language == "id":
            return f"tarik data BUKAN sinkronisasi; {self.pending} perubahan belum terkirim"
        return f"a pull is NOT a sync; not sent yet: {self.pending}"


async def status(database: Database, npsn: str) -> Status | None:
    """The school's status; None if it is not registered here."""
    async with database.transaction() as transaction:
        school = await transaction.row(
            """
            SELECT nama, registered_at, revision, verdict_revision, verdict_at, invalid, warning, cursor,
                   last_sync_at, last_pull_at, restoring_since,
                   (SELECT begun_at FROM recovery WHERE npsn = :npsn) AS recovering_since
            FROM school WHERE npsn = :npsn
            """,
            npsn=npsn,
        )
        if school is None:
            return None
        counts = await transaction.row(
            """
            SELECT count(*) FILTER (WHERE pending) AS pending,
                   count(*) FILTER (WHERE conflict IS NOT NULL) AS held,
                   count(*) FILTER (WHERE pending AND refusal IS NOT NULL) AS refused
            FROM record WHERE npsn = :npsn AND (pending OR conflict IS NOT NULL)
            """,
            npsn=npsn,
        )
        assert counts is not None
        return Status(
            npsn=npsn,
            nama=school.nama,
            registered_at=school.registered_at,
            revision=school.revision,
            judged=school.verdict_revision == school.revision,
            judged_at=school.verdict_at,
            invalid=school.invalid,
            warning=school.warning,
            pending=counts.pending,
            held=counts.held,
            refused=counts.refused,
            cursor=school.cursor,
            root=(await root(transaction, npsn)).hex(),
            last_sync_at=school.last_sync_at,
            last_pull_at=school.last_pull_at,
            latest={latest.kind: latest for latest in await _latest(transaction, npsn)},
            restoring_since=school.restoring_since,
            recovering_since=school.recovering_since,
            parked=await parking.count(transaction, npsn),
            open=await _open(transaction, npsn),
        )


async def failed(database: Database) -> list[Latest]:
    """Every school and kind whose latest session failed, the longest ago first."""
    async with database.transaction() as transaction:
        return [latest for latest in await _latest(transaction, None) if latest.outcome == "failed"]


async def _open(transaction: Transaction, npsn: str) -> list[Open]:
    rows = await transaction.rows(
        """
        SELECT kind, state, asked_at, waiting FROM session
        WHERE npsn = :npsn AND ended_at IS NULL ORDER BY asked_at, id LIMIT 100
        """,
        npsn=npsn,
    )
    return [Open(r.kind, r.state, r.asked_at, from_json(r.waiting)) for r in rows]


async def _latest(transaction: Transaction, npsn: str | None) -> list[Latest]:
    rows = await transaction.rows(
        """
        SELECT npsn, kind, outcome, reason, ended_at, succeeded_at FROM standing
        WHERE CASE WHEN CAST(:npsn AS text) IS NULL THEN outcome = 'failed' ELSE npsn = :npsn END
        ORDER BY ended_at, npsn, kind
        """,
        npsn=npsn,
    )
    return [Latest(r.npsn, r.kind, r.outcome, r.reason, r.ended_at, r.succeeded_at) for r in rows]
