"""The records that a rule reads beside the one it judges, looked up by equal values, without an index on them.

A school's records of one entity lie together, and searching their texts for a value takes a microsecond each; what is
found is looked at again by what it holds. An index would cost every write of every record more than this saves.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from services.database import Transaction, to_json
from services.entities import Fields
from services.exchange import canonical
from services.rules.reach import EVERY, Lookup
from services.rules.reads import ID, NAME_AND_KIND

MOST_VALUES = 24
"""Searched for in each text of an entity; beyond it, all its records are read."""


async def find(transaction: Transaction, npsn: str, lookups: Iterable[Lookup]) -> list[tuple[str, str, Fields]]:
    """The live records that answer the lookups, (entity, record_id, fields), each once; some that do not may be among
    them.
    """
    ids: list[tuple[str, str]] = []
    values: dict[str, list[str]] = defaultdict(list)
    every: set[str] = set()
    for lookup in lookups:
        if lookup.key == ID:
            ids.append((lookup.entity, lookup.value))
        elif lookup.key in (EVERY, NAME_AND_KIND):
            every.add(lookup.entity)
        else:
            values[lookup.entity].append(lookup.value)
    every |= {entity for entity, of_entity in values.items() if len(of_entity) > MOST_VALUES}
    searched = {entity: of_entity for entity, of_entity in values.items() if entity not in every}
    sql, given = _query(npsn, [key for key in ids if key[0] not in every], searched, sorted(every))
    rows = await transaction.rows(sql, **given)
    found = {(row.entity, row.record_id): row.data for row in rows}
    return [(entity, record_id, canonical.decode(text)) for (entity, record_id), text in found.items()]


def _query(
    npsn: str, ids: list[tuple[str, str]], searched: dict[str, list[str]], every: list[str]
) -> tuple[str, dict[str, Any]]:
    """One statement, a part for each way of finding; each goes through the table in the order of its key."""
    given: dict[str, Any] = {"npsn": npsn}
    parts = []
    if ids:
        given |= {"entities": [entity for entity, _ in ids], "ids": [record_id for _, record_id in ids]}
        parts.append(
            """
            SELECT r.entity, r.record_id, r.data
            FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
            JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
            WHERE r.data IS NOT NULL
            """
        )
    if every:
        given["every"] = every
        parts.append(f"{_OF_SCHOOL} AND entity = ANY(CAST(:every AS text[]))")
    for number, (entity, values) in enumerate(searched.items()):
        given[f"entity_{number}"] = entity
        tests = []
        for place, value in enumerate(values):
            given[f"value_{number}_{place}"] = to_json(value)[1:-1]  # as the canonical text has it
            tests.append(f"strpos(data, :value_{number}_{place}) > 0")
        parts.append(f"{_OF_SCHOOL} AND entity = :entity_{number} AND ({' OR '.join(tests)})")
    return " UNION ALL ".join(parts), given


_OF_SCHOOL = "SELECT entity, record_id, data FROM record WHERE npsn = :npsn AND data IS NOT NULL"
