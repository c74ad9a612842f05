"""What a service says of itself on standard error: one line per event, of fields that are listed here and no others.

    log.info("message taken", extra={"type": event.type, "npsn": event.subject})

A line's message is constant text. What it is about stands in fields, and every field has a form: what has no place in
`FIELDS` is left out, what does not fit its form becomes "?". So no value of a record comes into a log, whoever writes
the line: of what a library says only the template is kept, of an exception only its type and the places it came by.

`about` gives every line inside a block the same fields; the id of the operator's event, `correlation`, is one of them.
"""

from __future__ import annotations

import logging
import re
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType, TracebackType
from typing import Any, Literal

import orjson

from services.entities import SPECS

Format = Literal["json", "text"]
Form = Callable[[Any], Any]
UNFIT = "?"


def _text(pattern: str) -> Form:
    fits = re.compile(pattern).fullmatch
    return lambda value: value if isinstance(value, str) and fits(value) else UNFIT


def _number(value: Any) -> Any:
    return value if isinstance(value, int | float) and abs(value) < 10**9 else UNFIT


def _counts(value: Any) -> Any:
    """Numbers by our own words."""
    if not isinstance(value, Mapping):
        return UNFIT
    return {name: _number(n) for name, n in value.items() if _WORD(name) != UNFIT}


def _entities(value: Any) -> Any:
    return [name if name in SPECS else UNFIT for name in value] if isinstance(value, list | tuple) else UNFIT


