"""Where a school stands, as a proof compares it: digests and root of what central holds, and what is not covered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.database import Transaction
from services.entities import INTEGER_LIMIT
from services.exchange.digest import root as root_of
from services.exchange.digest import row_hash_sql
from services.messages import EntityDigest


@dataclass(frozen=True, slots=True)
class Standing:
    """What VERIFY asks about. Counts of records: typed since the gate, held by a conflict, refused by central.
    `receipt`, of a recover: the signed statement of the last sync.
    """

    cursor: int
    entities: Mapping[str, tuple[int, bytes]]
    unsent: int
    held: int
    refused: int
    receipt: str | None = None

    @property
    def root(self) -> str:
        """The root in hex."""
        return root_of(self.entities).hex()

    def differing(self, theirs: Mapping[str, EntityDigest]) -> list[str]:
        """The entities whose rows or digest are not central's."""
        mine = {name: EntityDigest(rows=rows, digest=digest.hex()) for name, (rows, digest) in self.entities.items()}
        return sorted(name for name in mine.keys() | theirs.keys() if mine.get(name) != theirs.get(name))


async def last_receipt(transaction: Transaction, npsn: str) -> str | None:
    """The signed statement of the last sync."""
    found = await transaction.value(
        """
        SELECT jws FROM statement WHERE npsn = :npsn AND kind = 'sync' AND jws <> ''
        ORDER BY at DESC, session DESC LIMIT 1
        """,
        npsn=npsn,
    )
    return None if found is None else str(found)


async def root(transaction: Transaction, npsn: str) -> bytes:
    """The root of what the site knows central to hold: SHA-256 over all entities (docs/canonical-form.md)."""
    return root_of(await digests(transaction, npsn))


async def digests_if_taken(transaction: Transaction, npsn: str) -> dict[str, tuple[int, bytes]]:
    """As `digests`, once central has taken everything that is pending as it is."""
    taken = row_hash_sql(version="(least(base_version, :limit) + 1)", text="data")
    rows = await transaction.rows(
        f"""
        SELECT entity, count(*) AS n, sha256(string_agg(
            CASE WHEN pending THEN {taken} ELSE base_hash END, ''::bytea ORDER BY record_id)) AS digest
        FROM record WHERE npsn = :npsn AND (base_version > 0 OR data IS NOT NULL) GROUP BY entity
        """,  # noqa: S608  a part of ours
        npsn=npsn,
        limit=INTEGER_LIMIT,
    )
    return {r.entity: (r.n, bytes(r.digest)) for r in rows}


async def digests(transaction: Transaction, npsn: str) -> dict[str, tuple[int, bytes]]:
    """Of each entity with rows: their number, and the digest over their hashes, computed from the rows."""
    rows = await transaction.rows(
        """
        SELECT entity, count(*) AS n, sha256(string_agg(base_hash, ''::bytea ORDER BY record_id)) AS digest
        FROM record WHERE npsn = :npsn AND base_version > 0 GROUP BY entity
        """,
        npsn=npsn,
    )
    return {r.entity: (r.n, bytes(r.digest)) for r in rows}


async def counts(transaction: Transaction, npsn: str) -> tuple[int, int, int]:
    row = await transaction.row(
        """
        SELECT count(*) FILTER (WHERE pending AND conflict IS NULL) AS unsent,
               count(*) FILTER (WHERE conflict IS NOT NULL) AS held,
               count(*) FILTER (WHERE pending AND refusal IS NOT NULL) AS refused
        FROM record WHERE npsn = :npsn AND (pending OR conflict IS NOT NULL)
        """,
        npsn=npsn,
    )
    assert row is not None
    return row.unsent, row.held, row.refused
