"""A stranger's client may put any bytes into a message's properties; they must not close our connection.

The broker checks what it needs (user_id, expiration) and hands the rest on as it came. aio-pika's decoder (pamqp) gives
up on text that is not UTF-8, on a time after the year 9999 and on a table that it cannot read, and aiormq then closes
the connection, with every message in hand on it: one message that cannot be read, delivered again and again, would keep
a service from all others. Here such a value is replaced instead, and the message goes the way of every bad message.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

from pamqp import decode

Decoder = Callable[[bytes], tuple[int, Any]]


def install() -> None:
    """Let pamqp replace what it cannot decode. Doing it twice changes nothing."""
    decode.METHODS.update(shortstr=_text, timestamp=_time, table=_table)


def _text(value: bytes) -> tuple[int, str]:
    """What is not UTF-8 becomes U+FFFD."""
    end = value[0] + 1
    return end, value[1:end].decode("utf-8", errors="replace")


def _time(value: bytes) -> tuple[int, Any]:
    """A time that no calendar has becomes None."""
    try:
        return decode.timestamp(value)
    except (ValueError, OverflowError, OSError):
        return 8, None


def _table(value: bytes) -> tuple[int, Any]:
    """A table that cannot be read, or is nested too deep, becomes an empty one."""
    try:
        return decode.field_table(value)
    except (ValueError, ArithmeticError, OSError, RecursionError):
        return int(struct.unpack(">I", value[:4])[0]) + 4, {}
