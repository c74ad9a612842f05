"""What proves two sides equal: a hash per record, a digest per entity, one root per school; tombstones included.

The database computes the row hash as a generated column with the very expression made here, so a row that was changed
by hand no longer fits the root. How to compute all of it in any language: docs/canonical-form.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from itertools import groupby

_UNIT = "\x1f"


def row_hash(entity: str, record_id: str, version: int, text: str | None) -> bytes:
    """The 32 bytes of one record at one version; `text` is its canonical form, None for a tombstone."""
    return hashlib.sha256(_UNIT.join((entity, record_id, str(version), text or "")).encode()).digest()


def row_hash_sql(
    entity: str = "entity", record_id: str = "record_id", version: str = "version", text: str = "text"
) -> str:
    """The same in PostgreSQL, of columns of these names; immutable, so fit for a generated column of a UTF-8 database.

    `convert_to` would say it more plainly, but is not immutable. `decode(…, 'escape')` gives the text's own bytes once
    every backslash is doubled; E'' makes that doubling independent of standard_conforming_strings.
    """
    joined = f"{entity} || chr(31) || {record_id} || chr(31) || {version}::text || chr(31) || coalesce({text}, '')"
    return rf"sha256(decode(replace({joined}, E'\\', E'\\\\'), 'escape'))"


ROW_HASH_SQL = row_hash_sql()


def bucket(record_id: str) -> int:
    """0 to 255: where a record is compared when an entity's digests differ. UUIDv7 share their own first bytes."""
    return hashlib.sha256(record_id.encode()).digest()[0]


def bucket_sql(record_id: str = "record_id") -> str:
    """The same in PostgreSQL, of a column of this name."""
    return f"get_byte(sha256(convert_to({record_id}, 'UTF8')), 0)"


def entity_digest(row_hashes: Iterable[bytes]) -> bytes:
    """The digest of one entity; the hashes come in byte order of record_id (in SQL: collation "C")."""
    return hashlib.sha256(b"".join(row_hashes)).digest()


def root(entities: Mapping[str, tuple[int, bytes]]) -> bytes:
    """The root of a school, from each entity's number of rows and digest. An entity without rows does not count."""
    digest = hashlib.sha256()
    for name in sorted(entities, key=str.encode):
        rows, of_entity = entities[name]
        if rows:
            digest.update(f"{name}{_UNIT}{rows}{_UNIT}".encode() + of_entity)
    return digest.digest()


def root_of(rows: Iterable[tuple[str, str, bytes]]) -> bytes:
    """The root of a school, from (entity, record_id, row hash) of each of its records, in any order."""
    in_order = sorted(rows, key=lambda row: (row[0].encode(), row[1].encode()))
    entities: dict[str, tuple[int, bytes]] = {}
    for entity, group in groupby(in_order, key=lambda row: row[0]):
        hashes = [row_hash for _, _, row_hash in group]
        entities[entity] = (len(hashes), entity_digest(hashes))
    return root(entities)
