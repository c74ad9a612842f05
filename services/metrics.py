"""What the services show to Prometheus; every name is listed in docs/metrics.md.

A state is read from the database at scrape, so that a restart cannot lose it; only counts of what this process did are
counters. No label ever names a school.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.metadata import version
from typing import get_args

from prometheus_client import (
    GC_COLLECTOR,
    PLATFORM_COLLECTOR,
    PROCESS_COLLECTOR,
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    disable_created_metrics,
)

from services.entities import SPECS
from services.messages import PROTOCOL_VERSION, VerdictName
from services.rules import RULES_VERSION

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
"""Seconds, from 0.1 s to 24 h."""
FAILURES = ("SYN-20", "SYN-21", "SYN-22", "SYN-24", "SYN-25")
"""What a session fails with."""
VERDICTS = ("received", *get_args(VerdictName))
"""What becomes of a record that is exchanged."""
INVARIANTS = ("cursor_never_goes_back", "pushed_as_gated", "pull_marks_nothing_sent")
"""The self-checks of protocol.md 7 that a site makes, in the transactions of its sessions."""


def build_info(registry: CollectorRegistry, service: str, site: str) -> None:
    """`selaras_build_info`: always 1; what runs is in the labels."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series beside each counter is only noise
    gauge = Gauge(
        "selaras_build_info", "What runs here", ["site", "service", "version", "protocol", "rules"], registry=registry
    )
    gauge.labels(site, service, version("selaras"), str(PROTOCOL_VERSION), RULES_VERSION).set(1)


def process(registry: CollectorRegistry) -> None:
    """Memory, processor time, files and garbage of this process: a registry of one's own has them only when told."""
    for collector in (PROCESS_COLLECTOR, PLATFORM_COLLECTOR, GC_COLLECTOR):
        registry.register(collector)


class Invariants:
    """Self-checks of protocol.md 7: how often each was made, and how often it failed. Both begin at 0."""

    def __init__(self, registry: CollectorRegistry, prefix: str, site: str, names: Sequence[str]) -> None:
        self._checks = Counter(
            f"{prefix}_invariant_checks", "Self-checks made", ["site", "invariant"], registry=registry
        )
        self._violations = Counter(
            f"{prefix}_invariant_violations", "Self-checks that failed", ["site", "invariant"], registry=registry
        )
        self._site = site
        for name in names:
            self._checks.labels(site, name)
            self._violations.labels(site, name)

    def checked(self, name: str, holds: bool) -> None:
        """A self-check was made."""
        self._checks.labels(self._site, name).inc()
        if not holds:
            self._violations.labels(self._site, name).inc()


class StateGauge:
    """A gauge whose whole set of series is replaced at each scrape."""

    def __init__(self, registry: CollectorRegistry, name: str, text: str, labels: tuple[str, ...], site: str) -> None:
        self._gauge = Gauge(name, text, ["site", *labels], registry=registry)
        self._site = site

    def replace(self, values: Mapping[tuple[str, ...], float]) -> None:
        """The series that there are now; what is not named is gone."""
        self._gauge.clear()
        for labels, value in values.items():
            self._gauge.labels(self._site, *labels).set(value)


class SessionMetrics:
    """Of the sessions of some kinds: the syncer exports `sync` and `verify`, the puller `pull` and `restore`."""

    def __init__(self, registry: CollectorRegistry, site: str, kinds: tuple[str, ...]) -> None:
        self.kinds = kinds
        self.pending = StateGauge(
            registry, "selaras_sync_pending", "Sessions asked for and not finished", ("kind", "state"), site
        )
        self.oldest = StateGauge(
            registry,
            "selaras_sync_oldest_pending_timestamp_seconds",
            "When the oldest unfinished session was asked for; 0 if none",
            ("kind",),
            site,
        )
        self.failed = StateGauge(
            registry, "selaras_sync_failed", "Schools whose latest session failed", ("kind", "reason"), site
        )
        self.refused = StateGauge(
            registry, "selaras_sync_refused", "Schools whose latest session was refused", ("kind", "reason"), site
        )
        self.last_success = StateGauge(
            registry, "selaras_sync_last_success_timestamp_seconds", "The latest success", ("kind",), site
        )
        self.attempts = Counter("selaras_sync_attempts", "Sessions begun", ["site", "kind"], registry=registry)
        self.failures = Counter(
            "selaras_sync_failures", "Sessions failed", ["site", "kind", "reason"], registry=registry
        )
        self.completed = Counter(
            "selaras_sync_completed", "Sessions that reached an end", ["site", "kind", "outcome"], registry=registry
        )
        self.duration = Histogram(
            "selaras_sync_duration_seconds",
            "From request to end",
            ["site", "kind", "outcome"],
            buckets=DURATION_BUCKETS,
            registry=registry,
        )
        self.records = Counter(
            "selaras_records", "Records exchanged", ["site", "kind", "entity", "verdict"], registry=registry
        )
        self.divergence = Counter("selaras_divergence", "Roots that differed", ["site", "entity"], registry=registry)
        self.repaired = Counter(
            "selaras_repaired_records",
            "Records that differed and were mended, by the side at which they were wrong",
            ["site", "entity", "side"],
            registry=registry,
        )
        self.verifications = Counter(
            "selaras_verifications", "Roots compared with central's", ["site", "kind"], registry=registry
        )
        invariants = Invariants(registry, "selaras", site, INVARIANTS)
        self.checked = invariants.checked
        self.site = site
        for entity in SPECS:
            self.divergence.labels(site, entity)
            for side in ("site", "central"):
                self.repaired.labels(site, entity, side)
        for kind in kinds:
            self.attempts.labels(site, kind)
            self.verifications.labels(site, kind)
            for reason in FAILURES:
                self.failures.labels(site, kind, reason)
            for entity in SPECS:
                for verdict in VERDICTS if kind == "sync" else VERDICTS[:1]:
                    self.records.labels(site, kind, entity, verdict)
            for outcome in ("completed", "needs_review", "refused", "failed"):
                self.completed.labels(site, kind, outcome)
                self.duration.labels(site, kind, outcome)
