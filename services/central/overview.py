"""A look over all schools at once: its statements name no npsn, as those of the line."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from services.central.judging import Outcome
from services.database import Database

State = Literal["unregistered", "never", "pulled_not_synced", "pending", "in_sync"]
"""The first that fits: no installation; never synced; what it pulled is not confirmed; has not fetched all; equal."""


@dataclass(frozen=True, slots=True)
class Lives:
    """How central stands in its present life: when that began (a Unix time; 0: none has yet) and which one it is.

    `unseen`: schools that have an installation and no statement of this life; in the first one nobody has to come back.
    `listed`: what waits for officers since central was put back, by what became of it.
    """

    begun: float
    number: int
    unseen: int
    listed: dict[str, int]


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


async def schools_by_verdict(database: Database) -> dict[Outcome | Literal["unjudged"], int]:
    """How many schools central's own verdict finds clean, with warnings only, or invalid; how many it has none on."""
    async with database.transaction() as transaction:
        row = await transaction.row(
            """
            SELECT count(*) AS judged, count(*) FILTER (WHERE invalid > 0) AS invalid,
                   count(*) FILTER (WHERE invalid = 0 AND warning > 0) AS warning,
                   (SELECT count(*) FROM school) AS schools
            FROM verdict
            """
        )
    assert row is not None
    return {
        "clean": row.judged - row.invalid - row.warning,
        "warning": row.warning,
        "invalid": row.invalid,
        "unjudged": row.schools - row.judged,
    }


async def invalid_findings(database: Database) -> dict[str, int]:
    """What central's own verdicts found invalid, by rule, over all schools."""
    async with database.transaction() as transaction:
        rows = await transaction.rows(
            """
            SELECT rule, sum(CAST(number AS bigint)) AS number
            FROM verdict, jsonb_each_text(invalid_rules) AS found (rule, number)
            WHERE invalid > 0 GROUP BY rule
            """
        )
    return {row.rule: int(row.number) for row in rows}


async def background(database: Database) -> dict[Literal["follow_up", "judgement"], tuple[int, float]]:
    """What central has still to do by itself: how much, and since when (a Unix time; 0 if there is nothing)."""
    async with database.transaction() as transaction:
        row = await transaction.row(
            """
            SELECT f.number AS follow_ups, f.oldest AS follow_up_since, j.number AS judgements, j.oldest AS judge_since
            FROM (SELECT count(*) AS number, extract(epoch FROM min(at)) AS oldest FROM follow_up) AS f,
                 (SELECT count(*) AS number, extract(epoch FROM min(unjudged_since)) AS oldest
                  FROM school WHERE unjudged_since IS NOT NULL) AS j
            """
        )
    assert row is not None
    return {
        "follow_up": (row.follow_ups, float(row.follow_up_since or 0)),
        "judgement": (row.judgements, float(row.judge_since or 0)),
    }


async def lives(database: Database) -> Lives:
    """How central stands in its present life."""
    async with database.transaction() as transaction:
        life = await transaction.row(
            """
            SELECT extract(epoch FROM life.begun_at) AS begun, every.number,
                   CASE WHEN every.number > 1 THEN (
                       SELECT count(*) FROM school s
                       WHERE s.install_id IS NOT NULL AND NOT EXISTS (
                           SELECT 1 FROM statement t WHERE t.npsn = s.npsn AND t.incarnation = life.incarnation
                       )
                   ) ELSE 0 END AS unseen
            FROM incarnation AS life, (SELECT count(*) AS number FROM incarnation) AS every WHERE life.is_current
            """
        )
        rows = await transaction.rows(
            "SELECT outcome, count(*) AS n FROM given_back WHERE state = 'open' GROUP BY outcome"
        )
    found = {row.outcome: int(row.n) for row in rows}
    if life is None:
        return Lives(0.0, 0, 0, found)
    return Lives(float(life.begun), life.number, life.unseen, found)


async def schools(database: Database) -> list[str]:
    """Every school that central knows."""
    async with database.transaction() as transaction:
        return [row.npsn for row in await transaction.rows("SELECT npsn FROM school ORDER BY npsn")]
