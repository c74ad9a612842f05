"""What was found, as tables and plots."""

from __future__ import annotations

from bench import plot
from bench.report import Data, Table, number
from services.topology import SIDES

TITLES = {
    "registry": "records at central",
    "schools": "schools at central and at the site",
    "school": "records of the school",
}


def tables(data: Data) -> list[Table]:
    """A table for each series, and one of idle schools."""
    headings = (
        "changes pushed", "a change, ms", "its processor, µs", "of central's", "of PostgreSQL's",
        "a single change, ms", "its processor, ms", "scraping all services, ms",
    )  # fmt: skip
    found = [
        Table(
            f"Cost by {TITLES[name]}",
            ("", *headings),
            [
                [
                    f"{at['x']:,}",
                    f"{at['pushed']:,}",
                    number(at["push_seconds_per_change"] * 1000),
                    *(
                        number(at["push_processor_microseconds_per_change"][process])
                        for process in ("all", "central", "postgresql")
                    ),
                    number(at["single_seconds"] * 1000),
                    number(at["single_processor_microseconds"]["all"] / 1000),
                    number(at["scrape_seconds"] * 1000),
                ]
                for at in points
            ],
        )
        for name, points in data["series"].items()
    ]
    idle = [at for at in data["series"].get("schools", ()) if "idle_messages_per_second" in at]
    names = list(idle[0]["idle_processor_milliseconds_per_second"]) if idle else []
    rows = [
        [
            f"{at['x']:,}",
            *(f"{at['idle_processor_milliseconds_per_second'][name]:.1f}" for name in names),
            *(f"{at['idle_transactions_per_second'][side]:.1f}" for side in SIDES),
            f"{at['idle_messages_per_second']:.1f}",
        ]
        for at in idle
    ]
    title = "Nobody does anything: processor ms, transactions and messages in a second, by schools"
    headings = ("", *names, *(f"transactions, {side}" for side in SIDES), "messages")
    return [*found, *([Table(title, headings, rows)] if rows else [])]


def drawn(data: Data) -> str:
    """Two plots for each series, one below the other."""
    plots = []
    for name, points in data["series"].items():
        push = "push_processor_microseconds_per_change"
        processor = {p: [(at["x"], at[push][p]) for at in points] for p in ("all", "postgresql", "central", "syncer")}
        single = {"single change": [(at["x"], at["single_seconds"] * 1000) for at in points]}
        plots += [
            plot.lines("Processor time of a pushed change", TITLES[name], "µs", processor, logarithmic=True),
            plot.lines("One change until it is durable at central", TITLES[name], "ms", single, logarithmic=True),
        ]
    return plot.stacked(plots)
