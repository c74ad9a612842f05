"""What a change costs as things grow: the registry, the number of schools, and a school itself.

registry  records of other schools at central: 10³ to 10⁶
schools   schools of ten records at both sides: 1 to 10,000; and what they cost while nobody does anything
school    records of the school itself: 250 to 10,000; the root is computed over all of them, once a session

At each point one school pushes 500 changes in one session, and then single changes, each as in W4.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from rich.console import Console

from bench.growth.costs import Growing, Size
from bench.growth.report import TITLES
from bench.measure import Meter
from bench.ours import Ours
from bench.speed import Say, pids
from services import calendar
from services.demo.stage import Stage
from services.embedded.stack import Stack, stack
from services.topology import SIDES


def measure(run_dir: Path, size: Size, only: Iterable[str], say: Say) -> dict[str, Any]:
    """Each series on servers of its own."""
    wanted = list(only) or list(TITLES)
    makers: Mapping[str, Callable[[Growing], AsyncIterator[int]]] = {
        "registry": _registry, "schools": _schools, "school": _school,
    }  # fmt: skip
    series: dict[str, list[dict[str, Any]]] = {}
    for name in wanted:
        with stack(run_dir, fresh=True, say=say) as running:
            series[name] = asyncio.run(_measured(running, size, makers[name], say, idle=name == "schools"))
    return {"series": series}


async def _measured(
    running: Stack, size: Size, points: Callable[[Growing], AsyncIterator[int]], say: Say, *, idle: bool
) -> list[dict[str, Any]]:
    async with _growing(running, size) as growing:
        found = []
        async for x in points(growing):
            say(f"{x:,}: measuring")
            found.append({"x": x, **await growing.costs(), **(await growing.idle() if idle else {})})
        return found


@asynccontextmanager
async def _growing(running: Stack, size: Size) -> AsyncIterator[Growing]:
    stage = Stage(running, Console(quiet=True))
    ours = await Ours.begin(stage, calendar.today())
    try:
        yield Growing(ours, size, Meter(pids(running), apart=[ours.watching]))
    finally:
        await ours.stop()
        await stage.close()


async def _registry(growing: Growing) -> AsyncIterator[int]:
    """Typical schools at central only; the one that changes has as many pupils as are pushed."""
    await growing.changing(growing.size.pushed)
    model = await growing.model(pupils=60, classes=6, teachers=8)
    filled = 0
    for records in growing.size.registry:
        there = await growing.count("central", "record")
        more = max(0, round((records - there) / model.records))
        await growing.fill("central", model.npsn, filled, more)
        filled += more
        yield await growing.count("central", "record")


async def _schools(growing: Growing) -> AsyncIterator[int]:
    """Tiny schools at both sides."""
    await growing.changing(growing.size.pushed)
    model = None
    filled = 0
    for schools in growing.size.schools:
        if model is None and schools > 1:
            model = await growing.model(pupils=1, classes=1, teachers=1)
        if model:
            more = schools - await growing.count("site", "school")
            for side in SIDES:
                await growing.fill(side, model.npsn, filled, more)
            filled += more
        yield await growing.count("site", "school")


async def _school(growing: Growing) -> AsyncIterator[int]:
    """One school after the other, each larger."""
    for pupils in growing.size.pupils:
        yield await growing.changing(pupils)
