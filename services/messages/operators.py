"""Operators and the validator."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import ConfigDict, Field

from services.messages.parts import Actor, Cause, Count, Message, Part, Problem, Text


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
