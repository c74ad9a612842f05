"""What a change costs in the running system, and what it costs while nobody does anything."""

from __future__ import annotations

import asyncio
import statistics
import time
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count
from typing import Any

from bench import filling
from bench.figures import MICRO, SERVICES
from bench.measure import Meter
from bench.ours import Ours, connected
from bench.records import UNUSED, new_npsn
from services.messages import FieldsChange
from services.topology import SIDES, Side

IDLE_STRETCHES = 5


@dataclass(frozen=True)
class Size:
    """How far each grows, and how much is done at each point."""

    registry: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    schools: tuple[int, ...] = (1, 100, 10_000)
    pupils: tuple[int, ...] = (70, 320, 1_600, 3_300)
    pushed: int = 500
    single: int = 40
    runs: int = 3
    idle_seconds: float = 30.0


SMALL = Size(
    registry=(200, 1_000), schools=(1, 20), pupils=(20, 60), pushed=20, single=3, runs=1, idle_seconds=2.0
)  # fmt: skip
"""To see that it works."""


@dataclass(frozen=True)
class Model:
    """A school that is copied."""

    npsn: str
    records: int


class Growing:
    """The running system, and the school that changes."""

    def __init__(self, ours: Ours, size: Size, meter: Meter) -> None:
        self.size = size
        self._ours = ours
        self._meter = meter
        self._stack = ours.stage.stack
        self._values = count(UNUSED)
        self._npsn = ""
        self._pupils: list[str] = []

    async def changing(self, pupils: int) -> int:
        """From now on a new school of so many pupils changes; how many records it has."""
        self._npsn = new_npsn()
        classes = max(1, pupils // 26)
        school = await self._ours.school(self._npsn, pupils=pupils, classes=classes, teachers=classes + 3)
        self._pupils = list(school["peserta_didik"])
        return sum(map(len, school.values()))

    async def model(self, *, pupils: int, classes: int, teachers: int) -> Model:
        """A new school to be copied."""
        npsn = new_npsn()
        school = await self._ours.school(npsn, pupils=pupils, classes=classes, teachers=teachers)
        return Model(npsn, sum(map(len, school.values())))

    async def fill(self, side: Side, npsn: str, first: int, number_: int) -> None:
        """Copies of it."""
        connection = await connected(self._database(side))
        await filling.copies(connection, side, npsn, first, number_)
        await connection.close()

    async def count(self, side: Side, table: str) -> int:
        """How many rows there are."""
        connection = await connected(self._database(side))
        try:
            return int(await connection.fetchval(f"SELECT count(*) FROM {table}"))
        finally:
            await connection.close()

    def _database(self, side: Side) -> str:
        addresses = self._stack.addresses
        return addresses.site_database if side == "site" else addresses.central_database

    async def costs(self) -> dict[str, Any]:
        """A push, single changes, and a scrape: medians of the runs."""
        await self._checkpoint()
        await self._push()  # caches, plans
        runs = [await self._run() for _ in range(self.size.runs)]
        return {name: _median([run[name] for run in runs]) for name in runs[0]}

    async def _run(self) -> dict[str, Any]:
        pushed, push_seconds, push_processor = await self._push()
        await self._ours.quiet()
        self._meter.start()
        both = [await self._ours.change_and_sync(self._npsn, one) for one in self._changes(self.size.single)]
        single_processor = self._meter.stop().seconds
        began = time.perf_counter()
        for name in SERVICES:
            await asyncio.to_thread(self._stack.metrics, name)
        return {
            "pushed": pushed,
            "push_seconds_per_change": push_seconds / pushed,
            "push_processor_microseconds_per_change": _micros(push_processor, pushed),
            "single_seconds": statistics.median(durable for durable, _ in both),
            "single_processor_microseconds": _micros(single_processor, self.size.single),
            "scrape_seconds": time.perf_counter() - began,
        }

    async def _push(self) -> tuple[int, float, Mapping[str, float]]:
        changes = self._changes(self.size.pushed)
        await self._ours.publish(self._npsn, changes)
        await self._ours.quiet()
        self._meter.start()
        began = time.perf_counter()
        await self._ours.sync(self._npsn)
        seconds = time.perf_counter() - began
        taken = self._meter.stop().seconds
        await self._ours.is_equal(self._npsn, peserta_didik=len(self._pupils))
        return len(changes), seconds, taken

    def _changes(self, most: int) -> list[FieldsChange]:
        """Of different pupils, to a value that none of them has."""
        value = next(self._values)
        return [
            FieldsChange(entity="peserta_didik", record_id=one, fields={"rt": value}) for one in self._pupils[:most]
        ]

    async def _checkpoint(self) -> None:
        """What was filled in is written out before, not meanwhile."""
        connection = await connected(self._stack.addresses.administrator)
        await connection.execute("CHECKPOINT")
        await connection.close()

    async def idle(self) -> dict[str, Any]:
        """What goes on in a second in which nobody does anything: the median of some stretches of time, for in one of
        them PostgreSQL may tidy up what was filled in.
        """
        await self._ours.quiet()
        await asyncio.sleep(self.size.idle_seconds / 4)
        stretches = [await self._idle(self.size.idle_seconds / IDLE_STRETCHES) for _ in range(IDLE_STRETCHES)]
        return {name: _median([stretch[name] for stretch in stretches]) for name in stretches[0]}

    async def _idle(self, seconds: float) -> dict[str, Any]:
        commits, messages = await self._commits(), await self._messages()
        self._meter.start()
        began = time.perf_counter()
        await asyncio.sleep(seconds)
        lasted = time.perf_counter() - began
        taken = self._meter.stop().seconds
        return {
            "idle_processor_milliseconds_per_second": {name: used / lasted * 1000 for name, used in taken.items()},
            "idle_transactions_per_second": {
                side: (now - commits[side]) / lasted for side, now in (await self._commits()).items()
            },
            "idle_messages_per_second": (await self._messages() - messages) / lasted,
        }

    async def _commits(self) -> dict[str, int]:
        connection = await connected(self._stack.addresses.administrator)
        rows = await connection.fetch(
            "SELECT datname, xact_commit + xact_rollback AS n FROM pg_stat_database WHERE datname = ANY($1::text[])",
            list(SIDES),
        )
        await connection.close()
        return {row["datname"]: row["n"] for row in rows}

    async def _messages(self) -> float:
        """Messages that the broker has taken from publishers, ever."""
        servers = self._stack.addresses.servers
        assert servers is not None, "on the private servers"

        def read() -> str:
            with urllib.request.urlopen(f"http://127.0.0.1:{servers.metrics_port}/metrics", timeout=10) as answer:
                return str(answer.read().decode())

        lines = (await asyncio.to_thread(read)).splitlines()
        return sum(
            float(line.rpartition(" ")[2])
            for line in lines
            if line.startswith("rabbitmq_global_messages_received_total")
        )


def _micros(seconds: Mapping[str, float], by: int) -> dict[str, float]:
    found = {name: used / by * MICRO for name, used in seconds.items()}
    return {name: round(value, 1) for name, value in (found | {"all": sum(found.values())}).items()}


def _median(values: list[Any]) -> Any:
    """Of numbers, or of each number of mappings."""
    if isinstance(values[0], Mapping):
        return {name: _median([value[name] for value in values]) for name in values[0]}
    return statistics.median(values)
