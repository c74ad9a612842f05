"""What central shows to Prometheus: states read from the database at scrape, and counts of what this process did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter

from services.central import overview
from services.central.line import CAPACITY
from services.database import Database
from services.intake import Quarantine
from services.messages import Kind, PushedChange, RecordVerdict
from services.metrics import StateGauge

INVARIANTS = ("seq_without_holes", "version_known", "nothing_forgotten")
"""The self-checks of protocol.md 7 that central makes."""


class Counters:
    """What this process of central did."""

    def __init__(self, registry: CollectorRegistry, site: str) -> None:
        self._site = site
        self._sessions = Counter("selaras_central_sessions", "Sessions granted", ["site", "kind"], registry=registry)
        self._records = Counter(
            "selaras_central_records", "Records pushed to central", ["site", "entity", "verdict"], registry=registry
        )
        self._divergence = Counter(
            "selaras_central_divergence", "Verifications that found both sides different", ["site"], registry=registry
        )
        self._violations = Counter(
            "selaras_central_invariant_violations", "Self-checks that failed", ["site", "invariant"], registry=registry
        )
        self._deferred = Counter(
            "selaras_admission_deferred", "Schools told to come back", ["site", "reason"], registry=registry
        )
        self._deferred.labels(site, CAPACITY)
        for kind in get_args(Kind):
            self._sessions.labels(site, kind)
        self._divergence.labels(site)
        for invariant in INVARIANTS:
            self._violations.labels(site, invariant)

    def began(self, kind: str) -> None:
        """A session was granted."""
        self._sessions.labels(self._site, kind).inc()

    def deferred(self, reason: str) -> None:
        """A school was told to come back."""
        self._deferred.labels(self._site, reason).inc()

    def pushed(self, changes: Sequence[PushedChange], verdicts: Sequence[RecordVerdict], known: frozenset[str]) -> None:
        """A batch was taken. An entity that is not `known` is counted under one name, for its own is the sender's."""
        for change, verdict in zip(changes, verdicts, strict=True):
            entity = change.entity if change.entity in known else "unknown"
            self._records.labels(self._site, entity, verdict.verdict).inc()

    def differed(self) -> None:
        """Both sides stood at the same seq and had different roots."""
        self._divergence.labels(self._site).inc()

    def violated(self, invariant: str) -> None:
        """A self-check failed."""
        self._violations.labels(self._site, invariant).inc()


class Gauges:
    """Central's states; `refresh` before each scrape."""

    def __init__(self, registry: CollectorRegistry, database: Database, quarantine: Quarantine, site: str) -> None:
        self._database = database
        self._quarantine = quarantine
        self._schools = StateGauge(registry, "selaras_central_schools", "Schools by state", ("state",), site)
        self._dead = StateGauge(
            registry,
            "selaras_dead_letters",
            "Messages in quarantine, neither replayed nor dismissed",
            ("queue", "reason"),
            site,
        )

    async def refresh(self) -> None:
        """Read the states. Raises DatabaseAway."""
        schools = await overview.schools_by_state(self._database)
        self._schools.replace({(state,): number for state, number in schools.items()})
        self._dead.replace({(queue, code): n for (queue, code), n in (await self._quarantine.counts()).items()})
