"""The private servers answer in any folder, are closed to strangers, and are gone when their owner is, however it went."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aio_pika
import asyncpg
import httpx
import pytest
from aio_pika.exceptions import AMQPConnectionError

from services.embedded import FolderRefused, Servers, private_servers
from services.embedded.guardian import Process, descendants, is_alive, remembered
from tests.embedded.installation import DATABASES, DEFINITIONS, PASSWORD, USER


class Running(NamedTuple):
    servers: Servers
    modes_before: dict[Path, tuple[int, int, int]]


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """Servers in a deep folder with a space in it, below one that only we may enter."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    deep = closed.joinpath(*["sebuah folder yang dalam sekali " + "x" * 30] * 4)
    deep.mkdir(parents=True)
    assert len(str(deep)) > 200
    before = modes_above(deep)
    with start_in(deep) as servers:
        yield Running(servers, before)


def start_in(run_dir: Path):  # type: ignore[no-untyped-def]  # noqa: ANN201
    return private_servers(run_dir, definitions=DEFINITIONS, databases=DATABASES, fresh=True)
