"""Settings from the environment, and from files for what is secret."""

from __future__ import annotations

from pathlib import Path

import pytest

from services import settings
from services.cli.settings import CommandSettings
from services.settings import ServiceSettings, SettingsMissing, load


@pytest.fixture
def secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of secrets, and an environment without settings."""
    monkeypatch.delenv("SELARAS_AMQP_URL", raising=False)
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "selaras_amqp_url").write_text("amqp://berkas:x@h/\n")
    return tmp_path


def test_a_setting_may_stand_in_a_file(secrets: Path) -> None:
    assert load(ServiceSettings).amqp_url == "amqp://berkas:x@h/"
    assert CommandSettings().need("amqp_url") == "amqp://berkas:x@h/"


def test_the_environment_wins(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELARAS_AMQP_URL", "amqp://lingkungan:x@h/")
    assert load(ServiceSettings).amqp_url == "amqp://lingkungan:x@h/"


def test_a_folder_that_is_named_and_not_there_is_said(secrets: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELARAS_SECRETS_DIR", str(secrets / "tiada"))
    with pytest.raises(SettingsMissing, match="SELARAS_SECRETS_DIR: there is no folder"):
        load(ServiceSettings)


def test_the_folder_where_containers_have_their_secrets_is_read_without_being_named(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SELARAS_SECRETS_DIR")
    monkeypatch.setattr(settings, "DEFAULT_SECRETS", secrets)
    assert load(ServiceSettings).amqp_url == "amqp://berkas:x@h/"
    monkeypatch.setattr(settings, "DEFAULT_SECRETS", secrets / "tiada")
    with pytest.raises(SettingsMissing, match="SELARAS_AMQP_URL is not set"):
        load(ServiceSettings)


def test_an_address_whose_ca_is_not_there_is_said_with_the_setting(
    secrets: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SELARAS_AMQP_URL", f"amqps://a:rahasia@h/?cafile={secrets}/tiada.pem")
    with pytest.raises(SettingsMissing, match=r"^SELARAS_AMQP_URL: .*tiada\.pem: No such file") as told:
        CommandSettings().need("amqp_url")
    assert "rahasia" not in str(told.value)
