"""The part of a service that makes backups by itself, one of all its processes at a time, and what it shows of them."""

from __future__ import annotations

import asyncio
import logging

from prometheus_client import CollectorRegistry, Counter

from services import tables
from services.backup import sealing
from services.backup.ledger import Ledger
from services.backup.schedule import Schedule, due_at
from services.backup.settings import BackupSettings
from services.backup.taking import Stopped, Wanted, take
from services.database import Database
from services.errors import BackupFailed, Transient
from services.metrics import StateGauge

log = logging.getLogger(__name__)

LOOK_SECONDS = 15.0
REASONS = ("CAD-02", "CAD-09")
"""What a backup that a service makes can fail with: the folder, the database."""
PREFIXES = {"site": "selaras_backup", "central": "selaras_central_backup"}


class Metrics:
    """Of the backups of one database: states from its ledger, and what this process tried."""

    def __init__(self, registry: CollectorRegistry, side: tables.Side, site: str) -> None:
        prefix = PREFIXES[side]

        def state(name: str, text: str) -> StateGauge:
            return StateGauge(registry, f"{prefix}_{name}", text, (), site)

        self.schedule = state("schedule_seconds", "How long from one backup to the next; 0: none is scheduled")
        self.last_success = state(
            "last_success_timestamp_seconds", "Of which moment the newest whole backup is; 0: there is none"
        )
        self.size = state("last_success_bytes", "How large the newest whole backup is")
        self.duration = state("last_success_duration_seconds", "How long the newest whole backup took")
        self.failing = state("failing", "Attempts since the newest whole backup that came to nothing")
        self._site = site
        self._attempts = Counter(f"{prefix}_attempts", "Backups begun", ["site"], registry=registry)
        self._failures = Counter(f"{prefix}_failures", "Backups failed", ["site", "reason"], registry=registry)
        self._attempts.labels(site)
        for reason in REASONS:
            self._failures.labels(site, reason)

    def began(self) -> None:
        """An attempt."""
        self._attempts.labels(self._site).inc()

    def failed(self, reason: str) -> None:
        """It came to nothing."""
        self._failures.labels(self._site, reason).inc()


class Backups:
    """Makes backups as scheduled; `work` is a service's loop, `refresh` is called before each scrape."""

    def __init__(
        self,
        database: Database,
        side: tables.Side,
        settings: BackupSettings,
        registry: CollectorRegistry,
        *,
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self._database = database
        self._side = side
        self._ledger = Ledger(database)
        self._metrics = Metrics(registry, side, settings.site)
        self._schedule = Schedule.read(settings.backup_every) if settings.backup_every else None
        self._look_seconds = look_seconds
        self._wanted = (
            Wanted(settings.backup_folder, sealing.recipients(settings.backup_recipients), settings.backup_keep)
            if settings.backup_folder is not None
            else None
        )

    async def refresh(self) -> None:
        """Read the states. Raises DatabaseAway."""
        state = await self._ledger.state()
        shown = self._metrics
        shown.schedule.replace({(): self._schedule.every.total_seconds() if self._schedule else 0})
        shown.last_success.replace({(): state.last_success_at.timestamp() if state.last_success_at else 0})
        shown.size.replace({(): state.last_bytes})
        shown.duration.replace({(): state.last_seconds})
        shown.failing.replace({(): state.failures})

    async def work(self, stopping: asyncio.Event) -> None:
        """Look whether one is due, as long as the service runs."""
        if self._schedule is None or self._wanted is None:
            return
        while not stopping.is_set():
            try:
                if await self._is_due(self._schedule):
                    await self._take(self._schedule, self._wanted, stopping)
            except Transient as error:
                log.warning("a backup waits", extra={"error": type(error).__name__})
            try:
                async with asyncio.timeout(self._look_seconds):
                    await stopping.wait()
            except TimeoutError:
                continue

    async def _take(self, schedule: Schedule, wanted: Wanted, stopping: asyncio.Event) -> None:
        try:
            taken = await take(
                self._database, self._side, wanted, stopping=stopping.is_set, began=self._metrics.began,
                is_due=lambda: self._is_due(schedule, alone=True),
            )  # fmt: skip
        except Stopped:
            return
        except BackupFailed as error:
            if error.code != "CAD-08":  # another process is at it
                self._metrics.failed(error.code)
                log.error(  # noqa: TRY400  the code says what; where it came by is of no use
                    "a backup failed", extra={"code": error.code, "why": str(error)}
                )
            return
        if taken is not None:
            log.info("a backup was made", extra={"duration_seconds": taken.seconds, "removed": taken.pruned})

    async def _is_due(self, schedule: Schedule, *, alone: bool = False) -> bool:
        """`alone`: nobody else is at one."""
        state = await self._ledger.state(under_way=not alone)
        return due_at(schedule, state) <= state.now
