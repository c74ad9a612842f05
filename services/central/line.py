"""How many sessions are live at once, and the line before the door: who has to wait, where it stands, when it is due.

A session is live while it was opened, or heard of, within `live_seconds`, and not proven equal yet. A school that has
to wait keeps its place: whoever is ahead of it in the line counts as inside. Its time is hashed over a slot's length,
so that those who are due together do not knock together. The count is read without a lock: OPENs in hand at the same
moment may exceed it.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime

from services.central.schools import School
from services.database import Transaction

CAPACITY = "capacity"
"""The reason for waiting: as many sessions are live as may be."""
TOUCH_SECONDS = 10.0
"""A live session's row is written again when it was last heard of this long ago."""


@dataclass(frozen=True, slots=True)
class Capacity:
    """`sessions` live at once (0: any number); a silent one counts for `live_seconds`; a round takes `slot_seconds`."""

    sessions: int = 0
    live_seconds: float = 60.0
    slot_seconds: float = 30.0


@dataclass(frozen=True, slots=True)
class Place:
    """A school's place in the line: `position` from 1, due in `seconds` (`at` by this database's clock)."""

    position: int
    seconds: int
    at: datetime


async def place(transaction: Transaction, school: School, capacity: Capacity) -> Place | None:
    """The school's place in the line, kept for it; None: it may come in. The caller holds the school's lock."""
    if not capacity.sessions:
        return None
    await transaction.run("DELETE FROM slot WHERE npsn = :npsn AND expires_at <= now()", npsn=school.npsn)
    row = await transaction.row(
        """
        SELECT (SELECT count(*) FROM school WHERE session_active_at > now() - make_interval(secs => :live)
                    AND npsn <> :npsn) AS live,
               (SELECT count(*) FROM slot WHERE expires_at > now() AND npsn <> :npsn
                    AND ordinal < coalesce((SELECT ordinal FROM slot WHERE npsn = :npsn), ordinal + 1)) AS ahead,
               (SELECT session_active_at > now() - make_interval(secs => :live)
                FROM school WHERE npsn = :npsn) AS inside
        """,
        npsn=school.npsn,
        live=capacity.live_seconds,
    )
    assert row is not None
    if row.inside or row.live + row.ahead < capacity.sessions:
        return None
    seconds = due_in(row.live + row.ahead - capacity.sessions, school.npsn, capacity)
    at = await transaction.value(
        """
        INSERT INTO slot (npsn, expires_at) VALUES (:npsn, now() + make_interval(secs => :kept))
        ON CONFLICT (npsn) DO UPDATE SET expires_at = excluded.expires_at
        RETURNING now() + make_interval(secs => :seconds)
        """,
        npsn=school.npsn,
        kept=seconds + 2 * capacity.slot_seconds,
        seconds=seconds,
    )
    return Place(row.ahead + 1, seconds, at)


def due_in(over: int, npsn: str, capacity: Capacity) -> int:
    """Whole seconds until a school is due that has `over` others before it among those that do not fit."""
    rounds = over // capacity.sessions
    fraction = int.from_bytes(hashlib.sha256(npsn.encode()).digest()[:4]) / 2**32
    return max(1, math.ceil(capacity.slot_seconds * (rounds + fraction)))


async def leave(transaction: Transaction, npsn: str) -> None:
    """The school has come in."""
    await transaction.run("DELETE FROM slot WHERE npsn = :npsn", npsn=npsn)


async def heard_of(transaction: Transaction, school: School) -> None:
    """The live session has sent something."""
    if school.silent_seconds is not None and school.silent_seconds > TOUCH_SECONDS:
        await transaction.run("UPDATE school SET session_active_at = now() WHERE npsn = :npsn", npsn=school.npsn)
