"""When a backup is due: decided from the ledger's state alone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pyrage.x25519 import Identity

from services.backup.ledger import State
from services.backup.schedule import Schedule, due_at, pause
from services.settings import SettingsMissing, load
from services.validator.app import Settings

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def at(hour: int, minute: int = 0, day: int = 1) -> datetime:
    """A moment of March 2026, UTC."""
    return datetime(2026, 3, day, hour, minute, tzinfo=UTC)


@pytest.mark.parametrize("text", ["24", "0.5", "01:30", "23:59", "00:00"])
def test_a_schedule_is_a_number_of_hours_or_a_time_of_day(text: str) -> None:
    assert (Schedule.read(text).daily_at is None) == (":" not in text)


@pytest.mark.parametrize("text", ["0", "-1", "24:00", "1:30", "01:60", "nan", "inf", "1e3", "daily", " 24", "24h"])
def test_anything_else_is_none(text: str) -> None:
    with pytest.raises(ValueError, match="neither a number of hours"):
        Schedule.read(text)


def test_the_first_is_made_at_once() -> None:
    for text in ("24", "01:30"):
        assert due_at(Schedule.read(text), State(NOON)) == NOON


def test_the_next_is_due_so_long_after_the_one_before_began() -> None:
    state = State(NOON, last_success_at=NOON - 5 * HOUR)
    assert due_at(Schedule.read("6"), state) == NOON + HOUR
    assert due_at(Schedule.read("4"), state) == NOON - HOUR


@pytest.mark.parametrize(
    ("last", "due"),
    [
        (at(11), at(18, 30)),  # 18:00 there: half past one is the next morning's
        (at(18, 29), at(18, 30)),
        (at(18, 30), at(18, 30, day=2)),
        (at(23), at(18, 30, day=2)),
    ],
)
def test_a_daily_one_is_due_at_its_time_in_western_indonesia(last: datetime, due: datetime) -> None:
    assert due_at(Schedule.read("01:30"), State(NOON, last_success_at=last)) == due


def test_after_a_failure_it_is_tried_again_with_growing_pauses() -> None:
    schedule = Schedule.read("1")
    for failures, minutes in ((1, 1), (2, 2), (3, 4), (6, 32), (7, 60), (1000, 60)):
        assert pause(failures) == timedelta(minutes=minutes)
        state = State(NOON, last_success_at=NOON - 5 * HOUR, failures=failures, last_failed_at=NOON)
        assert due_at(schedule, state) == NOON + pause(failures)
    early = State(NOON, last_success_at=NOON, failures=1, last_failed_at=NOON)
    assert due_at(schedule, early) == NOON + HOUR, "a failure brings nothing forward"


# ── the settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Settings of a validator; more of them by keyword."""

    def given(**settings: str) -> Settings:
        base = {"amqp_url": "amqp://a:b@127.0.0.1/", "site_database_url": "postgresql+asyncpg://a:b@127.0.0.1/c"}
        for name, value in (base | settings).items():
            monkeypatch.setenv(f"SELARAS_{name.upper()}", value)
        return load(Settings)

    return given


def test_a_schedule_needs_somebody_who_can_read_the_backups_and_a_folder(environment: Any, tmp_path: Path) -> None:
    with pytest.raises(SettingsMissing, match=r"SELARAS_BACKUP_FOLDER is not usable \(.*, but no folder\)"):
        environment(backup_every="24")
    with pytest.raises(SettingsMissing, match=r"SELARAS_BACKUP_RECIPIENTS is not usable \(.*CAD-01"):
        environment(backup_every="24", backup_folder=str(tmp_path))
    with pytest.raises(SettingsMissing, match=r"SELARAS_BACKUP_RECIPIENTS is not usable"):
        environment(backup_recipients="age1salah")
    recipients = f"{Identity.generate().to_public()}, {Identity.generate().to_public()}"
    assert environment(backup_recipients=recipients).backup_every == "24"
    with pytest.raises(SettingsMissing, match="SELARAS_BACKUP_EVERY is not usable"):
        environment(backup_every="daily")


def test_an_empty_setting_is_none(environment: Any) -> None:
    settings = environment(backup_every="", backup_folder="", backup_recipients="")
    assert (settings.backup_every, settings.backup_folder) == (None, None)


def test_a_secret_key_among_the_recipients_is_not_quoted(environment: Any) -> None:
    secret = str(Identity.generate())
    with pytest.raises(SettingsMissing) as error:
        environment(backup_recipients=secret)
    assert secret[-20:] not in str(error.value)
