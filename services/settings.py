"""What every service is told from outside: environment variables `SELARAS_…`, each with a reason and a safe default.

What is secret may come as a file instead, one a setting, in the folder `SELARAS_SECRETS_DIR` (`/run/secrets` if it is
there): `selaras_amqp_url` holds what `SELARAS_AMQP_URL` would. The environment wins.

A service's own settings stand beside its wiring (`<service>/app.py`); here is only what all of them share.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

S = TypeVar("S", bound=BaseSettings)
DEFAULT_SECRETS = Path("/run/secrets")


class SettingsMissing(Exception):
    """A setting is absent or not usable; the message is one sentence that names it and how to set it."""


def secrets_folder() -> Path | None:
    """Where settings are read from as files, if anywhere. Raises SettingsMissing for a named folder that is not
    there.
    """
    named = os.environ.get("SELARAS_SECRETS_DIR")
    if not named:
        return DEFAULT_SECRETS if DEFAULT_SECRETS.is_dir() else None
    if not Path(named).is_dir():
        raise SettingsMissing(f"SELARAS_SECRETS_DIR: there is no folder {named}.")
    return Path(named)


class FromFilesToo(BaseSettings):
    """Settings that may stand in files of the secrets folder."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """As pydantic-settings has it, with the folder of this moment."""
        folder = secrets_folder()
        files = (SecretsSettingsSource(settings_cls, secrets_dir=folder),) if folder else ()
        return init_settings, env_settings, dotenv_settings, *files


class ServiceSettings(FromFilesToo):
    """Shared by all services."""

    model_config = SettingsConfigDict(env_prefix="SELARAS_", extra="ignore", frozen=True)

    amqp_url: str = Field(
        description="The broker this service consumes from, as its own user: amqp://user:password@host/, or over TLS "
        "amqps://user:password@host/?cafile=/path/ca.pem"
    )
    site: str = Field(
        "situs", description="This site's name: the `site` label of its metrics, the `source` of its events"
    )
    http_host: str = Field("127.0.0.1", description="Address of /livez, /readyz and /metrics")
    http_port: int = Field(0, description="Its port; 0 takes a free one and logs it")
    log_level: str = Field("INFO", description="DEBUG, INFO, WARNING or ERROR")
    log_format: Literal["json", "text"] = Field(
        "json", description="A line of the log: json for a collector, text for a person (`selaras up` uses it)"
    )
    otlp_endpoint: str | None = Field(
        None, description="Send traces to this OpenTelemetry collector: http://host:4318 (OTLP/HTTP); without it none"
    )
    database_pool: int = Field(
        10,
        description="Connections to the database, at most; syncer and puller have one more for each session under way "
        "(`SELARAS_SESSIONS` of each kind), and one that listens",
    )
    stop_seconds: float = Field(20.0, description="How long a graceful stop waits for what is in hand")
    confirm_seconds: float = Field(10.0, description="How long a publish waits for the broker's confirm")


def load(model: type[S]) -> S:
    """The settings of `model` from the environment. Raises SettingsMissing in one sentence."""
    try:
        return model()
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        name = "SELARAS_" + "_".join(str(part) for part in first["loc"]).upper()
        what = "is not set" if first["type"] == "missing" else f"is not usable ({first['msg']})"
        hint = "set it, or let `make up` start everything with embedded defaults"
        raise SettingsMissing(f"{name} {what}: {hint}.") from error
