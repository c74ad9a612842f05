"""Every alert, by promtool over series made by hand: it fires, it does not fire just below, it resolves."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from scripts import alerts
from tests.watch.tools import promtool

ROOT = Path(__file__).parents[2]
RULES = ROOT / "deploy" / "prometheus" / "rules"
NAMES = sorted({alert.name for alert in alerts.alerts()})
AT_SITE = 'job="syncer",site="situs"'
BUILD = 'selaras_build_info{job="%s",instance="%s:9100",service="%s",site="%s"}'

Series = dict[str, str]


@dataclass(frozen=True)
class Case:
    """Series (promtool's notation) and, at some minutes, the labels of each alert that fires then."""

    alert: str
    name: str
    series: Series
    firing: Mapping[str, list[dict[str, str]]]
    every: str = "1m"
    """How far apart the values are."""


def state(name: str, values: str, labels: str = "", processes: int = 1) -> Series:
    """A gauge of the syncer, the same from each of its processes."""
    return {f'selaras_{name}{{{AT_SITE},instance="s{n}:9100"{labels}}}': values for n in range(processes)}


SYNC = {"site": "situs", "kind": "sync"}
FAILED = SYNC | {"reason": "SYN-21", "severity": "ticket"}

DAILY = {"situs": "selaras_backup", "pusat": "selaras_central_backup"}


def backups(site: str, last: str, schedule: str) -> Series:
    """Of a database's backups: the moment of the newest, the schedule; alike from two processes."""
    return {
        f'{DAILY[site]}_{name}{{job="x",site="{site}",instance="x{n}:9100"}}': values
        for name, values in (("last_success_timestamp_seconds", last), ("schedule_seconds", schedule))
        for n in range(2)
    }


def lives(begun: str, number: str, listed: str = "0x5000") -> Series:
    """Of central's lives, alike from two processes: since when, which one it is, what waits for officers."""
    values = {
        "life_begun_timestamp_seconds": ("", begun), "lives": ("", number), "listed": (',outcome="moved"', listed),
    }  # fmt: skip
    return {
        f'selaras_central_{name}{{job="central",site="pusat",instance="c{n}:9100"{labels}}}': series
        for name, (labels, series) in values.items()
        for n in range(2)
    }


PUT_BACK = {"site": "pusat", "severity": "ticket"}

CASES = [
    Case(
        "CentralPutBack",
        "the first life, however young",
        lives("0x300", "1x300"),
        {"0m": [], "60m": [], "1500m": []},
        every="10m",
    ),
    Case(
        "CentralPutBack",
        "another life begins after two hours; for a day, once though two processes show it",
        lives("0x11 7200x300", "1x11 2x300"),
        {
            "110m": [], "120m": [PUT_BACK | {"reason": "begun"}], "1550m": [PUT_BACK | {"reason": "begun"}],
            "1570m": [],
        },
        every="10m",
    ),
    Case(
        "CentralPutBack",
        "something waits for officers for more than a day, then it is decided",
        lives("0x400", "1x400", "0x5 2x200 0x100"),
        {"1490m": [], "1520m": [PUT_BACK | {"reason": "listed"}], "2100m": []},
        every="10m",
    ),
    Case(
        "CentralPutBack",
        "something is listed, and decided within a day",
        lives("0x400", "1x400", "0x5 2x140 0x100"),
        {"1400m": [], "1460m": [], "1600m": []},
        every="10m",
    ),
    Case(
        "BackupTooOld",
        "none for more than a day and a half of a daily schedule, at the site and at central, then one",
        backups("situs", "60x240 144600x20", "86400x260") | backups("pusat", "60x240 144600x20", "86400x260"),
        {
            "2160m": [], "2220m": [],
            "2240m": [{"site": site, "severity": "ticket"} for site in ("situs", "pusat")],
            "2420m": [],
        },
        every="10m",
    ),
    Case(
        "BackupTooOld",
        "a schedule that never made one",
        backups("situs", "0x200", "3600x200") | backups("pusat", "0x200", "0x200"),
        {"145m": [], "155m": [{"site": "situs", "severity": "ticket"}]},
    ),
    Case(
        "BackupTooOld",
        "no schedule, and an old one or none",
        backups("situs", "60x400", "0x400") | backups("pusat", "0x400", "0x400"),
        {"3900m": []},
        every="10m",
    ),
    Case(
        "BackupTooOld",
        "one each day",
        backups("situs", "60x144 86460x144 172860x144", "86400x440"),
        {"1440m": [], "2800m": [], "4200m": []},
        every="10m",
    ),
    Case(
        "SyncFailedOutstanding",
        "a failure that stays for a quarter of an hour, counted once though three processes show it",
        state("sync_failed", "0 0 2x29 0x30", ',kind="sync",reason="SYN-21"', processes=3),
        {"15m": [], "18m": [FAILED], "31m": [FAILED], "33m": []},
    ),
    Case(
        "SyncFailedOutstanding",
        "a failure that a sync mends within a quarter of an hour",
        state("sync_failed", "0 1x13 0x30", ',kind="sync",reason="SYN-21"'),
        {"14m": [], "15m": [], "20m": []},
    ),
    Case(
        "SyncFailureRatioHigh",
        "one in ten fails, then none",
        state("sync_attempts_total", "0+40x60", ',kind="sync"')
        | state("sync_failures_total", "0+4x20 80x40", ',kind="sync",reason="SYN-21"'),
        {"15m": [SYNC | {"severity": "page"}], "35m": []},
    ),
    Case(
        "SyncFailureRatioHigh",
        "one in twenty fails",
        state("sync_attempts_total", "0+40x60", ',kind="sync"')
        | state("sync_failures_total", "0+2x60", ',kind="sync",reason="SYN-21"'),
        {"15m": [], "50m": []},
    ),
    Case(
        "SyncFailureRatioHigh",
        "half fail, of fewer than twenty in ten minutes",
        state("sync_attempts_total", "0+1.8x60", ',kind="sync"')
        | state("sync_failures_total", "0+0.9x60", ',kind="sync",reason="SYN-21"'),
        {"15m": [], "50m": []},
    ),
    Case(
        "SyncPendingTooOld",
        "asked for an hour ago, then answered",
        state("sync_oldest_pending_timestamp_seconds", "60x70 0x30", ',kind="sync"'),
        {"60m": [], "62m": [SYNC | {"severity": "ticket"}], "72m": []},
    ),
    Case(
        "SyncPendingTooOld",
        "what central has to do by itself",
        {
            'selaras_central_background_oldest_timestamp_seconds{job="central",site="pusat",work="follow_up"}': (
                "60x70 0x30"
            )
        },
        {"60m": [], "62m": [{"site": "pusat", "work": "follow_up", "severity": "ticket"}], "72m": []},
    ),
    Case(
        "SyncPendingTooOld",
        "nothing waits",
        state("sync_oldest_pending_timestamp_seconds", "0x200", ',kind="sync"'),
        {"120m": []},
    ),
    Case(
        "SyncBacklogNotDraining",
        "1,000 wait and four a minute are done, then sixty a minute",
        state("sync_pending", "1000x60", ',kind="sync",state="queued"')
        | state("sync_completed_total", "0+4x60 240+60x60", ',kind="sync",outcome="completed"'),
        {"10m": [], "40m": [SYNC | {"severity": "ticket"}], "90m": []},
    ),
    Case(
        "SyncBacklogNotDraining",
        "nothing is done at all",
        state("sync_pending", "51x60", ',kind="sync",state="queued"')
        | state("sync_completed_total", "7x60", ',kind="sync",outcome="completed"'),
        {"40m": [SYNC | {"severity": "ticket"}]},
    ),
    Case(
        "SyncBacklogNotDraining",
        "1,000 wait and are done within four hours; fifty wait for ever",
        state("sync_pending", "1000x60", ',kind="sync",state="queued"')
        | state("sync_completed_total", "0+4.3x60", ',kind="sync",outcome="completed"')
        | state("sync_pending", "50x60", ',kind="verify",state="queued"')
        | state("sync_completed_total", "0x60", ',kind="verify",outcome="completed"'),
        {"40m": [], "60m": []},
    ),
    Case(
        "SyncBacklogNotDraining",
        "schools that central has to judge",
        {
            'selaras_central_background_pending{job="central",site="pusat",work="judgement"}': "5000x60",
            'selaras_central_judgements_total{job="central",site="pusat",verdict="clean"}': "0+10x60",
        },
        {"40m": [{"site": "pusat", "work": "judgement", "severity": "ticket"}]},
    ),
    Case(
        "SyncNoneSucceeded",
        "work waits for two hours without a success, then one succeeds",
        state("sync_pending", "3x170", ',kind="sync",state="waiting_retry"')
        | state("sync_last_success_timestamp_seconds", "60x140 8460x30", ',kind="sync"'),
        {"119m": [], "125m": [SYNC | {"severity": "page"}], "142m": []},
    ),
    Case(
        "SyncNoneSucceeded",
        "nothing waited in the night; the first request of the morning",
        state("sync_pending", "0x300 2x20", ',kind="sync",state="queued"')
        | state("sync_last_success_timestamp_seconds", "60x330", ',kind="sync"'),
        {"299m": [], "310m": []},
    ),
    Case(
        "SyncNoneSucceeded",
        "work always waits, and some of it succeeds",
        state("sync_pending", "3x300", ',kind="sync",state="queued"')
        | state("sync_last_success_timestamp_seconds", "0+60x300", ',kind="sync"'),
        {"125m": [], "290m": []},
    ),
    Case(
        "PendingRecordsTooOld",
        "three days and a little, then synced",
        {'selaras_pending_oldest_timestamp_seconds{job="validator",site="situs"}': "3600x75 0x10"},
        {"73h": [], "74h": [{"site": "situs", "severity": "info"}], "77h": []},
        every="1h",
    ),
    Case(
        "DeadLettersPresent",
        "messages in quarantine, at the site from two processes and at central, then dismissed",
        {
            'selaras_dead_letters{job="validator",instance="a",site="situs",queue="q",reason="MSG-11"}': "0 2x10 _x10",
            'selaras_dead_letters{job="validator",instance="b",site="situs",queue="q",reason="MSG-11"}': "0 2x10 _x10",
            'selaras_dead_letters{job="central",instance="c",site="pusat",queue="p",reason="MSG-01"}': "0 1x10 0x10",
        },
        {
            "1m": [],
            "3m": [
                {"site": "situs", "queue": "q", "reason": "MSG-11", "severity": "ticket"},
                {"site": "pusat", "queue": "p", "reason": "MSG-01", "severity": "ticket"},
            ],
            "17m": [],
        },
    ),
    Case(
        "SyncInvariantViolated",
        "one violation, at once and until an hour after the service was started anew; at a site and at central",
        {
            'selaras_central_invariant_violations_total{job="central",instance="c",site="pusat",invariant="i"}': (
                "0 0 1x30 0x70"
            ),
            'selaras_invariant_violations_total{job="syncer",instance="s",site="situs",invariant="j"}': "0 0 1x100",
        },
        {
            "1m": [],
            "2m": [
                {"site": "pusat", "invariant": "i", "severity": "page"},
                {"site": "situs", "invariant": "j", "severity": "page"},
            ],
            "90m": [
                {"site": "pusat", "invariant": "i", "severity": "page"},
                {"site": "situs", "invariant": "j", "severity": "page"},
            ],
            "95m": [{"site": "situs", "invariant": "j", "severity": "page"}],
        },
    ),
    Case(
        "SyncBlind",
        "a process does not answer for two minutes, with its site; then it does again",
        {
            'up{job="syncer",instance="syncer:9100"}': "1x5 0x5 1x10",
            BUILD % ("syncer", "syncer", "syncer", "situs"): "1x5 _x5 1x10",
        },
        {
            "5m": [],
            "7m": [],
            "8m": [{"job": "syncer", "instance": "syncer:9100", "service": "syncer", "site": "situs"}],
            "13m": [],
        },
    ),
    Case(
        "SyncBlind",
        "a process that never answered; the broker",
        {'up{job="central",instance="central:9100"}': "0x10", 'up{job="rabbitmq",instance="r:15692"}': "0x10"},
        {
            "4m": [
                {"job": "central", "instance": "central:9100", "service": "central"},
                {"job": "rabbitmq", "instance": "r:15692", "service": "rabbitmq"},
            ]
        },
    ),
    Case(
        "SyncBlind",
        "a service whose target is gone from the network, and comes back",
        {
            'up{job="puller",instance="puller:9100"}': "1x5 _x10 1x10",
            BUILD % ("puller", "puller", "puller", "situs"): "1x5 _x10 1x10",
        },
        {"5m": [], "14m": [{"service": "puller", "site": "situs"}], "18m": []},
    ),
    Case(
        "BrokerNearBlocking",
        "memory close to its limit, then not",
        {
            'rabbitmq_process_resident_memory_bytes{instance="r"}': "81x5 79x10",
            'rabbitmq_resident_memory_limit_bytes{instance="r"}': "100x15",
        },
        {"0m": [], "3m": [{"instance": "r", "resource": "memory", "severity": "page"}], "8m": []},
    ),
    Case(
        "BrokerNearBlocking",
        "disk: less than twice what has to stay free; the alarm itself",
        {
            'rabbitmq_disk_space_available_limit_bytes{instance="r"}': "51x5 49x20",
            'rabbitmq_disk_space_available_bytes{instance="r"}': "100x25",
            'rabbitmq_alarms_memory_used_watermark{instance="r"}': "0x15 1x10",
        },
        {
            "3m": [{"instance": "r", "resource": "disk", "severity": "page"}],
            "8m": [],
            "20m": [{"instance": "r", "resource": "memory", "severity": "page"}],
        },
    ),
]  # fmt: skip


def seen(missing: str = "") -> Series:
    """Every service answers, but for one."""
    services = {"validator": "situs", "syncer": "situs", "puller": "situs", "central": "pusat"}
    found = {BUILD % (one, one, one, site): "1x10000" for one, site in services.items()} | {
        f'up{{job="{one}",instance="{one}:9100"}}': "1x10000" for one in [*services, "rabbitmq"]
    }
    return {name: values for name, values in found.items() if not missing or f'job="{missing}"' not in name}


def run(
    tmp_path: Path, series: Series, alert: str, firing: Mapping[str, list[dict[str, str]]], every: str = "1m"
) -> None:
    """Let promtool evaluate the committed rules over the series."""
    tests = [
        {
            "interval": every,
            "input_series": [{"series": name, "values": values} for name, values in series.items()],
            "promql_expr_test": [
                {
                    "expr": f'ALERTS{{alertstate="firing",alertname=~"{alert}"}}',
                    "eval_time": at,
                    "exp_samples": [{"labels": _labels(alert, labels), "value": 1} for labels in expected],
                }
                for at, expected in firing.items()
            ],
        }
    ]
    rules = RULES
    if every != "1m":  # promtool evaluates as often as the rules say
        rules = tmp_path / "rules"
        alerts.write(rules, interval=every)
    document: dict[str, Any] = {
        "rule_files": [str(file) for file in sorted(rules.glob("*.yml"))],
        "evaluation_interval": "30s" if every == "1m" else every,
        "tests": tests,
    }
    (tmp_path / "test.yml").write_text(json.dumps(document))  # JSON is YAML
    promtool("test", "rules", str(tmp_path / "test.yml"))


def _labels(alert: str, labels: dict[str, str]) -> str:
    every = {"alertname": alert, "alertstate": "firing", "severity": "page", **labels}
    return "ALERTS{" + ",".join(f'{name}="{value}"' for name, value in every.items()) + "}"


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.alert}: {case.name}")
def test_an_alert_fires_when_it_should_and_not_before_and_resolves(case: Case, tmp_path: Path) -> None:
    named = {name.partition('job="')[2].partition('"')[0] for name in case.series if name.startswith("up{")}
    around = {n: v for n, v in seen().items() if not any(f'job="{one}"' in n for one in named)}
    run(tmp_path, {**around, **case.series}, case.alert, case.firing, case.every)


