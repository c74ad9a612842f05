"""`make simulate SEEDS=20000`, or `SEEDS=17..17`: run seeds, and tell the story of the first that goes wrong.

A count runs that many after the thousand of `make test`; `FROM..TO` runs just those. Exit code 1: a promise was broken.
"""

from __future__ import annotations

import argparse
import sys
import time
import traceback
from pathlib import Path

from tests.simulation.world import World

KEPT = Path(__file__).with_name("seeds.txt")
TESTED = 1000
SAY_EVERY_SECONDS = 5.0


def kept_seeds() -> list[int]:
    """Seeds that once failed, from seeds.txt."""
    lines = KEPT.read_text(encoding="utf-8").splitlines()
    return [int(line.split()[0]) for line in lines if line.strip() and not line.startswith("#")]


def main() -> int:
    """Run the seeds that the command line names."""
    parser = argparse.ArgumentParser(prog="make simulate", description=__doc__)
    parser.add_argument("seeds", help="how many, or FROM..TO")
    seeds = _seeds(parser.parse_args().seeds)
    began = said = time.monotonic()
    for done, seed in enumerate(seeds, start=1):
        world = World(seed)
        try:
            world.run()
        except Exception:
            print(*world.story, sep="\n")
            traceback.print_exc(limit=-3)
            print(f"seed {seed} fails; make simulate SEEDS={seed}..{seed} does so again", file=sys.stderr)
            return 1
        if time.monotonic() - said > SAY_EVERY_SECONDS or done == len(seeds):
            said = time.monotonic()
            print(f"{done} of {len(seeds)} seeds, {(said - began) / done * 1000:.1f} ms each", flush=True)
    return 0


def _seeds(asked: str) -> range:
    first, dots, last = asked.partition("..")
    return range(int(first), int(last) + 1) if dots else range(TESTED, TESTED + int(first))


if __name__ == "__main__":
    sys.exit(main())
