"""Somebody outside: publishes anything at all, and looks at what became of it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import aio_pika
import pytest
from aio_pika.abc import AbstractConnection
from typer.testing import CliRunner

from services import topology, wire
from services.cli.commands import app
from services.cli.outcomes import Stop
from services.demo.stage import Stage
from services.embedded.stack import OPERATOR, SERVICES
from services.intake import Quarantine, Quarantined
from services.listener import Listener
from services.messages import ChangeAccepted, ChangeRejected
from services.wire import Event

T = TypeVar("T")
SOURCE = "/uji"
SOON_SECONDS = 10.0
"""How long anything may take on a busy machine; in itself it is milliseconds."""
POLL_SECONDS = 0.05

NIK = "9900011234567890"
NAME = "Rahasia Kenanga"
"""What nobody may find in a log, or in what the command shows of quarantine."""


async def until(there: Callable[[], Awaitable[T | None]], seconds: float = SOON_SECONDS) -> T:
    """What `there` finds, as soon as it finds something."""
    async with asyncio.timeout(seconds):
        while (found := await there()) is None:  # noqa: ASYNC110  what is looked at sends no signal
            await asyncio.sleep(POLL_SECONDS)
        return found


@dataclass
class Desk:
    """A school that is registered at the running site, a listener to its events, and every user's line."""

    stage: Stage
    npsn: str
    pupils: list[str]
    listener: Listener | None = None
    heard: list[Event[Any]] = field(default_factory=list)
    lines: dict[str, AbstractConnection] = field(default_factory=dict)
    looked_at: set[tuple[str, int]] = field(default_factory=set)

    async def open(self) -> None:
        """Listen to all the site announces."""
        url = self.stage.stack.addresses.amqp[OPERATOR]
        self.listener = Listener(
            url, prefix="listen", bindings=[(topology.EVENTS, "#")], heard=self.heard.append, source=SOURCE
        )
        await self.listener.start()

    async def close(self) -> None:
        """Close every line."""
        assert self.listener is not None
        await self.listener.stop()
        for line in self.lines.values():
            await line.close()

    # ── Saying ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def envelope(self, changes: Any, **other: Any) -> dict[str, Any]:
        """A change event of the school; `other` replaces parts of its envelope."""
        return {
            "specversion": "1.0",
            "id": wire.new_id(),
            "source": SOURCE,
            "type": "change.submitted.v1",
            "subject": self.npsn,
            "data": {"changes": changes},
            **other,
        }

    def change(self, number: int = 0, **fields: Any) -> dict[str, Any]:
        """A change of the n-th pupil."""
        return {"entity": "peserta_didik", "record_id": self.pupils[number], "fields": fields}

    async def send(
        self,
        body: bytes | Mapping[str, Any],
        *,
        exchange: str = topology.CHANGES,
        key: str | None = None,
        user: str = OPERATOR,
        named: bool = True,
        **properties: Any,
    ) -> None:
        """Publish as any AMQP client would; `named`: with the property user_id."""
        if user not in self.lines:
            self.lines[user] = await aio_pika.connect(self.stage.stack.addresses.amqp[user])
        channel = await self.lines[user].channel(on_return_raises=True)
        message = aio_pika.Message(
            body if isinstance(body, bytes) else json.dumps(body).encode(),
            user_id=user if named else None,
            delivery_mode=aio_pika.DeliveryMode.PERSISTENT,
            **properties,
        )
        there = await channel.get_exchange(exchange, ensure=False)
        await there.publish(message, routing_key=key or f"change.{self.npsn}", timeout=SOON_SECONDS)
        await channel.close()

    async def a_good_one_is_taken(self) -> None:
        """What came before does not hold up what is good."""
        event = self.envelope([self.change(anak_keberapa=1)])
        await self.send(event)
        assert isinstance(await self.answer(event["id"]), ChangeAccepted)

    # ── Looking ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def answers(self, event_id: str) -> list[Event[Any]]:
        """The answers heard so far to one event."""
        return [event for event in self.heard if event.data.cause.id == event_id]

    async def answer(self, event_id: str, number: int = 1) -> ChangeAccepted | ChangeRejected:
        """The n-th answer to an event."""

        async def there() -> Any:
            answers = self.answers(event_id)
            return answers[number - 1].data if len(answers) >= number else None

        return await until(there)

    def quarantine(self, side: str = "site") -> Quarantine:
        """One side's quarantine."""
        return Quarantine(self.stage.replica if side == "site" else self.stage.registry)

    async def latest(self, side: str = "site") -> int:
        """The highest id in quarantine."""
        return max((row.id for row in await self.quarantine(side).open()), default=0)

    async def kept(self, after: int, side: str = "site") -> Quarantined:
        """The one message that came into quarantine after the row `after`."""

        async def there() -> Quarantined | None:
            rows = [row for row in await self.quarantine(side).open() if row.id > after]
            assert len(rows) <= 1, [(row.queue, row.code) for row in rows]
            return rows[0] if rows else None

        return await until(there)

    async def counted(self, code: str, side: str = "site") -> float:
        """What /metrics says of messages in quarantine under this code."""
        service = "validator" if side == "site" else "central"
        return await self.stage.metric(service, "selaras_dead_letters", reason=code)

    async def nothing_leaks(self, *, everything: bool = False) -> None:
        """No log, and nothing that the command shows of quarantine, has what the bad messages hold of a person.

        Of quarantine: what came in since this was asked last, or `everything`.
        """
        for name in SERVICES:
            _free_of_persons(name, self.stage.stack.log_file(name).read_text(errors="replace"))
        for side in ("site", "central"):
            rows = await self.quarantine(side).open()
            if new := [row for row in rows if everything or (side, row.id) not in self.looked_at]:
                _free_of_persons("dead list", await self.command("dead", "list", "--side", side))
            for row in new:
                form = ("--json",) if row.id % 2 else ()
                shown = await self.command("dead", "show", str(row.id), "--side", side, *form)
                assert row.code in shown
                _free_of_persons(f"dead show, {row.code}", shown)
                self.looked_at.add((side, row.id))

    async def command(self, *words: str) -> str:
        """What `selaras …` says, in this process."""
        addresses = self.stage.stack.addresses
        with pytest.MonkeyPatch.context() as patch:
            for name, value in {**addresses.of_site_command(), **addresses.of_officer_command()}.items():
                patch.setenv(name, value)
            patch.setenv("COLUMNS", "1000")
            result = await asyncio.to_thread(CliRunner().invoke, app, words)
        assert result.exception is None or isinstance(result.exception, Stop), result.exception
        return f"{result.output}{result.exception or ''}"


def _free_of_persons(where: str, text: str) -> None:
    for personal in (NIK, *NAME.split()):
        assert personal not in text, f"{where} shows {personal}"
