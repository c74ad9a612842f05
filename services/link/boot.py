"""The wiring that a syncer and a puller share: replica, line to central, workers, metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import product

from services.broker import Handlers
from services.calendar import today
from services.database import Database
from services.link.channel import Channel
from services.link.settings import LinkSettings
from services.link.workers import Run, Workers
from services.messages import Kind
from services.metrics import FAILURES, SessionMetrics
from services.replica import asking
from services.replica.requests import Requests
from services.replica.sessions import Replica
from services.runtime import Service
from services.settings import SettingsMissing
from services.signing import KeysUnusable, PublicKeys

TakeRequests = Callable[[Database, Mapping[Kind, Workers]], Handlers]


def _pinned(settings: LinkSettings) -> PublicKeys | None:
    try:
        return PublicKeys.read(settings.central_keys_file) if settings.central_keys_file else None
    except KeysUnusable as error:
        raise SettingsMissing(f"SELARAS_CENTRAL_KEYS_FILE: {error}") from error


def session_service(name: str, settings: LinkSettings, kinds: Mapping[Kind, Run], handlers: TakeRequests) -> Service:
    """A service that answers requests of some kinds, each with sessions of its own."""
    database = Database(
        settings.site_database_url, pool=settings.database_pool + settings.sessions * len(kinds), name=name
    )
    service = Service(name, settings, database, side="site")
    requests = Requests(database, lease_seconds=settings.lease_seconds)
    central = Channel(
        settings.central_amqp_url or settings.amqp_url,
        source=f"/{settings.site}/{name}",
        answer_seconds=settings.answer_seconds,
        confirm_seconds=settings.confirm_seconds,
        middlewares=[service.traffic],
    )
    metrics = SessionMetrics(service.registry, settings.site, tuple(kinds))
    keys = _pinned(settings)
    workers = {
        kind: Workers(
            kind,
            run,
            keys=keys,
            requests=requests,
            replica=Replica(requests, today, metrics.checked),
            central=central,
            publisher=service.publisher,
            metrics=metrics,
            number=settings.sessions,
            after_seconds=settings.after_seconds,
        )
        for kind, run in kinds.items()
    }

    async def refresh() -> None:
        values = await requests.gauges(metrics.kinds)
        metrics.pending.replace(values["pending"])
        metrics.oldest.replace(values["oldest"])
        metrics.failed.replace(dict.fromkeys(product(kinds, FAILURES), 0.0) | values["failed"])
        metrics.refused.replace(values["refused"])
        metrics.last_success.replace(values["last_success"])

    service.part(central)
    service.serve(handlers(database, workers), prefetch={})

    def answered(npsn: str) -> None:
        for of_kind in workers.values():
            of_kind.answered(npsn)

    service.work(lambda stopping: database.listen(asking.ANSWERED, answered, stopping))
    for of_kind in workers.values():
        service.work(of_kind.work)
    service.scrape(refresh)
    return service
