"""The tables of docs/performance.md, from the figures in docs/performance/: run it after these have changed.

`make bench OUT=docs/performance/speed.json` and its like put the figures there, with the plots beside them.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from bench import backlog, report
from bench.growth import report as growth

PAGE = Path(__file__).parent.parent / "docs" / "performance.md"
FIGURES = PAGE.with_suffix("")
TABLES = {"speed": report.tables, "growth": growth.tables, "backlog": backlog.tables}
NOT_YET = "*Not measured yet.*"


def page(text: str, figures: Path = FIGURES) -> str:
    """The page with what is between `<!-- NAME -->` and `<!-- /NAME -->` made anew."""
    for name in TABLES:
        text = re.sub(
            rf"(<!-- {name} -->\n).*?(<!-- /{name} -->)",
            lambda found, name=name: f"{found[1]}{_section(name, figures)}\n{found[2]}",  # type: ignore[misc]
            text,
            flags=re.DOTALL,
        )
    return text


def _section(name: str, figures: Path) -> str:
    """The figures of one command."""
    file = figures / f"{name}.json"
    if not file.exists():
        return NOT_YET
    data = json.loads(file.read_text(encoding="utf-8"))
    parts = [_machine(data["machine"], data.get("runs")), *(report.markdown(table) for table in TABLES[name](data))]
    if file.with_suffix(".svg").exists():
        parts.append(f"![The same as a plot]({figures.name}/{name}.svg)")
    return "\n\n".join(parts)


def _machine(machine: dict[str, Any], runs: int | None) -> str:
    medians = f"; medians of {runs}" if runs else ""
    return (
        f"{machine['date']}, revision {machine['revision']}: {machine['processors']} processors "
        f"({machine['processor']}), {machine['memory_gigabytes']:g} GB, Linux {machine['kernel']}, Python "
        f"{machine['python']}, PostgreSQL {machine['postgresql']}, RabbitMQ {machine['rabbitmq']}{medians}."
    )


if __name__ == "__main__":
    PAGE.write_text(page(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
