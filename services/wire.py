"""From bytes to a message and back: strict JSON, CloudEvents 1.0, zstd.

What cannot be read exactly is refused, never guessed: duplicate keys, NaN and infinities, floats, whole numbers beyond
2^53, lone surrogates, NUL, a byte-order mark, trailing data, or more than 254 levels. Decimals travel as strings.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, NoReturn, TypeVar

import orjson
import zstandard
from pydantic import BaseModel, ValidationError

from services.errors import MessageRefused
from services.messages import MAX_CHANGES, SCHEMA, Message

CONTENT_TYPE = "application/cloudevents+json"
MAX_BODY_BYTES = 1024 * 1024
"""A public message's largest body, unpacked. An exchange message may be EXCHANGE_BODY_BYTES."""
EXCHANGE_BODY_BYTES = 8 * 1024 * 1024
COMPRESS_FROM_BYTES = 8 * 1024
INTEGER_LIMIT = 2**53 - 1
_MAX_DIGITS = 17

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Event(Generic[M]):
    """A decoded message. `sender` is the broker's validated user_id; `reply_to` and `correlation_id` as AMQP gave
    them. `correlation`: what this event and all that follows from it are found by (`correlation_of`).
    """

    type: str
    id: str
    source: str
    subject: str
    data: M
    time: str = ""
    sender: str = ""
    routing_key: str = ""
    reply_to: str | None = None
    correlation_id: str | None = None
    correlation: str = ""
    content_hash: bytes = field(default=b"", repr=False)


def new_id() -> str:
    """A fresh id of a message."""
    return str(uuid.uuid4())


def correlation_of(source: str, id: str, told: Any = None) -> str:
    """What an event and all that follows from it are found by: the `correlationid` that it says, or else its own id.

    Always a UUID: an id that is none may be anything, even somebody's number, and a UUID is made of it.
    """
    for candidate in (told, id):
        if isinstance(candidate, str) and _UUID.fullmatch(candidate):
            return candidate
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"{source}\x1f{id}"))


