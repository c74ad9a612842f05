"""What the running services export, as Prometheus's own checker sees it."""

from __future__ import annotations

import pytest
from prometheus_client.parser import text_string_to_metric_families

from scripts.docs import metrics
from services.demo.stage import Stage
from services.embedded.stack import SERVICES
from tests.e2e.conftest import School
from tests.watch.tools import promtool

BOUND = 1500
"""Series of one service; the most are histograms of messages by kind."""


@pytest.mark.parametrize("service", SERVICES)
async def test_promtool_finds_nothing_wrong_with_what_a_service_exports(
    stage: Stage, school: School, service: str
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.session(client, "sync", "principal")
    assert promtool("check", "metrics", given=stage.stack.metrics(service)) == ""


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_exports_what_the_page_lists_and_no_more_series_than_bounded(
    stage: Stage, service: str
) -> None:
    text = stage.stack.metrics(service)
    found = {f"{f.name}_total" if f.type == "counter" else f.name for f in text_string_to_metric_families(text)}
    assert found == {metric.name for metric in metrics() if service in metric.services}
    series = sum(not line.startswith("#") for line in text.splitlines())
    assert series < BOUND


@pytest.mark.parametrize("service", SERVICES)
async def test_every_counter_of_failures_begins_at_zero_with_its_attempts_beside_it(stage: Stage, service: str) -> None:
    beside = {
        "selaras_sync_failures_total": "selaras_sync_attempts_total",
        "selaras_invariant_violations_total": "selaras_invariant_checks_total",
        "selaras_central_invariant_violations_total": "selaras_central_invariant_checks_total",
        "selaras_divergence_total": "selaras_verifications_total",
        "selaras_central_divergence_total": "selaras_central_verifications_total",
        "selaras_admission_deferred_total": "selaras_central_sessions_total",
        "selaras_backup_failures_total": "selaras_backup_attempts_total",
        "selaras_central_backup_failures_total": "selaras_central_backup_attempts_total",
    }
    samples = {
        sample.name for f in text_string_to_metric_families(stage.stack.metrics(service)) for sample in f.samples
    }
    failing = {m.name for m in metrics() if service in m.services} & beside.keys()
    assert failing
    for name in failing:
        assert {name, beside[name]} <= samples


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_says_how_much_memory_and_time_it_takes(stage: Stage, service: str) -> None:
    values = {
        sample.name: sample.value
        for f in text_string_to_metric_families(stage.stack.metrics(service))
        for sample in f.samples
        if not sample.labels
    }
    assert values["process_resident_memory_bytes"] > 10_000_000
    assert values["process_cpu_seconds_total"] > 0
