"""What proves a row, and rows that are mended: the hashes under the latest statement, buckets, the log of repairs.

The statement says what both sides held; the hashes under it, 32 bytes a record, say so of every single row.
"""

from __future__ import annotations

import base64
import contextlib
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

from services.database import Transaction, columns
from services.entities import INTEGER_LIMIT, SPECS
from services.exchange import canonical, digest, mend
from services.exchange.absorb import Base, Overruled, Replicated
from services.exchange.canonical import NotCanonical
from services.exchange.digest import bucket_sql
from services.messages import EntityDigest, ProvenRow
from services.replica import records
from services.replica.records import Key

log = logging.getLogger(__name__)
HASH_BYTES = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """The row hashes of all entities under one signed statement; they make its root. `said`: what it says."""

    jws: str
    said: Mapping[str, Any]
    hashes: Mapping[str, bytes]

    @property
    def seq(self) -> int:
        """The statement's head."""
        return int(self.said["head_seq"])

    def of(self, entity: str) -> frozenset[bytes]:
        """The hashes of one entity's records."""
        joined = self.hashes.get(entity, b"")
        return frozenset(joined[n : n + HASH_BYTES] for n in range(0, len(joined), HASH_BYTES))

    def encoded(self, entity: str) -> str:
        """The same as they travel: base64."""
        return base64.b64encode(self.hashes.get(entity, b"")).decode()

    def others(self, entity: str) -> dict[str, EntityDigest]:
        """The digests of the other entities."""
        return {
            name: EntityDigest(rows=rows, digest=of_entity.hex())
            for name, (rows, of_entity) in _digests(self.hashes).items()
            if name != entity
        }


async def stated(transaction: Transaction, npsn: str) -> str | None:
    """The signed statement whose row hashes are kept."""
    found = await transaction.value("SELECT stated FROM school WHERE npsn = :npsn", npsn=npsn)
    return None if found is None else str(found)


async def proof(transaction: Transaction, npsn: str, said: Mapping[str, Any], jws: str) -> Proof | None:
    """What the site can prove by the statement `jws`, which says `said`; None if the hashes do not make its root."""
    rows = await transaction.rows("SELECT entity, hashes FROM stated WHERE npsn = :npsn", npsn=npsn)
    hashes = {r.entity: bytes(r.hashes) for r in rows}
    return Proof(jws, said, hashes) if digest.root(_digests(hashes)).hex() == said["root"] else None


