"""Every message that crosses the broker: its versioned type and the shape of its data.

All are CloudEvents 1.0 in structured JSON (`services.wire`); `subject` is the school's npsn. A message is a promise:
fields are only ever added, and tests/messages/ holds a golden body for each that is never edited. `SCHEMA` below maps
every type to its model.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, Strict

PROTOCOL_VERSION = 1
"""The newest exchange protocol that this release speaks (docs/protocol.md)."""
OLDEST_PROTOCOL_VERSION = 1
"""The oldest that it still speaks, with all between. A session is held in the newest that both sides speak."""

MAX_CHANGES = 1000
"""Changes in one `change.submitted.v1` or `officer.change.submitted.v1`; decisions in one `conflict.decided.v1`."""

Npsn = Annotated[str, Field(pattern=r"^([0-9]{8}|[PK][0-9]{7}|NP[0-9]{6})$")]
Text = Annotated[str, Field(min_length=1, max_length=200)]
Kind = Literal["sync", "pull", "restore", "verify", "recover"]
Count = Annotated[int, Field(ge=0)]
Byte = Annotated[int, Field(ge=0, le=255)]


class Part(BaseModel):
    """A piece of a message. What a newer release adds is passed over."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


ROW = ConfigDict(extra="ignore")
"""Of the parts that come by the hundred: plain dataclasses, made without being checked a second time by whoever sends
them. Their fields say for themselves how strictly they are read.
"""
ExactStr = Annotated[str, Strict()]
ExactInt = Annotated[int, Strict()]
ExactCount = Annotated[int, Field(ge=0, strict=True)]


class Message(Part):
    """The data of one message; `type` is its explicit name on the wire, never derived from the class."""

    type: ClassVar[str]


# ── Operators and the validator ──────────────────────────────────────────────────────────────────────────────────────


class Actor(Part):
    """The person behind a message, named by a console or command that may speak for people; else the broker's user
    is.
    """

    id: Text
    role: Literal["operator", "principal", "officer"] | None = None


class FieldsChange(Part):
    """One change an operator makes: only the fields that change; null empties a field. `op` delete carries none."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    entity: Text
    record_id: Text
    op: Literal["upsert", "delete"] = "upsert"
    fields: dict[str, Any] = {}


class ChangeSubmitted(Message):
    """operator → validator: 1 to 1,000 changes of one school's data."""

    type = "change.submitted.v1"
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    actor: Actor | None = None
    changes: Annotated[list[FieldsChange], Field(min_length=1)]


class DecidedConflict(Part):
    """What a person chose for one conflict; `field` `*` is the record as a whole."""

    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    entity: Text
    record_id: Text
    field: Text
    choice: Literal["mine", "central"]


class ConflictDecided(Message):
    """operator → validator: 1 to 1,000 conflicts of one school decided, in order with its changes."""

    type = "conflict.decided.v1"
    model_config = ConfigDict(strict=True, frozen=True, extra="forbid")

    actor: Actor | None = None
    decisions: Annotated[list[DecidedConflict], Field(min_length=1)]


class Problem(Part):
    """Why something was not done: a code of `services.errors` or of the rules, the field, both texts, and what to
    do.
    """

    code: str
    field: str | None = None
    text_id: str
    text_en: str
    next_id: str
    next_en: str
    channel: str | None = None


class Cause(Part):
    """The event that this one answers."""

    source: str
    id: str


class Counts(Part):
    """The school after the event: records with invalid findings, with warnings only, and not yet sent."""

    invalid: Count
    warning: Count
    pending: Count


class Stored(Part):
    """A change or decision that is stored, by its index in the event. `findings`: codes of the rules its record breaks
    now.
    """

    index: Count
    entity: str
    record_id: str
    findings: list[str] = []


class Rejected(Part):
    """A change or decision that was not stored, by its index in the event, and why."""

    index: Count
    entity: str
    record_id: str
    problems: list[Problem]


class ChangeAccepted(Message):
    """validator → events: these changes, or decisions, are in the replica, durably."""

    type = "change.accepted.v1"

    cause: Cause
    changes: list[Stored]
    revision: Count
    counts: Counts


class ChangeRejected(Message):
    """validator → events: these changes, or decisions, are not in the replica; `problems` are about the event as a
    whole.
    """

    type = "change.rejected.v1"

    cause: Cause
    changes: list[Rejected] = []
    problems: list[Problem] = []
    counts: Counts | None = None


