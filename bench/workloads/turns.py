"""Taking turns: how much is done, what is wanted, and the stopwatch."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any, Protocol

from bench.figures import SERVICES, Figures
from bench.floor import Floor, Row
from bench.measure import Meter
from bench.ours import Ours, WentWrong
from bench.pair import Pair, Peer


@dataclass(frozen=True)
class Size:
    """How much of each."""

    records: int = 10_000
    both_ways: int = 500
    single: int = 200
    schools: int = 100
    per_school: int = 100
    single_events: int = 10_000
    judged_pupils: int = 1550
    quiet: bool = True
    """Before each piece of work, wait until central has judged what came before."""


SMALL = Size(
    records=600, both_ways=50, single=10, schools=5, per_school=20, single_events=100, judged_pupils=60, quiet=False
)  # fmt: skip
"""To see that it works."""


class Group(Protocol):
    """Workloads that share their schools."""

    @property
    def workloads(self) -> Sequence[str]:
        """Their names, in the order in which they are done."""

    async def run(self) -> None:
        """Each once, by each of the three, up to the last that is wanted."""


class Turns:
    """What the groups work with. `only`: the beginnings of the names of what is wanted; nothing: all."""

    def __init__(
        self, ours: Ours, floor: Floor, pair: Pair, size: Size, pids: Mapping[str, int], only: Collection[str] = ()
    ) -> None:
        self.ours = ours
        self.floor = floor
        self.pair = pair
        self.size = size
        self.figures = Figures()
        self._only = tuple(only)
        self._meter = Meter({**pids, "bench": os.getpid()}, peaks=SERVICES, apart=[ours.watching])
        self._as_validator = Meter({**pids, "validator": os.getpid()}, apart=[ours.watching])
        self._marks = count(1)

    def wants(self, *workloads: str) -> bool:
        """Is any of these asked for?"""
        return not self._only or any(workload.startswith(self._only) for workload in workloads)

    async def timed(
        self, workload: str, who: str, work: Callable[[], Awaitable[Any]], *, as_validator: bool = False
    ) -> None:
        """Do it, and note its seconds and what the processes took; if it is not wanted, only do it. `as_validator`:
        this process does the validator's work.
        """
        await self.quiet()
        with self.metered(workload, who, self._as_validator if as_validator else self._meter):
            began = time.perf_counter()
            await work()
            seconds = time.perf_counter() - began
        if self.wants(workload):
            self.figures.add(workload, who, seconds)

    async def quiet(self) -> None:
        """Wait until what came before disturbs nothing, if that is wanted."""
        if self.size.quiet:
            await self.ours.quiet()

    @contextmanager
    def metered(self, workload: str, who: str, meter: Meter | None = None) -> Iterator[None]:
        """Note what the processes take in the block, if that is wanted."""
        meter = meter or self._meter
        meter.start()
        yield
        taken = meter.stop()
        if self.wants(workload):
            self.figures.took(workload, who, taken)

    # ── bare ─────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def bare(self, workload: str, sender: Peer, taker: Peer, held: Sequence[Row], *, batch: int = 500) -> None:
        """One peer sends these rows to the other."""
        mark = next(self._marks)
        await sender.hold(held, mark)
        await self.timed(workload, "bare", lambda: asyncio.gather(sender.send(mark, batch), taker.taken(len(held))))

    async def bare_both_ways(self, workload: str, here: Sequence[Row], there: Sequence[Row]) -> None:
        """Each sends to the other."""
        mark = next(self._marks)
        site, central = self.pair.site, self.pair.central
        await site.hold(here, mark)
        await central.hold(there, mark)

        async def one(peer: Peer, coming: int) -> None:
            await peer.send(mark)
            await peer.taken(coming)

        await self.timed(workload, "bare", lambda: asyncio.gather(one(site, len(there)), one(central, len(here))))

    async def bare_single(self, row: Row) -> float:
        """One row; its seconds."""
        mark = next(self._marks)
        await self.pair.site.hold([row], mark)
        began = time.perf_counter()
        await asyncio.gather(self.pair.site.send(mark), self.pair.central.taken(1))
        return time.perf_counter() - began

    async def bare_is_equal(self, *npsns: str) -> None:
        """Both peers hold the same of these schools. Raises WentWrong."""
        here, there = await self.pair.site.sum(npsns), await self.pair.central.sum(npsns)
        if here != there or not here[0]:
            raise WentWrong(f"bare: {here[0]} records here, {there[0]} there, of {len(npsns)} schools")
