"""The dashboards are Grafana's JSON, every query is PromQL, and every metric that one names is exported."""

from __future__ import annotations

import json
import re
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from scripts import alerts, dashboards, grafana
from services.embedded.stack import SERVICES, Stack
from tests.watch.servers import wait_until
from tests.watch.tools import promtool

GRAFANA = Path(__file__).parents[2] / "deploy" / "grafana"
FILES = sorted((GRAFANA / "dashboards").glob("*.json"))
PROMETHEUS_OWN = {"up", "ALERTS"}
NAME = re.compile(r"\b(?:[a-z_]+:)?(?:selaras|faststream|rabbitmq|process|python)_[a-z0-9_]+(?::[a-z0-9]+)?\b")
DETAILED = "metrics/detailed?family=queue_coarse_metrics&family=queue_consumer_count"


def panels(file: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))["panels"]
    return [panel for panel in found if panel["type"] != "row"]


def queries(file: Path) -> list[str]:
    return [target["expr"] for panel in panels(file) for target in panel["targets"]]


def typed(text: str) -> set[str]:
    """The series of a scrape, by its TYPE lines: a gauge about which there is nothing to say has no other."""
    found = set()
    for name, kind in re.findall(r"^# TYPE (\S+) (\w+)$", text, re.MULTILINE):
        found |= {name} if kind != "histogram" else {f"{name}_{part}" for part in ("bucket", "sum", "count")}
    return found


def of_broker(port: int) -> set[str]:
    def scraped() -> set[str]:
        found: set[str] = set()
        for page in ("metrics", DETAILED):
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/{page}", timeout=10) as answer:
                found |= typed(answer.read().decode())
        return found

    wait_until(lambda: any("detailed" in name for name in scraped()), "the broker's own figures of its queues")
    return scraped()


def test_the_committed_dashboards_are_those_of_the_code() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in FILES}
    assert written == dashboards.pages(), "run: python scripts/dashboards.py deploy/grafana/dashboards"


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_query_is_promql(file: Path, tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{n}", "expr": expr.replace("$__rate_interval", "5m").replace("$site", ".*")}
        for n, expr in enumerate(queries(file))
    ]
    assert len(rules) > 20
    assert "$" not in "".join(rule["expr"] for rule in rules)
    (tmp_path / "rules.yml").write_text(json.dumps({"groups": [{"name": "panels", "rules": rules}]}))
    promtool("check", "rules", str(tmp_path / "rules.yml"))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_metric_of_every_query_is_exported(file: Path, running: Stack) -> None:
    if running.addresses.servers is None:
        pytest.skip("a broker of one's own does not say where its metrics are")
    exported = {name for service in SERVICES for name in typed(running.metrics(service))}
    exported |= of_broker(running.addresses.servers.metrics_port)
    recorded = {r.name for found in alerts.rules().values() for r in found if isinstance(r, alerts.Record)}
    for expr in queries(file):
        named = set(NAME.findall(expr)) | {word for word in PROMETHEUS_OWN if re.search(rf"\b{word}\b", expr)}
        assert named, expr
        assert named <= exported | recorded | PROMETHEUS_OWN, expr


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_a_dashboard_can_be_narrowed_to_a_site_and_no_two_panels_overlap(file: Path) -> None:
    found = json.loads(file.read_text(encoding="utf-8"))
    assert [variable["name"] for variable in found["templating"]["list"]] == ["site"]
    assert any("$site" in expr for expr in queries(file))
    taken: set[tuple[int, int]] = set()
    for panel in found["panels"]:
        place = panel["gridPos"]
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                 for y in range(place["y"], place["y"] + place["h"])}  # fmt: skip
        assert not cells & taken
        assert place["x"] + place["w"] <= grafana.COLUMNS
        taken |= cells
    assert len({panel["id"] for panel in found["panels"]}) == len(found["panels"])


def test_what_a_person_on_call_needs_is_there() -> None:
    text = "".join(expr for file in FILES for expr in queries(file))
    for metric in (
        "selaras_sync_pending", "selaras_sync_failed", "selaras_sync_oldest_pending_timestamp_seconds",
        "selaras_sync_completed_total", "selaras_records_total", "selaras_schools", "selaras_invalid_findings",
        "selaras_conflicts_open", "selaras_dead_letters", "selaras_sync_duration_seconds_bucket",
        "process_resident_memory_bytes", "process_cpu_seconds_total", "rabbitmq_detailed_queue_messages_ready",
        "rabbitmq_connections", "rabbitmq_alarms_memory_used_watermark",
    ):  # fmt: skip
        assert metric in text, metric


def test_what_is_provisioned_names_the_data_source_of_the_panels_and_their_folder() -> None:
    source = (GRAFANA / "provisioning" / "datasources" / "prometheus.yml").read_text()
    assert f"uid: {grafana.DATASOURCE['uid']}\n" in source
    assert "path: /etc/grafana/dashboards" in (GRAFANA / "provisioning" / "dashboards" / "selaras.yml").read_text()
    for file in FILES:
        assert all(panel["datasource"] == grafana.DATASOURCE for panel in panels(file))
