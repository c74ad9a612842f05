"""docs/performance.md shows the figures that lie beside it, and says what the JSON has."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from bench import machine
from bench.figures import MEGA, Figures, as_data
from bench.measure import Taken
from scripts import performance

COST = {
    "pushed": 500, "push_seconds_per_change": 0.001, "single_seconds": 0.02, "scrape_seconds": 0.1,
    "push_processor_microseconds_per_change": {"all": 100.0, "central": 40.0, "postgresql": 30.0, "syncer": 30.0},
    "single_processor_microseconds": {"all": 9000.0},
}  # fmt: skip
IDLE = {
    "idle_processor_milliseconds_per_second": {"central": 1.5},
    "idle_transactions_per_second": {"site": 2.0, "central": 1.0},
    "idle_messages_per_second": 0.0,
}
SERVICES = {"validator": 70.0, "syncer": 80.0, "puller": 75.0, "central": 79.0}


def figures() -> dict[str, dict[str, Any]]:
    """Made-up figures of each command, as its JSON."""
    made = Figures(records={"W1": 10})
    for who, seconds in (("floor", 0.1), ("bare", 0.2), ("ours", 0.3)):
        made.add("W1", who, seconds)
        made.took("W1", who, Taken({"rabbitmq": 0.001, "central": 0.01}, dict.fromkeys(SERVICES, 80 * MEGA)))
    common = {"machine": machine.described()}
    return {
        "speed": {"command": "speed", "runs": 5, "size": {"records": 10}, **as_data(made), **common},
        "growth": {
            "command": "growth", "size": {}, **common,
            "series": {"registry": [{"x": 1000, **COST}], "schools": [{"x": 1, **COST, **IDLE}]},
        },
        "backlog": {
            "command": "backlog", "messages": 100, **common,
            "backlogs": {
                "changes": {"drained": 90, "seconds": 9.0, "peak_megabytes": SERVICES, "seen": [[1.0, 100, SERVICES]]}
            },
        },
    }  # fmt: skip


def keys(data: dict[str, Any]) -> set[str]:
    """What a JSON's parts are called, down to those of one workload, target, point or backlog."""
    found = set(data)
    for parts in (data.get("workloads", {}).values(), data.get("backlogs", {}).values(), data.get("targets", [])):
        for part in parts:
            found |= set(part)
    return found


def test_the_page_shows_the_figures_that_lie_beside_it() -> None:
    text = performance.PAGE.read_text(encoding="utf-8")
    assert performance.page(text) == text, "run: python scripts/performance.py"
    for name in performance.TABLES:
        assert f"<!-- {name} -->\n" in text


@pytest.mark.parametrize("name", performance.TABLES)
def test_figures_become_tables(name: str, tmp_path: Path) -> None:
    before = f"x\n<!-- {name} -->\n{performance.NOT_YET}\n<!-- /{name} -->\ny\n"
    assert performance.page(before, tmp_path) == before
    (tmp_path / f"{name}.json").write_text(json.dumps(figures()[name]))
    (tmp_path / f"{name}.svg").write_text("<svg/>")
    after = performance.page(before, tmp_path)
    assert performance.NOT_YET not in after
    assert f"({tmp_path.name}/{name}.svg)" in after
    rows = [line for line in after.splitlines() if line.startswith("|")]
    assert len(rows) >= 3
    assert re.search(r"\d processors", after)
    assert performance.page(after, tmp_path) == after


def test_what_the_json_has_is_described() -> None:
    (table,) = re.findall(r"\| key \| \|\n(.*?)\n\n", performance.PAGE.read_text(encoding="utf-8"), re.DOTALL)
    described = set(re.findall(r"`(\w+)`", table))
    has = set[str]().union(*(keys(data) for data in figures().values()))
    assert has - described == set()
    assert described - has == {"all", "x"}