def now_text() -> str:
    """The time as an RFC 3339 text, UTC. Information only: nothing is ordered by it."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def encode(data: Message, *, subject: str, source: str, id: str | None = None, correlation: str | None = None) -> bytes:
    """The structured CloudEvent of `data`. `correlation`: the extension attribute `correlationid`."""
    return orjson.dumps(
        {
            "specversion": "1.0",
            "id": id or new_id(),
            "source": source,
            "type": data.type,
            "subject": subject,
            "time": now_text(),
            "datacontenttype": "application/json",
            **({"correlationid": correlation} if correlation else {}),
            "data": data,
        },
        default=_members,
    )


def _members(part: Any) -> dict[str, Any]:
    """What a message or a part of one holds, in the order in which it is declared."""
    if isinstance(part, BaseModel):
        return part.__dict__
    raise TypeError(type(part).__name__)


def compress(body: bytes) -> tuple[bytes, str | None]:
    """The body as it is sent and its content_encoding: large ones are zstd, level 1 (6:1 at under 1 µs a record)."""
    if len(body) < COMPRESS_FROM_BYTES:
        return body, None
    return zstandard.ZstdCompressor(level=1).compress(body), "zstd"


def unpack(body: bytes, content_encoding: str | None, limit_bytes: int) -> bytes:
    """The body as it was before `compress`. Raises MessageRefused (MSG-07 too large, MSG-01 not what it says it is)."""
    if content_encoding == "zstd":
        body = _unpack_zstd(body, limit_bytes)
    elif content_encoding:
        raise MessageRefused("MSG-01", "unknown content_encoding")
    if len(body) > limit_bytes:
        raise MessageRefused("MSG-07", f"more than {limit_bytes} bytes")
    return body


def _unpack_zstd(body: bytes, limit_bytes: int) -> bytes:
    """One whole frame, and nothing behind it."""
    unpacker = zstandard.ZstdDecompressor(max_window_size=2 * EXCHANGE_BODY_BYTES)
    try:
        with unpacker.stream_reader(body) as reader:
            if len(reader.read(limit_bytes + 1)) > limit_bytes:
                raise MessageRefused("MSG-07", f"more than {limit_bytes} bytes")
        return unpacker.decompress(body, max_output_size=limit_bytes, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise MessageRefused("MSG-01", "not one whole zstd frame") from error


def parse(body: bytes) -> Any:
    """Strict JSON (see the module's text). Raises MessageRefused MSG-01 with the reason."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MessageRefused("MSG-01", "not UTF-8") from error
    if "\\u" not in text:  # nearly always: what any program of ours wrote, which has every key once
        with contextlib.suppress(ValueError, TypeError, RecursionError):  # the reason is given below
            value = json.loads(text, parse_constant=_constant, parse_float=_float)
            if orjson.dumps(value, option=orjson.OPT_STRICT_INTEGER) == body:
                return value
    return _parse_slowly(text)


def _parse_slowly(text: str) -> Any:
    """Any text, and what is wrong with it."""
    if text.startswith("\ufeff"):
        raise MessageRefused("MSG-01", "byte-order mark")
    try:
        value = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_float=_float, parse_int=_integer
        )
        if "\\u" in text:
            _check_text(value)
    except json.JSONDecodeError as error:
        raise MessageRefused("MSG-01", f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise MessageRefused("MSG-01", "too many levels") from error
    if "\x00" in text:
        raise MessageRefused("MSG-01", "NUL")
    return value


def decode(
    body: bytes,
    *,
    types: Sequence[str],
    sender: str = "",
    routing_key: str = "",
    reply_to: str | None = None,
    correlation_id: str | None = None,
    content_encoding: str | None = None,
    limit_bytes: int = MAX_BODY_BYTES,
) -> Event[Any]:
    """The event in `body`, one of `types`. Raises MessageRefused: MSG-01, 02, 03, 07, 09 or 10, naming the field."""
    envelope = parse(unpack(body, content_encoding, limit_bytes))
    if not isinstance(envelope, dict):
        raise MessageRefused("MSG-02", "not an object")
    if envelope.get("specversion") != "1.0":
        raise MessageRefused("MSG-02", "specversion")
    for name in ("id", "source", "type", "subject"):
        value = envelope.get(name)
        if not isinstance(value, str) or not 1 <= len(value) <= 200:
            raise MessageRefused("MSG-02", name)
    model = SCHEMA.get(envelope["type"])
    if model is None or envelope["type"] not in types:
        raise MessageRefused("MSG-03")
    if not _NPSN.fullmatch(envelope["subject"]):
        raise MessageRefused("MSG-02", "subject is not an NPSN")
    data = envelope.get("data")
    if not isinstance(data, dict):
        raise MessageRefused("MSG-02", "data")
    time = envelope.get("time", "")
    event: Event[Any] = Event(
        type=envelope["type"],
        id=envelope["id"],
        source=envelope["source"],
        subject=envelope["subject"],
        data=read(model, data),
        time=time if isinstance(time, str) else "",
        sender=sender,
        routing_key=routing_key,
        reply_to=reply_to,
        correlation_id=correlation_id,
        correlation=correlation_of(envelope["source"], envelope["id"], envelope.get("correlationid")),
        content_hash=_content_hash(envelope["type"], data),
    )
    return event


def read(model: type[M], data: dict[str, Any]) -> M:
    """`data` as `model`. Raises MessageRefused MSG-09 or MSG-10, naming the first field that is wrong, never its
    value.
    """
    for name in ("changes", "decisions"):
        given = data.get(name)
        if isinstance(given, list) and len(given) > MAX_CHANGES:
            raise MessageRefused("MSG-10", f"{len(given)} {name}")
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        where = ".".join(str(part) if _NAME.fullmatch(str(part)) else "?" for part in first["loc"])
        raise MessageRefused("MSG-09", f"{where or 'data'}: {first['msg']}") from error


def _content_hash(type_name: str, data: dict[str, Any]) -> bytes:
    try:
        content = orjson.dumps(data, option=orjson.OPT_SORT_KEYS)
    except TypeError as error:
        raise MessageRefused("MSG-01", "more than 254 levels") from error
    return hashlib.sha256(type_name.encode() + b"\x1f" + content).digest()


_UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_NPSN = re.compile(r"[0-9]{8}|[PK][0-9]{7}|NP[0-9]{6}")
_NAME = re.compile(r"[A-Za-z_]{1,40}|[0-9]{1,4}")
"""What looks like a field's name or an index. Any other key may be somebody's name or NIK, and is not repeated."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise MessageRefused("MSG-01", "a key twice in one object")
    return result


def _constant(name: str) -> NoReturn:
    raise MessageRefused("MSG-01", name)


def _float(_text: str) -> NoReturn:
    raise MessageRefused("MSG-01", "a number with a fraction or exponent (send decimals as text)")


def _integer(text: str) -> int:
    if len(text) > _MAX_DIGITS or abs(int(text)) > INTEGER_LIMIT:
        raise MessageRefused("MSG-01", "a whole number beyond 2^53")
    return int(text)


def _check_text(value: Any) -> None:
    """An escape may hide a lone surrogate or a NUL; the plain text cannot (UTF-8, and the scan above)."""
    if isinstance(value, str):
        if "\x00" in value or any("\ud800" <= c <= "\udfff" for c in value):
            raise MessageRefused("MSG-01", "NUL or a lone surrogate")
    elif isinstance(value, dict):
        for key, inner in value.items():
            _check_text(key)
            _check_text(inner)
    elif isinstance(value, list):
        for inner in value:
            _check_text(inner)
