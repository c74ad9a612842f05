"""Every setting that a service or the command reads: its value, where it comes from, and whether it can be used.

Nothing secret is in it: an address shows all but its password, and a value that cannot be used is not shown at all,
for it may be a password in the wrong place.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from pydantic import SecretBytes, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    DotEnvSettingsSource,
    EnvSettingsSource,
    InitSettingsSource,
    PydanticBaseSettingsSource,
    SecretsSettingsSource,
)

HIDDEN = "***"
NOT_SET = "belum diisi · is not set"
_SCHEMES = {"amqp": ("amqp", "amqps"), "database": ("postgresql+asyncpg",), "management": ("http", "https")}
"""What an address begins with, by a word in its setting's name."""
_FORMS = {
    "amqp": "amqp://user:password@host/",
    "database": "postgresql+asyncpg://user:password@host/database",
    "management": "http://user:password@host:15672/",
}
_SAFE_OPTIONS = {"ssl", "sslmode", "cafile", "capath", "certfile", "keyfile", "heartbeat", "host", "port", "timeout"}
"""Options of an address that are shown; of any other the name alone."""
_SECRET_NAME = re.compile(r"password|passwd|secret|token|credential|headers")
_NO_SETTINGS = {"SELARAS_TRACEBACK", "SELARAS_SECRETS_DIR", "SELARAS_TEST_RUN_DIR"}
"""Read from the environment, but no field of any settings."""


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting as it may be seen. `source`: environment, default, or the file; `trouble`: why it cannot be used."""

    name: str
    value: str | None
    source: str
    trouble: str | None = None


def read(model: type[BaseSettings]) -> tuple[list[Setting], Mapping[str, Any]]:
    """Every setting of `model`, and the values of those that can be used, whether or not all can."""
    found = _found(model)
    troubles: dict[str, str] = {}
    values: dict[str, Any] = {}
    try:
        usable = model()
        values = {name: getattr(usable, name) for name in model.model_fields}
    except ValidationError as error:
        for one in error.errors(include_url=False, include_input=False, include_context=False):
            name = str(one["loc"][0]) if one["loc"] else ""
            missing = one["type"] == "missing"
            troubles[name] = NOT_SET if missing else f"tidak dapat dipakai · is not usable: {one['msg']}"
        values = {n: value for n, (value, _) in found.items() if n not in troubles}
        values |= {n: f.default for n, f in model.model_fields.items() if n not in found and n not in troubles}
    settings = []
    for name in model.model_fields:
        if name in values and (why := _unreadable(name, values[name])):
            troubles[name] = why
        if name in troubles:
            values.pop(name, None)
        source = found[name][1] if name in found else "default"
        shown = _shown(name, values[name]) if name in values else None
        settings.append(Setting(f"SELARAS_{name.upper()}", shown, source, troubles.get(name)))
    return settings, values


def unknown(models: Sequence[type[BaseSettings]]) -> list[str]:
    """Variables of the environment that look like settings and are none: misspelled, or of another release."""
    known = {f"SELARAS_{name.upper()}" for model in models for name in model.model_fields} | _NO_SETTINGS
    return sorted(name for name in os.environ if name.upper().startswith("SELARAS_") and name.upper() not in known)


def address(value: str) -> str | None:
    """An address without its password; None if it cannot be read as one without doubt where the password ends."""
    try:
        parts = urlsplit(value)
        port = parts.port
    except ValueError:
        return None
    if not (parts.scheme and parts.hostname) or "@" in parts.path + parts.query + parts.fragment:
        return None
    user = f"{parts.username}{':' + HIDDEN if parts.password is not None else ''}@" if parts.username else ""
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    options = "&".join(
        f"{name}={option if name in _SAFE_OPTIONS else HIDDEN}" for name, option in parse_qsl(parts.query)
    )
    return (
        f"{parts.scheme}://{user}{host}{f':{port}' if port is not None else ''}{parts.path}"
        + (f"?{options}" if options else "")
    )  # fmt: skip


def _kind(name: str) -> str | None:
    """Which kind of address a setting holds; None: it is none."""
    return next((kind for kind in _SCHEMES if kind in name), None) if name.endswith("_url") else None


def _unreadable(name: str, value: Any) -> str | None:
    """Why an address cannot be used, in words that do not quote it."""
    kind = _kind(name)
    if kind is None or value is None:
        return None
    if not value:
        return NOT_SET
    shown = address(str(value))
    if shown is None or not shown.startswith(tuple(f"{scheme}://" for scheme in _SCHEMES[kind])):
        return (
            f"bukan alamat berbentuk · is not an address of the form {_FORMS[kind]} "
            "(karakter khusus di sandi ditulis %XX · special characters of a password as %XX)"
        )
    return None


def _shown(name: str, value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, SecretStr | SecretBytes) or _SECRET_NAME.search(name):
        return HIDDEN
    text = str(value)
    if name.endswith("_url") or "://" in text:
        return address(text) or HIDDEN
    return text


def _found(model: type[BaseSettings]) -> dict[str, tuple[Any, str]]:
    """What is set: (value, source), from the source that wins."""
    sources = model.settings_customise_sources(
        model,
        InitSettingsSource(model, {}),
        EnvSettingsSource(model),
        DotEnvSettingsSource(model),
        SecretsSettingsSource(model),
    )
    found: dict[str, tuple[Any, str]] = {}
    for source in sources:
        for name, value in _named(model, source()):
            found.setdefault(name, (value, _label(model, source, name)))
    return found


def _named(model: type[BaseSettings], values: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """What concerns `model`: a file may hold others' settings."""
    return ((name, value) for name, value in values.items() if name in model.model_fields)


def _label(model: type[BaseSettings], source: PydanticBaseSettingsSource, name: str) -> str:
    if isinstance(source, DotEnvSettingsSource):  # which is an EnvSettingsSource too
        return str(source.env_file)
    if isinstance(source, SecretsSettingsSource):
        prefix = str(model.model_config.get("env_prefix") or "")
        return f"{source.secrets_dir}/{prefix}{name}".lower()
    return "environment" if isinstance(source, EnvSettingsSource) else type(source).__name__
