"""The syncer's settings and wiring."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

from services.link.boot import session_service
from services.link.session import Session
from services.link.settings import LinkSettings
from services.runtime import Service
from services.syncer.handlers import handlers
from services.syncer.session import sync


class Settings(LinkSettings):
    """The syncer's own: nothing beyond what every service with a line to central has."""


def build(settings: Settings, today: Callable[[], date] = date.today) -> Service:
    """The syncer, ready to run. `today` is the date its gate judges by."""

    async def run(session: Session) -> None:
        await sync(session, today)

    return session_service("syncer", "sync", settings, run, handlers)
