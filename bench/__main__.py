"""`python -m bench`: see bench/__init__.py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from bench import backlog, growth, machine, plot, report, speed
from bench.figures import as_data
from bench.growth import costs
from bench.growth import report as growth_report
from bench.growth.report import TITLES
from bench.report import Table
from bench.workloads.turns import SMALL, Size

app = typer.Typer(add_completion=False, pretty_exceptions_enable=False, help="Measure Selaras.")
console = Console(highlight=False)
if not console.is_terminal:
    console = Console(highlight=False, width=report.WIDTH)

RunDir = Annotated[Path, typer.Option(help="Where the servers keep their data")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write all figures there, and the plot beside it (.svg)")]
Small = Annotated[bool, typer.Option("--small", help="Only to see that it works: little of everything, once")]
RUN_DIR = Path(".run/bench")


def say(text: str) -> None:
    """What is being done, for who waits."""
    console.print(f"[dim]{text}[/]")


def written(json_file: Path | None, data: dict[str, Any], drawn: str) -> None:
    """The figures as they were asked for."""
    if json_file:
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps({**data, "machine": machine.described()}, indent=2, ensure_ascii=False) + "\n")
        json_file.with_suffix(".svg").write_text(drawn)
        say(f"{json_file}, {json_file.with_suffix('.svg')}")


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    runs: Annotated[int, typer.Option(min=1, help="Medians of so many")] = 5,
    only: Annotated[
        str, typer.Option(help=f"Only these, by the beginnings of their names: {', '.join(speed.WORKLOADS)}")
    ] = "",
    small: Small = False,
    single_events: Annotated[int | None, typer.Option(min=1, help="How many events W6 singly publishes")] = None,
    quiet: Annotated[bool, typer.Option(help="Wait until central has judged what came before each piece")] = True,
    json_file: JsonFile = None,
    run_dir: RunDir = RUN_DIR,
) -> None:
    """Selaras beside bare and the floor: W1 to W6 and V, taking turns, medians of several runs."""
    if context.invoked_subcommand:
        return
    wanted = _named(only, speed.WORKLOADS)
    size = SMALL if small else Size(quiet=quiet)
    if single_events:
        size = replace(size, single_events=single_events)
    runs = 1 if small else runs
    figures = speed.measure(run_dir, size, runs, wanted, say)
    data = {"command": "speed", "runs": runs, "size": asdict(size), **as_data(figures)}
    shown: Sequence[Table] = report.tables(data)
    report.show(shown, console)
    if small:
        say("So little was done that these figures say nothing about the targets.")
    written(json_file, data, plot.ratios(data))


@app.command("growth")
def growth_command(
    only: Annotated[str, typer.Option(help=f"Only these: {', '.join(TITLES)}")] = "",
    small: Small = False,
    json_file: JsonFile = None,
    run_dir: RunDir = RUN_DIR,
) -> None:
    """What a change costs as the registry, the number of schools and a school itself grow; idle schools too."""
    size = costs.SMALL if small else costs.Size()
    wanted = _named(only, list(TITLES))
    data = {"command": "growth", "size": asdict(size), **growth.measure(run_dir, size, wanted, say)}
    report.show(growth_report.tables(data), console)
    written(json_file, data, growth_report.drawn(data))


@app.command("backlog")
def backlog_command(
    messages: Annotated[int, typer.Option(min=1, help="How many wait")] = 100_000,
    seconds: Annotated[float, typer.Option(min=1, help="How long is looked on, at most")] = 1800,
    only: Annotated[str, typer.Option(help=f"Of these: {', '.join(backlog.KINDS)}")] = "changes",
    json_file: JsonFile = None,
    run_dir: RunDir = RUN_DIR,
) -> None:
    """The memory of the services while messages wait, until all are taken."""
    data = {"command": "backlog", **backlog.measure(run_dir, messages, seconds, _named(only, list(backlog.KINDS)), say)}
    report.show(backlog.tables(data), console)
    written(json_file, data, backlog.drawn(data))


def _named(only: str, known: Sequence[str]) -> list[str]:
    """What was named. Raises BadParameter if one is the beginning of no name that there is."""
    wanted = [name.strip() for name in only.split(",") if name.strip()]
    if unknown := [name for name in wanted if not any(one.startswith(name) for one in known)]:
        raise typer.BadParameter(f"{', '.join(unknown)}: there is {', '.join(known)}")
    return wanted


if __name__ == "__main__":
    app()
