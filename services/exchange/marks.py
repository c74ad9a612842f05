"""Marks: of each of central's lives, the last session that was gated at the site, by which central knows an old copy.

At 0 stands the id of an OPEN that carried changes and was not heard of again: it has no session's number yet. A release
that knows nothing of that passes it on untouched.
"""

from __future__ import annotations

from collections.abc import Mapping

Marks = Mapping[str, int]


def tried(marks: Marks) -> str | None:
    """The OPEN that was not heard of again, if there is one."""
    return next((name for name, session in marks.items() if session == 0), None)


def trying(marks: Marks, open_id: str) -> dict[str, int]:
    """The marks while the OPEN of this id is on its way."""
    return {**heard(marks), open_id: 0}


def heard(marks: Marks) -> dict[str, int]:
    """The marks once it is known what became of the OPEN."""
    return {name: session for name, session in marks.items() if session}


def reached(marks: Marks, incarnation: str, session: int) -> dict[str, int]:
    """As `heard`, and no lower than this session."""
    return {**heard(marks), incarnation: max(session, marks.get(incarnation, 0))}
