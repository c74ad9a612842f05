"""What /metrics, /livez and /readyz of the running services say."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest
from prometheus_client import Metric
from prometheus_client.parser import text_string_to_metric_families

from services.demo.stage import Stage
from services.embedded.stack import SERVICES
from tests.e2e.conftest import School

SESSIONS = {
    "selaras_sync_pending",
    "selaras_sync_oldest_pending_timestamp_seconds",
    "selaras_sync_failed",
    "selaras_sync_refused",
    "selaras_sync_attempts",
    "selaras_sync_failures",
    "selaras_sync_completed",
    "selaras_sync_duration_seconds",
    "selaras_sync_last_success_timestamp_seconds",
    "selaras_records",
    "selaras_divergence",
    "selaras_repaired_records",
}
EXPECTED = {
    "validator": {
        "selaras_pending_records",
        "selaras_pending_oldest_timestamp_seconds",
        "selaras_invalid_findings",
        "selaras_conflicts_open",
        "selaras_schools",
        "selaras_dead_letters",
        "selaras_validation_runs",
    },
    "syncer": SESSIONS,
    "puller": SESSIONS,
    "central": {
        "selaras_central_schools",
        "selaras_central_sessions",
        "selaras_central_records",
        "selaras_central_repaired_records",
        "selaras_dead_letters",
    },
}


def families(stage: Stage, service: str) -> Iterable[Metric]:
    return text_string_to_metric_families(stage.stack.metrics(service))


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_exports_its_metrics_and_what_it_is(stage: Stage, service: str) -> None:
    found = {family.name for family in families(stage, service)}
    assert EXPECTED[service] | {"selaras_build_info"} <= found


@pytest.mark.parametrize("service", SERVICES)
async def test_no_label_names_a_school(stage: Stage, school: School, service: str) -> None:
    async with stage.at(school.npsn) as client:
        await stage.session(client, "sync", "principal")
    values = [
        value for family in families(stage, service) for sample in family.samples for value in sample.labels.values()
    ]
    assert values
    assert not [value for value in values if school.npsn in value]


@pytest.mark.parametrize("service", SERVICES)
async def test_a_service_says_that_it_lives_and_is_ready(stage: Stage, service: str) -> None:
    for page in ("livez", "readyz"):
        status, _ = await asyncio.to_thread(stage.stack.page, service, page)
        assert status == 200


async def test_states_are_those_of_the_database_and_survive_a_restart(stage: Stage, school: School) -> None:
    before = await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None)])
        await stage.session(client, "sync", "principal")
        assert await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01") == before + 1
        assert await stage.metric("validator", "selaras_invalid_findings", rule="WAJIB-01") >= 1
        stage.stack.kill("syncer")
        await asyncio.to_thread(stage.stack.start, "syncer")
        await asyncio.to_thread(stage.stack.wait_ready, "syncer")
        assert await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01") == before + 1
        await stage.publish(client, [school.change(0, agama_id=1)])
        await stage.session(client, "sync", "principal")
    assert await stage.metric("syncer", "selaras_sync_refused", reason="SYN-01") == before


async def test_pending_records_are_counted_until_they_are_sent(stage: Stage, school: School) -> None:
    before = await stage.metric("validator", "selaras_pending_records", entity="peserta_didik")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(i, anak_keberapa=9) for i in range(3)])
        assert await stage.metric("validator", "selaras_pending_records", entity="peserta_didik") == before + 3
        assert await stage.metric("validator", "selaras_pending_oldest_timestamp_seconds") > 0
        await stage.session(client, "sync", "principal")
    assert await stage.metric("validator", "selaras_pending_records", entity="peserta_didik") == before


async def test_sessions_are_counted_by_outcome_with_their_duration(stage: Stage, school: School) -> None:
    before = await stage.metric("puller", "selaras_sync_completed_total", outcome="completed")
    async with stage.at(school.npsn) as client:
        await stage.session(client, "pull", "operator")
    completed, timed = 0.0, 0.0
    for _ in range(100):  # counted when the broker has confirmed the announcement, which is heard before that
        completed = await stage.metric("puller", "selaras_sync_completed_total", outcome="completed")
        timed = await stage.metric("puller", "selaras_sync_duration_seconds_count", outcome="completed")
        if completed == timed > before:
            break
        await asyncio.sleep(0.05)
    assert completed == timed > before
    assert await stage.metric("puller", "selaras_sync_last_success_timestamp_seconds", kind="pull") > 0
