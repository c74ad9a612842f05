"""What the rules say of a school, and whether a stored verdict still counts: for this revision, rule set and day.

Validator and syncer judge with the same function over the same rows, so neither waits for the other. The caller's
transaction holds the lock on the school's row; `judge` takes it if nobody has. After a change, `follow` judges only
what it can affect, if the stored verdict is about the school just before it; else the whole school is judged.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal

from services.database import Transaction, columns, from_json, to_json
from services.exchange.absorb import Replicated
from services.exchange.change import WHOLE
from services.messages import Problem
from services.replica import conflicts, neighbours, records
from services.replica.conflicts import OpenConflict, shown
from services.replica.records import Key
from services.rules import (
    CONFLICT,
    DELETED_CONFLICT,
    REFUSED,
    RULES_VERSION,
    Finding,
    Rule,
    Severity,
    in_order,
    school_findings,
)
from services.rules.reach import Change, Judged, Reach


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
    found = in_order([*await _of_the_exchange(transaction, npsn), *of_rules])
    invalid = {(f.entity, f.record_id) for f in found if f.severity is Severity.INVALID}
    warned = {(f.entity, f.record_id) for f in found} - invalid
    verdict = Verdict(revision, RULES_VERSION, today, len(invalid), len(warned), found)
    await transaction.run("DELETE FROM finding WHERE npsn = :npsn", npsn=npsn)
    await _add(transaction, npsn, found)
    await _store(transaction, npsn, verdict)
    return verdict


async def current(transaction: Transaction, npsn: str, today: date) -> Verdict:
    """The stored verdict if it is about the school, the rules and the day as they are now; else judged on the spot."""
    row = await _stored(transaction, npsn)
    if _about(row) != (row.revision, RULES_VERSION, today):
        return await judge(transaction, npsn, today)
    stored = await findings(transaction, npsn)
    return Verdict(row.revision, row.verdict_rules, row.verdict_date, row.invalid, row.warning, stored)


async def follow(
    transaction: Transaction, npsn: str, before: Mapping[Key, Replicated], after: Mapping[Key, Replicated], today: date
) -> Verdict:
    """The verdict once records have become `after` (`before`: those that there were), stored. Its `findings` are those
    of `after` and of what they affect; maybe all.

    The caller has written `after`, in one revision. Who forgets to count it, counts twice or wrote before it what has
    not been judged gets the whole school judged: the stored verdict has to be about the very revision before.
    """
    stored = await _stored(transaction, npsn)
    if _about(stored) == (stored.revision - 1, RULES_VERSION, today):
        changes = {
            key: Change(before[key].data if key in before else None, record.data) for key, record in after.items()
        }
        judged = await _reached(transaction, npsn, Reach(npsn, today, changes))
        if judged is not None:
            of_exchange = await _of_records(transaction, npsn, after)
            return await _replace(transaction, npsn, stored, judged, of_exchange, set(after))
    return await judge(transaction, npsn, today)


async def count_invalid(transaction: Transaction, npsn: str, today: date) -> tuple[int, int]:
    """The number of records with an invalid finding, by the stored verdict if it is about the school, the rules and the
    day as they are now, else the school is judged on the spot; and the number in conflict.
    """
    row = await _stored(transaction, npsn)
    if _about(row) != (row.revision, RULES_VERSION, today):
        return (await judge(transaction, npsn, today)).invalid, row.conflicts
    return row.invalid, row.conflicts


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
        WHERE npsn = :npsn AND (CAST(:severity AS text) IS NULL OR severity = :severity) ORDER BY ordinal
        """,
        npsn=npsn,
        severity=severity,
    )
    return in_order(_finding_of(row) for row in rows)[:limit]


async def _stored(transaction: Transaction, npsn: str) -> Any:
    """What is stored of the verdict, and the school's revision; the school's row is locked."""
    row = await transaction.row(
        """
        SELECT revision, verdict_revision, verdict_rules, verdict_date, invalid, warning,
               (SELECT count(*) FROM record WHERE npsn = :npsn AND conflict IS NOT NULL) AS conflicts
        FROM school WHERE npsn = :npsn FOR UPDATE
        """,
        npsn=npsn,
    )
    assert row is not None, "the caller knows that the school is registered here"
    return row


def _about(row: Any) -> tuple[int | None, str | None, date | None]:
    """The revision, the rules and the day that the stored verdict is about."""
    return row.verdict_revision, row.verdict_rules, row.verdict_date


async def _reached(transaction: Transaction, npsn: str, reach: Reach) -> Judged | None:
    """What the changes affect, judged; None if that is everything."""
    while not reach.is_everything and (asked := reach.wanted()):
        reach.take(asked, await neighbours.find(transaction, npsn, asked))
    return None if reach.is_everything else reach.judge()


