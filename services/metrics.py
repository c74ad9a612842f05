"""What the services show to Prometheus; every name is listed in docs/metrics.md.

A state is read from the database at scrape, so that a restart cannot lose it; only counts of what this process did are
counters. No label ever names a school.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, disable_created_metrics

from services.entities import SPECS
from services.messages import PROTOCOL_VERSION
from services.rules import RULES_VERSION

DURATION_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600)
"""Seconds, from 0.1 s to 24 h."""


def build_info(registry: CollectorRegistry, service: str) -> None:
    """`selaras_build_info`: always 1; what runs is in the labels."""
    disable_created_metrics()  # type: ignore[no-untyped-call]  # a `_created` series beside each counter is only noise
    gauge = Gauge(
        "selaras_build_info", "What runs here", ["service", "version", "protocol", "rules"], registry=registry
    )
    gauge.labels(service, version("selaras"), str(PROTOCOL_VERSION), RULES_VERSION).set(1)


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
    """Of the sessions of some kinds; the syncer exports `sync`, the puller `pull`."""

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
        self.site = site
        for entity in SPECS:
            self.divergence.labels(site, entity)
            for side in ("site", "central"):
                self.repaired.labels(site, entity, side)
        for kind in kinds:
            self.attempts.labels(site, kind)
            for outcome in ("completed", "needs_review", "refused", "failed"):
                self.completed.labels(site, kind, outcome)
