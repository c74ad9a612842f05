"""The states that the validator shows to Prometheus, read from the rows at scrape: one cheap query each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.database import Database
from services.intake import Quarantine

SCHOOL_STATES = (
    "failed", "blocked", "needs_review", "pulled_not_synced", "pending", "stale", "never", "in_sync",
)  # fmt: skip
"""A school is counted once, under the first of these that fits."""
STALE_DAYS = 30
"""A school that is equal but has not synced for this long is stale: nothing says that it is still worked on."""


@dataclass(frozen=True, slots=True)
class Gauges:
    """Values by label: entity, rule, state, or (queue, code). `pending_oldest`: a Unix time, 0 if nothing waits."""

    pending_records: Mapping[str, int]
    pending_oldest: float
    invalid_findings: Mapping[str, int]
    conflicts_open: Mapping[str, int]
    schools: Mapping[str, int]
    dead_letters: Mapping[tuple[str, str], int]


async def gauges(database: Database, *, stale_days: int = STALE_DAYS) -> Gauges:
    """All of them, from one snapshot but for the quarantine's."""
    async with database.transaction() as transaction:
        pending = await transaction.rows("SELECT entity, count(*) AS n FROM record WHERE pending GROUP BY entity")
        oldest = await transaction.value("SELECT extract(epoch FROM min(changed_at)) FROM record WHERE pending")
        invalid = await transaction.rows(
            "SELECT rule, count(*) AS n FROM finding WHERE severity = 'invalid' GROUP BY rule"
        )
        conflicts = await transaction.rows(
            "SELECT entity, count(*) AS n FROM record WHERE conflict IS NOT NULL GROUP BY entity"
        )
        schools = await transaction.rows(_SCHOOLS, stale_days=stale_days)
    return Gauges(
        pending_records={r.entity: r.n for r in pending},
        pending_oldest=float(oldest or 0),
        invalid_findings={r.rule: r.n for r in invalid},
        conflicts_open={r.entity: r.n for r in conflicts},
        schools=dict.fromkeys(SCHOOL_STATES, 0) | {r.state: r.n for r in schools},
        dead_letters=await Quarantine(database).counts(),
    )


# A sync that failed stays so until a sync succeeds; a pull's failure is mended by a later sync too. What a pull brought
# beyond the last sync's receipt (or, before any, beyond the baseline: the first statement) is not read downstream yet.
_SCHOOLS = """
SELECT state, count(*) AS n
FROM (
    SELECT CASE
        WHEN EXISTS (
            SELECT 1 FROM standing f WHERE f.npsn = s.npsn AND f.outcome = 'failed' AND NOT EXISTS (
                SELECT 1 FROM standing g
                WHERE g.npsn = f.npsn AND g.kind = 'sync' AND g.succeeded_at > f.ended_at
            )
        ) THEN 'failed'
        WHEN s.invalid > 0 THEN 'blocked'
        WHEN waiting.review THEN 'needs_review'
        WHEN s.cursor > coalesce(synced.head_seq, s.cursor) THEN 'pulled_not_synced'
        WHEN waiting.pending THEN 'pending'
        WHEN s.last_sync_at < now() - make_interval(days => CAST(:stale_days AS integer)) THEN 'stale'
        WHEN s.last_sync_at IS NULL THEN 'never'
        ELSE 'in_sync'
    END AS state
    FROM school s
    CROSS JOIN LATERAL (
        SELECT coalesce(bool_or(r.pending), false) AS pending,
               coalesce(bool_or(r.conflict IS NOT NULL OR (r.pending AND r.refusal IS NOT NULL)), false) AS review
        FROM record r WHERE r.npsn = s.npsn AND (r.pending OR r.conflict IS NOT NULL)
    ) AS waiting
    LEFT JOIN LATERAL (
        SELECT t.head_seq FROM statement t WHERE t.npsn = s.npsn
        ORDER BY t.kind = 'sync' DESC, CASE WHEN t.kind = 'sync' THEN t.at END DESC, t.at LIMIT 1
    ) AS synced ON true
) AS states
GROUP BY state
"""
