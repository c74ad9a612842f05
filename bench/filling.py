"""Databases filled with schools: a school that the services made themselves, copied row by row inside PostgreSQL.

The copies are valid: each has an NPSN, a record_id of its own record and persons' numbers that no other has, its claims
fit its records, its row hashes are the database's own, and its counters those of the original. Only what is signed is
not: a copied statement has no signature.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import asyncpg

from bench.records import batches
from services.central.claims import DIGEST_BYTES, KINDS
from services.entities import natural_key
from services.topology import Side

MOST = 10_000
"""Copies that one database can have: their persons' numbers tell so many apart."""
_AT_ONCE = 250
"""Schools in one transaction."""
_TABLES: Mapping[Side, Sequence[str]] = {
    "central": ("school", "record", "history", "statement", "last_batch", "verdict", "answer", "repair"),
    "site": ("school", "record", "finding", "overruled", "session", "standing", "statement", "answer", "repair"),
}
_DERIVED: Mapping[Side, str] = {"central": "claim", "site": "stated"}
_OWN = "CASE WHEN old.entity = 'sekolah' THEN new.sekolah ELSE old.record_id END"
_TEXT = r"""
    regexp_replace(
        regexp_replace(old.{column}, '"(nik|nuptk)":"99[0-9]{{4}}', format('"\1":"98%s', new.number), 'g'),
        '"nisn":"900[0-9]{{3}}', format('"nisn":"98%s', new.number), 'g')
"""
_COLUMNS: Mapping[tuple[Side, str], Mapping[str, str]] = {
    ("central", "record"): {"record_id": _OWN, "text": _TEXT.format(column="text")},
    ("central", "history"): {"record_id": _OWN, "text": _TEXT.format(column="text")},
    ("central", "statement"): {"body": "replace(old.body, old.npsn, new.npsn)", "jws": "''"},
    ("central", "school"): {"session_active_at": "NULL", "unjudged_since": "NULL"},
    ("central", "repair"): {"record_id": _OWN},
    ("site", "school"): {"stated": "NULL", "lease_holder": "NULL", "lease_expires": "NULL"},
    ("site", "record"): {
        "record_id": _OWN,
        "base": _TEXT.format(column="base"),
        "data": _TEXT.format(column="data"),
        "sent": _TEXT.format(column="sent"),
    },
    ("site", "finding"): {"record_id": _OWN},
    ("site", "repair"): {"record_id": _OWN},
    ("site", "statement"): {"jws": "''"},
}
_STATED = """
INSERT INTO stated (npsn, entity, rows, hashes)
SELECT npsn, entity, count(*), string_agg(base_hash, CAST('' AS bytea) ORDER BY record_id)
FROM record WHERE npsn = ANY($1::text[]) AND base_version > 0 GROUP BY npsn, entity
"""
_CLAIMS = f"""
INSERT INTO claim (value, npsn, record_id, kind)
SELECT substring(sha256(convert_to(kind.name || chr(31) || number, 'UTF8')) FOR {DIGEST_BYTES}), npsn, record_id,
       kind.name
FROM record
JOIN unnest($2::text[], $3::text[], $4::text[]) AS kind (name, entity, field) USING (entity),
LATERAL (SELECT CAST(text AS jsonb) ->> kind.field AS number) AS found
WHERE npsn = ANY($1::text[]) AND number IS NOT NULL
"""


def npsn_of(number: int) -> str:
    """The NPSN of a copy: no school's that is made otherwise."""
    return f"N{number:07d}"


async def copies(connection: asyncpg.Connection, side: Side, npsn: str, first: int, number: int) -> None:
    """Copy the school `npsn` as copies `first`, `first` + 1 …, `number` of them, and leave nothing to autovacuum."""
    for numbers in batches(list(range(first, first + number)), _AT_ONCE):
        await _copy(connection, side, npsn, numbers)
    await connection.execute(f"VACUUM (ANALYZE) {', '.join([*_TABLES[side], _DERIVED[side]])}")


async def _copy(connection: asyncpg.Connection, side: Side, npsn: str, numbers: Sequence[int]) -> None:
    if numbers[-1] >= MOST:
        raise ValueError(f"{MOST} copies, at most")
    new = [npsn_of(number) for number in numbers]
    async with connection.transaction():
        for table in _TABLES[side]:
            made = _COLUMNS.get((side, table), {})
            names = await _names(connection, table)
            values = [made.get(name, "new.npsn" if name == "npsn" else f"old.{name}") for name in names]
            await connection.execute(
                f"INSERT INTO {table} ({', '.join(names)}) SELECT {', '.join(values)} FROM {table} AS old, "
                "unnest($2::text[], $3::text[], $4::text[]) AS new (npsn, number, sekolah) WHERE old.npsn = $1",
                *(npsn, new, [f"{number:04d}" for number in numbers], [natural_key("sekolah", one) for one in new]),
            )
        if side == "central":
            kinds = [(kind.name, kind.entity, kind.field) for kind in KINDS.values()]
            await connection.execute(_CLAIMS, new, *map(list, zip(*kinds, strict=True)))
        else:
            await connection.execute(_STATED, new)


async def _names(connection: asyncpg.Connection, table: str) -> list[str]:
    """The table's columns but those that the database fills in itself."""
    rows = await connection.fetch(
        """
        SELECT column_name FROM information_schema.columns
        WHERE table_schema = 'public' AND table_name = $1 AND is_generated = 'NEVER' AND is_identity = 'NO'
        ORDER BY ordinal_position
        """,
        table,
    )
    return [row["column_name"] for row in rows]
