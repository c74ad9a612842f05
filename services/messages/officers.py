"""Officers and central: changes, and questions about the past."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from pydantic import ConfigDict, Field

from services.messages.operators import Rejected
from services.messages.parts import ROW, Actor, Cause, Count, ExactInt, ExactStr, Message, Part, Problem, Text


class OfficerChange(Part):
    """One change an officer makes; any field. `version` is the record's as the officer read it, 0 for a new one."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    entity: Text
    record_id: Text
    op: Literal["upsert", "delete", "confirm"] = "upsert"
    version: Count
    fields: dict[str, Any] = {}


class OfficerChangeSubmitted(Message):
    """officer → central: add, correct, confirm or remove records of one school; all of them or none."""

    type = "officer.change.submitted.v1"
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    actor: Actor | None = None
    changes: Annotated[list[OfficerChange], Field(min_length=1)]


class OfficerWritten(Part):
    """A record as an officer's change left it."""

    entity: str
    record_id: str
    version: int
    seq: int


class OfficerChangeAccepted(Message):
    """central → officers: written, durably."""

    type = "officer.change.accepted.v1"

    cause: Cause
    changes: list[OfficerWritten]
    head_seq: Count


class OfficerChangeRejected(Message):
    """central → officers: nothing of the event was written, and why."""

    type = "officer.change.rejected.v1"

    cause: Cause
    changes: list[Rejected] = []
    problems: list[Problem] = []


Moment = Annotated[str, Field(min_length=1, max_length=65_536)]
"""`confirmed`, `head`, a seq, `session:9`, a date, a time, or a receipt's JWS (docs/history.md)."""


class HistoryRequested(Message):
    """officer → central: a school's records as of a moment; with `since`, what changed from then on, a page at a time.

    `held`: of a date, all that central held then instead of what was confirmed. `cursor`: of the last answer; the next
    page is asked for by the seqs that it named, so that all pages are of one state.
    """

    type = "history.requested.v1"
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    actor: Actor | None = None
    as_of: Moment
    since: Moment | None = None
    held: bool = False
    entity: Text | None = None
    cursor: Count = 0
    limit: Annotated[int, Field(ge=1, le=1000)] = 200


class MomentSaid(Part):
    """A moment as central understood it. `session`, `signed_at`, `signed_root`: of the statement that it goes by, if it
    goes by one. `back_from`: a receipt of a life that has ended, whose state is there again; the histories part after
    that seq. `forgotten_until`: the date lies in a time that central, put back from a backup, may have forgotten; all
    before `forgotten_since` is known.
    """

    seq: Count
    meaning: Literal["seq", "confirmed", "head", "held", "statement"]
    session: int | None = None
    signed_at: str | None = None
    signed_root: str | None = None
    back_from: Count | None = None
    forgotten_since: str | None = None
    forgotten_until: str | None = None


@dataclass(frozen=True, slots=True)
class HistoryRow:
    """A record as of the moment; `text` is its canonical form, null for a tombstone. Of changes also what it was: its
    version (0: there was none) and text.
    """

    __pydantic_config__: ClassVar = ROW

    entity: ExactStr
    record_id: ExactStr
    version: ExactInt
    seq: ExactInt
    text: ExactStr | None
    written_by: ExactStr
    written_session: ExactInt | None
    written_at: ExactStr
    old_version: ExactInt | None = None
    old_text: ExactStr | None = None


class HistoryAnswered(Message):
    """central → officer: a page in seq order, to nobody but who asked. `root` and `counts` (live records by entity) are
    of the whole state at `as_of`, in the first page alone.
    """

    type = "history.answered.v1"

    as_of: MomentSaid
    since: MomentSaid | None = None
    root: str | None = None
    counts: dict[str, int] | None = None
    rows: list[HistoryRow]
    cursor: Count
    complete: bool


class HistoryRefused(Message):
    """central → officer: no answer, and why."""

    type = "history.refused.v1"

    problem: Problem
