"""A receipt held against what central knows now, also when it was signed in a life of central's that has ended.

Central may have been put back from a backup since. Then the seqs of the receipt are not those of today: what it stated
is there again as far as the school's site has given it back. What can be proven of that, is: a state with the very root
that was signed, of some seq or of what was given back laid over what central kept; or each row by the hashes that the
site proved its records with. Nothing is guessed: where the root cannot be made again, that is what is said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from services.central import history, moments
from services.central.moments import Past
from services.central.recovering import HASH_BYTES
from services.central.registry import Key
from services.database import Row, Transaction
from services.exchange.digest import root_of, row_hash, row_hash_sql
from services.signing import NotProven, PublicKeys

Basis = Literal["history", "found", "given", "hashes", "unknown"]
"""How it is known: the receipt is part of central's history; its state stands again at a seq; it can be put together
from what was given back; row by row, by the hashes under it; not at all.
"""


@dataclass(frozen=True, slots=True)
class Ended:
    """How the life that signed it ended for the school: the life that followed, since when, and why it began."""

    incarnation: str
    at: datetime | None
    why: str


@dataclass(frozen=True, slots=True)
class Lacking:
    """A record under the receipt whose version central has not taken back. `outcome`: moved, somebody had written it
    since; unproven. `state`: of the officers' list, None: it was the school's to send again.
    """

    entity: str
    record_id: str
    version: int
    outcome: str
    state: str | None


@dataclass(frozen=True, slots=True)
class Explanation:
    """What a receipt of this school is worth now. `common`: the seq up to which its history and today's are one; `seq`:
    the one of today whose state it is, None if there is none; `root`: that state's, computed from its rows.

    `rows` were under it, tombstones too; `there` of them are there under the same version and hash, now or superseded
    (None: not known), and `lacking` are those of the others that central can name.
    """

    school: Past
    statement: Mapping[str, Any]
    basis: Basis
    common: int
    seq: int | None
    root: str | None
    ended: Ended | None
    rows: int | None
    there: int | None
    lacking: Sequence[Lacking]

    @property
    def holds(self) -> bool:
        """Is the very state that was signed there now?"""
        return self.root == self.statement["root"] and self.seq is not None


async def explain(transaction: Transaction, jws: str, keys: PublicKeys) -> Explanation:
    """What the receipt is worth now. Raises Refused: PUSAT-15 it proves nothing, PUSAT-04 an unknown school."""
    said = moments.proven(jws, None, keys)
    school = await moments.past(transaction, str(said["npsn"]))
    seq, root = int(said["head_seq"]), str(said["root"])
    parted = moments.shared(school, said)
    if parted == seq:
        there = await history.roots_as_of(transaction, school.npsn, seq)
        rows = sum(number for number, _ in there.entities.values())
        known = rows if there.root == root else None
        return Explanation(school, said, "history", parted, seq, there.root, None, known, known, ())
    ended = await _ended(transaction, school, said)
    again = await history.seq_of(transaction, school.npsn, root, said["counts"], parted)
    if again is not None:
        found = await history.roots_as_of(transaction, school.npsn, again)
        rows = sum(number for number, _ in found.entities.values())
        return Explanation(school, said, "found", parted, again, found.root, ended, rows, rows, ())
    given = await _given(transaction, school, parted, ended)
    laid = await _laid_over(transaction, school.npsn, parted, given)
    lacking = [Lacking(r.entity, r.record_id, r.version, r.outcome, r.state) for r in given if r.outcome != "taken"]
    if root_of((*key, of_row) for key, of_row in laid.items()) == bytes.fromhex(root):
        there_again = len(laid) - len({(r.entity, r.record_id) for r in lacking})
        return Explanation(school, said, "given", parted, None, None, ended, len(laid), there_again, lacking)
    hashes = await _proven_by(transaction, school.npsn, root, keys)
    if hashes is not None:
        missing = hashes - await _held_of(transaction, school.npsn, hashes)
        named = [one for one, row in zip(lacking, _untaken(given), strict=True) if _hash(row) in missing]
        return Explanation(
            school, said, "hashes", parted, None, None, ended, len(hashes), len(hashes) - len(missing), named
        )
    return Explanation(school, said, "unknown", parted, None, None, ended, None, None, lacking)


async def _ended(transaction: Transaction, school: Past, said: Mapping[str, Any]) -> Ended | None:
    """The first life of the school's that the statement does not know; None: nobody has noticed yet that it began."""
    theirs = {str(life["incarnation"]) for life in said["lineage"]}
    following = next((life.incarnation for life in school.lives if life.incarnation not in theirs), None)
    if following is None:
        return None
    row = await transaction.row(
        "SELECT begun_at, why FROM incarnation WHERE incarnation = :incarnation", incarnation=following
    )
    return Ended(following, row.begun_at, row.why or "") if row else Ended(following, None, "")


