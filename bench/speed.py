"""The speed of W1 to W6 and V, on private servers of its own: floor, bare and ours take turns, run after run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from rich.console import Console
from sqlalchemy import make_url

from bench.figures import SERVERS, SERVICES, Figures
from bench.floor import Floor
from bench.ours import Ours, connected
from bench.pair import Pair
from bench.workloads.judging import Judging
from bench.workloads.many_schools import ManySchools
from bench.workloads.one_school import OneSchool
from bench.workloads.single_changes import SingleChanges
from bench.workloads.turns import Group, Size, Turns
from services import calendar, topology
from services.demo.stage import Stage
from services.embedded.guardian import remembered
from services.embedded.stack import Stack, stack

USER = topology.User("bench", configure=".*", write=".*", read=".*")
"""Bare's broker user: nothing is forbidden to it."""
GROUPS: Sequence[Callable[[Turns], Group]] = (OneSchool, SingleChanges, Judging, ManySchools)
WORKLOADS = tuple(
    workload for group in (OneSchool, SingleChanges, Judging, ManySchools) for workload in group.workloads
)

Say = Callable[[str], None]


def measure(run_dir: Path, size: Size, runs: int, only: Sequence[str], say: Say) -> Figures:
    """Start everything, do it all `runs` times, stop everything."""
    with stack(run_dir, fresh=True, say=say, others=[USER]) as running:
        return asyncio.run(_measure(running, size, runs, only, say))


async def _measure(running: Stack, size: Size, runs: int, only: Sequence[str], say: Say) -> Figures:
    dsns = [await empty_database(running.addresses.administrator, f"bare_{side}") for side in ("site", "central")]
    pair = await Pair.start(running.addresses.amqp[USER.name], *dsns)
    floor = await Floor.open(dsns[1])
    stage = Stage(running, Console(quiet=True))
    ours = await Ours.begin(stage, calendar.today())
    try:
        turns = Turns(ours, floor, pair, size, {**pids(running), **_pids_of_bare(pair)}, only)
        groups = [group for make in GROUPS if turns.wants(*(group := make(turns)).workloads)]
        for run in range(1, runs + 1):
            for group in groups:
                say(f"run {run} of {runs}: {', '.join(group.workloads)}")
                await group.run()
    finally:
        await ours.stop()
        await stage.close()
        await floor.close()
        await pair.stop()
    return turns.figures


def pids(running: Stack) -> Mapping[str, int]:
    """The processes of the system: four services, broker, PostgreSQL."""
    servers = {process.name: process.pid for process in remembered(running.run_dir.resolve())}
    return {name: running.processes[name].pid for name in SERVICES} | {name: servers[name] for name in SERVERS}


def _pids_of_bare(pair: Pair) -> Mapping[str, int]:
    return {"bare site": pair.site.process.pid, "bare central": pair.central.process.pid}


async def empty_database(administrator: str, name: str) -> str:
    """A new database; its address for asyncpg."""
    connection = await connected(administrator)
    await connection.execute(f'CREATE DATABASE "{name}"')
    await connection.close()
    return make_url(administrator).set(drivername="postgresql", database=name).render_as_string(hide_password=False)
