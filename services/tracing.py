"""Traces over OTLP/HTTP, where SELARAS_OTLP_ENDPOINT names a collector: from a command to central and back.

Without it nothing of OpenTelemetry is imported; the trace that a message came with is then handed on as it came, so a
site without a collector does not tear the traces of those who have one. Spans are named by us and have the fields that
lines may have (`services.logs`), never a body; of an exception only its type. Spans are sent by a thread of their own,
which drops them if the collector is away: nothing ever waits for it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, Literal

from services import logs
from services.errors import SelarasError

if TYPE_CHECKING:
    from opentelemetry.context import Context
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Tracer

Kind = Literal["internal", "producer", "consumer", "client"]
HEADER = "traceparent"
EXPORT_SECONDS = 5.0
"""How long one batch is tried; then it is dropped."""
SEND_EVERY_SECONDS = 1.0
MOST_KEPT = 4096
"""Spans that wait to be sent; what comes when there are so many is dropped."""
_TRACEPARENT = re.compile(r"00-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")

_tracer: Tracer | None = None
_provider: TracerProvider | None = None
_given: ContextVar[str | None] = ContextVar("given", default=None)
_NOTHING = nullcontext()


class TracingUnavailable(SelarasError):
    """The packages are not installed; the message is one sentence with the command that installs them."""


def start(endpoint: str | None, *, service: str, site: str = "") -> None:
    """Send this process's spans to the collector at `endpoint` (http://host:4318); None: make none."""
    global _tracer, _provider  # noqa: PLW0603  a process has one trace exporter, as it has one log
    if not endpoint or _provider is not None:
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise TracingUnavailable(
            "SELARAS_OTLP_ENDPOINT needs more packages: pip install 'selaras[tracing]'."
        ) from error
    from importlib.metadata import version

    resource = Resource(
        {
            "service.name": service,
            "service.namespace": "selaras",
            "service.version": version("selaras"),
            "selaras.site": site,
        }
    )
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    _provider.add_span_processor(
        BatchSpanProcessor(
            OTLPSpanExporter(f"{endpoint.rstrip('/').removesuffix('/v1/traces')}/v1/traces", timeout=EXPORT_SECONDS),
            max_queue_size=MOST_KEPT,
            schedule_delay_millis=SEND_EVERY_SECONDS * 1000,
        )
    )
    _tracer = _provider.get_tracer("selaras")


def stop(seconds: float) -> None:
    """Send what is left, for at most so long."""
    global _tracer, _provider  # noqa: PLW0603
    if _provider is not None:
        sending = threading.Thread(target=_provider.shutdown, daemon=True)
        sending.start()
        sending.join(seconds)
        _tracer = _provider = None


def span(name: str, kind: Kind = "internal", *, parent: str | None = None) -> AbstractContextManager[None]:
    """A span under `parent` (a traceparent; None: the first of a trace), with the fields of `logs.about` at its end."""
    if _tracer is not None:
        return _open(_tracer, name, kind, _context(parent), None)
    return _handed_on(parent) if parent is not None and _TRACEPARENT.fullmatch(parent) else _NOTHING


def step(name: str, kind: Kind = "internal", **fields: Any) -> AbstractContextManager[None]:
    """A span under the one that is open; without one nothing, so that what goes on by itself makes no traces."""
    if _tracer is None or traceparent() is None:
        return _NOTHING
    return _open(_tracer, name, kind, None, fields)


def traceparent() -> str | None:
    """What a message says, or a row keeps, of the span that caused it (W3C trace context)."""
    if _tracer is None:
        return _given.get()
    from opentelemetry.trace import get_current_span

    here = get_current_span().get_span_context()
    if not here.is_valid:
        return None
    return f"00-{here.trace_id:032x}-{here.span_id:016x}-{int(here.trace_flags):02x}"


def headers() -> dict[str, str] | None:
    """The header of a message."""
    here = traceparent()
    return None if here is None else {HEADER: here}


@contextmanager
def _handed_on(parent: str) -> Iterator[None]:
    token = _given.set(parent)
    try:
        yield
    finally:
        _given.reset(token)


@contextmanager
def _open(
    tracer: Tracer, name: str, kind: Kind, context: Context | None, fields: Mapping[str, Any] | None
) -> Iterator[None]:
    from opentelemetry.trace import SpanKind, Status, StatusCode, use_span

    opened = tracer.start_span(name, context, SpanKind[kind.upper()], record_exception=False)
    with use_span(opened, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        if context is not None:
            logs.add(trace=f"{opened.get_span_context().trace_id:032x}")
        try:
            yield
        except BaseException as error:
            opened.set_status(Status(StatusCode.ERROR))
            opened.set_attribute("selaras.error", type(error).__name__)
            raise
        finally:
            told = logs.allowed(logs.present() if fields is None else fields)
            opened.set_attributes({f"selaras.{n}": v for n, v in told.items() if isinstance(v, str | int | float)})


def _context(parent: str | None) -> Context:
    """Nothing of the surroundings but the parent: a session is not a part of the loop that takes it up."""
    from opentelemetry.context import Context
    from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

    if parent is None or not _TRACEPARENT.fullmatch(parent):
        return Context()
    _, trace_id, span_id, flags = parent.split("-")
    there = SpanContext(int(trace_id, 16), int(span_id, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
    return set_span_in_context(NonRecordingSpan(there), Context())