class ValidationRequested(Message):
    """anyone → validator: judge the school now."""

    type = "validation.requested.v1"

    actor: Actor | None = None


class ValidationCompleted(Message):
    """validator → events: the school's verdict. `findings`: number of findings per rule."""

    type = "validation.completed.v1"

    cause: Cause
    revision: Count
    rules_version: str
    date: str
    findings: dict[str, Count]
    counts: Counts


# ── Asking for a sync or a pull, and what becomes of it ──────────────────────────────────────────────────────────────


Awaited = Annotated[list[Text], Field(max_length=1000)]
"""Ids of change events that the validator must have answered first."""


class SyncRequested(Message):
    """principal → syncer: make this school and central equal, both ways; `after` the answers to these change events."""

    type = "sync.requested.v1"

    actor: Actor | None = None
    after: Awaited = []


class PullRequested(Message):
    """operator → puller: bring central's updates here, sending nothing; `after` the answers to these change events."""

    type = "pull.requested.v1"

    actor: Actor | None = None
    after: Awaited = []


class RestoreRequested(Message):
    """operator → puller: give up what is here, and bring back central's state of the last completed sync.

    `revision`: the school's, as it was when what would be lost was listed. Nothing is done if it has moved since.
    """

    type = "restore.requested.v1"

    actor: Actor | None = None
    revision: Count


class VerifyRequested(Message):
    """operator → syncer: compare this school with central now; fetch, mend what differs, push nothing."""

    type = "verify.requested.v1"

    actor: Actor | None = None


class SessionStarted(Message):
    """A worker has begun on the request; `attempt` counts from 1."""

    cause: Cause
    kind: Kind
    attempt: Count


class SessionProgressed(Message):
    """Records done of the total known so far, per direction; `waiting` says why nothing moves, if it does not."""

    cause: Cause
    kind: Kind
    received: Count
    to_receive: Count
    sent: Count
    to_send: Count
    waiting: Problem | None = None


class SessionCompleted(Message):
    """Both sides were proven equal. `verdicts`: records pushed, by verdict. `receipt`: central's statement; `jws`: the
    same, signed. `repaired`: records that differed although nobody had changed them through Selaras, and were mended.
    """

    cause: Cause
    kind: Kind
    outcome: Literal["completed", "needs_review"]
    received: Count
    sent: Count
    verdicts: dict[str, Count]
    receipt: dict[str, Any]
    unsent: Count
    jws: str = ""
    repaired: Count = 0


class SessionRefused(Message):
    """Nothing was sent, and why. `findings` list what blocks the school (at most 100)."""

    cause: Cause
    kind: Kind
    problem: Problem
    findings: list[Blocking] = []


class Blocking(Part):
    """One finding that closes the gate."""

    rule: str
    entity: str
    record_id: str
    field: str | None
    text_id: str
    text_en: str
    next_id: str
    next_en: str


class SessionFailed(Message):
    """The session stopped; nothing is lost, the next one goes on from what is stored."""

    cause: Cause
    kind: Kind
    problem: Problem


class SyncStarted(SessionStarted):
    type = "sync.started.v1"


class SyncProgressed(SessionProgressed):
    type = "sync.progressed.v1"


class SyncCompleted(SessionCompleted):
    type = "sync.completed.v1"


class SyncRefused(SessionRefused):
    type = "sync.refused.v1"


class SyncFailed(SessionFailed):
    type = "sync.failed.v1"


class PullStarted(SessionStarted):
    type = "pull.started.v1"


class PullProgressed(SessionProgressed):
    type = "pull.progressed.v1"


class PullCompleted(SessionCompleted):
    type = "pull.completed.v1"


class PullRefused(SessionRefused):
    type = "pull.refused.v1"


class PullFailed(SessionFailed):
    type = "pull.failed.v1"


class RestoreStarted(SessionStarted):
    type = "restore.started.v1"


class RestoreProgressed(SessionProgressed):
    type = "restore.progressed.v1"


class RestoreCompleted(SessionCompleted):
    type = "restore.completed.v1"


class RestoreRefused(SessionRefused):
    type = "restore.refused.v1"


class RestoreFailed(SessionFailed):
    type = "restore.failed.v1"


class VerifyStarted(SessionStarted):
    type = "verify.started.v1"


class VerifyProgressed(SessionProgressed):
    type = "verify.progressed.v1"


