"""Traces: one sync is one trace across the processes; a collector that is away loses nothing."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator

import pytest

from services.demo.stage import Stage
from services.embedded.stack import SERVICES, free_port
from services.messages import SessionCompleted
from tests.broker.desk import until
from tests.e2e.conftest import School
from tests.e2e.replicas import selaras
from tests.e2e.test_sync import officer_corrects
from tests.logs.collector import Collector, Span, collector


async def restart(stage: Stage, **settings: str) -> None:
    """The four services anew, told these settings too."""
    await asyncio.gather(*(asyncio.to_thread(stage.stack.stop, name) for name in SERVICES))
    for name in SERVICES:
        stage.stack.start(name, **settings)
    await asyncio.to_thread(stage.stack.wait_ready)


@pytest.fixture
async def traced(stage: Stage) -> AsyncIterator[Collector]:
    """The services send their spans to this collector; afterwards to none."""
    with collector() as taken:
        await restart(stage, SELARAS_OTLP_ENDPOINT=taken.endpoint)
        yield taken
        await restart(stage)


def named(spans: list[Span], service: str, name: str) -> Span:
    """The only span of this name."""
    (span,) = [span for span in spans if (span.service, span.name) == (service, name)]
    return span


async def test_the_spans_of_one_sync_are_one_trace_from_the_command_to_central_and_back(
    stage: Stage, school: School, traced: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(1, anak_keberapa=4)])
    await officer_corrects(stage, school, 2, nama="Nama Dari Pusat")  # else all of it is one message
    site = stage.stack.addresses.of_site_command()
    monkeypatch.setattr(
        type(stage.stack.addresses),
        "of_site_command",
        lambda _: {**site, "SELARAS_OTLP_ENDPOINT": traced.endpoint},
    )
    done = await selaras(stage, "sync", school.npsn, "--json")
    assert done.code == 0, done.err

    async def whole() -> list[Span] | None:
        roots = [s for s in traced.spans if s.name == "command sync.requested.v1"]
        spans = traced.of(roots[0].trace_id) if roots else []
        there = {(span.service, span.name) for span in spans}
        wanted = {("syncer", "announce sync"), ("syncer", "session sync"), ("central", "take session.verify.v1")}
        return spans if wanted <= there else None

    spans = await until(whole, 30)
    by_id = {span.span_id: span for span in spans}

    def way(span: Span) -> list[str]:
        """The span and those above it."""
        above = by_id.get(span.parent_id)
        return [f"{span.service}: {span.name}", *(way(above) if above else [])]

    assert way(named(spans, "central", "take session.push.v1")) == [
        "central: take session.push.v1",
        "syncer: publish session.push.v1",
        "syncer: ask push",
        "syncer: session sync",
        "syncer: take sync.requested.v1",
        "perintah: publish sync.requested.v1",
        "perintah: command sync.requested.v1",
    ]
    assert way(named(spans, "syncer", "publish sync.completed.v1"))[1:3] == [
        "syncer: announce sync",
        "syncer: take sync.requested.v1",
    ]
    assert named(spans, "central", "publish session.result.v1").parent_id
    assert {span.parent_id for span in spans} - by_id.keys() == {""}, "nothing hangs in the air"
    session = named(spans, "syncer", "session sync").attributes
    assert (session["selaras.npsn"], session["selaras.outcome"], session["selaras.attempt"]) == (
        school.npsn, "completed", 1,
    )  # fmt: skip
    assert any(span.name == "transaction" for span in spans)
    said = json.loads(done.out)
    correlations = {s.attributes["selaras.correlation"] for s in spans if s.name.startswith("take ")}
    assert len(correlations) == 1
    assert said["cause"]["id"] in correlations


async def test_a_collector_that_is_away_neither_slows_nor_fails_a_sync_nor_a_stop(stage: Stage, school: School) -> None:
    async def sync(number: int) -> float:
        async with stage.at(school.npsn) as client:
            await stage.publish(client, [school.change(number, anak_keberapa=4)])
            began = time.monotonic()
            assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
            return time.monotonic() - began

    without = min([await sync(number) for number in range(5)])
    nobody = f"http://127.0.0.1:{free_port()}"
    await restart(stage, SELARAS_OTLP_ENDPOINT=nobody)
    away = min([await sync(number) for number in range(5, 10)])
    assert away < 2 * without + 0.2
    began = time.monotonic()
    await restart(stage)
    assert time.monotonic() - began < 15
    assert all(stage.stack.processes[name].poll() is None for name in SERVICES)


def test_without_the_setting_nothing_of_opentelemetry_is_imported() -> None:
    """FastStream looks whether there is a `semconv`, an empty package; that is all."""
    program = """
import sys
from scripts import docs
from services import tracing
from services.cli import commands
docs.built()
tracing.start(None, service="uji")
print(*sorted(name for name in sys.modules if name.startswith("opentelemetry")))
"""
    ended = subprocess.run([sys.executable, "-c", program], check=True, timeout=60, capture_output=True, text=True)
    assert set(ended.stdout.split()) <= {"opentelemetry", "opentelemetry.semconv"}


def test_packages_that_are_not_there_are_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    from services import tracing

    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(tracing.TracingUnavailable, match=r"pip install 'selaras\[tracing\]'"):
        tracing.start("http://127.0.0.1:4318", service="uji")


def test_a_trace_is_handed_on_by_a_service_that_makes_none_and_nothing_else_is() -> None:
    from services import tracing

    given = f"00-{'a' * 32}-{'b' * 16}-01"
    with tracing.span("take sync.requested.v1", "consumer", parent=given), tracing.step("transaction"):
        assert tracing.headers() == {"traceparent": given}
    for nonsense in ("Kenanga", f"00-{'0' * 32}-{'b' * 16}-01", f"00-{'a' * 32}-{'b' * 16}-01-9900011234567890"):
        with tracing.span("take sync.requested.v1", "consumer", parent=nonsense):
            assert tracing.headers() is None
