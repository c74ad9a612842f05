"""What central takes of a record that a site gives back after central was put back from a backup (protocol.md 6)."""

from __future__ import annotations

from collections.abc import Container
from dataclasses import dataclass
from enum import StrEnum


class Given(StrEnum):
    """What becomes of a record that is given back."""

    SAME = "same"
    """Central has this very version: it had not forgotten it, or was given it before."""
    TAKEN = "taken"
    MOVED = "moved"
    """Somebody has written the record since the histories parted: what is there now stays."""
    UNPROVEN = "unproven"
    """Nothing shows that central ever held it so."""


@dataclass(frozen=True, slots=True)
class Now:
    """The record as central holds it."""

    version: int
    seq: int


def judge(
    row_hash: bytes, version: int, now: Now | None, *, held: bool, proven: Container[bytes], parted: int
) -> Given:
    """`held`: central has a version of that hash, now or in its history. `proven`: the row hashes under a statement of
    this school that central signed. `parted`: the seq where that statement's history and central's own part.
    """
    if held:
        return Given.SAME
    if row_hash not in proven:
        return Given.UNPROVEN
    if now is not None and (now.seq > parted or now.version >= version):
        return Given.MOVED  # trap: what an officer wrote since is not undone by what comes back
    return Given.TAKEN
