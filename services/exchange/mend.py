"""Two sides that should be equal are not: who is right about a row, and how the site takes central's (protocol.md 4).

The signed side wins. A statement proves both sides' rows as they were at its seq; what moved since is central's to say.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass, replace
from enum import StrEnum

from services.entities.schema import EntitySpec
from services.exchange.absorb import Absorbed, Base, Replicated, absorb


@dataclass(frozen=True, slots=True)
class Differing:
    """A record on which the two sides differ: each side's row hash (None: it has nothing), and central's seq."""

    entity: str
    record_id: str
    mine: bytes | None
    theirs: bytes | None
    theirs_seq: int = 0


class Right(StrEnum):
    """Whose row is the right one. NOBODY: neither side can prove its own; people must look."""

    CENTRAL = "central"
    SITE = "site"
    NOBODY = "nobody"


def who_is_right(row: Differing, proven: Container[bytes] | None, *, past_holds: bool, stated_seq: int) -> Right:
    """`proven`: the row hashes of the entity under the site's latest statement; None if it cannot prove any.

    `past_holds`: central's own state as of its last statement still has the root that it signed; then central's copy
    was not altered, and the site's was. `stated_seq`: what has a higher seq, no statement covers.
    """
    if past_holds or (proven is not None and row.theirs in proven):
        return Right.CENTRAL
    if proven is not None and row.mine in proven:
        return Right.SITE
    if row.theirs is not None and row.theirs_seq > stated_seq:
        return Right.CENTRAL
    if proven is not None and row.mine is None:
        return Right.SITE  # central has what no statement knows; the proof shows it to central
    return Right.NOBODY


def take(record: Replicated, theirs: Base, spec: EntitySpec | None) -> Absorbed:
    """The site takes central's row for what both sides came from, whatever version its own was given by a hand.

    `theirs.version` 0: central has nothing under this id. What an operator typed is kept as `absorb` keeps it. Under a
    version that was too high central's news were passed over, so central counts as having moved: what was deleted on
    one side and edited on the other waits as a conflict.
    """
    base = record.base
    if base.version > theirs.version:
        base = replace(base, version=max(theirs.version - 1, 0))
    return absorb(replace(record, base=base), theirs, spec)
