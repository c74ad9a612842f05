"""The validator's settings and wiring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from pydantic import Field

from services import calendar, topology
from services.backup.serving import Backups
from services.backup.settings import BackupSettings
from services.database import Database
from services.intake import Answers
from services.replica.gauges import STALE_DAYS, gauges
from services.runtime import Service
from services.validator.handlers import handlers
from services.validator.metrics import ValidatorMetrics
from services.validator.parked import ParkedEvents

PREFETCH = dict.fromkeys(topology.VALIDATOR_CHANGES, 1) | {topology.VALIDATOR_REQUESTS: 4}
"""One change event in hand per queue keeps a school's in order; requests need none."""


class Settings(BackupSettings):
    """The validator's own."""

    site_database_url: str = Field(description="The replica: postgresql+asyncpg://role:password@host/database")
    stale_days: int = Field(STALE_DAYS, description="A school that did not sync for this long counts as stale", ge=1)


def build(settings: Settings, today: Callable[[], date] = calendar.today) -> Service:
    """The validator, ready to run. `today` is the date it judges by."""
    database = Database(settings.site_database_url, pool=settings.database_pool, name="validator")
    service = Service("validator", settings, database, side="site", dead_queue=topology.DEAD_SITE)
    metrics = ValidatorMetrics(service.registry, settings.site)

    async def refresh() -> None:
        metrics.replace(await gauges(database, stale_days=settings.stale_days))

    service.serve(handlers(database, service.publisher, today, metrics.judged), prefetch=PREFETCH)
    service.work(ParkedEvents(database, service.publisher, service.quarantine, today).work)
    service.daily(lambda: Answers.forget_old(database))
    service.scrape(refresh)
    backups = Backups(database, "site", settings, service.registry)
    service.work(backups.work)
    service.scrape(backups.refresh)
    return service
