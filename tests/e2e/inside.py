"""A service of the stack run inside the test's own process, where a test can look over its shoulder."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import pytest

from services.central import app as central
from services.central import registry, schools
from services.central.registry import NewVersion
from services.demo.stage import Stage
from services.errors import CentralAway
from services.link import Channel
from services.messages import Message
from services.puller import app as puller
from services.runtime import Service
from services.settings import load
from services.syncer import app as syncer
from tests.conftest import ENVIRONMENT

BUILD: Mapping[str, Callable[[], Service]] = {
    "central": lambda: central.build(load(central.Settings)),
    "syncer": lambda: syncer.build(load(syncer.Settings)),
    "puller": lambda: puller.build(load(puller.Settings)),
}


@asynccontextmanager
async def inside(stage: Stage, name: str, **settings: str) -> AsyncIterator[Service]:
    """The service `name` in this process, in place of the stack's own; the stage starts that again afterwards."""
    await asyncio.to_thread(stage.stack.stop, name)
    with pytest.MonkeyPatch.context() as environment:
        for setting, value in {**ENVIRONMENT, **stage.stack.addresses.of_service(name), **settings}.items():
            environment.setenv(setting, value)
        service = BUILD[name]()
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


def lose_the_first_answer(patch: pytest.MonkeyPatch, verb: str, meanwhile: Callable[[], Awaitable[None]]) -> list[str]:
    """The first answer to `verb` is lost on its way, after `meanwhile`. Gives every verb that is asked from then on."""
    asked: list[str] = []
    ask = Channel.ask

    async def losing(self: Channel, asking: str, npsn: str, request: Message, *, id: str | None = None) -> Message:
        asked.append(asking)
        answer = await ask(self, asking, npsn, request, id=id)
        if asking == verb and asked.count(verb) == 1:
            await meanwhile()
            raise CentralAway("the answer was lost")
        return answer

    patch.setattr(Channel, "ask", losing)
    return asked


async def write_at_central(stage: Stage, npsn: str, *versions: NewVersion) -> None:
    """Records as only a newer release of central would write them: nothing asks whether this one knows their fields."""
    async with stage.registry.transaction() as transaction:
        school = await schools.lock(transaction, npsn)
        assert school is not None
        await registry.write(transaction, school, versions, by="rilis yang lebih baru", session=None)


async def at_central(stage: Stage, npsn: str, entity: str, record_id: str) -> dict[str, Any] | None:
    """The record's fields at central; None: deleted."""
    return (await stage.central_record(npsn, entity, record_id)).fields
