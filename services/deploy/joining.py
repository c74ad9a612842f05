"""What central hands to a site, one JSON document: `selaras site add` writes it, `selaras deploy join` reads it."""

from __future__ import annotations

import re
from typing import Any
from urllib.parse import urlsplit

from cryptography import x509
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from services.errors import SelarasError

SITE_NAME = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,30}[a-z0-9])?")
"""A site's name is part of broker users and of routing keys."""


class Unusable(SelarasError):
    """The document is not what `selaras site add` writes; the message is one sentence."""


class Joining(BaseModel):
    """Addresses with passwords: whoever holds this speaks for the site."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    site: str
    sync_url: str
    pull_url: str
    central_keys: dict[str, Any]
    central_ca: str

    @field_validator("site")
    @classmethod
    def _a_name(cls, value: str) -> str:
        if not SITE_NAME.fullmatch(value):
            raise ValueError("no name of a site")
        return value

    @field_validator("sync_url", "pull_url")
    @classmethod
    def _over_tls(cls, value: str) -> str:
        if urlsplit(value).scheme != "amqps" or not urlsplit(value).hostname:
            raise ValueError("not an amqps:// address")
        return value

    @field_validator("central_ca")
    @classmethod
    def _a_certificate(cls, value: str) -> str:
        x509.load_pem_x509_certificate(value.encode())
        return value

    @classmethod
    def read(cls, text: str) -> Joining:
        """What a file says. Raises Unusable."""
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "JSON"
            raise Unusable(
                f"Ini bukan berkas dari `selaras site add` · this is no file that `selaras site add` wrote ({where}: "
                f"{first['type']})."
            ) from error

    def write(self) -> str:
        """As a file."""
        return self.model_dump_json(indent=2) + "\n"
