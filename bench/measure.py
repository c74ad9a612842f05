"""What processes take: processor time of a process and all it started, and its peak memory (Linux).

A running process's time is that of its own clock, to the nanosecond; that of its children which have ended and were
waited for (a closed connection's PostgreSQL process) is known to a tick of 10 ms each.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from services.embedded.guardian import stat_fields

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Taken:
    """What processes took meanwhile, by name: seconds of processor time; peak bytes of those asked about."""

    seconds: Mapping[str, float]
    peak_bytes: Mapping[str, int]


class Meter:
    """Looks at named processes from `start` to `stop`, as often as wanted.

    `peaks`: whose peak memory is told. `apart`: processes that belong to the measuring, below whichever they are.
    """

    def __init__(self, pids: Mapping[str, int], peaks: Collection[str] = (), apart: Collection[int] = ()) -> None:
        self._pids = pids
        self._peaks = peaks
        self._apart = apart
        self._before: Mapping[str, float] = {}

    def start(self) -> None:
        """From now on."""
        for name in self._peaks:
            forget_peak(self._pids[name])
        self._before = self._now()

    def stop(self) -> Taken:
        """Until now."""
        now = self._now()
        return Taken(
            {name: seconds - self._before[name] for name, seconds in now.items()},
            {name: peak_bytes(self._pids[name]) for name in self._peaks},
        )

    def _now(self) -> dict[str, float]:
        """Of this process its own only: the servers are its children."""
        own = _own_seconds(os.getpid())  # looking around costs it most
        children = _children()
        return {
            name: own if pid == os.getpid() else processor_seconds(pid, children, self._apart)
            for name, pid in self._pids.items()
        }


def processor_seconds(pid: int, children: Mapping[int, list[int]] | None = None, apart: Collection[int] = ()) -> float:
    """User and system time of a process, of its children that run, and of those that have ended and were waited for."""
    below = _children() if children is None else children
    seconds, parents = 0.0, [pid]
    while parents:
        one = parents.pop()
        if one not in apart:
            seconds += _own_seconds(one) + _ended_children_seconds(one)
        parents += below.get(one, [])
    return seconds


def peak_bytes(pid: int) -> int:
    """The most memory that the process itself had since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def forget_peak(pid: int) -> bool:
    """Begin to look for the peak anew; False if that is not permitted: then it is the peak since the process began."""
    try:
        Path(f"/proc/{pid}/clear_refs").write_text("5")  # proc(5)
    except OSError:
        return False
    return True


def _own_seconds(pid: int) -> float:
    """All threads', those that have ended too, by the process's clock, whose number is made of its pid.

    clock_getcpuclockid(3); Python has it for threads only.
    """
    try:
        return time.clock_gettime(~pid << 3 | 2)
    except OSError:
        return 0.0


def _ended_children_seconds(pid: int) -> float:
    fields = stat_fields(pid)
    return 0.0 if fields is None else (int(fields[13]) + int(fields[14])) / TICKS  # cutime and cstime of proc(5)


def _children() -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal() and (fields := stat_fields(int(entry.name))) is not None:
            found.setdefault(int(fields[1]), []).append(int(entry.name))
    return found
