"""On what it was measured: enough to judge the figures by, nothing that names the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from services.embedded import postgresql


def described() -> dict[str, Any]:
    """Date, revision, processors, memory, versions."""
    return {
        "date": datetime.now(UTC).date().isoformat(),
        "revision": _said("git", "rev-parse", "--short", "HEAD"),
        "processors": os.cpu_count(),
        "processor": _line_of("/proc/cpuinfo", "model name"),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "kernel": platform.release().partition("-")[0],
        "python": platform.python_version(),
        "postgresql": (_said(str(postgresql.binaries() / "postgres"), "--version") or "").rpartition(" ")[2],
        "rabbitmq": (_said("dpkg-query", "-W", "-f", "${Version}", "rabbitmq-server") or "").partition("-")[0],
        "selaras": importlib.metadata.version("selaras"),
    }


def _said(*command: str) -> str | None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _line_of(file: str, name: str) -> str | None:
    for line in Path(file).read_text().splitlines():
        if line.startswith(name):
            return line.partition(":")[2].strip()
    return None
