"""Central's settings and wiring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path

from pydantic import Field, field_validator

from services import topology, wire
from services.backup.serving import Backups
from services.backup.settings import BackupSettings
from services.broker import Handlers
from services.calendar import today
from services.central import lives
from services.central.background import Background
from services.central.exchange import Bounds, exchange_handlers
from services.central.gauges import Counters, Gauges
from services.central.inquiries import inquiry_handlers
from services.central.line import Capacity
from services.central.officers import officer_handlers
from services.central.refusing import refusal_handlers
from services.central.speaking import Announce
from services.database import Database
from services.intake import Answers
from services.rules import RULES_VERSION
from services.rules.versions import is_older, is_version
from services.runtime import NotSetUp, Service
from services.signing import KeysUnusable, SigningKeys


class Settings(BackupSettings):
    """Central's own."""

    site: str = Field("pusat", description="The `site` label of central's metrics, and part of its events' `source`")
    central_database_url: str = Field(description="Central's database: postgresql+asyncpg://…")
    central_prefetch: int = Field(8, description="Requests in hand at once; those of one school wait for each other")
    batch_records: int = Field(500, le=500, description="Records in one pushed batch, at most")
    batch_bytes: int = Field(1024 * 1024, description="Bytes of one pushed batch before compression, at most")
    signing_keys_file: Path = Field(
        description="The private keys that statements are signed with, the first one active (`selaras keys new FILE`)"
    )
    page_records: int = Field(1000, description="Records in one page, at most")
    page_bytes: int = Field(
        1024 * 1024, description="Bytes of canonical text in one page, at most (one record always fits)"
    )
    judge_after_seconds: float = Field(
        5.0, ge=0, description="How long after its records moved central judges a school with all rules"
    )
    judge_per_minute: int = Field(120, ge=1, description="Schools that one process judges in a minute, at most")
    rules_for_sync: str | None = Field(
        None, description="The oldest rule set (2026.1 …) that a site may sync with, SYN-03; it may pull with any"
    )

    @field_validator("rules_for_sync")
    @classmethod
    def _known_here(cls, value: str | None) -> str | None:
        if value is not None and (not is_version(value) or is_older(RULES_VERSION, value)):
            raise ValueError(f"not a rule set that this release has: the newest is {RULES_VERSION}")
        return value

    live_sessions: int = Field(
        500, ge=0, description="Sessions live at once; the next school is told when to come back. 0: any number"
    )
    live_seconds: float = Field(60.0, gt=0, description="A session that is not heard of for this long is not live")
    slot_seconds: float = Field(
        30.0, gt=0, description="Schools that do not fit are told to come back in rounds of this length"
    )


def build(settings: Settings) -> Service:
    """Central, ready to run."""
    database = Database(settings.central_database_url, pool=settings.database_pool, name="central")
    service = Service("central", settings, database, side="central", dead_queue=topology.DEAD_CENTRAL)
    counters = Counters(service.registry, settings.site)
    gauges = Gauges(service.registry, database, service.quarantine, settings.site)
    keys = cache(lambda: SigningKeys.read(settings.signing_keys_file))
    service.serve(
        handlers(
            database, service.publisher.announce, bounds=_bounds(settings), counters=counters, today=today, keys=keys
        ),
        prefetch={topology.CENTRAL_REQUESTS: settings.central_prefetch, topology.CENTRAL_OFFICERS: 1},
        limit_bytes={topology.CENTRAL_REQUESTS: wire.EXCHANGE_BODY_BYTES},
    )
    service.daily(lambda: Answers.forget_old(database))
    background = Background(
        database,
        counters,
        today=today,
        judge_after_seconds=settings.judge_after_seconds,
        judge_per_minute=settings.judge_per_minute,
    )
    service.work(background.follow_up)
    service.work(background.judge)
    service.scrape(gauges.refresh)
    backups = Backups(database, "central", settings, service.registry)
    service.work(backups.work)
    service.scrape(backups.refresh)
    service.prepare(lambda: _begin(database, keys))
    return service


def handlers(
    database: Database,
    announce: Announce,
    *,
    bounds: Bounds,
    counters: Counters,
    today: Callable[[], date],
    keys: Callable[[], SigningKeys],
) -> Handlers:
    """What central does with each message."""
    made = Handlers()
    exchange_handlers(made, database, announce, bounds=bounds, counters=counters, today=today, keys=keys)
    officer_handlers(made, database, announce)
    inquiry_handlers(made, database, announce, page_bytes=bounds.page_bytes, keys=lambda: keys().public)
    refusal_handlers(made, announce)
    return made


async def _begin(database: Database, keys: Callable[[], SigningKeys]) -> None:
    """Before anything is taken: the keys can be read, and the database's present life is there. Raises NotSetUp, or
    DatabaseAway also for a standby.
    """
    try:
        keys()
    except KeysUnusable as error:
        raise NotSetUp(f"SELARAS_SIGNING_KEYS_FILE: {error}") from error
    await lives.ensure(database)


def _bounds(settings: Settings) -> Bounds:
    return Bounds(
        batch_records=settings.batch_records,
        batch_bytes=settings.batch_bytes,
        page_records=settings.page_records,
        page_bytes=settings.page_bytes,
        rules_for_sync=settings.rules_for_sync,
        capacity=Capacity(settings.live_sessions, settings.live_seconds, settings.slot_seconds),
    )