class VerifyCompleted(SessionCompleted):
    type = "verify.completed.v1"


class VerifyRefused(SessionRefused):
    type = "verify.refused.v1"


class VerifyFailed(SessionFailed):
    type = "verify.failed.v1"


class RecoverStarted(SessionStarted):
    """Nobody asks for a recover: a syncer begins it when central was put back from a backup (SYN-14)."""

    type = "recover.started.v1"


class RecoverProgressed(SessionProgressed):
    type = "recover.progressed.v1"


class RecoverCompleted(SessionCompleted):
    """`sent`: records given back to central. `verdicts`: `applied`, central has it again as it was; `unchanged`, it
    kept what it has.
    """

    type = "recover.completed.v1"


class RecoverRefused(SessionRefused):
    type = "recover.refused.v1"


class RecoverFailed(SessionFailed):
    type = "recover.failed.v1"


# ── A site and central: registration and the exchange (docs/protocol.md) ─────────────────────────────────────────────


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


class SessionVerify(InSession):
    """site → central: is this what you hold? `root` in hex. `receipt`: of a recover, the signed statement of the site's
    last sync; on its very root the sync counts again.
    """

    type = "session.verify.v1"

    cursor: Count
    root: str
    unsent: Count
    held: Count
    refused: Count
    receipt: str | None = None


class SessionEqual(Message):
    """central → site: equal, and the statement that says so (a sync's is the receipt).

    `jws`: the same, signed; empty from a central of a release that did not sign yet.
    """

    type = "session.equal.v1"

    statement: dict[str, Any]
    jws: str = ""


class SessionBehind(Message):
    """central → site: there is more to fetch first."""

    type = "session.behind.v1"

    head_seq: Count


class EntityDigest(Part):
    """One entity of a school: its number of rows, tombstones included, and the digest over their hashes, in hex."""

    rows: Count
    digest: str


class SessionDifferent(Message):
    """central → site: the roots differ; what central holds of each entity, so that the site can say where.

    `past_holds`: what central holds as of `stated_seq`, the head of the last statement that it signed for the school,
    still has that statement's root. If not, a hand altered central's copy. None: central is of a release that mends
    nothing.
    """

    type = "session.different.v1"

    entities: dict[str, EntityDigest]
    root: str
    past_holds: bool | None = None
    stated_seq: Count = 0


class SessionBuckets(InSession):
    """site → central: where in these entities do we differ? By the first byte of SHA-256 of record_id."""

    type = "session.buckets.v1"

    entities: Annotated[list[Text], Field(min_length=1, max_length=200)]


class Bucket(Part):
    """The records of an entity whose record_id's SHA-256 begins with this byte: how many, and their digest in hex."""

    bucket: Byte
    rows: Count
    digest: str


class SessionBucketed(Message):
    """central → site: each entity's buckets that have records, at this head."""

    type = "session.bucketed.v1"

    head_seq: Count
    entities: dict[str, list[Bucket]]


class SessionRows(InSession):
    """site → central: which records have these buckets of an entity?"""

    type = "session.rows.v1"

    entity: Text
    buckets: Annotated[list[Byte], Field(min_length=1, max_length=256)]


class RowHash(Part):
    """One record's hash, in hex, and its seq."""

    record_id: str
    seq: int
    hash: str


class SessionHashes(Message):
    """central → site: every record of the buckets, at this head."""

    type = "session.hashes.v1"

    head_seq: Count
    rows: list[RowHash]


class SessionRecords(InSession):
    """site → central: these records of an entity, whole."""

    type = "session.records.v1"

    entity: Text
    record_ids: Annotated[list[Text], Field(min_length=1, max_length=500)]


class SessionBodies(Message):
    """central → site: the records asked for, as many as fit (at least one); `absent`: central has none under the id."""

    type = "session.bodies.v1"

    head_seq: Count
    rows: list[PageRow]
    absent: list[str]


class ProvenRow(Part):
    """A record as the site holds it: its base."""

    record_id: Text
    version: Annotated[int, Field(ge=1)]
    seq: Count
    text: str | None


class SessionMend(InSession):
    """site → central: your records of this entity were altered; these are proven by the statement that you signed.

    `hashes`: base64 of the hashes of all the entity's records under the statement, 32 bytes each, in byte order of
    record_id; with the `digests` of the other entities they make its root. `last`: what central holds beside them, as
    of the statement, may go.
    """

    type = "session.mend.v1"

    statement: str
    entity: Text
    digests: dict[str, EntityDigest]
    hashes: str
    records: Annotated[list[ProvenRow], Field(max_length=500)]
    last: bool


