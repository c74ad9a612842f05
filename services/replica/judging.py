"""What the rules say of a school, and whether a stored verdict still counts: for this revision, rule set and day.

Validator and syncer judge with the same function over the same rows, so neither waits for the other. The caller's
transaction holds the lock on the school's row; `judge` takes it if nobody has.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import Literal

from services.database import Transaction, columns, from_json, to_json
from services.exchange.change import WHOLE
from services.messages import Problem
from services.replica import conflicts, records
from services.replica.conflicts import OpenConflict, shown
from services.rules import (
    CONFLICT,
    DELETED_CONFLICT,
    REFUSED,
    RULES_VERSION,
    Finding,
    Rule,
    Severity,
    school_findings,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """`invalid`: records with an invalid finding; `warning`: records with warnings only."""

    revision: int
    rules_version: str
    date: date
    invalid: int
    warning: int
    findings: list[Finding]

    @property
    def passes(self) -> bool:
        """May the school sync?"""
        return self.invalid == 0

    def by_rule(self) -> dict[str, int]:
        """Number of findings per rule."""
        counts: dict[str, int] = {}
        for finding in self.findings:
            counts[finding.rule] = counts.get(finding.rule, 0) + 1
        return counts


async def judge(transaction: Transaction, npsn: str, today: date) -> Verdict:
    """Judge the school as it is now, and store the verdict with its findings."""
    revision = int(await transaction.value("SELECT revision FROM school WHERE npsn = :npsn FOR UPDATE", npsn=npsn))
    of_rules = school_findings(await records.live(transaction, npsn), npsn, today)
    found = [*await _of_the_exchange(transaction, npsn), *of_rules]
    invalid = {(f.entity, f.record_id) for f in found if f.severity is Severity.INVALID}
    warned = {(f.entity, f.record_id) for f in found} - invalid
    verdict = Verdict(revision, RULES_VERSION, today, len(invalid), len(warned), found)
    await _store(transaction, npsn, verdict)
    return verdict


async def current(transaction: Transaction, npsn: str, today: date) -> Verdict:
    """The stored verdict if it is about the school, the rules and the day as they are now; else judged on the spot."""
    row = await transaction.row(
        """
        SELECT revision, verdict_revision, verdict_rules, verdict_date, invalid, warning
        FROM school WHERE npsn = :npsn FOR UPDATE
        """,
        npsn=npsn,
    )
    assert row is not None, "the caller knows that the school is registered here"
    if (row.verdict_revision, row.verdict_rules, row.verdict_date) != (row.revision, RULES_VERSION, today):
        return await judge(transaction, npsn, today)
    stored = await findings(transaction, npsn)
    return Verdict(row.revision, row.verdict_rules, row.verdict_date, row.invalid, row.warning, stored)


async def count_invalid(transaction: Transaction, npsn: str, today: date) -> int:
    """The number of records with an invalid finding, by the stored verdict if it is about the school, the rules and the
    day as they are now; else the school is judged on the spot.
    """
    row = await transaction.row(
        """
        SELECT revision, verdict_revision, verdict_rules, verdict_date, invalid
        FROM school WHERE npsn = :npsn FOR UPDATE
        """,
        npsn=npsn,
    )
    assert row is not None, "the caller knows that the school is registered here"
    if (row.verdict_revision, row.verdict_rules, row.verdict_date) != (row.revision, RULES_VERSION, today):
        return (await judge(transaction, npsn, today)).invalid
    return int(row.invalid)


async def breaks_rules(transaction: Transaction, npsn: str) -> bool:
    """By the stored findings: is anything invalid but for conflicts that wait for a person?"""
    found = await transaction.value(
        "SELECT 1 FROM finding WHERE npsn = :npsn AND severity = :invalid AND rule <> ALL(:conflicts) LIMIT 1",
        npsn=npsn,
        invalid=Severity.INVALID.value,
        conflicts=[CONFLICT.code, DELETED_CONFLICT.code],
    )
    return found is not None


async def findings(
    transaction: Transaction, npsn: str, severity: Literal["invalid", "warning"] | None = None, limit: int | None = None
) -> list[Finding]:
    """The stored findings, in the order of judging; all of them, or the first `limit` of one severity."""
    rows = await transaction.rows(
        """
        SELECT rule, severity, entity, record_id, field, params FROM finding
        WHERE npsn = :npsn AND (CAST(:severity AS text) IS NULL OR severity = :severity)
        ORDER BY ordinal LIMIT CAST(:limit AS bigint)
        """,
        npsn=npsn,
        severity=severity,
        limit=limit,
    )
    return [Finding(r.rule, Severity(r.severity), r.entity, r.record_id, r.field, from_json(r.params)) for r in rows]


async def _of_the_exchange(transaction: Transaction, npsn: str) -> list[Finding]:
    """What stands between school and central: conflicts that wait for a person (SYN-12 at the gate), and what central
    refused, in central's own words; that is a warning, for central may change its mind.
    """
    return [
        *(_of_conflict(conflict, npsn) for conflict in await conflicts.waiting(transaction, npsn)),
        *(
            _of_refusal(entity, record_id, why)
            for (entity, record_id), findings in (await records.refused(transaction, npsn)).items()
            for why in findings
        ),
    ]


def _of_conflict(conflict: OpenConflict, npsn: str) -> Finding:
    command = conflict.command(npsn)
    if conflict.field == WHOLE:
        gone = conflict.theirs is None
        where = "dihapus di pusat · deleted at central" if gone else "diubah di pusat · changed at central"
        return _finding(DELETED_CONFLICT, conflict.entity, conflict.record_id, None, theirs=where, command=command)
    theirs = shown(conflict.theirs)
    return _finding(CONFLICT, conflict.entity, conflict.record_id, conflict.field, theirs=theirs, command=command)


def _of_refusal(entity: str, record_id: str, why: Problem) -> Finding:
    return _finding(
        REFUSED, entity, record_id, why.field,
        central_code=why.code, central_id=why.text_id, central_en=why.text_en,
        central_next_id=why.next_id.rstrip("."), central_next_en=why.next_en.rstrip("."),
    )  # fmt: skip


def _finding(rule: Rule, entity: str, record_id: str, field: str | None, **params: str) -> Finding:
    return Finding(rule.code, rule.severity, entity, record_id, field, params)


async def _store(transaction: Transaction, npsn: str, verdict: Verdict) -> None:
    await transaction.run("DELETE FROM finding WHERE npsn = :npsn", npsn=npsn)
    if verdict.findings:
        given = [
            {
                "rule": f.rule,
                "severity": f.severity.value,
                "entity": f.entity,
                "record_id": f.record_id,
                "field": f.field,
                "params": to_json(dict(f.params)),
            }
            for f in verdict.findings
        ]
        names = ("rule", "severity", "entity", "record_id", "field", "params")
        await transaction.run(
            """
            INSERT INTO finding (npsn, ordinal, rule, severity, entity, record_id, field, params)
            SELECT :npsn, ordinal, rule, severity, entity, record_id, field, CAST(params AS jsonb)
            FROM unnest(
                CAST(:rule AS text[]), CAST(:severity AS text[]), CAST(:entity AS text[]), CAST(:record_id AS text[]),
                CAST(:field AS text[]), CAST(:params AS text[])
            ) WITH ORDINALITY AS given (rule, severity, entity, record_id, field, params, ordinal)
            """,
            npsn=npsn,
            **columns(given, *names),
        )
    await transaction.run(
        """
        UPDATE school SET verdict_revision = :revision, verdict_rules = :rules, verdict_date = :date,
            verdict_at = now(), invalid = :invalid, warning = :warning
        WHERE npsn = :npsn
        """,
        npsn=npsn,
        revision=verdict.revision,
        rules=verdict.rules_version,
        date=verdict.date,
        invalid=verdict.invalid,
        warning=verdict.warning,
    )
