"""A site and central: registration, and the exchange (docs/protocol.md 2)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, Strict

from services.messages.parts import ROW, Count, ExactCount, ExactInt, ExactStr, Kind, Message, Part, Problem, Text


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


class LineageEntry(Part):
    """One life of central's database, and the school's head_seq at its start."""

    incarnation: str
    head_seq: Count


class Mark(Part):
    """The last session of one incarnation that sent something."""

    incarnation: str
    session: int


class Stated(Part):
    """The site's latest statement, by what names it at central. `root` in hex."""

    incarnation: str
    session: int
    head_seq: Count
    root: str


class SessionOpen(Message):
    """site → central: begin a session. The same message id again gets the same grant; every new attempt has a new
    id. The site speaks every protocol from `oldest_protocol_version` (if absent, this one alone) to `protocol_version`.
    `proof`: the latest statement as central signed it; a central that was put back knows an installation by it.
    """

    type = "session.open.v1"

    install_id: str
    kind: Kind
    protocol_version: int
    oldest_protocol_version: int | None = None
    rules_version: str
    lineage: list[LineageEntry]
    cursor: Count
    highest_seq: Count
    marks: dict[str, int]
    clock: str
    actor: str | None = None
    statement: Stated | None = None
    proof: str | None = None


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


class Limits(Part):
    """What central takes in one batch: records, and bytes before compression."""

    records: int
    bytes: int


class SessionGranted(Message):
    """central → site: the session, and the first page. Of a restore, `as_of` is the seq that is given back, and `mark`
    what the site's marks become. `common`: the seq up to which both histories are one; of a recover, whose page is
    empty, what the site goes back to.
    """

    type = "session.granted.v1"

    session: int
    incarnation: str
    head_seq: Count
    lineage: list[LineageEntry]
    limits: Limits
    page: SessionPage
    mark: Mark | None = None
    as_of: Count | None = None
    common: Count | None = None


class SessionRefusal(Message):
    """central → site: no session, and why."""

    type = "session.refused.v1"

    problem: Problem


class InSession(Message):
    """What every later message of a session carries."""

    session: int
    incarnation: str


class SessionWait(Message):
    """central → site: not now, but in `retry_seconds`, which is `retry_at` by central's clock. The place is kept."""

    type = "session.wait.v1"

    retry_at: str
    retry_seconds: Count
    position: Annotated[int, Field(ge=1)]
    reason: Text


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
