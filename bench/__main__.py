"""`python -m bench`: all of it in one run, on private servers of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import asyncpg
import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy import make_url

from bench import report
from bench.floor import Floor
from bench.ours import Ours
from bench.workloads import SMALL, Bench, Figures, Pair, Size
from services import calendar, topology
from services.demo.stage import Stage
from services.embedded.guardian import remembered
from services.embedded.stack import SERVICES, Stack, stack

USER = topology.User("bench", configure=".*", write=".*", read=".*")
"""Bare's broker user: nothing is forbidden to it."""


def main(
    runs: Annotated[int, typer.Option(min=1, help="Medians of so many")] = 5,
    small: Annotated[bool, typer.Option("--small", help="Only to see that it works")] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures there")] = None,
    svg_file: Annotated[Path | None, typer.Option("--svg", help="Write the plot there")] = None,
    run_dir: Annotated[Path, typer.Option(help="Where the servers keep their data")] = Path(".run/bench"),
) -> None:
    """Measure Selaras beside bare and the floor."""
    console = Console(highlight=False)
    with stack(run_dir, fresh=True, say=lambda text: console.print(f"[dim]{text}[/]"), others=[USER]) as running:
        figures = asyncio.run(_measure(running, SMALL if small else Size(), 1 if small else runs, console))
    _show(figures, console)
    if json_file:
        json_file.write_text(json.dumps(report.as_data(figures), indent=2) + "\n")
    if svg_file:
        svg_file.write_text(report.plot(figures))


async def _measure(running: Stack, size: Size, runs: int, console: Console) -> Figures:
    site, central = [await _database(running.addresses.administrator, name) for name in ("bare_site", "bare_central")]
    pair = await Pair.start(running.addresses.amqp[USER.name], site, central)
    floor = await Floor.open(central)
    stage = Stage(running, console)
    ours = await Ours.begin(stage, calendar.today())
    bench = Bench(ours, floor, pair, size, _pids(running, pair))
    for run in range(1, runs + 1):
        await bench.run()
        console.print(f"[dim]run {run} of {runs}[/]")
    await ours.stop()
    await stage.close()
    await floor.close()
    await pair.stop()
    return bench.figures


def _pids(running: Stack, pair: Pair) -> Mapping[str, int]:
    servers = {process.name: process.pid for process in remembered(running.run_dir.resolve())}
    return (
        {name: running.processes[name].pid for name in SERVICES}
        | {name: servers[name] for name in ("rabbitmq", "postgresql")}
        | {"bare site": pair.site.pid, "bare central": pair.central.pid}
    )


async def _database(administrator: str, name: str) -> str:
    """An empty database; its address for asyncpg."""
    url = make_url(administrator).set(drivername="postgresql")
    connection = await asyncpg.connect(url.render_as_string(hide_password=False))
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return url.set(database=name).render_as_string(hide_password=False)


def _show(figures: Figures, console: Console) -> None:
    table = Table(title="Seconds (medians), and ours as a multiple of bare")
    for heading in ("", "floor", "bare", "ours", "ratio", "must", "goal"):
        table.add_column(heading, justify="left" if not heading else "right")
    for workload in dict.fromkeys(workload for workload, _ in figures.seconds):
        ratio = report.ratio_to_bare(figures, workload)
        must, goal = report.TARGETS.get(workload, (None, None))
        colour = "" if ratio is None or must is None else "green" if ratio <= must else "red"
        found = [figures.median(workload, who) for who in ("floor", "bare", "ours")]
        table.add_row(
            workload,
            *("" if value is None else f"{value:.3f}" if value >= 0.1 else f"{value:.4f}" for value in found),
            "" if ratio is None else f"[{colour}]{ratio:.2f}[/]" if colour else f"{ratio:.2f}",
            *("" if target is None else f"{target:g}" for target in (must, goal)),
        )
    console.print(table)
    receipt = figures.median("W4 p50", "ours, receipt")
    if receipt:
        console.print(f"W4 to the receipt: {receipt:.4f} s")
    for workload, who in figures.processor:
        if workload in figures.records:
            spent = ", ".join(f"{name} {value:g}" for name, value in report.per_record(figures, workload, who).items())
            console.print(f"{workload} {who}: processor µs per record: {spent}")
    peaks = ", ".join(f"{name} {size / 2**20:.0f} MB" for name, size in figures.peak_bytes.items())
    console.print(f"peak memory: {peaks}")


if __name__ == "__main__":
    app = typer.Typer(pretty_exceptions_enable=False)
    app.command()(main)
    app()
