"""What the validator shows to Prometheus: the replica's states, read at scrape, and its runs."""

from __future__ import annotations

from collections.abc import Mapping

from prometheus_client import CollectorRegistry, Counter

from services.entities import SPECS
from services.metrics import StateGauge
from services.replica.gauges import Gauges
from services.replica.judging import Verdict


class ValidatorMetrics:
    """Of records, findings, conflicts, schools and quarantine at this site."""

    def __init__(self, registry: CollectorRegistry, site: str) -> None:
        def state(name: str, text: str, *labels: str) -> StateGauge:
            return StateGauge(registry, f"selaras_{name}", text, labels, site)

        self._pending = state("pending_records", "Records whose data differ from what central holds", "entity")
        self._oldest = state(
            "pending_oldest_timestamp_seconds", "When the oldest of them began to differ; 0 if none does"
        )
        self._invalid = state("invalid_findings", "Findings that block schools", "rule")
        self._conflicts = state("conflicts_open", "Records with a conflict that waits for a person", "entity")
        self._schools = state("schools", "Schools, each under the first state that fits", "state")
        self._dead = state("dead_letters", "Messages in quarantine, neither replayed nor dismissed", "queue", "reason")
        self._runs = Counter(
            "selaras_validation_runs", "Schools judged on request", ["site", "verdict"], registry=registry
        )
        self._site = site
        for verdict in ("valid", "invalid"):
            self._runs.labels(site, verdict)

    def judged(self, verdict: Verdict) -> None:
        """A school was judged."""
        self._runs.labels(self._site, "valid" if verdict.passes else "invalid").inc()

    def replace(self, states: Gauges) -> None:
        """The states as they are now."""
        self._pending.replace(_of_every_entity(states.pending_records))
        self._oldest.replace({(): states.pending_oldest})
        self._invalid.replace({(rule,): n for rule, n in states.invalid_findings.items()})
        self._conflicts.replace(_of_every_entity(states.conflicts_open))
        self._schools.replace({(name,): n for name, n in states.schools.items()})
        self._dead.replace({(queue, code): n for (queue, code), n in states.dead_letters.items()})


def _of_every_entity(counts: Mapping[str, int]) -> dict[tuple[str, ...], float]:
    """A series for each entity, 0 where there is nothing: what begins to count was seen at 0 before."""
    return {(entity,): counts.get(entity, 0) for entity in {**SPECS, **counts}}
