"""What was measured: figures of each run, their medians, ratios to bare, and the targets of docs/performance.md."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench.measure import Taken

MEGA = 2**20
MICRO = 1_000_000
SERVICES = ("validator", "syncer", "puller", "central")
SERVERS = ("rabbitmq", "postgresql")
WHO = ("floor", "bare", "ours")
"""Who takes turns."""


@dataclass
class Figures:
    """By (workload, who): seconds and processor seconds of each run, and the highest peak of all runs. `records`:
    how many records a workload moves; its processor time is told per record.
    """

    records: dict[str, int] = field(default_factory=dict)
    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    processor: dict[tuple[str, str], list[Mapping[str, float]]] = field(default_factory=dict)
    peak_bytes: dict[str, dict[str, int]] = field(default_factory=dict)

    def add(self, workload: str, who: str, seconds: float) -> None:
        """One run's seconds."""
        self.seconds.setdefault((workload, who), []).append(seconds)

    def took(self, workload: str, who: str, taken: Taken) -> None:
        """What processes took in one run; peaks are kept of ours only."""
        self.processor.setdefault((workload, who), []).append(taken.seconds)
        if who.startswith("ours"):
            peaks = self.peak_bytes.setdefault(workload, {})
            for name, size in taken.peak_bytes.items():
                peaks[name] = max(size, peaks.get(name, 0))

    def median(self, workload: str, who: str) -> float | None:
        """The median of the runs' seconds; None if it was not measured."""
        found = self.seconds.get((workload, who))
        return statistics.median(found) if found else None

    def ratio(self, workload: str, to: str | None = None) -> float | None:
        """Our median as a multiple of bare's, of the same workload or of `to`."""
        ours, bare = self.median(workload, "ours"), self.median(to or workload, "bare")
        return ours / bare if bare and ours is not None else None

    def per_record(self, workload: str, who: str) -> dict[str, float]:
        """Microseconds of processor time per record of each process, and of `all`: medians of the runs. All leaves out
        `bench`, the process that publishes the work and waits for its end.
        """
        runs = self.processor.get((workload, who))
        records = self.records.get(workload)
        if not runs or not records:
            return {}
        found = {name: statistics.median(run[name] for run in runs) for name in runs[0]}
        found["all"] = statistics.median(sum(run[name] for name in run if name != "bench") for run in runs)
        return {name: seconds / records * MICRO for name, seconds in found.items()}

    def share(self, workload: str, name: str) -> float | None:
        """The part of our processor time that one process took; None if nothing was measured."""
        found = self.per_record(workload, "ours")
        return found[name] / found["all"] if found.get("all") else None

    def peak(self) -> float | None:
        """The highest peak of any service in any workload, in megabytes."""
        peaks = [size for peaks in self.peak_bytes.values() for size in peaks.values()]
        return max(peaks) / MEGA if peaks else None


@dataclass(frozen=True)
class Target:
    """What must be and what is the goal: at most that, in `unit`."""

    name: str
    unit: str
    must: float
    goal: float | None
    found: Callable[[Figures], float | None]

    def verdict(self, figures: Figures) -> str:
        """goal, must or missed; empty if it was not measured."""
        found = self.found(figures)
        if found is None:
            return ""
        if self.goal is not None and found <= self.goal:
            return "goal"
        return "must" if found <= self.must else "missed"


def _ratio(name: str, must: float, goal: float | None, to: str | None = None) -> Target:
    unit = "× bare" if to is None else f"× bare's {to}"
    return Target(name, unit, must, goal, lambda figures: figures.ratio(name, to))


def _processor(name: str) -> tuple[Target, Target]:
    return (
        Target(
            f"{name}, processor", "µs a record", 150, 110, lambda figures: figures.per_record(name, "ours").get("all")
        ),
        Target(
            f"{name}, the broker's share", "% of that", 10, None,
            lambda figures: None if (share := figures.share(name, "rabbitmq")) is None else share * 100,
        ),
    )  # fmt: skip


RATIOS = (
    _ratio("W1", 2, 1.5),
    _ratio("W2", 2.5, 2),
    _ratio("W3", 2, 1.5),
    _ratio("W4 p50", 4, 3),
    _ratio("W4 p99", 4, 3),
    _ratio("W5", 2, 1.5),
    _ratio("W6 in 500s", 2, None, to="W1"),
)
"""The plot shows these."""
TARGETS = (
    *RATIOS,
    Target("V all", "s", 0.25, None, lambda figures: figures.median("V all", "ours")),
    Target("V one change", "s", 0.005, None, lambda figures: figures.median("V one change", "ours")),
    *_processor("W1"),
    *_processor("W3"),
    Target("Peak of any service", "MB", 150, None, Figures.peak),
)


def as_data(figures: Figures) -> dict[str, Any]:
    """Everything, for a machine."""
    workloads = dict.fromkeys(workload for workload, _ in [*figures.seconds, *figures.processor])
    return {
        "workloads": {
            workload: {
                "records": figures.records.get(workload),
                "seconds": {who: runs for (of, who), runs in figures.seconds.items() if of == workload},
                "median_seconds": {
                    who: statistics.median(runs) for (of, who), runs in figures.seconds.items() if of == workload
                },
                "ratio_to_bare": figures.ratio(workload),
                "processor_microseconds_per_record": {
                    who: {name: round(value, 2) for name, value in figures.per_record(workload, who).items()}
                    for (of, who) in figures.processor
                    if of == workload
                },
                "peak_megabytes": {
                    name: round(size / MEGA, 1) for name, size in figures.peak_bytes.get(workload, {}).items()
                },
            }
            for workload in workloads
        },
        "targets": [
            {
                "name": target.name,
                "unit": target.unit,
                "found": target.found(figures),
                "must": target.must,
                "goal": target.goal,
                "verdict": target.verdict(figures),
            }
            for target in TARGETS
        ],
    }
