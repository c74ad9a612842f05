"""The syncer's settings and wiring."""

from __future__ import annotations

from services.link.boot import session_service
from services.link.settings import LinkSettings
from services.runtime import Service
from services.syncer.handlers import handlers
from services.syncer.recover import recover
from services.syncer.session import sync
from services.syncer.verification import verify


class Settings(LinkSettings):
    """The syncer's own: nothing beyond what every service with a line to central has."""


def build(settings: Settings) -> Service:
    """The syncer, ready to run."""
    return session_service("syncer", settings, {"sync": sync, "verify": verify, "recover": recover}, handlers)
