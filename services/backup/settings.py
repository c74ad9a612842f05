"""Settings of whoever makes backups by itself: the validator of a site, central."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, ValidationInfo, field_validator

from services.backup import sealing
from services.backup.schedule import Schedule
from services.errors import BackupFailed
from services.settings import ServiceSettings

KEEP = 7
"""Backups of a database that stay, unless told otherwise."""


class BackupSettings(ServiceSettings):
    """What a service that makes backups has beside what all have. Several processes make one backup."""

    backup_every: str | None = Field(
        None, description="Make a backup each so many hours (24, 0.5), or daily at a time, WIB (01:30); without it none"
    )
    backup_folder: Path | None = Field(
        None, validate_default=True, description="Where to: a folder that is there, best of another machine or disk"
    )
    backup_keep: int = Field(
        KEEP, ge=1, description="How many of the newest to keep; older ones go once a newer is whole"
    )
    backup_recipients: str = Field(
        "",
        validate_default=True,
        description="Whom backups are encrypted for: public keys (age1…, from `selaras backup keygen`), commas between",
    )

    @field_validator("backup_every")
    @classmethod
    def _a_schedule(cls, value: str | None) -> str | None:
        if value:
            Schedule.read(value)
        return value or None

    @field_validator("backup_folder", mode="before")
    @classmethod
    def _somewhere(cls, value: Path | str | None, info: ValidationInfo) -> Path | str | None:
        if not value and info.data.get("backup_every"):
            raise ValueError("a schedule for backups is set (SELARAS_BACKUP_EVERY), but no folder")
        return value or None

    @field_validator("backup_recipients")
    @classmethod
    def _for_somebody(cls, value: str, info: ValidationInfo) -> str:
        try:
            found = sealing.recipients(value)
        except BackupFailed as error:
            raise ValueError(str(error)) from error
        if not found and info.data.get("backup_every"):
            raise ValueError(f"a schedule for backups is set (SELARAS_BACKUP_EVERY). {BackupFailed('CAD-01')}")
        return value
