"""The boot that all services share."""

from __future__ import annotations

import asyncio
import socket

import pytest

from services import runtime
from services.database import Database
from services.embedded.stack import Addresses
from services.runtime import Broken, NotSetUp, Service
from services.settings import ServiceSettings, SettingsMissing, load


def a_service(servers: Addresses, *, port: int = 0) -> Service:
    settings = ServiceSettings(amqp_url=servers.amqp["central"], http_port=port)
    return Service("uji", settings, Database(servers.central_database, pool=2), side="central")


async def test_a_service_whose_loop_breaks_stops_so_that_it_is_started_again(servers: Addresses) -> None:
    service = a_service(servers)

    async def breaks(_stopping: asyncio.Event) -> None:
        raise ZeroDivisionError

    service.work(breaks)
    with pytest.raises(Broken, match="uji stopped on an error of its own"):
        await runtime.run([service])


async def test_a_port_that_is_taken_is_said_in_one_sentence(servers: Addresses) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(NotSetUp, match=f"127.0.0.1:{port} .*set SELARAS_HTTP_PORT"):
            await runtime.run([a_service(servers, port=port)])


async def test_a_database_without_tables_is_said_with_the_command_that_makes_them(servers: Addresses) -> None:
    settings = ServiceSettings(amqp_url=servers.amqp["central"])
    service = Service("uji", settings, Database(servers.administrator, pool=1), side="site")
    with pytest.raises(NotSetUp, match="run `selaras migrate site`"):
        await runtime.run([service])


def test_a_missing_setting_is_named_with_the_way_to_set_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SELARAS_AMQP_URL", raising=False)
    with pytest.raises(SettingsMissing, match="SELARAS_AMQP_URL is not set"):
        load(ServiceSettings)
