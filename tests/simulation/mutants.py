"""The exchange with one of its safeguards taken out."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import ModuleType

from services.exchange import absorb
from services.link.session import Session
from services.syncer.push import push
from services.syncer.session import _passes
from tests.simulation.__main__ import kept_seeds
from tests.simulation.safeguards import IN_ABSORB, Safeguard
from tests.simulation.workers import Runs
from tests.simulation.world import World

SOURCE = Path(absorb.__file__).read_text(encoding="utf-8").splitlines()
TRAPS = {
    match[2]: number
    for number, line in enumerate(SOURCE)
    if (match := re.match(r"( +)return .*  # trap: ([^.]+)\.", line))
}
"""Name and line of every trap of `absorb`."""


@dataclass(frozen=True)
class Mutant:
    """How to make a world that lacks the safeguard."""

    without: frozenset[Safeguard]
    core: ModuleType = absorb
    runs: Runs = field(default_factory=Runs)

    def live(self, seeds: int) -> None:
        """Run these worlds, those that broke before first, until one breaks. Raises Broken."""
        for seed in [*kept_seeds(), *range(seeds)]:
            World(seed, without=self.without, core=self.core, runs=self.runs).run()


def mutant(safeguard: Safeguard) -> Mutant:
    """The exchange without it."""
    core = absorb_without(safeguard.value) if safeguard in IN_ABSORB else absorb
    runs = Runs(sync=_push_before_fetch) if safeguard is Safeguard.FETCH_FIRST else Runs()
    return Mutant(frozenset({safeguard}), core, runs)


@cache
def absorb_without(trap: str) -> ModuleType:
    """`services.exchange.absorb` with the line of one trap taken out."""
    line = SOURCE[TRAPS[trap]]
    source = [*SOURCE]
    source[TRAPS[trap]] = line[: len(line) - len(line.lstrip())] + "pass"
    changed = ModuleType(f"absorb_without_{trap.replace(' ', '_')}")
    sys.modules[changed.__name__] = changed  # dataclasses look their module up
    exec(compile("\n".join(source), absorb.__file__, "exec"), changed.__dict__)  # noqa: S102  our own source
    return changed


async def _push_before_fetch(session: Session) -> None:
    """As `services.syncer.session.sync`, the other way round."""
    replica, job = session.replica, session.job
    _passes(await replica.look(job))
    page = (await session.open()).page
    session.cursor = (await replica.opening(job)).school.cursor
    gate = _passes(await replica.gate(job, incarnation=session.incarnation, session=session.number))
    await push(session, gate.changes)
    await session.fetch(page, first=False)
    await session.complete(await session.verify())
