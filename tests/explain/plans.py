"""A statement's plan, and what in it reads a whole table."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import asyncpg
import orjson

from services.database import Transaction, numbered

Plan = Mapping[str, Any]


async def with_values(transaction: Transaction, sql: str, values: Mapping[str, Any]) -> Plan:
    """As it is planned for these values."""
    return _plan_of(await transaction.value(f"EXPLAIN (FORMAT JSON) {sql}", **values))


async def with_any(connection: asyncpg.Connection, sql: str) -> Plan:
    """As it is planned for any values, once it has been run often enough."""
    statement, _ = numbered(sql)
    await connection.execute("SET plan_cache_mode = force_generic_plan")
    await connection.execute(f"PREPARE one AS {statement}")
    try:
        number = await connection.fetchval(
            "SELECT cardinality(parameter_types) FROM pg_prepared_statements WHERE name = 'one'"
        )
        arguments = f"({', '.join(['NULL'] * number)})" if number else ""
        return _plan_of(await connection.fetchval(f"EXPLAIN (FORMAT JSON) EXECUTE one{arguments}"))
    finally:
        await connection.execute("DEALLOCATE one")


def _plan_of(found: str) -> Plan:
    plan: Plan = orjson.loads(found)[0]["Plan"]
    return plan


def whole_reads(plan: Plan, tables: Collection[str], indexes: Collection[str]) -> list[str]:
    """What reads one of these tables, or of these indexes, from end to end."""
    return [
        f"{node['Node Type']} {node.get('Relation Name', '')} {node.get('Index Name', '')}".strip()
        for node in _nodes(plan)
        if (node["Node Type"] == "Seq Scan" and node["Relation Name"] in tables)
        or (node.get("Index Name") in indexes and "Index Cond" not in node)
    ]


def _nodes(plan: Plan) -> Iterator[Plan]:
    """The plan and all below it."""
    yield plan
    for below in plan.get("Plans", ()):
        yield from _nodes(below)
