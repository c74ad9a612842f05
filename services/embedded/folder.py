"""A run folder has one owner at a time, loses nothing but our own files, and gets the same free ports again."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from services.embedded.failures import FolderRefused
from services.embedded.guardian import REMEMBERED, Process, identify, is_alive

LOCK = "lock"
"""The file that is locked while the folder is in use; it holds the owner's pid."""
OURS = ("postgresql", "rabbitmq", "log", REMEMBERED)
"""All else that the private servers put into the folder."""
ENDING_SECONDS = 60.0
"""How long a start waits for the guardian of an owner that is already gone."""
FIRST_PORT, LAST_PORT = 20000, 32000
"""Below those the kernel hands out by itself (32768 and up): none is taken between choosing and using."""
DEFAULT_NODE_PORT = 25672
"""The distribution port of the machine's own RabbitMQ: whoever takes it keeps that one from starting."""


@contextmanager
def held(run_dir: Path) -> Iterator[int]:
    """Hold `run_dir`, made if absent, for this process alone; gives the lock's descriptor, which no child inherits.

    Raises FolderRefused, naming the process that holds it.
    """
    try:
        run_dir.mkdir(parents=True, exist_ok=True)
        lock = os.open(run_dir / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise FolderRefused(
            f"{run_dir} cannot be used ({error.strerror}): name another folder, or remove it (sudo rm -r '{run_dir}')."
        ) from error
    try:
        _lock(lock, run_dir)
        yield lock
    finally:
        os.close(lock)


def wipe(run_dir: Path) -> None:
    """Remove what earlier servers left in the folder, nothing else. Raises FolderRefused if that is not permitted."""
    try:
        for entry in (run_dir / name for name in OURS):
            if entry.is_dir():
                shutil.rmtree(entry)
            else:
                entry.unlink(missing_ok=True)
    except OSError as error:
        raise FolderRefused(
            f"{run_dir} cannot be emptied ({error.strerror}): remove it (sudo rm -r '{run_dir}')."
        ) from error


def free_ports(run_dir: Path, count: int) -> list[int]:
    """`count` free loopback ports; the same for the same folder as long as nobody else takes them."""
    span = LAST_PORT - FIRST_PORT
    start = zlib.crc32(os.fsencode(run_dir))
    found: list[int] = []
    for step in range(span):
        port = FIRST_PORT + (start + step) % span
        if port != DEFAULT_NODE_PORT and _is_free(port):
            found.append(port)
        if len(found) == count:
            return found
    raise FolderRefused(f"There are no {count} free ports between {FIRST_PORT} and {LAST_PORT} on 127.0.0.1.")


def _lock(lock: int, run_dir: Path) -> None:
    deadline = time.monotonic() + ENDING_SECONDS
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            break
        except BlockingIOError:
            owner = _owner(lock)
            if owner is not None and is_alive(owner):
                raise FolderRefused(
                    f"{run_dir} is in use by process {owner.pid}: stop that one first, or name another folder."
                ) from None
            if time.monotonic() > deadline:
                raise FolderRefused(
                    f"{run_dir} is still being stopped by an earlier start's guardian: try again in a minute."
                ) from None
            time.sleep(0.05)  # its owner is gone, and its guardian is about to be
    os.ftruncate(lock, 0)
    os.pwrite(lock, json.dumps(asdict(identify("owner", os.getpid()))).encode(), 0)


def _owner(lock: int) -> Process | None:
    try:
        return Process(**json.loads(os.pread(lock, 1000, 0)))
    except (ValueError, TypeError):
        return None  # just being written


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the servers do; one that listens still refuses
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True
