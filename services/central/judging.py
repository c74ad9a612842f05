"""Validasi pusat: central's own verdict on a school, with all the rules, soon after its records moved.

A push is judged record by record; what only the whole school shows, the site's gate has judged. So a gate that was
passed by is not seen until somebody looks: this looks.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from services.database import Database, Transaction, from_json, to_json
from services.entities import Fields
from services.errors import Transient
from services.exchange import canonical
from services.rules import RULES_VERSION, Finding, Severity, school_findings

log = logging.getLogger(__name__)

Outcome = Literal["clean", "warning", "invalid"]
LOOKED_AT = 20
"""Schools that wait longest, of which one is taken that no other process is at."""
SESSION_TIMES = 12
"""So many times longer a school waits, at most, while it is in the middle of a session."""
PUT_OFF_SECONDS = 300
_LOCK_CLASS = 0x53454C41  # of pg_advisory_xact_lock: nothing else here takes one


@dataclass(frozen=True, slots=True)
class Verdict:
    """What all the rules say of a school as of `seq`. `invalid` and `warning` count records, the others findings."""

    seq: int
    rules_version: str
    date: date
    invalid: int
    warning: int
    invalid_rules: dict[str, int]
    warning_rules: dict[str, int]

    @property
    def outcome(self) -> Outcome:
        """The worst that was found."""
        return "invalid" if self.invalid else "warning" if self.warning else "clean"


def summed_up(findings: Sequence[Finding], seq: int, today: date) -> Verdict:
    """A verdict of these findings."""
    rules: dict[Severity, Counter[str]] = {severity: Counter() for severity in Severity}
    for finding in findings:
        rules[finding.severity][finding.rule] += 1
    invalid = {(f.entity, f.record_id) for f in findings if f.severity is Severity.INVALID}
    warned = {(f.entity, f.record_id) for f in findings} - invalid
    return Verdict(
        seq,
        RULES_VERSION,
        today,
        len(invalid),
        len(warned),
        dict(sorted(rules[Severity.INVALID].items())),
        dict(sorted(rules[Severity.WARNING].items())),
    )


async def judge_next(database: Database, today: date, *, after_seconds: float) -> Verdict | None:
    """Judge the school whose records moved longest ago, at least `after_seconds`, and that no other process is at.

    None: no school waits. Raises DatabaseAway. What fails otherwise is logged and tried again later.
    """
    npsn: str | None = None
    try:
        async with database.transaction() as transaction:
            npsn = await _take(transaction, after_seconds)
            return None if npsn is None else await _judge(transaction, npsn, today)
    except Transient:
        raise
    except Exception:
        if npsn is None:
            raise
        log.exception("a school could not be judged and is tried again later", extra={"npsn": npsn})
        await _put_off(database, npsn)
        return None


async def stored(transaction: Transaction, npsn: str) -> Verdict | None:
    """Central's latest verdict on the school, if it has judged it."""
    row = await transaction.row(
        """
        SELECT seq, rules_version, date, invalid, warning, invalid_rules, warning_rules
        FROM verdict WHERE npsn = :npsn
        """,
        npsn=npsn,
    )
    if row is None:
        return None
    return Verdict(
        row.seq,
        row.rules_version,
        row.date,
        row.invalid,
        row.warning,
        from_json(row.invalid_rules),
        from_json(row.warning_rules),
    )


async def _take(transaction: Transaction, after_seconds: float) -> str | None:
    """A school that waits, held for this transaction by a lock that hinders no push. One in the middle of a session
    waits for its end: what it is then is judged once.
    """
    waiting = await transaction.rows(
        """
        SELECT npsn FROM school WHERE unjudged_since <= now() - make_interval(secs => :after)
            AND (session_active_at IS NULL OR unjudged_since <= now() - make_interval(secs => :longest))
        ORDER BY unjudged_since LIMIT :most
        """,
        after=after_seconds,
        longest=after_seconds * SESSION_TIMES,
        most=LOOKED_AT,
    )
    for row in waiting:
        if await transaction.value(
            "SELECT pg_try_advisory_xact_lock(:class, hashtext(:npsn))", **{"class": _LOCK_CLASS}, npsn=row.npsn
        ):
            return str(row.npsn)
    return None


async def _judge(transaction: Transaction, npsn: str, today: date) -> Verdict:
    """Head and records come from one statement, so the verdict is about exactly that seq, and nothing is locked."""
    rows = await transaction.rows(
        """
        SELECT s.head_seq, r.entity, r.record_id, r.text
        FROM school s LEFT JOIN record r ON r.npsn = s.npsn AND r.text IS NOT NULL
        WHERE s.npsn = :npsn
        """,
        npsn=npsn,
    )
    verdict = await asyncio.to_thread(_of_rows, rows, npsn, today)
    await _store(transaction, npsn, verdict)
    return verdict


def _of_rows(rows: Sequence[Any], npsn: str, today: date) -> Verdict:
    """Takes up to a quarter of a second for 5,000 records: in a thread, so that requests are answered meanwhile."""
    school: dict[str, dict[str, Fields]] = {}
    for row in rows:
        if row.entity is not None:
            school.setdefault(row.entity, {})[row.record_id] = canonical.decode(row.text)
    return summed_up(school_findings(school, npsn, today), rows[0].head_seq, today)


async def _store(transaction: Transaction, npsn: str, verdict: Verdict) -> None:
    """Keep the verdict; a school that has moved on meanwhile waits for the next."""
    await transaction.run(
        """
        INSERT INTO verdict (npsn, seq, rules_version, date, invalid, warning, invalid_rules, warning_rules)
        VALUES (:npsn, :seq, :rules, :date, :invalid, :warning, CAST(:invalid_rules AS jsonb),
                CAST(:warning_rules AS jsonb))
        ON CONFLICT (npsn) DO UPDATE SET seq = excluded.seq, rules_version = excluded.rules_version,
            date = excluded.date, invalid = excluded.invalid, warning = excluded.warning,
            invalid_rules = excluded.invalid_rules, warning_rules = excluded.warning_rules, at = excluded.at
        """,
        npsn=npsn,
        seq=verdict.seq,
        rules=verdict.rules_version,
        date=verdict.date,
        invalid=verdict.invalid,
        warning=verdict.warning,
        invalid_rules=to_json(verdict.invalid_rules),
        warning_rules=to_json(verdict.warning_rules),
    )
    await transaction.run(
        "UPDATE school SET unjudged_since = CASE WHEN head_seq = :seq THEN NULL ELSE now() END WHERE npsn = :npsn",
        npsn=npsn,
        seq=verdict.seq,
    )


async def _put_off(database: Database, npsn: str) -> None:
    """What fails does not hold up the schools after it."""
    async with database.transaction() as transaction:
        await transaction.run(
            "UPDATE school SET unjudged_since = now() + make_interval(secs => :later) WHERE npsn = :npsn",
            npsn=npsn,
            later=PUT_OFF_SECONDS,
        )
