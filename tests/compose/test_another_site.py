"""A site of compose.site.yaml beside the stack: it joins central over TLS, syncs, and is shut out again."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.deploy import certificates
from tests.compose import school
from tests.compose.project import DEPLOY, Project

HOST = "pusat.selaras.test"
ADDRESS = f"{HOST}:5671"


@pytest.fixture(scope="module")
def central(project: Project) -> Iterator[Project]:
    """The stack, under a name that its broker's certificate has."""
    project.environment["CENTRAL_HOST"] = HOST
    project.up()
    project.does("restart", "rabbitmq")
    project.up()
    yield project
    del project.environment["CENTRAL_HOST"]
    project.up()
    project.does("restart", "rabbitmq")
    project.up()


@pytest.fixture(scope="module")
def utara(central: Project, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """A site alone, on a network over which it reaches central's broker by name."""
    wide = f"{central.name}-wide-{secrets.token_hex(3)}"  # a run that was killed leaves its own behind
    (broker,) = central.does("ps", "-q", "rabbitmq").split()
    assert central.docker("network", "create", wide).code == 0
    assert central.docker("network", "connect", "--alias", HOST, wide, broker).code == 0
    override = tmp_path_factory.mktemp("utara") / "network.yaml"
    override.write_text(
        json.dumps(
            {
                "services": {name: {"networks": {"wide": {}}} for name in ("syncer", "puller", "selaras")},
                "networks": {"wide": {"external": True, "name": wide}},
            }
        )
    )
    environment = {"AMQPS_PORT": str(int(os.environ["AMQPS_PORT"]) + 1), "COMPOSE_PROFILES": ""}
    site = Project(f"{central.name}-utara", [DEPLOY / "compose.site.yaml", override], environment)
    yield site
    site.does("down", "-v", "-t", "10")
    central.docker("network", "disconnect", wide, broker)
    central.docker("network", "rm", wide)


def joining(central: Project, *words: str) -> str:
    """What central hands to the site."""
    ran = central.central("site", "add", "utara", "--address", ADDRESS, *words)
    assert ran.code == 0, ran
    return ran.out


def test_a_site_that_has_not_joined_says_how(utara: Project) -> None:
    up = utara.compose("up", "-d", "--no-build", "--wait")
    assert up.code != 0
    assert "selaras deploy join" in utara.does("logs", "prepare")
    assert utara.compose("run", "--rm", "-T", "join", stdin="{}").code == 2


def test_a_site_joins_over_tls_registers_a_school_and_syncs(central: Project, utara: Project) -> None:
    utara.does("run", "--rm", "-T", "join", stdin=joining(central, "--rotate"))
    utara.up()
    pupils = school.register("99000027", utara, central)
    assert pupils.publish(anak_keberapa=2).code == 0
    assert pupils.sync().code == 0
    assert len(pupils.roots()) == 1
    shown = central.central("officer", "school", "show", pupils.npsn, "--json").json
    assert shown["site"] == "utara"
    metrics = "import urllib.request as r; print(r.urlopen('http://127.0.0.1:9100/metrics').read().decode())"
    assert 'site="utara"' in utara.python("syncer", metrics).out


def test_adding_a_site_again_is_harmless(central: Project, utara: Project) -> None:
    assert joining(central) == ""
    assert central.central("site", "list", "--json").json.count("utara") == 1
    assert utara.selaras("pull", "99000027").code == 0


def test_the_installations_own_site_is_not_given_away(central: Project) -> None:
    assert central.central("site", "add", "situs", "--rotate").code == 3


def test_a_central_that_does_not_prove_itself_is_told_in_a_sentence_and_nothing_is_sent(
    central: Project, utara: Project, tmp_path: Path
) -> None:
    document = json.loads(joining(central, "--rotate"))
    other, _ = certificates.new_authority("lain", certificates.now())
    utara.does("run", "--rm", "-T", "join", stdin=json.dumps(document | {"central_ca": other.decode()}))
    utara.does("up", "-d", "--no-build", "--force-recreate", "--wait", "--wait-timeout", "120")
    refused = utara.selaras("register", "99000034", "--code", "AAAA-BBBB-CCCC-DDDD-EEEE")
    assert refused.code == 5
    assert "does not prove that it is the right one" in refused.err
    assert refused.err.count("prove") == 1
    assert "does not prove that it is the right one" in utara.does("logs", "--no-color", "syncer")
    utara.does("run", "--rm", "-T", "join", stdin=json.dumps(document))
    utara.does("up", "-d", "--no-build", "--force-recreate", "--wait", "--wait-timeout", "120")
    assert utara.selaras("pull", "99000027").code == 0


def test_a_site_that_is_removed_is_shut_out_at_once(central: Project, utara: Project) -> None:
    assert central.central("site", "remove", "utara").code == 0
    assert "utara" not in central.central("site", "list", "--json").json
    refused = utara.selaras("register", "99000034", "--code", "AAAA-BBBB-CCCC-DDDD-EEEE")
    assert refused.code == 5
    assert "refuses this user or password" in refused.err
    assert central.central("site", "remove", "utara").code == 3
    granted = central.central("account", "list", "--side", "central", "--json").json
    assert [one for one in granted if one["user_name"].startswith("utara-")] == []
