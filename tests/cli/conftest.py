"""The command as people run it: a process of its own in an empty folder, told where the running system is."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.central import administration
from services.demo.stage import Stage
from services.demo.synthetic import Records, jsonl, synthetic_school
from services.messages import SessionCompleted
from tests.e2e.conftest import School
from tests.e2e.conftest import stage as stage

SOON_SECONDS = 60.0
"""How long a command may take on a busy machine."""


@dataclass(frozen=True)
class Said:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass(frozen=True)
class Terminal:
    """A shell in a folder, with settings for the command and no others."""

    folder: Path
    settings: Mapping[str, str]

    def told(self, **settings: str) -> Terminal:
        """The same shell with some other settings."""
        return Terminal(self.folder, {**self.settings, **settings})

    def lacking(self, *names: str) -> Terminal:
        """The same shell without some settings."""
        return Terminal(self.folder, {name: value for name, value in self.settings.items() if name not in names})

    def file(self, name: str, value: Any) -> str:
        """A file in the folder: text as it is, for JSONL a value a line, else JSON; its name."""
        if isinstance(value, str):
            text = value
        elif name.endswith(".jsonl"):
            text = "".join(json.dumps(line) + "\n" for line in value)
        else:
            text = json.dumps(value)
        (self.folder / name).write_text(text)
        return name

    async def begin(self, *words: str, python: tuple[str, ...] = ()) -> asyncio.subprocess.Process:
        """Start `selaras …` and return; `python`: options of the interpreter."""
        ours = ("SELARAS_", "COLUMNS")  # a width in the environment would break lines
        bare = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        return await asyncio.create_subprocess_exec(
            *(sys.executable, *python, "-m", "services.cli", *words),
            cwd=self.folder,
            env={**bare, **self.settings},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )

    async def end(self, process: asyncio.subprocess.Process, words: tuple[str, ...] = ()) -> Said:
        """Wait for the end. Whatever the command does: no traceback, and no password of an address."""
        try:
            async with asyncio.timeout(SOON_SECONDS):
                out, err = await process.communicate()
        except TimeoutError:
            process.kill()
            raise
        assert process.returncode is not None
        said = Said(process.returncode, out.decode(), err.decode())
        assert "Traceback" not in said.out + said.err, (words, said)
        passwords = {urlsplit(url).password for url in self.settings.values()} - {None, "guest"}
        assert [secret for secret in passwords if secret and secret in said.out + said.err] == [], words
        return said

    async def selaras(self, *words: str) -> Said:
        """Run `selaras …` to its end."""
        return await self.end(await self.begin(*words), words)

    async def all(self, *commands: str) -> list[Said]:
        """Run several commands, whose words have no spaces, at the same time."""
        return await asyncio.gather(*(self.selaras(*command.split()) for command in commands))


@pytest.fixture
def terminal(stage: Stage, tmp_path: Path) -> Terminal:
    """A shell with the addresses of the site and of central."""
    addresses = stage.stack.addresses
    return Terminal(tmp_path, {**addresses.of_site_command(), **addresses.of_officer_command()})


@pytest.fixture
async def school(stage: Stage, npsn: str) -> School:
    """A small school with its baseline, in sync."""
    data = small_school(npsn)
    await stage.register(npsn, await administration.add_school(stage.registry, npsn, jsonl(data)))
    async with stage.at(npsn) as client:
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
    return School(npsn, data)


def small_school(npsn: str) -> Records:
    """Six students in a class."""
    return synthetic_school(11, npsn=npsn, today=date.today(), pupils=6, classes=1, teachers=3)  # noqa: DTZ011


def baseline(npsn: str) -> str:
    """The same as a file for `selaras officer school add`."""
    return "".join(line + "\n" for line in jsonl(small_school(npsn)))


def change_of(school: School, number: int, **fields: object) -> dict[str, Any]:
    """A change of the n-th student as a file holds it."""
    return school.change(number, **fields).model_dump(exclude={"op"})