@pytest.mark.parametrize("service", ["validator", "syncer", "puller", "central", "rabbitmq"])
def test_a_service_that_was_never_seen_is_alarmed_after_five_minutes(service: str, tmp_path: Path) -> None:
    labels = {"service": service} | ({"job": service} if service == "rabbitmq" else {})
    run(tmp_path, seen(missing=service), "SyncBlind", {"4m": [], "6m": [labels]})


def test_nothing_fires_while_everything_answers(tmp_path: Path) -> None:
    run(tmp_path, seen(), ".+", {"30m": []})


def test_every_alert_has_cases() -> None:
    assert {case.alert for case in CASES} == set(NAMES)


def test_the_alerts_are_those_that_the_operators_were_promised() -> None:
    assert set(NAMES) == {
        "SyncFailedOutstanding", "SyncFailureRatioHigh", "SyncPendingTooOld", "SyncBacklogNotDraining",
        "SyncNoneSucceeded", "PendingRecordsTooOld", "DeadLettersPresent", "SyncInvariantViolated", "SyncBlind",
        "BrokerNearBlocking", "BackupTooOld", "CentralPutBack",
    }  # fmt: skip


def test_the_committed_rules_are_those_of_the_code() -> None:
    written = {file.name: file.read_text(encoding="utf-8") for file in RULES.glob("*.yml")}
    assert written == alerts.pages(), "run: python scripts/alerts.py deploy/prometheus/rules"


def test_promtool_finds_nothing_wrong_with_the_rules_at_any_scale(tmp_path: Path) -> None:
    promtool("check", "rules", "--lint-fatal", *map(str, RULES.glob("*.yml")))
    alerts.write(tmp_path, alerts.Clock(1 / 900, shortest=1.5), interval="200ms")
    promtool("check", "rules", "--lint-fatal", *map(str, tmp_path.glob("*.yml")))


def test_an_alert_tells_in_two_languages_and_where_to_read_on() -> None:
    for alert in alerts.alerts():
        words = alert.words
        assert all((words.summary, words.summary_en, words.description, words.description_en))
        assert words.summary != words.summary_en
        assert (ROOT / alerts.RUNBOOKS / f"{alert.name}.md").exists(), alert.name
