"""The tables, made from the data that `--json` writes: for the terminal here, in Markdown by scripts/performance.py."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.table import Table as RichTable

from bench.figures import SERVICES, WHO

Data = Mapping[str, Any]
PROCESSES = {**{name: name for name in SERVICES}, "rabbitmq": "RabbitMQ", "postgresql": "PostgreSQL"}
WIDTH = 120
"""Of a terminal that does not say."""


@dataclass(frozen=True)
class Table:
    """Cells are text; the first column is to be set left, the others right."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


def tables(data: Data) -> list[Table]:
    """Those of a run of `python -m bench`; without rows: left out."""
    return [table for table in (_seconds(data), _targets(data), _processor(data), _peaks(data)) if table.rows]


def _seconds(data: Data) -> Table:
    rows = [
        [
            name,
            f"{of['records']:,}" if of["records"] else "",
            *(number(of["median_seconds"].get(who)) for who in WHO),
            number(of["ratio_to_bare"], 2),
            ", ".join(f"{who}: {number(s)}" for who, s in of["median_seconds"].items() if who not in WHO),
        ]
        for name, of in data["workloads"].items()
        if of["median_seconds"]
    ]  # fmt: skip
    return Table("Seconds, medians", ("", "records", *WHO, "ours ÷ bare", ""), rows)


def _targets(data: Data) -> Table:
    rows = [
        [of["name"], f"{number(of['found'], 2)} {of['unit']}", f"{of['must']:g}", _goal(of["goal"]), of["verdict"]]
        for of in data["targets"]
        if of["verdict"]
    ]
    return Table("Targets: at most", ("", "found", "must", "goal", ""), rows)


def _goal(goal: float | None) -> str:
    return "" if goal is None else f"{goal:g}"


def _processor(data: Data) -> Table:
    rows = [
        [
            name,
            *(_micros(of.get(who, {}).get("all")) for who in WHO),
            *(_micros(ours.get(p)) for p in PROCESSES),
            _share(ours),
        ]
        for name, workload in data["workloads"].items()
        if (ours := (of := workload["processor_microseconds_per_record"]).get("ours"))
    ]
    headings = ("", *WHO, *PROCESSES.values(), "broker's share")
    return Table("Processor time, µs per record (medians); from validator on: of ours", headings, rows)


def _micros(value: float | None) -> str:
    return "" if value is None or value < 0.05 else f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _share(of: Mapping[str, float]) -> str:
    return f"{of['rabbitmq'] / of['all']:.0%}" if of.get("all") else ""


def _peaks(data: Data) -> Table:
    rows = [
        [name, *(f"{of['peak_megabytes'][service]:.0f}" for service in SERVICES)]
        for name, of in data["workloads"].items()
        if of["peak_megabytes"]
    ]
    return Table("Peak memory, MB (the highest of all runs)", ("", *SERVICES), rows)


def number(value: float | None, decimals: int | None = None) -> str:
    """To be read: so many decimals, or about three figures; nothing for None."""
    if value is None:
        return ""
    if decimals is not None:
        return f"{value:.{decimals}f}" if value >= 0.1 else f"{value:.2g}"
    return (
        f"{value:.0f}"
        if value >= 100
        else f"{value:.2f}"
        if value >= 1
        else f"{value:.3f}"
        if value >= 0.1
        else f"{value:.4f}"
    )


def show(shown: Iterable[Table], console: Console) -> None:
    """On the terminal."""
    for table in shown:
        rich = RichTable(title=table.title)
        for n, heading in enumerate(table.headings):
            rich.add_column(heading, justify="right" if n else "left")
        for row in table.rows:
            colour = {"missed": "red", "must": "green", "goal": "green"}.get(row[-1])
            rich.add_row(*row, style=colour)
        console.print(rich)


def markdown(table: Table) -> str:
    """As a table of Markdown, its title as a line above."""
    lines = [
        "| " + " | ".join(table.headings) + " |",
        "|---" + "|--:" * (len(table.headings) - 1) + "|",
        *("| " + " | ".join(row) + " |" for row in table.rows),
    ]
    return "\n".join([f"**{table.title}**", "", *lines])
