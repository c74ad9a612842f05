"""What ended a command, in one sentence for a person: our own exceptions, and what other people's libraries raise.

Anything not known here is an error of Selaras itself.
"""

from __future__ import annotations

import asyncio

from aio_pika.exceptions import AMQPConnectionError, AMQPError
from aiormq.exceptions import (
    AuthenticationError,
    ChannelAccessRefused,
    ChannelPreconditionFailed,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from services import tls
from services.cli.outcomes import FAILED, NOT_SET_UP, UNFINISHED, NoAnswer
from services.errors import SelarasError, Transient
from services.settings import SettingsMissing

_SQLSTATES = {
    "28": "The database refuses this user or password: look at the address.",
    "3D": "There is no database of that name: look at the address.",
    "42501": "The database does not allow this user that.",
    "42P01": "The database has no tables of this release: run `selaras migrate`.",
    "42703": "The database's tables are of another release: run `selaras migrate`.",
}
"""By the beginning of PostgreSQL's SQLSTATE."""


def ours(error: Exception) -> tuple[str, int] | None:
    """One sentence and the exit code, of what Selaras raises on purpose."""
    if isinstance(error, NoAnswer):
        return str(error), UNFINISHED
    if isinstance(error, Transient):
        if state := _of_state(error.__cause__):  # a service waits for that, a person looks
            return state, NOT_SET_UP
        return (
            f"Out of reach ({type(error).__name__}: {error}). Is everything running? `make up` starts it.",
            NOT_SET_UP,
        )
    if isinstance(error, SelarasError | SettingsMissing):
        return str(error), NOT_SET_UP
    return None


def _of_state(error: BaseException | None) -> str | None:
    """The sentence for what PostgreSQL answered, if it is one of those."""
    state = str(getattr(error, "sqlstate", None) or "")
    return next((sentence for beginning, sentence in _SQLSTATES.items() if state.startswith(beginning)), None)


def told(error: Exception) -> tuple[str, int]:
    """One sentence, which quotes no data, and the exit code."""
    if sentence := _of_state(error):
        return sentence, NOT_SET_UP
    if certificate := tls.cause(error):
        return (
            "The broker does not prove that it is the right one: its certificate is not signed by the CA of the "
            f"address (cafile=…), or is for another name: {certificate.verify_message}. Nothing was sent to it.",
            NOT_SET_UP,
        )
    if isinstance(error, AuthenticationError | ProbableAuthenticationError):
        return "The broker refuses this user or password: look at the address.", NOT_SET_UP
    if isinstance(error, InvalidFrameError):  # it closes the connection where aiormq awaits that it is open
        return "The broker has no such virtual host for this user: look at the address.", NOT_SET_UP
    if isinstance(error, ChannelAccessRefused | ChannelPreconditionFailed):
        return f"The broker refuses: {error}", NOT_SET_UP
    if isinstance(error, AMQPConnectionError | AMQPError | TimeoutError | asyncio.TimeoutError):
        return "The broker does not answer: is it running, and is its address right? `make up` starts one.", NOT_SET_UP
    if isinstance(error, ConnectionError):
        return "Nothing answers at the address: is everything running? `make up` starts it.", NOT_SET_UP
    if isinstance(error, OSError) and error.strerror:
        return ": ".join(str(part) for part in (error.filename, error.strerror) if part), NOT_SET_UP
    return (
        f"Kesalahan di dalam Selaras · an error of Selaras itself ({type(error).__name__}); "
        "with SELARAS_TRACEBACK=1 it says where.",
        FAILED,
    )
