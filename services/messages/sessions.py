"""Asking for a sync or a pull, and what becomes of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field

from services.messages.parts import Actor, Cause, Count, Kind, Message, Part, Problem, Text

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


class SessionRefused(Message):
    """Nothing was sent, and why. `findings` list what blocks the school (at most 100)."""

    cause: Cause
    kind: Kind
    problem: Problem
    findings: list[Blocking] = []


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
