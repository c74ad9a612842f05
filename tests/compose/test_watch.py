"""The stack under the profile `watch`."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

import pytest

from tests.compose.project import SERVICES, Project, eventually


@pytest.fixture(autouse=True)
def _watched(project: Project) -> None:
    assert {"prometheus", "alertmanager"} <= set(project.running())


def ask(path: str) -> Any:
    with urllib.request.urlopen(
        f"http://127.0.0.1:{os.environ['PROMETHEUS_PORT']}/api/v1/{path}", timeout=10
    ) as answer:
        return json.load(answer)["data"]


def test_prometheus_scrapes_every_target() -> None:
    def up() -> dict[str, str]:
        return {target["labels"]["job"]: target["health"] for target in ask("targets?state=active")["activeTargets"]}

    eventually(lambda: {*SERVICES, "rabbitmq"} <= set(up()) and set(up().values()) == {"up"})


def test_what_the_services_export_arrives() -> None:
    def services() -> set[str]:
        return {one["metric"]["service"] for one in ask("query?query=selaras_build_info")["result"]}

    eventually(lambda: services() == set(SERVICES))


def test_prometheus_knows_where_to_send_alerts() -> None:
    eventually(lambda: len(ask("alertmanagers")["activeAlertmanagers"]) == 1)
