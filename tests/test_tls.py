"""AMQP over TLS: what does not convince is said in a sentence, and nothing is sent to it."""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from services import tls
from services.database import Database
from services.deploy import certificates
from services.errors import CentralAway
from services.link import Channel
from services.messages import SchoolRegister
from services.runtime import NotSetUp, Service
from services.settings import ServiceSettings


class Broker:
    """Something that shows a certificate and hears what is said to it."""

    def __init__(self, folder: Path) -> None:
        now = certificates.now()
        self.ca = folder / "ca.pem"
        authority, key = certificates.new_authority("uji", now)
        self.ca.write_bytes(authority)
        shown, shown_key = certificates.new_certificate(authority, key, ["localhost"], now)
        (folder / "server.pem").write_bytes(shown + shown_key)
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(folder / "server.pem")
        self.heard = b""
        self.port = 0

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.heard += await reader.read(100)
        writer.close()

    def url(self, host: str = "localhost", ca: Path | None = None) -> str:
        return f"amqps://orang:rahasia@{host}:{self.port}/?cafile={ca or self.ca}"


@pytest.fixture
async def broker(tmp_path: Path) -> AsyncIterator[Broker]:
    broker = Broker(tmp_path)
    server = await asyncio.start_server(broker.answer, "127.0.0.1", ssl=broker.context)
    broker.port = server.sockets[0].getsockname()[1]
    async with server:
        yield broker


@pytest.fixture
def other_ca(tmp_path: Path) -> Path:
    file = tmp_path / "other.pem"
    file.write_bytes(certificates.new_authority("lain", certificates.now())[0])
    return file


async def test_the_right_certificate_is_trusted(broker: Broker) -> None:
    assert await tls.trouble(broker.url()) is None


async def test_another_authority_another_name_or_no_authority_is_not(broker: Broker, other_ca: Path) -> None:
    for url in (broker.url(ca=other_ca), broker.url("127.0.0.1"), broker.url().partition("?")[0]):
        told = await tls.trouble(url)
        assert told is not None
        assert "does not prove that it is the right one" in told
        assert "rahasia" not in told
    assert broker.heard == b""


async def test_a_file_that_holds_no_authority_is_named(broker: Broker, tmp_path: Path) -> None:
    empty = tmp_path / "empty.pem"
    empty.touch()
    assert "it holds no certificate" in (await tls.trouble(broker.url(ca=empty)) or "")
    assert "No such file" in (await tls.trouble(broker.url(ca=tmp_path / "none.pem")) or "")


async def test_a_broker_that_is_away_and_one_without_tls_are_no_matter_of_trust(broker: Broker) -> None:
    assert await tls.trouble(f"amqps://a:b@localhost:1/?cafile={broker.ca}") is None
    assert await tls.trouble("amqp://a:b@localhost:1/") is None


async def test_a_site_says_it_once_and_asks_nothing(
    broker: Broker, other_ca: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.link.channel.CONNECT_AGAIN_SECONDS", 0.01)
    central = Channel(broker.url(ca=other_ca), source="/uji", answer_seconds=0.3)
    with caplog.at_level(logging.ERROR):
        await central.start()
        try:
            with pytest.raises(CentralAway, match="does not prove that it is the right one"):
                await central.ask("register", "98000000", SchoolRegister(code="salah"))
        finally:
            await central.stop()
    (record,) = caplog.records
    assert "does not prove that it is the right one" in vars(record)["why"]
    assert broker.heard == b""


async def test_a_service_does_not_start_on_a_broker_that_does_not_prove_itself(
    broker: Broker, other_ca: Path, central_database: Database
) -> None:
    url = central_database.url
    settings = ServiceSettings(amqp_url=broker.url(ca=other_ca))
    service = Service("uji", settings, Database(url, pool=1), side="central")
    try:
        with pytest.raises(NotSetUp, match="SELARAS_AMQP_URL: The broker at localhost"):
            await service.start()
    finally:
        await service.stop()


def test_certificates_are_made_anew_before_they_end_and_for_other_names() -> None:
    now = certificates.now()
    authority, key = certificates.new_authority("uji", now)
    shown, _ = certificates.new_certificate(authority, key, ["localhost", "10.0.0.1"], now)
    assert certificates.still_fits(shown, authority, ["10.0.0.1", "localhost"], now)
    assert not certificates.still_fits(shown, authority, ["localhost"], now)
    assert not certificates.still_fits(shown, certificates.new_authority("uji", now)[0], ["10.0.0.1", "localhost"], now)
    late = now + timedelta(days=certificates.AUTHORITY_DAYS - certificates.RENEW_DAYS + 1)
    assert not certificates.still_fits(shown, authority, ["10.0.0.1", "localhost"], late)
    assert not certificates.still_fits(b"rusak", authority, ["localhost"], now)