async def _replace(
    transaction: Transaction, npsn: str, stored: Any, judged: Judged, of_exchange: Sequence[Finding], changed: set[Key]
) -> Verdict:
    """Put what was judged again, and what stands between school and central about the changed records, in the place of
    what was found before.
    """
    fresh: dict[Key, list[Finding]] = defaultdict(list)
    for one in (*of_exchange, *judged.findings):
        fresh[one.entity, one.record_id].append(one)
    touched = judged.touched | changed
    before = await _findings_of(transaction, npsn, touched)
    invalid, warning = stored.invalid, stored.warning
    found: list[Finding] = []
    outdated: list[int] = []
    anew: list[Finding] = []
    for key in touched:
        ordinals, had = before.get(key, ([], []))
        kept = (
            one for one in had if not judged.replaces(one) and not (key in changed and one.rule in _CODES_OF_EXCHANGE)
        )
        has = in_order([*kept, *fresh[key]])
        found += has
        if has != had:
            outdated += ordinals
            anew += has
            invalid += _is_invalid(has) - _is_invalid(had)
            warning += _only_warns(has) - _only_warns(had)
    if outdated:
        await transaction.run(
            "DELETE FROM finding WHERE npsn = :npsn AND ordinal = ANY(CAST(:ordinals AS integer[]))",
            npsn=npsn,
            ordinals=outdated,
        )
    await _add(transaction, npsn, anew)
    verdict = Verdict(stored.revision, RULES_VERSION, stored.verdict_date, invalid, warning, in_order(found))
    await _store(transaction, npsn, verdict)
    return verdict


def _is_invalid(findings: Iterable[Finding]) -> bool:
    return any(one.severity is Severity.INVALID for one in findings)


def _only_warns(findings: Sequence[Finding]) -> bool:
    return bool(findings) and not _is_invalid(findings)


async def _findings_of(
    transaction: Transaction, npsn: str, keys: Iterable[Key]
) -> dict[Key, tuple[list[int], list[Finding]]]:
    """The stored findings of some records, in order, and their ordinals."""
    wanted = list(keys)
    rows = await transaction.rows(
        """
        SELECT ordinal, rule, severity, entity, record_id, field, params FROM finding
        WHERE npsn = :npsn AND (entity, record_id) IN (
            SELECT * FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]))
        )
        ORDER BY ordinal
        """,
        npsn=npsn,
        entities=[entity for entity, _ in wanted],
        ids=[record_id for _, record_id in wanted],
    )
    found: dict[Key, tuple[list[int], list[Finding]]] = {}
    for row in rows:
        ordinals, of_record = found.setdefault((row.entity, row.record_id), ([], []))
        ordinals.append(row.ordinal)
        of_record.append(_finding_of(row))
    return {key: (ordinals, in_order(of_record)) for key, (ordinals, of_record) in found.items()}


def _finding_of(row: Any) -> Finding:
    return Finding(row.rule, Severity(row.severity), row.entity, row.record_id, row.field, from_json(row.params))


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


async def _of_records(transaction: Transaction, npsn: str, after: Mapping[Key, Replicated]) -> list[Finding]:
    """The same of some records, which are as they were written."""
    refused = await records.refused(transaction, npsn, after)
    return [
        *(_of_conflict(one, npsn) for key in after for one in conflicts.of_record(*key, after[key])),
        *(_of_refusal(*key, why) for key, findings in refused.items() for why in findings),
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


async def _add(transaction: Transaction, npsn: str, findings: Sequence[Finding]) -> None:
    """Store findings after those that there are. Their ordinals tell them apart, and keep equals in order."""
    if findings:
        given = [
            {
                "rule": f.rule,
                "severity": f.severity.value,
                "entity": f.entity,
                "record_id": f.record_id,
                "field": f.field,
                "params": to_json(dict(f.params)),
            }
            for f in findings
        ]
        names = ("rule", "severity", "entity", "record_id", "field", "params")
        await transaction.run(
            """
            INSERT INTO finding (npsn, ordinal, rule, severity, entity, record_id, field, params)
            SELECT :npsn, ordinal + (SELECT coalesce(max(ordinal), 0) FROM finding WHERE npsn = :npsn), rule, severity,
                entity, record_id, field, CAST(params AS jsonb)
            FROM unnest(
                CAST(:rule AS text[]), CAST(:severity AS text[]), CAST(:entity AS text[]), CAST(:record_id AS text[]),
                CAST(:field AS text[]), CAST(:params AS text[])
            ) WITH ORDINALITY AS given (rule, severity, entity, record_id, field, params, ordinal)
            """,
            npsn=npsn,
            **columns(given, *names),
        )


async def _store(transaction: Transaction, npsn: str, verdict: Verdict) -> None:
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


_CODES_OF_EXCHANGE = frozenset((CONFLICT.code, DELETED_CONFLICT.code, REFUSED.code))
