"""A site and central: what comes back after central was put back from a backup (docs/protocol.md 6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from pydantic import Field

from services.messages.exchange import InSession, PageRow
from services.messages.parts import ROW, Count, ExactStr, Message, Text


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
