"""Central's own past against what it signed: each statement by its signature and its place in the chain, and the state
as of it by its root.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Literal

from services.central import history, registry, schools
from services.database import Database, Transaction
from services.exchange import canonical
from services.exchange.canonical import NotCanonical
from services.signing import NotProven, PublicKeys

Trouble = Literal["signature", "content", "chain", "past", "seq"]
"""Not signed by a known key; the stored text is not what was signed; not the hash of the one before; the state as of it
has another root; seq has holes.
"""


@dataclass(frozen=True, slots=True)
class Audited:
    """What was looked at in one school, and what is wrong: (trouble, session of the statement; 0: no statement's).

    `unsigned`: of the statements, those that no key signed: an older release's, which did not sign yet.
    """

    npsn: str
    statements: int
    unsigned: int
    troubles: tuple[tuple[Trouble, int], ...]


async def audit(database: Database, npsn: str, keys: PublicKeys, *, every: bool = False) -> Audited:
    """Check one school; `every`: the state as of every statement, not of the last alone.

    Statements from before central signed any are passed over: the first signed one names the hash of the last of them.
    """
    troubles: list[tuple[Trouble, int]] = []
    async with database.transaction() as transaction:
        school = await schools.lock(transaction, npsn)
        if school is None:
            return Audited(npsn, 0, 0, ())
        rows = await transaction.rows(
            "SELECT session, body, jws FROM statement WHERE npsn = :npsn ORDER BY ordinal", npsn=npsn
        )
        before: str | None = None
        signing = False
        for row in rows:
            signing = signing or row.jws != ""
            said = _signed(row, keys, troubles) if signing else None
            if said is not None and said.get("previous") != before:
                troubles.append(("chain", row.session))
            before = hashlib.sha256(row.body.encode()).hexdigest()
            if said is not None and (every or row is rows[-1]) and not await _holds(transaction, npsn, said):
                troubles.append(("past", row.session))
        if not await registry.without_holes(transaction, school):
            troubles.append(("seq", 0))
    return Audited(npsn, len(rows), sum(row.jws == "" for row in rows), tuple(troubles))


def _signed(row: Any, keys: PublicKeys, troubles: list[tuple[Trouble, int]]) -> dict[str, Any] | None:
    """What the statement says, if central signed it."""
    try:
        said = keys.verify(row.jws)
    except NotProven:
        troubles.append(("signature", row.session))
        return None
    try:
        same = canonical.encode(said) == row.body
    except NotCanonical:
        same = False
    if not same:
        troubles.append(("content", row.session))
    return said


async def _holds(transaction: Transaction, npsn: str, said: dict[str, Any]) -> bool:
    if said["npsn"] != npsn:
        return False
    roots = await history.roots_as_of(transaction, npsn, said["head_seq"], hashed_anew=True)
    return roots.root == str(said["root"])