class SessionMended(Message):
    """central → site: what became of them. `written`: mended. `kept`: central's own past about them is right, so the
    site takes central's. `removed`: what the statement does not know. `proven` false: the proof does not hold.
    """

    type = "session.mended.v1"

    head_seq: Count
    proven: bool
    written: list[str] = []
    kept: list[str] = []
    removed: list[str] = []


@dataclass(frozen=True, slots=True)
class RecordKey:
    """Which record."""

    __pydantic_config__: ClassVar = ROW

    entity: ExactStr
    record_id: ExactStr


class SessionRollback(InSession):
    """site → central, of a recover: these records as they were at seq `as_of`, where the two histories part."""

    type = "session.rollback.v1"

    records: Annotated[list[RecordKey], Field(min_length=1, max_length=500)]
    as_of: Count


class SessionRolledBack(Message):
    """central → site: those that fit (at least one), as of that seq; `absent`: there was none under the key."""

    type = "session.rolledback.v1"

    rows: list[PageRow]
    absent: list[RecordKey]


class SessionProof(InSession):
    """site → central, of a recover: the row hashes under a statement that central signed, in parts, entity by entity.

    `part` counts 1, 2, 3 …; `hashes`: base64 of at most 16,384 of 32 bytes, in byte order of record_id.
    """

    type = "session.proof.v1"

    statement: str
    part: Annotated[int, Field(ge=1)]
    entity: Text
    hashes: str
    last: bool


class SessionProven(Message):
    """central → site: `proven`: with the last part, do the hashes make the root that central signed? None: go on."""

    type = "session.proven.v1"

    proven: bool | None = None


@dataclass(frozen=True, slots=True)
class GivenRecord:
    """A record as central held it before it was put back."""

    __pydantic_config__: ClassVar = ROW

    entity: ExactStr
    record_id: ExactStr
    version: Annotated[int, Field(ge=1, strict=True)]
    text: ExactStr | None


class SessionGive(InSession):
    """site → central, of a recover: a batch of records that central may have forgotten, verbatim. Answered as a push:
    `applied`, central has this very version again; `unchanged`, it keeps what it has, which the verdict carries.
    """

    type = "session.give.v1"

    batch_no: Annotated[int, Field(ge=1)]
    records: Annotated[list[GivenRecord], Field(min_length=1, max_length=500)]


class SessionStale(Message):
    """central → site: this session is not the school's current one; nothing was changed."""

    type = "session.stale.v1"


# ── Officers and central ─────────────────────────────────────────────────────────────────────────────────────────────


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


SessionRefused.model_rebuild()

SCHEMA: dict[str, type[Message]] = {
    model.type: model
    for model in (
        ChangeSubmitted, ConflictDecided, ChangeAccepted, ChangeRejected, ValidationRequested, ValidationCompleted,
        SyncRequested, SyncStarted, SyncProgressed, SyncCompleted, SyncRefused, SyncFailed,
        PullRequested, PullStarted, PullProgressed, PullCompleted, PullRefused, PullFailed,
        RestoreRequested, RestoreStarted, RestoreProgressed, RestoreCompleted, RestoreRefused, RestoreFailed,
        SchoolRegister, SchoolRegistered, SessionOpen, SessionGranted, SessionWait, SessionRefusal, SessionFetch,
        SessionPage, SessionPush, SessionResult, SessionVerify, SessionEqual, SessionBehind, SessionDifferent,
        SessionStale,
        SessionBuckets, SessionBucketed, SessionRows, SessionHashes, SessionRecords, SessionBodies,
        SessionMend, SessionMended,
        SessionRollback, SessionRolledBack, SessionProof, SessionProven, SessionGive,
        RecoverStarted, RecoverProgressed, RecoverCompleted, RecoverRefused, RecoverFailed,
        VerifyRequested, VerifyStarted, VerifyProgressed, VerifyCompleted, VerifyRefused, VerifyFailed,
        OfficerChangeSubmitted, OfficerChangeAccepted, OfficerChangeRejected,
        HistoryRequested, HistoryAnswered, HistoryRefused,
    )
}  # fmt: skip
"""Every message type of this release."""
