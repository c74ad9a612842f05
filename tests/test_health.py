"""The health check of a container, asked of real services."""

from __future__ import annotations

import subprocess
import sys

from services.embedded.stack import Stack, free_port


def check(port: int) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "services.health"],
        env={"SELARAS_HTTP_PORT": str(port)},
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )


def test_a_service_that_is_ready_is_healthy_and_one_that_is_not_there_is_not(running: Stack) -> None:
    assert check(running.ports["validator"]).returncode == 0
    absent = check(free_port())
    assert absent.returncode == 1
    assert absent.stdout.strip() == "ConnectionRefusedError"


def test_the_check_imports_nothing_of_the_services() -> None:
    program = "import sys, services.health; print([m for m in sys.modules if m.startswith('services.')])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['services.health']"