async def _given(transaction: Transaction, school: Past, parted: int, ended: Ended | None) -> Sequence[Row]:
    """What the site gave back to the lives that followed, each record as it came last."""
    since = [life.incarnation for life in school.lives]
    if ended is None:
        return []
    return await transaction.rows(
        """
        SELECT DISTINCT ON (g.entity, g.record_id) g.entity, g.record_id, g.version, g.outcome, g.state,
               CASE WHEN g.outcome = 'taken' THEN kept.text ELSE g.text END AS text
        FROM given_back g
        LEFT JOIN LATERAL (
            SELECT text FROM record
            WHERE npsn = g.npsn AND entity = g.entity AND record_id = g.record_id AND version = g.version
            UNION ALL
            SELECT text FROM history
            WHERE npsn = g.npsn AND entity = g.entity AND record_id = g.record_id AND version = g.version
        ) AS kept ON g.outcome = 'taken'
        WHERE g.npsn = :npsn AND g.incarnation = ANY(:lives) AND g.outcome <> 'written'
        ORDER BY g.entity, g.record_id, g.id DESC
        """,
        npsn=school.npsn,
        lives=since[since.index(ended.incarnation) :],
    )


def _untaken(given: Sequence[Row]) -> list[Row]:
    return [row for row in given if row.outcome != "taken"]


def _hash(row: Row) -> bytes:
    return row_hash(row.entity, row.record_id, row.version, row.text)


async def _laid_over(transaction: Transaction, npsn: str, seq: int, given: Sequence[Row]) -> dict[Key, bytes]:
    """The row hashes of the state at `seq`, with what was given back in place of what it had been."""
    state = {
        (row.entity, row.record_id): bytes(row.row_hash) async for row in history.hashes_as_of(transaction, npsn, seq)
    }
    return state | {(row.entity, row.record_id): _hash(row) for row in given}


async def _proven_by(transaction: Transaction, npsn: str, root: str, keys: PublicKeys) -> set[bytes] | None:
    """The hashes of all rows under the receipt, if the site's last recover proved its records by this very root."""
    jws = await transaction.value("SELECT jws FROM proof WHERE npsn = :npsn AND is_proven", npsn=npsn)
    try:
        if jws is None or keys.verify(jws)["root"] != root:
            return None
    except NotProven:
        return None
    parts = await transaction.rows("SELECT hashes FROM proof_part WHERE npsn = :npsn ORDER BY part", npsn=npsn)
    joined = b"".join(bytes(part.hashes) for part in parts)
    return {joined[n : n + HASH_BYTES] for n in range(0, len(joined), HASH_BYTES)}


async def _held_of(transaction: Transaction, npsn: str, hashes: set[bytes]) -> set[bytes]:
    """Those that some version of some record has, now or superseded."""
    rows = await transaction.rows(
        f"""
        SELECT row_hash FROM (
            SELECT row_hash FROM record WHERE npsn = :npsn
            UNION
            SELECT {row_hash_sql(version="version", text="text")} FROM history WHERE npsn = :npsn
        ) AS every (row_hash) WHERE row_hash = ANY(CAST(:hashes AS bytea[]))
        """,  # noqa: S608  an expression of ours
        npsn=npsn,
        hashes=sorted(hashes),
    )
    return {bytes(row.row_hash) for row in rows}
