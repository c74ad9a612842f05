"""Which releases may hold a session with central: protocol and rules, negotiated at OPEN."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

import pytest

from services.central import versions
from services.central.app import Settings
from services.messages import OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, SessionGranted, SessionRefusal
from services.rules import RULES_VERSION
from services.settings import SettingsMissing, load
from tests.central.desk import Desk, expect

NEWER = PROTOCOL_VERSION + 1


async def answer(desk: Desk, kind: str = "sync", **asked: Any) -> str:
    """The code of the refusal, or `granted`."""
    given = await desk.ask(f"situs-{kind}", "open", desk.opening(kind, **asked))  # type: ignore[arg-type]
    return given.problem.code if isinstance(given, SessionRefusal) else expect(given, SessionGranted).type


GRANTED = SessionGranted.type


@pytest.mark.parametrize(
    ("newest", "oldest", "expected"),
    [
        (PROTOCOL_VERSION, None, GRANTED),
        (PROTOCOL_VERSION, OLDEST_PROTOCOL_VERSION, GRANTED),
        (NEWER, PROTOCOL_VERSION, GRANTED),
        (NEWER, OLDEST_PROTOCOL_VERSION, GRANTED),
        (NEWER, NEWER, "SYN-23"),
        (NEWER, None, "SYN-23"),
        (OLDEST_PROTOCOL_VERSION - 1, None, "SYN-03"),
        (OLDEST_PROTOCOL_VERSION - 1, OLDEST_PROTOCOL_VERSION - 2, "SYN-03"),
    ],
)
@pytest.mark.parametrize("kind", ["sync", "pull"])
async def test_a_session_needs_a_protocol_that_both_speak(
    desk: Desk, kind: str, newest: int, oldest: int | None, expected: str
) -> None:
    before = (await desk.head()).session
    given = await answer(desk, kind, protocol_version=newest, oldest_protocol_version=oldest)
    assert given == expected
    assert (await desk.head()).session == before + (expected == GRANTED), "a refusal ends nobody's session"


async def test_central_speaks_all_protocols_from_its_oldest_to_its_newest(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(versions, "OLDEST_PROTOCOL_VERSION", 2)
    monkeypatch.setattr(versions, "PROTOCOL_VERSION", 4)
    spoken = [await answer(desk, protocol_version=spoken) for spoken in range(1, 6)]
    assert spoken == ["SYN-03", GRANTED, GRANTED, GRANTED, "SYN-23"]


async def test_without_a_setting_any_rules_may_sync(desk: Desk) -> None:
    assert await answer(desk, rules_version="2001.1") == GRANTED


@pytest.mark.parametrize("rules", ["2026.9", "2025.11", "2026", "terbaru"])
async def test_older_rules_may_not_sync_but_pull(desk: Desk, rules: str) -> None:
    desk.rewire(rules_for_sync="2026.10")
    assert await answer(desk, rules_version=rules) == "SYN-03"
    assert await answer(desk, "pull", rules_version=rules) == GRANTED


@pytest.mark.parametrize("rules", ["2026.10", "2026.11", "2027.1"])
async def test_those_rules_and_newer_ones_may_sync(desk: Desk, rules: str) -> None:
    desk.rewire(rules_for_sync="2026.10")
    assert await answer(desk, rules_version=rules) == GRANTED


async def test_a_site_is_told_which_release_to_update_to(desk: Desk) -> None:
    desk.rewire(rules_for_sync="2026.10")
    refused = expect(await desk.ask("situs-sync", "open", desk.opening(rules_version="2026.1")), SessionRefusal)
    assert refused.problem.text_id == (
        f"Versi aplikasi tidak sesuai, perbarui ke Selaras {version('selaras')} (aturan · rules 2026.10)"
    )


@pytest.mark.parametrize("wrong", ["2026", "2999.1", "terbaru"])
def test_central_asks_for_no_rules_that_it_has_not_itself(wrong: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SELARAS_AMQP_URL", "amqp://central:x@127.0.0.1/")
    monkeypatch.setenv("SELARAS_CENTRAL_DATABASE_URL", "postgresql+asyncpg://central:x@127.0.0.1/central")
    monkeypatch.setenv("SELARAS_SIGNING_KEYS_FILE", "keys.json")
    monkeypatch.setenv("SELARAS_RULES_FOR_SYNC", wrong)
    with pytest.raises(SettingsMissing, match=f"SELARAS_RULES_FOR_SYNC is not usable .*{RULES_VERSION}"):
        load(Settings)
    monkeypatch.setenv("SELARAS_RULES_FOR_SYNC", RULES_VERSION)
    assert load(Settings).rules_for_sync == RULES_VERSION