_WORD = _text(r"[a-z][a-z_.-]{0,39}")
_ID = _text(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_ADDRESS = _text(r"https?://[A-Za-z0-9.:\[\]-]{1,80}")

FIELDS: Mapping[str, Form] = {
    "service": _WORD,
    "site": _text(r"[A-Za-z0-9_.-]{1,60}"),  # a setting
    "npsn": _text(r"[0-9]{8}|[PK][0-9]{7}|NP[0-9]{6}"),
    "correlation": _ID,  # the id of the operator's event that this follows from
    "event": _ID,  # the message's own
    "type": _text(r"[a-z.]{1,40}\.v[0-9]{1,3}"),
    "queue": _text(r"[a-z.]{1,40}[0-9]{0,3}"),
    "answer": _text(r"[a-z.]{1,40}\.v[0-9]{1,3}"),
    "kind": _WORD,
    "outcome": _WORD,
    "code": _text(r"[A-Z]{2,10}-[0-9]{2,3}"),
    "verb": _WORD,
    "invariant": _WORD,
    "attempt": _number,
    "request": _ID,  # a session's row at the site
    "session": _number,  # its number at central
    "batch": _number,
    "seq": _number,
    "duration_seconds": _number,
    "retry_seconds": _number,
    "received": _number,
    "sent": _number,
    "stored": _number,
    "rejected": _number,
    "repaired": _number,
    "removed": _number,
    "verdicts": _counts,
    "sides": _counts,
    "entities": _entities,
    "tables": _text(r"[0-9]{4}"),  # revisions
    "needed": _text(r"[0-9]{4}"),
    "quarantine": _number,  # a row's id
    "follow_up": _number,  # a row's id
    "sqlstate": _text(r"[0-9A-Z]{5}"),
    "error": _text(r"[A-Za-z_][A-Za-z0-9_]{0,79}"),  # an exception's type
    "address": _ADDRESS,
    "exit_code": _number,
    "why": _text(
        r"[^\x00-\x1f\ud800-\udfff]{1,500}"
    ),  # the sentence a service ends with: settings and servers, never a message
    "trace": _text(r"[0-9a-f]{32}"),
}
"""Every field that a line may have beside time, level, logger and message, and the form of its values."""

_about: ContextVar[Mapping[str, Any]] = ContextVar("about", default=MappingProxyType({}))


@contextmanager
def about(**fields: Any) -> Iterator[None]:
    """Every line inside the block, and in the tasks that it starts, has these fields too."""
    token = _about.set({**_about.get(), **fields})
    try:
        yield
    finally:
        _about.reset(token)


def add(**fields: Any) -> None:
    """What came out: more fields for the lines that follow in the innermost `about`."""
    here = _about.get()
    if isinstance(here, dict):
        here.update(fields)


def present() -> Mapping[str, Any]:
    """The fields that a line written here would have."""
    return _about.get()


def correlation() -> str | None:
    """The id of the operator's event that is being dealt with."""
    return _about.get().get("correlation")


def allowed(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Of these fields those that are listed, each in its form."""
    return {name: FIELDS[name](value) for name, value in fields.items() if name in FIELDS and value is not None}


class _Lines(logging.Formatter):
    """A record as one line: JSON for machines, text for people."""

    def __init__(self, form: Format) -> None:
        super().__init__()
        self._is_json = form == "json"

    def format(self, record: logging.LogRecord) -> str:
        fields = allowed({**_about.get(), **record.__dict__})
        trace: str | None = None
        if record.exc_info and record.exc_info[0] is not None:
            fields["error"] = _types(record.exc_info[1])
            fields |= allowed({"sqlstate": _sqlstate(record.exc_info[1])})
            trace = _places(record.exc_info[1])
        line = {
            "time": datetime.fromtimestamp(record.created, UTC)
            .isoformat(timespec="milliseconds")
            .replace("+00:00", "Z"),
            "level": record.levelname,
            "logger": record.name,
            "message": _said(record),
            **fields,
        }
        if not record.name.startswith("services."):
            line["place"] = f"{record.module}:{record.lineno}"
        if self._is_json:
            return orjson.dumps(line | ({"traceback": trace} if trace else {})).decode()
        told = " ".join(f"{name}={_plain(value)}" for name, value in list(line.items())[4:])
        text = f"{line['time']} {record.levelname} {record.name} {line['message']} {told}".rstrip()
        return f"{text}\n{trace}" if trace else text


def _said(record: logging.LogRecord) -> str:
    """Our messages are constant (a test reads every call). A library's is kept while it is a template: without
    arguments it may have been put together from anything.
    """
    if record.name.startswith("services.") or record.args:
        return str(record.msg).encode(errors="replace").decode()
    return "a library's message, see its place"


def _plain(value: Any) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    return text if isinstance(value, str) and " " not in text else orjson.dumps(value).decode()


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def _types(error: BaseException | None) -> str:
    return " < ".join(type(one).__name__ for one in _chain(error))


def _sqlstate(error: BaseException | None) -> str | None:
    """What the database calls the trouble, if it is one of its own."""
    return next((one.sqlstate for one in _chain(error) if hasattr(one, "sqlstate")), None)


def _places(error: BaseException | None) -> str:
    """Tracebacks name places and types, never the exceptions' texts: those may quote what somebody typed."""
    told = ["".join(traceback.format_tb(one.__traceback__)) + type(one).__name__ for one in _chain(error)]
    return "\ncaused by\n".join(told)


class _Standard(logging.StreamHandler[Any]):
    """Standard error. Of a line that cannot be written logging itself would print the arguments; this does not."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802  logging's own name
        with suppress(Exception):
            self.stream.write(f'{{"level":"ERROR","logger":"{__name__}","message":"a line could not be written"}}\n')


_NOISY = ("aio_pika", "aiormq", "faststream", "uvicorn", "alembic", "sqlalchemy", "opentelemetry", "urllib3", "asyncio")


def configured() -> bool:
    """Does this process speak by lines?"""
    return any(isinstance(handler, _Standard) for handler in logging.getLogger().handlers)


def configure(level: str, form: Format) -> None:
    """From here on this process speaks by lines: its loggers, what nobody caught, and what its libraries warn of."""
    handler = _Standard()
    handler.setFormatter(_Lines(form))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    for noisy in _NOISY:
        logging.getLogger(noisy).setLevel(logging.WARNING)
    for noisier in ("aio_pika.robust_connection", "opentelemetry"):  # each try of theirs is a warning
        logging.getLogger(noisier).setLevel(logging.ERROR)
    sys.excepthook = lambda kind, error, trace: _uncaught((kind, error, trace))
    sys.unraisablehook = lambda left: _uncaught((left.exc_type, left.exc_value, left.exc_traceback))
    threading.excepthook = lambda left: _uncaught((left.exc_type, left.exc_value, left.exc_traceback))


def _uncaught(info: tuple[type[BaseException], BaseException | None, TracebackType | None]) -> None:
    kind, error, trace = info
    logging.getLogger(__name__).critical("nobody caught this", exc_info=(kind, error or kind(), trace))
