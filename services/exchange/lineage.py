"""Where two histories of a school part: central's database may have been put back from a backup (protocol.md 1).

A lineage lists central's lives in order, each with the school's head_seq at its start, as leader epochs do in Kafka.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple


class Life(NamedTuple):
    """One life of central's database: its random id, and the school's head_seq when it began."""

    incarnation: str
    head_seq: int


Lineage = Sequence[Life]


def common(a: Lineage, a_seen: int, b: Lineage, b_head: int) -> int:
    """The highest seq that both histories have and agree on; 0 if they share no life.

    `a_seen` is the highest seq the one side has seen, `b_head` the other's head: the ends of their last lives.
    """
    shared = 0
    while shared < min(len(a), len(b)) and a[shared] == b[shared]:
        shared += 1
    if shared == 0:
        return 0
    return min(_end(a, shared - 1, a_seen), _end(b, shared - 1, b_head))


def _end(lineage: Lineage, index: int, head: int) -> int:
    """Where a life ends: where the next one began, and never above what its side has."""
    return min(head, lineage[index + 1].head_seq) if index + 1 < len(lineage) else head
