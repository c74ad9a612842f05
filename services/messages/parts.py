"""What messages are made of: their base, and the pieces that many of them have."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

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


class Actor(Part):
    """The person behind a message, named by a console or command that may speak for people; else the broker's user
    is.
    """

    id: Text
    role: Literal["operator", "principal", "officer"] | None = None


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
