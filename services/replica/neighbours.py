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

MOST_VALUES = 16
"""Searched for in each text of an entity; beyond it, all its records are read."""

_EXACTLY = """
SELECT r.entity, r.record_id, r.data
FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
WHERE r.data IS NOT NULL
"""
_WITH_VALUES = """
SELECT r.entity, r.record_id, r.data FROM record r
WHERE r.npsn = :npsn AND r.data IS NOT NULL AND r.entity = ANY(CAST(:searched AS text[])) AND EXISTS (
    SELECT FROM unnest(CAST(:among AS text[]), CAST(:values AS text[])) AS wanted (entity, value)
    WHERE wanted.entity = r.entity AND strpos(r.data, wanted.value) > 0
)
"""
_EVERY = """
SELECT entity, record_id, data FROM record
WHERE npsn = :npsn AND data IS NOT NULL AND entity = ANY(CAST(:every AS text[]))
"""


async def find(transaction: Transaction, npsn: str, lookups: Iterable[Lookup]) -> list[tuple[str, str, Fields]]:
    """The live records that answer the lookups, (entity, record_id, fields), each once; some that do not may be among
    them.
    """
    ids: list[tuple[str, str]] = []
    values: dict[str, set[str]] = defaultdict(set)
    every: set[str] = set()
    for lookup in lookups:
        if lookup.key == ID:
            ids.append((lookup.entity, lookup.value))
        elif lookup.key in (EVERY, NAME_AND_KIND):
            every.add(lookup.entity)
        else:
            values[lookup.entity].add(lookup.value)
    every |= {entity for entity, of_entity in values.items() if len(of_entity) > MOST_VALUES}
    exactly = [key for key in ids if key[0] not in every]
    searched = [(entity, value) for entity, of_entity in values.items() if entity not in every for value in of_entity]
    parts: list[str] = []
    given: dict[str, list[str]] = {}
    if exactly:
        parts.append(_EXACTLY)
        given |= {"entities": [entity for entity, _ in exactly], "ids": [record_id for _, record_id in exactly]}
    if searched:
        parts.append(_WITH_VALUES)
        given |= {
            "searched": sorted({entity for entity, _ in searched}),
            "among": [entity for entity, _ in searched],
            "values": [to_json(value)[1:-1] for _, value in searched],  # as the canonical text has it
        }
    if every:
        parts.append(_EVERY)
        given |= {"every": sorted(every)}
    rows = await transaction.rows(" UNION ALL ".join(parts), npsn=npsn, **given)
    found = {(row.entity, row.record_id): row.data for row in rows}
    return [(entity, record_id, canonical.decode(text)) for (entity, record_id), text in found.items()]