def _digests(hashes: Mapping[str, bytes]) -> dict[str, tuple[int, bytes]]:
    return {name: (len(joined) // HASH_BYTES, digest.entity_digest([joined])) for name, joined in hashes.items()}


async def keep_stated(transaction: Transaction, npsn: str, root: str, jws: str) -> None:
    """Keep the hashes of all rows as they are now, under the statement `jws` whose root is `root` (hex).

    Rows that a hand altered since the roots were compared do not fit it: then nothing is proven. Nor is anything by an
    empty `jws`: an older central does not sign.
    """
    await transaction.run(
        """
        WITH held AS (
            SELECT entity, count(*) AS rows, string_agg(base_hash, CAST('' AS bytea) ORDER BY record_id) AS hashes
            FROM record WHERE npsn = :npsn AND base_version > 0 GROUP BY entity
        ),
        gone AS (
            DELETE FROM stated WHERE npsn = :npsn AND entity NOT IN (SELECT entity FROM held)
        )
        INSERT INTO stated (npsn, entity, rows, hashes) SELECT :npsn, entity, rows, hashes FROM held
        ON CONFLICT (npsn, entity) DO UPDATE SET rows = excluded.rows, hashes = excluded.hashes
        WHERE stated.hashes <> excluded.hashes
        """,
        npsn=npsn,
    )
    fits = digest.root(await _stated_digests(transaction, npsn)).hex() == root
    if not fits:
        log.error("rows were altered while they were being proven", extra={"npsn": npsn})
    await transaction.run(
        "UPDATE school SET stated = :jws WHERE npsn = :npsn", npsn=npsn, jws=(jws or None) if fits else None
    )


async def _stated_digests(transaction: Transaction, npsn: str) -> dict[str, tuple[int, bytes]]:
    rows = await transaction.rows(
        "SELECT entity, rows, sha256(hashes) AS digest FROM stated WHERE npsn = :npsn", npsn=npsn
    )
    return {r.entity: (r.rows, bytes(r.digest)) for r in rows}


async def buckets(transaction: Transaction, npsn: str, entities: Sequence[str]) -> dict[str, dict[int, EntityDigest]]:
    """Of each entity: the rows and the digest of each bucket that has records."""
    rows = await transaction.rows(
        f"""
        SELECT entity, {bucket_sql()} AS bucket, count(*) AS n,
               encode(sha256(string_agg(base_hash, CAST('' AS bytea) ORDER BY record_id)), 'hex') AS digest
        FROM record WHERE npsn = :npsn AND base_version > 0 AND entity = ANY(:entities) GROUP BY 1, 2
        """,  # noqa: S608  an expression of ours
        npsn=npsn,
        entities=list(entities),
    )
    found: dict[str, dict[int, EntityDigest]] = {}
    for r in rows:
        found.setdefault(r.entity, {})[r.bucket] = EntityDigest(rows=r.n, digest=r.digest)
    return found


async def hashes_of(transaction: Transaction, npsn: str, entity: str, chosen: Sequence[int]) -> dict[str, bytes]:
    """The hash of every record in some buckets of an entity, by record_id."""
    rows = await transaction.rows(
        f"""
        SELECT record_id, base_hash FROM record
        WHERE npsn = :npsn AND entity = :entity AND base_version > 0 AND {bucket_sql()} = ANY(:buckets)
        """,  # noqa: S608
        npsn=npsn,
        entity=entity,
        buckets=list(chosen),
    )
    return {r.record_id: bytes(r.base_hash) for r in rows}


async def bases(transaction: Transaction, npsn: str, entity: str, record_ids: Sequence[str]) -> list[ProvenRow]:
    """These records as the site holds them, to be brought to central."""
    rows = await transaction.rows(
        """
        SELECT record_id, base_version, least(greatest(base_seq, 0), :limit) AS seq, base FROM record
        WHERE npsn = :npsn AND entity = :entity AND base_version > 0 AND record_id = ANY(:ids) ORDER BY record_id
        """,
        npsn=npsn,
        entity=entity,
        ids=list(record_ids),
        limit=INTEGER_LIMIT,
    )
    return [ProvenRow(record_id=r.record_id, version=r.base_version, seq=r.seq, text=r.base) for r in rows]


async def take(transaction: Transaction, npsn: str, theirs: Mapping[Key, Base], *, session: int) -> bool:
    """Make these rows central's, and keep both values; True if data, a conflict mark or a refusal changed.

    What an operator typed stays as it would over any news from central. A row whose data is no record any more is
    replaced whole.
    """
    found = await _raw(transaction, npsn, theirs)
    after: dict[Key, Replicated] = {}
    overruled: list[tuple[Key, Overruled, int]] = []
    changed = False
    for key, base in theirs.items():
        before = _readable(found.get(key), base)
        taken = mend.take(before or records.NOTHING, base, SPECS.get(key[0]))
        after[key] = taken.record
        overruled += [(key, one, base.version) for one in taken.overruled]
        changed = changed or taken.changed_data or before is None
    await _log(transaction, npsn, theirs, found, session)
    changed = await records.write(transaction, npsn, after) or changed
    await records.log_overruled(transaction, npsn, overruled)
    return changed


async def _raw(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> dict[Key, Any]:
    wanted = list(keys)
    rows = await transaction.rows(
        """
        SELECT r.entity, r.record_id, r.base_version, r.base_seq, r.base, r.data, r.is_sent, r.sent, r.conflict
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
        """,
        npsn=npsn,
        entities=[entity for entity, _ in wanted],
        ids=[record_id for _, record_id in wanted],
    )
    return {(row.entity, row.record_id): row for row in rows}


def _readable(row: Any, theirs: Base) -> Replicated | None:
    """A record as a hand may have left it; None: nothing is there, or no record any more. Where the base alone is none,
    what is shown may have been typed, over what central holds.
    """
    if row is None:
        return None
    with contextlib.suppress(NotCanonical):
        return records.of_row(row)
    with contextlib.suppress(NotCanonical):
        return replace(records.of_row(SimpleNamespace(**{**dict(row), "base": None})), base=theirs)
    return None


async def _log(
    transaction: Transaction, npsn: str, theirs: Mapping[Key, Base], found: Mapping[Key, Any], session: int
) -> None:
    rows = []
    for (entity, record_id), base in theirs.items():
        was = found.get((entity, record_id))
        rows.append(
            {
                "entity": entity,
                "record_id": record_id,
                "found_version": was.base_version if was else 0,
                "found_seq": was.base_seq if was else 0,
                "found_base": was.base if was else None,
                "found_data": was.data if was else None,
                "version": base.version,
                "seq": base.seq,
                "text": None if base.fields is None else canonical.encode(base.fields),
            }
        )
    names = ("entity", "record_id", "found_version", "found_seq", "found_base", "found_data", "version", "seq", "text")
    await transaction.run(
        """
        INSERT INTO repair (npsn, session, entity, record_id, found_version, found_seq, found_base, found_data, version,
                            seq, text)
        SELECT :npsn, :session, given.*
        FROM unnest(
            CAST(:entity AS text[]), CAST(:record_id AS text[]), CAST(:found_version AS bigint[]),
            CAST(:found_seq AS bigint[]), CAST(:found_base AS text[]), CAST(:found_data AS text[]),
            CAST(:version AS bigint[]), CAST(:seq AS bigint[]), CAST(:text AS text[])
        ) AS given
        """,
        npsn=npsn,
        session=session,
        **columns(rows, *names),
    )
