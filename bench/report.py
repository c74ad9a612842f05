"""The table, as JSON, and as a plot."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from typing import Any

from bench.workloads import Figures

TARGETS: Mapping[str, tuple[float, float]] = {
    "W1": (2.0, 1.5), "W2": (2.5, 2.0), "W3": (2.0, 1.5), "W4 p50": (4.0, 3.0), "W4 p99": (4.0, 3.0), "W5": (2.0, 1.5),
}  # fmt: skip
"""Ratios to bare of the same run: what must be, and the goal."""
MICRO = 1_000_000


def as_data(figures: Figures) -> dict[str, Any]:
    """Everything, for a machine."""
    workloads = list(dict.fromkeys(workload for workload, _ in figures.seconds))
    return {
        "workloads": {
            workload: {
                who: {"seconds": runs, "median": statistics.median(runs)}
                for (of, who), runs in figures.seconds.items()
                if of == workload
            }
            | ({"ratio": ratio, "must": must, "goal": goal} if (ratio := ratio_to_bare(figures, workload)) else {})
            for workload in workloads
            for must, goal in [TARGETS.get(workload, (None, None))]
        },
        "processor_microseconds_per_record": {
            f"{workload} {who}": per_record(figures, workload, who)
            for workload, who in figures.processor
            if workload in figures.records
        },
        "peak_megabytes": {name: round(size / 2**20, 1) for name, size in figures.peak_bytes.items()},
        "records": figures.records,
    }


def ratio_to_bare(figures: Figures, workload: str) -> float | None:
    """Of the medians."""
    bare, ours = figures.median(workload, "bare"), figures.median(workload, "ours")
    return ours / bare if bare and ours else None


def per_record(figures: Figures, workload: str, who: str) -> dict[str, float]:
    """Microseconds of processor time per record of each process, medians."""
    runs = figures.processor[workload, who]
    number = figures.records[workload]
    found = {name: statistics.median(run[name] for run in runs) / number * MICRO for name in runs[0]}
    return {name: round(value, 1) for name, value in found.items() if value >= 0.05} | {
        "all": round(statistics.median(sum(run.values()) for run in runs) / number * MICRO, 1)
    }


def plot(figures: Figures) -> str:
    """The ratios to bare as an SVG: a bar each, with the lines of what must be and the goal."""
    shown = [(name, ratio) for name in TARGETS if (ratio := ratio_to_bare(figures, name))]
    width, bar, left, top = 640, 28, 90, 46
    scale = (width - left - 70) / max([4.5, *(ratio for _, ratio in shown)])
    height = top + len(shown) * (bar + 14) + 16
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" '
        'font-size="13" role="img">',
        "<title>Selaras, as a multiple of bare</title>",
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
        f'<text x="{left}" y="20" font-weight="bold">Time as a multiple of bare (1 = bare)</text>',
        f'<text x="{left}" y="37" fill="#555" font-size="11">filled: ours · tick: must · dotted: goal</text>',
    ]
    for n, (name, ratio) in enumerate(shown):
        must, goal = TARGETS[name]
        y = top + n * (bar + 14)
        colour = "#2f7d4f" if ratio <= goal else "#c99a2e" if ratio <= must else "#b5443c"
        parts += [
            f'<text x="{left - 8}" y="{y + 19}" text-anchor="end">{name}</text>',
            f'<rect x="{left}" y="{y}" width="{ratio * scale:.1f}" height="{bar}" fill="{colour}"/>',
            f'<line x1="{left + must * scale:.1f}" x2="{left + must * scale:.1f}" y1="{y - 3}" y2="{y + bar + 3}" '
            'stroke="#222" stroke-width="2"/>',
            f'<line x1="{left + goal * scale:.1f}" x2="{left + goal * scale:.1f}" y1="{y - 3}" y2="{y + bar + 3}" '
            'stroke="#222" stroke-dasharray="2 2"/>',
            f'<text x="{left + ratio * scale + 6:.1f}" y="{y + 19}">{ratio:.2f}</text>',
        ]
    return "\n".join([*parts, "</svg>", ""])
