"""What the command is told from outside. Each command asks only for what it needs.

`make up` writes these to `.run/up.env`, so that `selaras` in the same folder speaks to what it started.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from services import tls
from services.settings import FromFilesToo, SettingsMissing

UP_FILE = ".run/up.env"
_FORMS = {
    "amqp": (("amqp://", "amqps://"), "amqp://user:password@host/"),
    "database": (("postgresql+asyncpg://",), "postgresql+asyncpg://user:password@host/database"),
    "management": (("http://", "https://"), "http://user:password@host:15672/"),
}
"""What a kind of address begins with, and its form for a person."""


class CommandSettings(FromFilesToo):
    """Addresses that a person's command may need."""

    model_config = SettingsConfigDict(env_prefix="SELARAS_", env_file=UP_FILE, extra="ignore", frozen=True)

    amqp_url: str | None = Field(None, description="The site's broker, as this person's user: publish, sync, pull")
    site_database_url: str | None = Field(None, description="The replica: status, dead, register")
    central_amqp_url: str | None = Field(None, description="Central's broker, as this site's user: register")
    officer_amqp_url: str | None = Field(None, description="Central's broker, as an officer's user: officer")
    central_database_url: str | None = Field(None, description="The registry: officer school, dead --side central")
    management_url: str | None = Field(
        None, description="Central's broker's management interface, as an administrator: site add, list, remove"
    )
    central_address: str | None = Field(
        None, description="host:port at which sites reach central's broker over TLS: site add writes it down"
    )
    central_keys_file: Path | None = Field(None, description="Central's public keys (JWKS), for site add")
    central_ca_file: Path | None = Field(
        None, description="The CA (PEM) that the certificate of central's broker is checked with, for site add"
    )
    backup_folder: Path | None = Field(None, description="Where backups are: backup site, central, list")
    backup_keep: int | None = Field(
        None, ge=1, description="How many backups of a database to keep, 7 without it: backup site, central"
    )
    backup_recipients: str | None = Field(None, description="Public keys (age1…) that backups are encrypted for")
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
        beginnings, form = next(how for kind, how in _FORMS.items() if kind in name)
        if not _is_address(value, beginnings):
            raise SettingsMissing(f"SELARAS_{name.upper()} is not an address of the form {form}.")
        if value.startswith("amqps:") and (wrong := tls.unusable(value)):
            raise SettingsMissing(f"SELARAS_{name.upper()}: {wrong}")
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
