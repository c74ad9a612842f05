"""The stack that `make test-compose` has brought up, seen from the machine that it runs on."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
from rich.console import Console

from services.demo.stage import Stage
from services.deploy.joining import Joining
from services.embedded.stack import SITE, Addresses, Stack
from services.topology import installation_users
from tests.compose.project import DEPLOY, Project


@pytest.fixture(scope="session")
def project() -> Project:
    """A site and central, of deploy/compose.yaml."""
    if "COMPOSE_PROJECT_NAME" not in os.environ:
        pytest.exit("These tests need the stack that `make test-compose` brings up.", returncode=1)
    return Project(os.environ["COMPOSE_PROJECT_NAME"], [DEPLOY / "compose.yaml"])


@pytest.fixture(scope="session")
def servers(project: Project, tmp_path_factory: pytest.TempPathFactory) -> Addresses:
    """The broker over TLS, as each of its users; the databases cannot be reached from here."""
    authority = tmp_path_factory.mktemp("ca") / "ca.pem"
    authority.write_text(project.secret("own/ca.pem"))
    passwords = dict(project.passwords())
    names = [user.name for user in installation_users(SITE)]
    other = Joining.read(project.central("site", "add", "lain", "--rotate").out)
    beginning = f"@localhost:{os.environ['AMQPS_PORT']}/?cafile={authority}"
    amqp = {name: f"amqps://{name}:{quote(passwords[name], safe='')}{beginning}" for name in names}
    amqp |= {
        "lain-sync": other.sync_url.rpartition("@")[0] + beginning,
        "lain-pull": other.pull_url.rpartition("@")[0] + beginning,
    }
    nowhere = "postgresql+asyncpg://nobody@127.0.0.1:1/nothing"
    return Addresses(amqp, nowhere, nowhere, administrator=nowhere)


@pytest.fixture
async def stage(servers: Addresses, tmp_path: Path) -> AsyncIterator[Stage]:
    """People's lines to the stack."""
    stage = Stage(Stack(tmp_path, servers, print), Console(quiet=True))
    yield stage
    await stage.close()


@pytest.fixture
def at_central(project: Project, npsn: str) -> tuple[str, str]:
    """A school that central has, which no site has registered, and its root."""
    baseline = project.central("sample", npsn, "--pupils", "6").out
    added = project.central("officer", "school", "add", npsn, "--baseline", "/dev/stdin", stdin=baseline)
    assert added.code == 0, added
    return npsn, project.central("officer", "school", "show", npsn, "--as-of", "head", "--json").json["root"]
