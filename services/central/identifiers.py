"""Identifiers: of records as they must be, of installations and registration codes as central gives them out."""

from __future__ import annotations

import hashlib
import re
import secrets
import time
import uuid

_ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no I, L, O or U, which people misread."""
_GROUPS, _GROUP = 5, 4
_MISREAD = str.maketrans("ILO", "110")

_RECORD_ID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def is_record_id(text: str) -> bool:
    """Is this a lower-case UUID?"""
    return _RECORD_ID.fullmatch(text) is not None


def uuid7() -> str:
    """A UUID whose order is that of time (RFC 9562); the standard library has it from Python 3.14 on."""
    milliseconds = time.time_ns() // 1_000_000
    value = (milliseconds << 80) | secrets.randbits(80)
    value = (value & ~(0xF << 76)) | (0x7 << 76)
    value = (value & ~(0x3 << 62)) | (0x2 << 62)
    return str(uuid.UUID(int=value))


def new_code() -> str:
    """A registration code of 100 random bits, in groups that can be read out on the telephone."""
    return "-".join("".join(secrets.choice(_ALPHABET) for _ in range(_GROUP)) for _ in range(_GROUPS))


def code_hash(code: str) -> bytes:
    """A registration code as it is kept, however it was typed. A random code of this length needs no slow hash."""
    typed = "".join(c for c in code.upper() if c.isalnum()).translate(_MISREAD)
    return hashlib.sha256(typed.encode()).digest()
