"""A compose project as its people use it: `docker compose …` in deploy/, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parent.parent.parent / "deploy"
SOON_SECONDS = 120.0
"""How long containers may take to start on a busy machine."""
SERVICES = ("validator", "syncer", "puller", "central")


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.out)


@dataclass
class Project:
    """One project: its files, its name, and the environment that stands for its .env."""

    name: str
    files: Sequence[Path]
    environment: dict[str, str] = field(default_factory=dict)

    def docker(self, *words: str, stdin: str | None = None) -> Ran:
        """`docker …`."""
        done = subprocess.run(
            ["docker", *words],
            cwd=DEPLOY,
            env={**os.environ, **self.environment, "COMPOSE_PROJECT_NAME": self.name},
            input="" if stdin is None else stdin,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        return Ran(done.returncode, done.stdout, done.stderr)

    def compose(self, *words: str, stdin: str | None = None) -> Ran:
        """`docker compose …`."""
        files = [word for file in self.files for word in ("-f", str(file))]
        return self.docker("compose", *files, *words, stdin=stdin)

    def does(self, *words: str, stdin: str | None = None) -> str:
        """`docker compose …`, which must succeed; what it printed."""
        ran = self.compose(*words, stdin=stdin)
        assert ran.code == 0, (words, ran)
        return ran.out

    def up(self) -> None:
        """Everything, until it is healthy."""
        self.does("up", "-d", "--no-build", "--wait", "--wait-timeout", str(int(SOON_SECONDS)))

    def selaras(self, *words: str, stdin: str | None = None) -> Ran:
        """The command at the site, as people type it."""
        return self.compose("run", "--rm", "-T", "selaras", *words, stdin=stdin)

    def central(self, *words: str, stdin: str | None = None) -> Ran:
        """The command at central."""
        return self.compose("run", "--rm", "-T", "selaras-central", *words, stdin=stdin)

    def python(self, service: str, program: str) -> Ran:
        """A program in the running container of a service."""
        return self.compose("exec", "-T", service, "python", "-c", program)

    def inspect(self, service: str) -> dict[str, Any]:
        """What Docker knows of a service's container."""
        (container,) = self.does("ps", "-a", "-q", service).split()
        (found,) = self.docker("inspect", container).json
        assert isinstance(found, dict)
        return found

    def running(self) -> list[str]:
        """The services that run now."""
        return sorted(self.does("ps", "--services", "--status", "running").split())

    def is_healthy(self, service: str) -> bool:
        """Does its health check pass?"""
        state = self.inspect(service)["State"]
        return bool(state["Status"] == "running" and state.get("Health", {}).get("Status") == "healthy")

    def secret(self, path: str) -> str:
        """A file of the installation's secrets, as an administrator of the machine may read it."""
        return self.does("run", "--rm", "-T", "--no-deps", "--entrypoint", "cat", "prepare", f"/state/{path}")

    def passwords(self) -> Mapping[str, str]:
        """Every password of the installation."""
        found = json.loads(self.secret("own/passwords.json"))
        assert isinstance(found, dict)
        return found


def eventually(holds: Callable[[], bool], *, seconds: float = SOON_SECONDS) -> None:
    """Poll, with a bound."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.5)
