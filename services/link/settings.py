"""The settings that a syncer and a puller share."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field

from services.settings import ServiceSettings


class LinkSettings(ServiceSettings):
    """A service that speaks to central."""

    site_database_url: str = Field(description="The replica: postgresql+asyncpg://role:password@host/database")
    central_amqp_url: str | None = Field(
        None, description="Central's broker, as this site's own user for this service; without it, this one"
    )
    central_keys_file: Path | None = Field(
        None, description="Central's public keys (JWKS), pinned: statements that they did not sign are not believed"
    )
    sessions: int = Field(8, description="Sessions under way at once in this process", ge=1)
    lease_seconds: float = Field(
        60.0, description="How long a worker that has died holds a school; a live one renews it"
    )
    after_seconds: float = Field(
        60.0, description="How long a request waits for the change events that it names to be answered", ge=0
    )
    answer_seconds: float = Field(10.0, description="How long to wait for central's answer before asking again")
