"""A container that dies comes back by itself, and the others go on where they were."""

from __future__ import annotations

import pytest

from tests.compose.project import SERVICES, Project, eventually

KILL_THE_SERVICE = """
import os, pathlib, signal
for process in pathlib.Path("/proc").glob("[0-9]*"):
    words = (process / "cmdline").read_bytes().split(b"\\0")
    if b"serve" in words and process.name != "1":
        os.kill(int(process.name), signal.SIGKILL)
"""


def came_back(project: Project, service: str, before: dict[str, object]) -> bool:
    """A new start of the same container, and it is healthy."""
    state = project.inspect(service)["State"]
    return state["StartedAt"] != before["StartedAt"] and project.is_healthy(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_that_is_killed_comes_back(project: Project, service: str) -> None:
    before = project.inspect(service)["State"]
    project.python(service, KILL_THE_SERVICE)
    eventually(lambda: came_back(project, service, before))


@pytest.mark.parametrize("server", ["rabbitmq", "postgres"])
def test_a_server_that_is_killed_comes_back_and_the_services_with_it(project: Project, server: str) -> None:
    before = project.inspect(server)["State"]
    image = project.inspect("validator")["Config"]["Image"]
    kill = f"import os; os.kill({before['Pid']}, 9)"  # as the kernel does when memory runs out
    killed = project.docker(
        "run", "--rm", "--pid=host", "--user=0", "--network=none", "--entrypoint=python", image, "-c", kill
    )
    assert killed.code == 0, killed
    eventually(lambda: came_back(project, server, before))
    for service in SERVICES:
        eventually(lambda name=service: project.is_healthy(name))  # type: ignore[misc]
    assert project.selaras("topology", "check").code == 0
    assert project.central("account", "list", "--side", "central").code == 0


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_stops_gracefully_and_in_time(project: Project, service: str) -> None:
    project.does("stop", service)
    state = project.inspect(service)["State"]
    assert state["ExitCode"] == 0, "it was not killed"
    project.does("start", service)
    eventually(lambda: project.is_healthy(service))
