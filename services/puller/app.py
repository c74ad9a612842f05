"""The puller's settings and wiring."""

from __future__ import annotations

from services.link.boot import session_service
from services.link.settings import LinkSettings
from services.puller.handlers import handlers
from services.puller.restore import restore
from services.puller.session import pull
from services.runtime import Service


class Settings(LinkSettings):
    """The puller's own: nothing beyond what every service with a line to central has."""


def build(settings: Settings) -> Service:
    """The puller, ready to run."""
    return session_service("puller", settings, {"pull": pull, "restore": restore}, handlers)
