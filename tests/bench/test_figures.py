"""Medians, ratios, shares and verdicts, from figures that are given; tables and plots of them."""

from __future__ import annotations

import json
from xml.etree import ElementTree

import pytest

from bench import plot, report
from bench.figures import MEGA, SERVICES, TARGETS, Figures, as_data
from bench.measure import Taken
from bench.workloads.single_changes import p99

RECORDS = 1000


def figures() -> Figures:
    """Three runs of W1: bare takes 0.2, 0.1 and 0.9 s, ours 0.3, 0.4 and 0.2; and one of W6."""
    made = Figures(records={"W1": RECORDS})
    for bare, ours in ((0.2, 0.3), (0.1, 0.4), (0.9, 0.2)):
        made.add("W1", "floor", 0.05)
        made.add("W1", "bare", bare)
        made.add("W1", "ours", ours)
        idle = dict.fromkeys(("puller", "validator"), 0.0)
        processor = {"syncer": ours / 10, "central": 0.02, "postgresql": 0.042, "rabbitmq": 0.008, "bench": 9.0, **idle}
        made.took("W1", "ours", Taken(processor, dict.fromkeys(SERVICES, int(ours * 100) * MEGA)))
    made.add("W6 in 500s", "ours", 0.7)
    return made


def verdicts(made: Figures) -> dict[str, str]:
    """By target, of those that were measured."""
    return {target.name: verdict for target in TARGETS if (verdict := target.verdict(made))}


def test_a_ratio_is_that_of_the_medians() -> None:
    made = figures()
    assert made.median("W1", "bare") == 0.2
    assert made.median("W1", "ours") == 0.3
    assert made.ratio("W1") == pytest.approx(1.5)
    assert made.ratio("W6 in 500s", to="W1") == pytest.approx(3.5)
    assert made.ratio("W2") is None
    assert made.ratio("W6 in 500s") is None


def test_processor_time_is_per_record_the_median_of_the_runs_and_leaves_the_bench_out() -> None:
    found = figures().per_record("W1", "ours")
    assert found["syncer"] == pytest.approx(30)
    assert found["rabbitmq"] == pytest.approx(8)
    assert found["all"] == pytest.approx(30 + 20 + 42 + 8)
    assert figures().share("W1", "rabbitmq") == pytest.approx(0.08)
    assert figures().per_record("W2", "ours") == {}


def test_a_peak_is_the_highest_of_all_runs_and_services() -> None:
    assert figures().peak() == pytest.approx(40)
    assert Figures().peak() is None


def test_a_verdict_is_goal_must_or_missed_and_none_of_what_was_not_measured() -> None:
    assert verdicts(figures()) == {
        "W1": "goal",
        "W6 in 500s": "missed",
        "W1, processor": "goal",
        "W1, the broker's share": "must",
        "Peak of any service": "must",
    }
    assert verdicts(Figures()) == {}


def test_one_in_a_hundred_exceeds_the_p99() -> None:
    assert p99([float(n) for n in range(200, 0, -1)]) == 198
    assert p99([7.0]) == 7


def test_the_data_pass_through_json_and_say_what_was_found() -> None:
    data = json.loads(json.dumps(as_data(figures())))
    w1 = data["workloads"]["W1"]
    assert w1["seconds"]["ours"] == [0.3, 0.4, 0.2]
    assert w1["median_seconds"] == {"floor": 0.05, "bare": 0.2, "ours": 0.3}
    assert w1["ratio_to_bare"] == pytest.approx(1.5)
    assert w1["peak_megabytes"]["central"] == 40
    assert [of["found"] for of in data["targets"] if of["name"] == "W1"] == [pytest.approx(1.5)]


def test_tables_say_the_same_in_the_terminal_and_in_markdown() -> None:
    seconds, targets, processor, peaks = report.tables(as_data(figures()))
    assert list(seconds.rows[0]) == ["W1", "1,000", "0.0500", "0.200", "0.300", "1.50", ""]
    assert list(targets.rows[0]) == ["W1", "1.50 × bare", "2", "1.5", "goal"]
    assert list(peaks.rows[0]) == ["W1", "40", "40", "40", "40"]
    assert processor.rows[0][-1] == "8%"
    for table in (seconds, targets, processor, peaks):
        assert all(len(row) == len(table.headings) for row in table.rows)
    assert "| W1 | 1,000 | 0.0500 | 0.200 | 0.300 | 1.50 |  |" in report.markdown(seconds).splitlines()


def test_plots_are_well_formed_and_show_every_figure() -> None:
    drawn = plot.ratios(as_data(figures()))
    root = ElementTree.fromstring(drawn)  # noqa: S314  our own
    assert {"1.50", "3.50", "W1", "W6 in 500s"} <= {text.text for text in root.iter(f"{plot.SVG}text")}
    series = {"one": [(1.0, 0.5), (1000.0, 0.7)], "two": [(1.0, 0.0), (1000.0, 0.0)]}
    lines = plot.lines("a < b", "below", "beside", series, logarithmic=True)
    both = ElementTree.fromstring(plot.stacked([drawn, lines]))  # noqa: S314
    assert len(list(both.iter(f"{plot.SVG}polyline"))) == 2
    assert {"1", "1,000", "one", "two", "a < b"} <= {text.text for text in both.iter(f"{plot.SVG}text")}


def test_a_plot_of_nothing_measured_is_a_plot_all_the_same() -> None:
    ElementTree.fromstring(plot.ratios(as_data(Figures())))  # noqa: S314
