"""What central does by itself, beside answering: looks into follow-ups, and judges schools at a bounded rate.

Each loop asks one indexed query a second while there is nothing to do. What it does is one transaction at a time, so a
process that dies in the middle leaves it to the next.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import date

from services.central import judging, residu
from services.central.gauges import Counters
from services.database import Database
from services.errors import Transient

log = logging.getLogger(__name__)

SWEEP_SECONDS = 1.0
TROUBLE_SECONDS = 5.0


class Background:
    """Central's two loops."""

    def __init__(
        self,
        database: Database,
        counters: Counters,
        *,
        today: Callable[[], date],
        judge_after_seconds: float,
        judge_per_minute: int,
    ) -> None:
        self._database = database
        self._counters = counters
        self._today = today
        self._after_seconds = judge_after_seconds
        self._between_seconds = 60 / judge_per_minute

    async def follow_up(self, stopping: asyncio.Event) -> None:
        """Look into follow-ups, one after the other, as long as there are any."""
        await _repeat(stopping, self._follow_up)

    async def judge(self, stopping: asyncio.Event) -> None:
        """Judge the schools whose records moved, no more than so many a minute."""
        await _repeat(stopping, self._judge)

    async def _follow_up(self) -> float:
        written = await residu.follow_up_next(self._database, self._today())
        if written is None:
            return SWEEP_SECONDS
        self._counters.followed_up(written)
        return 0

    async def _judge(self) -> float:
        verdict = await judging.judge_next(self._database, self._today(), after_seconds=self._after_seconds)
        if verdict is None:
            return max(SWEEP_SECONDS, self._between_seconds)
        self._counters.judged(verdict.outcome)
        return self._between_seconds


async def _repeat(stopping: asyncio.Event, step: Callable[[], Awaitable[float]]) -> None:
    """Take step after step, with the seconds of pause that each asks for, until told to stop."""
    while not stopping.is_set():
        try:
            pause = await step()
        except Transient as error:
            log.warning("central's background work waits", extra={"error": type(error).__name__})
            pause = TROUBLE_SECONDS
        try:
            async with asyncio.timeout(pause):
                await stopping.wait()
        except TimeoutError:
            continue
