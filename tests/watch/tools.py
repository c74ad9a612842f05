"""Prometheus and Alertmanager of the distribution: their checkers, and both as servers of a test's own on loopback."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from services.embedded.packages import Debian, install

PROMETHEUS = Debian(
    "Prometheus",
    ("prometheus", "prometheus-alertmanager"),
    Path("/usr/bin/prometheus-alertmanager"),
    ("prometheus.service", "prometheus-alertmanager.service"),
    "about 20 s",
)


def installed(say: Callable[[str], None] = print) -> None:
    """Install them if they are missing; no service of the machine is started."""
    install(PROMETHEUS, say)


def promtool(*arguments: str, given: str | None = None, folder: Path | None = None) -> str:
    """Run promtool. What it says; fails with that if it finds fault."""
    return _run("promtool", *arguments, given=given, folder=folder)


def amtool(*arguments: str) -> str:
    """Run amtool, likewise."""
    return _run("amtool", *arguments)


def _run(name: str, *arguments: str, given: str | None = None, folder: Path | None = None) -> str:
    installed()
    done = subprocess.run(
        [f"/usr/bin/{name}", *arguments],
        input=given,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr
