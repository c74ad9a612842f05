"""Starts the private servers and ends every one of them when its owner is gone, however the owner went.

Run as a program by `processes.Guardian`. It reads requests from its standard input, a pipe whose other end only the
owner holds: when the owner ends, even by SIGKILL, the kernel closes the pipe, and this process ends what it started,
newest first. Being the servers' parent it knows each of them from the moment it exists. It and each server stand in
sessions of their own, so a terminal's Ctrl-C reaches neither.

Only the standard library, and nothing of ours: it must run when half of what is around it is broken.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

REMEMBERED = "processes.json"
"""In the run folder: what runs there, for the start that finds owner and guardian both killed."""
KILL_SECONDS = 5.0
"""How long the kernel may take to be done with a process that got SIGKILL."""
POLL_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Process:
    """A process, and how to end it: `stop_signal`, and after `stop_seconds` SIGKILL for it and all it started.

    `start_ticks` is when it started, in clock ticks after the machine did (field 22 of /proc/<pid>/stat, proc(5)):
    together with the pid it names one process only, also after the pid was given to another.
    """

    name: str
    pid: int
    start_ticks: int
    stop_signal: int = signal.SIGKILL
    stop_seconds: float = 0.0


def stat_fields(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat from the third on (state, parent, …), or None if there is no such process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_bytes().decode(errors="replace")
    except OSError:
        return None
    return text.rpartition(")")[2].split()  # the second field, the name, may hold blanks and brackets


def identify(name: str, pid: int, stop_signal: int = signal.SIGKILL, stop_seconds: float = 0.0) -> Process:
    """The process that has this pid now. Raises ProcessLookupError if there is none."""
    fields = stat_fields(pid)
    if fields is None:
        raise ProcessLookupError(pid)
    return Process(name, pid, int(fields[19]), stop_signal, stop_seconds)


def is_alive(process: Process) -> bool:
    """Does it still run? A zombie does not: it has ended, and only its parent has not asked yet."""
    fields = stat_fields(process.pid)
    return fields is not None and fields[0] not in "ZX" and int(fields[19]) == process.start_ticks


def names_folder(process: Process, folder: Path) -> bool:
    """Does its command line or its environment name `folder`? (One that may not be looked at is not ours.)"""
    wanted = os.fsencode(folder)
    try:
        return any(wanted in Path(f"/proc/{process.pid}/{what}").read_bytes() for what in ("cmdline", "environ"))
    except OSError:
        return False


def descendants(process: Process) -> list[Process]:
    """What it started, and what those started, as far as it runs now."""
    children: dict[int, list[Process]] = {}
    for pid in [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal()]:
        fields = stat_fields(pid)
        if fields is not None:
            children.setdefault(int(fields[1]), []).append(Process("", pid, int(fields[19])))
    found: list[Process] = []
    parents = [process.pid]
    while parents:
        below = children.get(parents.pop(), [])
        found += below
        parents += [child.pid for child in below]
    return found


def end(process: Process) -> None:
    """End it and all it started: politely first, if it has a polite way, and for certain after its time."""
    family = [process, *descendants(process)] if is_alive(process) else []
    _send(process, process.stop_signal)
    if not _are_gone([process], process.stop_seconds):
        family += descendants(process)
    for member in family:
        _send(member, signal.SIGKILL)
    _are_gone(family, KILL_SECONDS)


def _send(process: Process, signal_number: int) -> None:
    if is_alive(process):
        with contextlib.suppress(ProcessLookupError):  # it ended just now
            os.kill(process.pid, signal_number)


def _are_gone(processes: list[Process], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(is_alive(process) for process in processes):
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_SECONDS)
    return True


def remember(run_dir: Path, processes: list[Process]) -> None:
    """Note what runs in the folder; the file is replaced whole, never seen half written."""
    new = run_dir / (REMEMBERED + ".new")
    new.write_text(json.dumps([asdict(process) for process in processes]))
    new.replace(run_dir / REMEMBERED)


def remembered(run_dir: Path) -> list[Process]:
    """What was noted by `remember` and still runs, oldest first: same start time, and it names the folder."""
    try:
        noted = [Process(**fields) for fields in json.loads((run_dir / REMEMBERED).read_text())]
    except (OSError, ValueError, TypeError):
        return []
    return [process for process in noted if is_alive(process) and names_folder(process, run_dir)]


def end_remembered(run_dir: Path) -> None:
    """End what an earlier life left running in the folder, newest first, and forget it."""
    for process in reversed(remembered(run_dir)):
        end(process)
    (run_dir / REMEMBERED).unlink(missing_ok=True)


class _Children:
    """The servers this process started."""

    def __init__(self, run_dir: Path) -> None:
        self._run_dir = run_dir
        self._started: dict[str, subprocess.Popen[bytes]] = {}
        self._known = [identify("guardian", os.getpid())]
        remember(run_dir, self._known)

    def start(self, request: dict[str, Any]) -> dict[str, Any]:
        with Path(request["log"]).open("ab") as log:
            try:
                started = subprocess.Popen(
                    request["command"],
                    env=request["environment"],
                    cwd=request["folder"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            except OSError as error:
                return {"error": str(error)}
        self._started[request["name"]] = started
        self._known.append(identify(request["name"], started.pid, request["stop_signal"], request["stop_seconds"]))
        remember(self._run_dir, self._known)
        return {"pid": started.pid}

    def exit_status(self, request: dict[str, Any]) -> dict[str, Any]:
        return {"exit_status": self._started[request["name"]].poll()}

    def end_all(self) -> None:
        for process in reversed(self._known[1:]):
            end(process)
        (self._run_dir / REMEMBERED).unlink(missing_ok=True)


def main(run_dir: Path) -> None:
    """Serve the owner's requests, one JSON object a line, until its pipe closes; then end everything."""
    for signal_number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # A handler, not SIG_IGN: what is ignored would stay ignored in the servers. Only the pipe ends this process.
        signal.signal(signal_number, lambda _number, _frame: None)
    children = _Children(run_dir)
    serve = {"start": children.start, "exit_status": children.exit_status}
    try:
        for line in sys.stdin:
            request = json.loads(line)
            sys.stdout.write(json.dumps(serve[request["do"]](request)) + "\n")
            sys.stdout.flush()
    except BrokenPipeError:
        pass  # the owner went while it was being answered
    finally:
        children.end_all()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
