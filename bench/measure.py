"""What processes take: processor time of a process and all it started, and its peak memory (Linux, /proc)."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

TICKS = os.sysconf("SC_CLK_TCK")


def processor_seconds(pid: int) -> float:
    """User and system time of a process, of its children that run, and of those that have ended and were waited for."""
    ticks = 0
    for one in (pid, *_below(pid)):
        fields = _stat(one)
        if fields is not None:  # fields 14 to 17 of proc(5), counted from the third
            ticks += int(fields[11]) + int(fields[12])
            ticks += int(fields[13]) + int(fields[14])
    return ticks / TICKS


def peak_bytes(pid: int) -> int:
    """The most memory that the process had since `forget_peak`."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ProcessLookupError(pid)


def forget_peak(pid: int) -> None:
    """Begin to look for the peak anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def spent(before: Mapping[str, float], pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time since `before`, by process."""
    return {name: processor_seconds(pid) - before.get(name, 0.0) for name, pid in pids.items()}


def now(pids: Mapping[str, int]) -> dict[str, float]:
    """Seconds of processor time so far, by process."""
    return spent({}, pids)


def _below(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            fields = _stat(int(entry.name))
            if fields is not None:
                children.setdefault(int(fields[1]), []).append(int(entry.name))
    found: list[int] = []
    parents = [pid]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += below
    return found


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third on; None: there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()
