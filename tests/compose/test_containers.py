"""Every container: healthy, no root, nothing to write on, no capabilities; and no secret but its own."""

from __future__ import annotations

import json
import re

import pytest

from services.embedded.stack import SITE
from tests.compose.project import SERVICES, Project

SECRETS = {
    "validator": {"validator", "database:site"},
    "syncer": {"syncer", f"{SITE}-sync", "database:site"},
    "puller": {"puller", f"{SITE}-pull", "database:site"},
    "central": {"central", "database:central"},
    "rabbitmq": set(),  # hashes
    "postgres": {"database:postgres", "database:site", "database:central"},
}
"""Whose passwords a container can read."""
OURS = (*SERVICES, "rabbitmq", "postgres")
READ_SECRETS = "cd /run/secrets && for f in *; do echo; cat $f; done"


def test_everything_is_healthy(project: Project) -> None:
    assert {*OURS} <= set(project.running())
    assert [service for service in project.running() if not project.is_healthy(service)] == []
    for once in ("prepare", "migrate"):
        assert project.inspect(once)["State"]["ExitCode"] == 0


def test_no_container_is_root_or_may_become_it_or_write_to_its_image(project: Project) -> None:
    for service in project.running():
        found = project.inspect(service)
        host = found["HostConfig"]
        assert not re.match(r"(0|root)?(:|$)", found["Config"]["User"]), service
        assert host["ReadonlyRootfs"], service
        assert host["CapDrop"] == ["ALL"], service
        assert not host["CapAdd"], service
        assert not host["Privileged"], service
        assert "no-new-privileges:true" in host["SecurityOpt"], service
        assert host["Memory"] > 0, service
        assert host["NanoCpus"] > 0, service
        assert host["PidsLimit"] > 0, service
        assert host["LogConfig"]["Config"].keys() >= {"max-size", "max-file"}, service
        assert host["RestartPolicy"]["Name"] == "unless-stopped", service


def test_what_runs_in_a_container_has_no_rights_in_fact(project: Project) -> None:
    for service in project.running():
        status = project.does("exec", "-T", service, "cat", "/proc/self/status")
        told = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(told["CapEff"]) == {"0"}, service
        assert set(told["CapBnd"]) == {"0"}, service
        assert told["NoNewPrivs"] == "1", service
        assert told["Uid"].split()[0] != "0", service
        written = project.compose("exec", "-T", service, "sh", "-c", "echo x >/usr/x || echo x >/etc/x")
        assert written.code != 0, service


def test_only_the_broker_over_tls_and_the_watch_are_open_to_this_machine_and_to_no_other(project: Project) -> None:
    for service in project.running():
        bound = project.inspect(service)["HostConfig"]["PortBindings"] or {}
        assert all(one["HostIp"] == "127.0.0.1" for ports in bound.values() for one in ports), service
        expected = {"rabbitmq": {"5671/tcp"}, "prometheus": {"9090/tcp"}, "alertmanager": {"9093/tcp"}}
        assert set(bound) == expected.get(service, set()), service


@pytest.mark.parametrize("service", OURS)
def test_no_container_can_read_anothers_secrets(project: Project, service: str) -> None:
    read = project.does("exec", "-T", service, "sh", "-c", READ_SECRETS)
    assert len(read) > 20
    assert {name for name, password in project.passwords().items() if password in read} == SECRETS[service]
    keys = json.loads(project.secret("central/signing-keys.json"))
    assert (keys["keys"][0]["d"] in read) == (service == "central")


def test_no_secret_stands_where_docker_shows_it_or_in_a_log(project: Project) -> None:
    keys = json.loads(project.secret("central/signing-keys.json"))
    secrets = {*project.passwords().values(), keys["keys"][0]["d"]}
    containers = project.does("ps", "-a", "-q").split()
    image = project.inspect("validator")["Image"]
    shown = [
        project.docker("inspect", *containers).out,
        project.docker("inspect", image).out,
        project.docker("history", "--no-trunc", image).out,
        project.does("config"),
        project.does("logs", "--no-color"),
    ]
    assert all(len(text) > 100 for text in shown)
    assert [text.index(secret) for text in shown for secret in secrets if secret in text] == []


def test_a_side_reaches_neither_the_others_services_nor_its_database(project: Project) -> None:
    lookup = "import socket; socket.create_connection(({!r}, {}), 3)"
    assert project.python("validator", lookup.format("central", 9100)).code != 0
    assert project.python("central", lookup.format("validator", 9100)).code != 0
    assert project.python("validator", lookup.format("syncer", 9100)).code == 0, "the test itself"
    connect = (
        "import asyncio, asyncpg, pathlib\n"
        "url = pathlib.Path('/run/secrets/selaras_{own}_database_url').read_text().replace('+asyncpg', '')\n"
        "asyncio.run(asyncpg.connect(url.rpartition('/')[0] + '/{other}'))\n"
    )
    for service, own, other in (("validator", "site", "central"), ("central", "central", "site")):
        assert project.python(service, connect.format(own=own, other=own)).code == 0, "the test itself"
        for database in (other, "postgres", "template1"):
            refused = project.python(service, connect.format(own=own, other=database))
            assert "permission denied for database" in refused.err, refused


def test_no_service_gets_out_of_its_networks(project: Project) -> None:
    for service in SERVICES:
        networks = project.inspect(service)["NetworkSettings"]["Networks"]
        (name,) = networks
        (network,) = project.docker("network", "inspect", name).json
        assert network["Internal"], service
