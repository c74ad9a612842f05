"""What central shows to Prometheus: states read from the database at scrape, and counts of what this process did."""

from __future__ import annotations

from collections import Counter as Counted
from collections.abc import Sequence
from typing import get_args

from prometheus_client import CollectorRegistry, Counter

from services.central import overview
from services.central.claims import KINDS
from services.central.judging import Outcome
from services.central.line import CAPACITY
from services.database import Database
from services.entities import SPECS
from services.entities.residu import OPEN, SETTLED
from services.exchange.giving import Given
from services.intake import Quarantine
from services.messages import Kind, PushedChange, RecordVerdict
from services.metrics import VERDICTS, Invariants, StateGauge

INVARIANTS = ("past_as_stated", "seq_without_holes", "version_known", "nothing_forgotten")
"""The self-checks of protocol.md 7 that central makes."""
LISTED = (Given.MOVED.value, Given.UNPROVEN.value, "written")
"""What may have become of a record that is listed for officers; written: by an installation that was replaced."""


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
        self._verifications = Counter(
            "selaras_central_verifications", "Roots compared with a site's", ["site"], registry=registry
        )
        self.checked = Invariants(registry, "selaras_central", site, INVARIANTS).checked
        self._follow_ups = Counter(
            "selaras_central_follow_ups", "Changes of claims looked into, each time", ["site"], registry=registry
        )
        self._residu = Counter(
            "selaras_central_residu", "Residu written, by rule and state", ["site", "rule", "state"], registry=registry
        )
        self._judgements = Counter(
            "selaras_central_judgements", "Schools judged with all rules", ["site", "verdict"], registry=registry
        )
        self._deferred = Counter(
            "selaras_admission_deferred", "Schools told to come back", ["site", "reason"], registry=registry
        )
        self._follow_ups.labels(site)
        self._deferred.labels(site, CAPACITY)
        self._repaired = Counter(
            "selaras_central_repaired_records",
            "Records altered at central and mended",
            ["site", "entity"],
            registry=registry,
        )
        self._given_back = Counter(
            "selaras_central_given_back_records",
            "Records that sites gave back after central was put back from a backup, by what became of them",
            ["site", "entity", "outcome"],
            registry=registry,
        )
        for kind in get_args(Kind):
            self._sessions.labels(site, kind)
        for rule in (kind.rule for kind in KINDS.values()):
            for state in (OPEN, SETTLED):
                self._residu.labels(site, rule, state)
        for outcome in get_args(Outcome):
            self._judgements.labels(site, outcome)
        self._divergence.labels(site)
        for entity in SPECS:
            self._repaired.labels(site, entity)
            for given in Given:
                self._given_back.labels(site, entity, given.value)
        self._verifications.labels(site)
        for entity in SPECS:
            for verdict in VERDICTS[1:]:
                self._records.labels(site, entity, verdict)

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

    def compared(self) -> None:
        """A site's root was compared with central's."""
        self._verifications.labels(self._site).inc()

    def differed(self) -> None:
        """Both sides stood at the same seq and had different roots."""
        self._divergence.labels(self._site).inc()

    def followed_up(self, written: Counted[tuple[str, str]]) -> None:
        """A change of claims was looked into; the residu that it wrote, by rule and state."""
        self._follow_ups.labels(self._site).inc()
        for (rule, state), number in written.items():
            self._residu.labels(self._site, rule, state).inc(number)

    def given_back(self, outcomes: Sequence[tuple[str, Given]]) -> None:
        """Records that a site gave back after central was put back from a backup."""
        for entity, outcome in outcomes:
            self._given_back.labels(self._site, entity if entity in SPECS else "unknown", outcome.value).inc()

    def judged(self, outcome: Outcome) -> None:
        """A school was judged."""
        self._judgements.labels(self._site, outcome).inc()

    def repaired(self, entity: str, number: int) -> None:
        """So many records of an entity that were altered here were mended."""
        self._repaired.labels(self._site, entity if entity in SPECS else "unknown").inc(number)


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
        self._verdicts = StateGauge(
            registry,
            "selaras_central_verdict_schools",
            "Schools by central's own verdict with all rules (validasi pusat)",
            ("verdict",),
            site,
        )
        self._invalid = StateGauge(
            registry, "selaras_central_invalid_findings", "What central's own verdicts found invalid", ("rule",), site
        )
        self._waiting = StateGauge(
            registry,
            "selaras_central_background_pending",
            "What central has still to do by itself: follow-ups to look into, schools to judge",
            ("work",),
            site,
        )
        self._oldest = StateGauge(
            registry,
            "selaras_central_background_oldest_timestamp_seconds",
            "Since when the oldest of it waits; 0 if none",
            ("work",),
            site,
        )
        self._begun = StateGauge(
            registry,
            "selaras_central_life_begun_timestamp_seconds",
            "When the present life of central's database began",
            (),
            site,
        )
        self._lives = StateGauge(
            registry,
            "selaras_central_lives",
            "Lives that central's database has had; above 1: it was put back, or another server took over",
            (),
            site,
        )
        self._unseen = StateGauge(
            registry,
            "selaras_central_schools_unseen",
            "Schools with an installation and no statement since central was put back; 0 in its first life",
            (),
            site,
        )
        self._listed = StateGauge(
            registry,
            "selaras_central_listed",
            "Records that wait for officers since central was put back, by what became of them",
            ("outcome",),
            site,
        )

    async def refresh(self) -> None:
        """Read the states. Raises DatabaseAway."""
        schools = await overview.schools_by_state(self._database)
        self._schools.replace({(state,): number for state, number in schools.items()})
        verdicts = await overview.schools_by_verdict(self._database)
        self._verdicts.replace({(verdict,): number for verdict, number in verdicts.items()})
        self._invalid.replace({(r,): n for r, n in (await overview.invalid_findings(self._database)).items()})
        waiting = await overview.background(self._database)
        self._waiting.replace({(work,): number for work, (number, _) in waiting.items()})
        self._oldest.replace({(work,): since for work, (_, since) in waiting.items()})
        life = await overview.lives(self._database)
        self._begun.replace({(): life.begun})
        self._lives.replace({(): life.number})
        self._unseen.replace({(): life.unseen})
        self._listed.replace({(outcome,): life.listed.get(outcome, 0) for outcome in LISTED})
        self._dead.replace({(queue, code): n for (queue, code), n in (await self._quarantine.counts()).items()})
