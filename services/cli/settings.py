"""What the command is told from outside. Each command asks only for what it needs.

`make up` writes these to `.run/up.env`, so that `selaras` in the same folder speaks to what it started.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from services.settings import SettingsMissing

UP_FILE = ".run/up.env"
_BEGINNINGS = {"amqp": ("amqp://", "amqps://"), "database": ("postgresql+asyncpg://",)}


class CommandSettings(BaseSettings):
    """Addresses that a person's command may need."""

    model_config = SettingsConfigDict(env_prefix="SELARAS_", env_file=UP_FILE, extra="ignore", frozen=True)

    amqp_url: str | None = Field(None, description="The site's broker, as this person's user: publish, sync, pull")
    site_database_url: str | None = Field(None, description="The replica: status, dead, register")
    central_amqp_url: str | None = Field(None, description="Central's broker, as this site's user: register")
    officer_amqp_url: str | None = Field(None, description="Central's broker, as an officer's user: officer")
    central_database_url: str | None = Field(None, description="The registry: officer school, dead --side central")
    otlp_endpoint: str | None = Field(
        None, description="Send traces to this OpenTelemetry collector; they begin with what the command publishes"
    )

    def need(self, name: str) -> str:
        """One of the addresses. Raises SettingsMissing in one sentence."""
        value = getattr(self, name)
        if not value:
            raise SettingsMissing(
                f"SELARAS_{name.upper()} is not set: set it, or run `make up` in another terminal, then this here."
            )
        if not _is_address(value, _BEGINNINGS["amqp" if "amqp" in name else "database"]):
            form = (
                "amqp://user:password@host/" if "amqp" in name else "postgresql+asyncpg://user:password@host/database"
            )
            raise SettingsMissing(f"SELARAS_{name.upper()} is not an address of the form {form}.")
        return str(value)


def _is_address(value: str, beginnings: tuple[str, ...]) -> bool:
    """Can it be read as one? Those who connect with it would say ValueError."""
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        _ = make_url(value).port if value.startswith("postgresql") else urlsplit(value).port
    except (ValueError, ArgumentError):
        return False
    return value.startswith(beginnings)
