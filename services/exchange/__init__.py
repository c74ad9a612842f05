"""The exchange itself, as pure functions: how one school's replica and central become equal, and prove it.

No clock, no database, no broker: what is decided here depends on its arguments alone (protocol.md 3 and 4). Read in
this order: `canonical` (one text for one record), `change` (what a site pushes), `merge` (central receives it),
`absorb` (the site takes in what central holds), `digest` (both prove that they are equal), `lineage` (where two
histories part).
"""

from __future__ import annotations

from services.exchange.absorb import Absorbed, Base, Conflict, NoConflict, Overruled, Replicated, Sent
from services.exchange.canonical import Json, NotCanonical
from services.exchange.change import WHOLE, Change, diff, push_order
from services.exchange.digest import ROW_HASH_SQL, entity_digest, root, root_of, row_hash, row_hash_sql
from services.exchange.lineage import Life, Lineage
from services.exchange.merge import Held, Merged, Refusal, Verdict, expected

__all__ = [
    "ROW_HASH_SQL",
    "WHOLE",
    "Absorbed",
    "Base",
    "Change",
    "Conflict",
    "Held",
    "Json",
    "Life",
    "Lineage",
    "Merged",
    "NoConflict",
    "NotCanonical",
    "Overruled",
    "Refusal",
    "Replicated",
    "Sent",
    "Verdict",
    "diff",
    "entity_digest",
    "expected",
    "push_order",
    "root",
    "root_of",
    "row_hash",
    "row_hash_sql",
]
