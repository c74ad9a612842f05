"""Prometheus and Alertmanager take the files that are shipped for them, and the files agree with each other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scripts import alerts
from services.embedded.stack import SERVICES
from tests.watch.tools import amtool, promtool

DEPLOY = Path(__file__).parents[2] / "deploy"
PROMETHEUS = DEPLOY / "prometheus"
ALERTMANAGER = DEPLOY / "alertmanager"
WEBHOOK_FILE = "url_file: /etc/alertmanager/secrets/webhook_url"


def jobs(name: str) -> list[str]:
    return re.findall(r"^  - job_name: (\S+)$", (PROMETHEUS / name).read_text(), re.MULTILINE)


def rule_files(name: str) -> set[str]:
    (listed,) = re.findall(r"^rule_files: \[(.*)\]$", (PROMETHEUS / name).read_text(), re.MULTILINE)
    return {file.removeprefix("rules/") for file in listed.split(", ")}


@pytest.mark.parametrize("name", ["prometheus.yml", "prometheus.site.yml"])
def test_prometheus_takes_its_configuration_with_all_rules(name: str) -> None:
    said = promtool("check", "config", str(PROMETHEUS / name))
    assert said.count("rules found") == len(rule_files(name))


def test_every_service_and_the_broker_are_scraped_and_every_rule_is_read() -> None:
    assert jobs("prometheus.yml") == [*SERVICES, "rabbitmq", "rabbitmq-queues"]
    assert rule_files("prometheus.yml") == set(alerts.pages())


def test_a_site_alone_neither_scrapes_central_nor_misses_it() -> None:
    assert set(jobs("prometheus.yml")) - set(jobs("prometheus.site.yml")) == {"central"}
    assert rule_files("prometheus.yml") - rule_files("prometheus.site.yml") == {"central.yml"}
    both = [(PROMETHEUS / name).read_text() for name in ("prometheus.yml", "prometheus.site.yml")]
    common = [re.sub(r"^(#.*|rule_files.*|  - job_name: central\n.*)\n", "", text, flags=re.MULTILINE) for text in both]
    assert common[0] == common[1]


def test_alertmanager_takes_the_configuration_that_tells_nobody() -> None:
    said = amtool("check-config", str(ALERTMANAGER / "alertmanager.yml"))
    assert "3 receivers" in said


def test_alertmanager_takes_the_one_with_a_webhook(tmp_path: Path) -> None:
    """The distribution's Alertmanager is older than `url_file`, so the address stands in its place here."""
    text = (ALERTMANAGER / "alertmanager.webhook.yml").read_text()
    assert text.count(WEBHOOK_FILE) == 3
    (tmp_path / "a.yml").write_text(text.replace(WEBHOOK_FILE, "url: http://127.0.0.1:9/"))
    assert "3 receivers" in amtool("check-config", str(tmp_path / "a.yml"))


def test_the_two_differ_only_in_whether_somebody_is_told() -> None:
    def routes(name: str) -> str:
        text = (ALERTMANAGER / name).read_text()
        return text[text.index("route:") : text.index("receivers:")]

    assert routes("alertmanager.yml") == routes("alertmanager.webhook.yml")


@pytest.mark.parametrize("severity", ["page", "ticket", "info"])
def test_every_urgency_has_a_receiver_of_its_own(severity: str) -> None:
    config = str(ALERTMANAGER / "alertmanager.yml")
    assert severity in {alert.severity for alert in alerts.alerts()}
    assert (
        amtool("config", "routes", "test", f"--config.file={config}", f"severity={severity}").splitlines()[0]
        == severity
    )


def test_what_holds_others_back_names_alerts_that_there_are() -> None:
    text = (ALERTMANAGER / "alertmanager.yml").read_text()
    named = set(re.findall(r"\b(?:Sync|Broker|Dead|Pending)[A-Z]\w+", text[text.index("inhibit_rules") :]))
    assert named <= {alert.name for alert in alerts.alerts()}
    assert "SyncBlind" in named


def test_no_address_and_no_secret_is_in_a_file() -> None:
    for file in [*ALERTMANAGER.iterdir(), *PROMETHEUS.glob("*.yml")]:
        text = file.read_text()
        assert "://" not in text
        assert not re.search(r"password|token|api_key", text)
