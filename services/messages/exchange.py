"""A site and central: registration, and what a session carries (docs/protocol.md 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict

from services.messages.parts import ROW, Count, ExactCount, ExactInt, ExactStr, Message, Problem, Text


class SchoolRegister(Message):
    """command → central: the registration code against an installation id."""

    type = "school.register.v1"

    code: Text


class SchoolRegistered(Message):
    """central → command: this installation is the school's now."""

    type = "school.registered.v1"

    install_id: str
    registration_no: int
    nama: str


@dataclass(frozen=True, slots=True)
class Covered:
    """An older version of a record that a push of this school wrote, and that a later hand hides."""

    __pydantic_config__: ClassVar = ROW

    version: ExactInt
    seq: ExactInt
    text: ExactStr | None


@dataclass(frozen=True, slots=True)
class PageRow:
    """One record as central holds it: `text` is its canonical form, verbatim; null for a tombstone.

    `covers`: what a site that sent it, and never heard so, takes in first; else an officer who put the old value back
    would be overruled by the same edit a second time.
    """

    __pydantic_config__: ClassVar = ROW

    entity: ExactStr
    record_id: ExactStr
    version: ExactInt
    seq: ExactInt
    text: ExactStr | None
    covers: Covered | None = None


class SessionPage(Message):
    """central → site: records after the cursor in seq order, without those that this very session wrote."""

    type = "session.page.v1"

    rows: list[PageRow]
    cursor: Count
    head_seq: Count

    @property
    def complete(self) -> bool:
        """Nothing follows this page."""
        return self.cursor >= self.head_seq


class InSession(Message):
    """What every later message of a session carries."""

    session: int
    incarnation: str


class SessionFetch(InSession):
    """site → central: the next page. `limit` in records. `as_of`: of a restore, the seq that its grant named."""

    type = "session.fetch.v1"

    cursor: Count
    limit: Annotated[int, Field(ge=1, le=5000)]
    as_of: Count | None = None


@dataclass(frozen=True, slots=True)
class PushedChange:
    """One change of one record; `fields` maps a name to [old, new] and is empty for a delete."""

    __pydantic_config__: ClassVar = ROW

    entity: ExactStr
    record_id: ExactStr
    op: Literal["put", "delete"]
    base_version: ExactCount
    fields: Mapping[ExactStr, tuple[Any, Any]] = field(default_factory=dict)


class SessionPush(InSession):
    """site → central: a batch of changes; `batch_no` counts 1, 2, 3 ... inside the session."""

    type = "session.push.v1"

    batch_no: Annotated[int, Field(ge=1)]
    changes: Annotated[list[PushedChange], Field(min_length=1, max_length=500)]
    cursor: Count
    last: bool


VerdictName = Literal["applied", "merged", "unchanged", "conflict", "refused"]


@dataclass(frozen=True, slots=True)
class RecordVerdict:
    """What became of one change. `text`/`deleted` only when the record is not what the site would compute itself."""

    __pydantic_config__: ClassVar = ROW

    verdict: VerdictName
    version: ExactCount
    seq: ExactCount
    carries: Annotated[bool, Strict()] = False
    text: ExactStr | None = None
    locked: list[ExactStr] = field(default_factory=list)
    conflicts: list[ExactStr] = field(default_factory=list)
    findings: list[Problem] = field(default_factory=list)


class SessionResult(Message):
    """central → site: a verdict for every change, in order; with the last batch a page."""

    type = "session.result.v1"

    batch_no: int
    verdicts: list[RecordVerdict]
    head_seq: Count
    page: SessionPage | None = None


class SessionStale(Message):
    """central → site: this session is not the school's current one; nothing was changed."""

    type = "session.stale.v1"
