"""The records that a rule reads beside the one it judges, looked up by equal values, without an index on them.

A school's records of one entity lie together, and searching their texts for a value takes a microsecond each; what is
found is looked at again by what it holds. An index would cost every write of every record more than this saves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from services.database import Transaction, to_json
from services.entities import Fields
from services.exchange import canonical
from services.rules.reach import EVERY, Lookup
from services.rules.reads import ID, NAME_AND_KIND

MOST_VALUES = 4
"""Searched for in the texts of an entity, each by itself; beyond it, all its records are read."""

_EMPTY = ""
"""It is in every text."""

_FOUND = """
SELECT r.entity, r.record_id, r.data
FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
CROSS JOIN LATERAL (
    SELECT entity, record_id, data FROM record
    WHERE npsn = :npsn AND entity = wanted.entity AND record_id = wanted.record_id AND data IS NOT NULL OFFSET 0
) AS r
UNION ALL
SELECT r.entity, r.record_id, r.data
FROM unnest(CAST(:searched AS text[]), CAST(:values AS text[])) AS wanted (entity, value)
CROSS JOIN LATERAL (
    SELECT entity, record_id, data FROM record
    WHERE npsn = :npsn AND entity = wanted.entity AND data IS NOT NULL AND strpos(data, wanted.value) > 0 OFFSET 0
) AS r
"""
"""OFFSET 0 keeps the planner from turning it round: it would read the school whole, once for all that are wanted."""


async def find(transaction: Transaction, npsn: str, lookups: Iterable[Lookup]) -> list[tuple[str, str, Fields]]:
    """The live records that answer the lookups, (entity, record_id, fields), each once; some that do not may be among
    them.
    """
    ids: list[tuple[str, str]] = []
    values: dict[str, set[str]] = defaultdict(set)
    for lookup in lookups:
        if lookup.key == ID:
            ids.append((lookup.entity, lookup.value))
        elif lookup.key in (EVERY, NAME_AND_KIND):
            values[lookup.entity].add(_EMPTY)
        else:
            values[lookup.entity].add(to_json(lookup.value)[1:-1])  # as the canonical text has it
    for entity, of_entity in values.items():
        if _EMPTY in of_entity or len(of_entity) > MOST_VALUES:
            values[entity] = {_EMPTY}
    exactly = [key for key in ids if _EMPTY not in values.get(key[0], ())]
    searched = [(entity, value) for entity, of_entity in values.items() for value in of_entity]
    rows = await transaction.rows(
        _FOUND,
        npsn=npsn,
        entities=[entity for entity, _ in exactly],
        ids=[record_id for _, record_id in exactly],
        searched=[entity for entity, _ in searched],
        values=[value for _, value in searched],
    )
    found = {(row.entity, row.record_id): row.data for row in rows}
    return [(entity, record_id, canonical.decode(text)) for (entity, record_id), text in found.items()]
