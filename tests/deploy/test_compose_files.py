"""The compose files, read without Docker: nothing runs as root, unbounded or open, and every knob is explained."""

from __future__ import annotations

import re

import pytest
import yaml

from scripts.docs import built
from tests.deploy.files import DEPLOY, ONCE, OURS, TOOLS, compose, env_example, knobs, services

FILES = ("compose.yaml", "compose.site.yaml")
SERVICES = services()
EVERY = [pytest.param(service, id=name) for name, service in SERVICES.items()]
LASTING = [pytest.param(service, id=name) for name, service in SERVICES.items() if name not in (*ONCE, *TOOLS)]
ADDRESSES = {"amqp_url", "site_database_url", "central_database_url", "central_amqp_url", "site"}
"""Settings that `prepare` writes as files."""
FIXED = {"http_host", "http_port", "central_keys_file", "signing_keys_file", "backup_folder"}
"""Settings that follow from the image and from where the secrets and the backups are mounted."""


def test_every_knob_is_explained_with_its_default_and_nothing_else_is() -> None:
    taken = knobs("compose.yaml") | knobs("compose.site.yaml")
    explained = env_example()
    assert set(explained) == set(taken)
    assert {name: explained[name] for name, default in taken.items() if default is not None} == {
        name: default for name, default in taken.items() if default is not None
    }


def test_every_setting_of_a_service_is_a_knob_and_its_default_is_the_services_own() -> None:
    explained = env_example()
    for name, service in built().items():
        fields = type(service.settings).model_fields
        environment = SERVICES[name].get("environment") or {}
        wanted = {f"SELARAS_{field.upper()}" for field in fields} - {f"SELARAS_{f.upper()}" for f in ADDRESSES | FIXED}
        assert {key for key, value in environment.items() if value is None} == wanted, name
        for variable in wanted:
            default = fields[variable.removeprefix("SELARAS_").lower()].default
            assert explained[variable] == ("" if default is None else str(default)), variable


def test_no_password_key_or_address_with_one_is_in_the_environment() -> None:
    for service in SERVICES.values():
        for name, value in (service.get("environment") or {}).items():
            assert name.endswith(("_FILE", "__FILE")) or not re.search("PASSWORD|SECRET|_URL|COOKIE", name), name
            assert "://" not in str(value)


@pytest.mark.parametrize("service", EVERY)
def test_a_container_can_neither_write_to_its_image_nor_gain_rights(service: dict[str, object]) -> None:
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "pid", "ipc", "devices"} & service.keys()
    user = str(service.get("user", "10001:10001"))
    assert not user.startswith(("0", "root"))
    assert "build" in service or "user" in service, "the image's own user may be root"


@pytest.mark.parametrize("service", EVERY)
def test_a_container_is_bounded(service: dict[str, object]) -> None:
    limits = service["deploy"]["resources"]["limits"]  # type: ignore[index]
    assert limits.keys() == {"cpus", "memory", "pids"}
    logging = service["logging"]
    assert logging["driver"] == "json-file"  # type: ignore[index]
    assert logging["options"].keys() == {"max-size", "max-file"}  # type: ignore[index]


@pytest.mark.parametrize("service", LASTING)
def test_what_runs_on_is_restarted_and_says_how_it_is(service: dict[str, object]) -> None:
    assert service["restart"] == "unless-stopped"
    assert "healthcheck" in service or "build" in service, "our image has one of its own"
    assert service.get("healthcheck") != {"disable": True}


@pytest.mark.parametrize("name", OURS)
def test_a_service_waits_for_what_it_needs_and_is_given_time_to_stop(name: str) -> None:
    waits = {other: how["condition"] for other, how in SERVICES[name]["depends_on"].items()}
    assert waits == {
        "prepare": "service_completed_successfully",
        "migrate": "service_completed_successfully",
        "rabbitmq": "service_healthy",
        "postgres": "service_healthy",
    }
    grace = env_example()["STOP_GRACE"]
    assert int(grace.removesuffix("s")) > float(env_example()["SELARAS_STOP_SECONDS"]) + 10


def test_only_this_machine_reaches_a_port_and_no_port_is_an_ordinary_one() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 4
    for port in published:
        assert re.fullmatch(r"127\.0\.0\.1:\$\{[A-Z]+_PORT:-4\d{4}\}:\d+", port)


@pytest.mark.parametrize("file", FILES)
def test_each_container_sees_the_secrets_of_its_own_name_and_only_prepare_sees_all(file: str) -> None:
    seen: dict[str, str] = {}
    for name, service in SERVICES.items():
        for volume in service.get("volumes", []):
            if isinstance(volume, dict) and volume["source"] == "state":
                if name == "prepare":
                    assert "volume" not in volume
                    continue
                assert volume["target"] == "/run/secrets"
                assert volume["read_only"] is True
                seen[name] = volume["volume"]["subpath"]
    assert seen == {name: name for name in seen} | {"selaras": "command", "selaras-central": "central-command"}
    assert {*OURS, "rabbitmq", "postgres", "migrate"} <= set(seen)
    assert all("volumes" not in service for service in services("compose.site.yaml").values())
    assert file in FILES


def test_the_sides_share_no_network_but_with_the_two_servers_and_the_watch() -> None:
    networks = {name: set(service.get("networks", [])) for name, service in SERVICES.items()}
    for name in ("validator", "syncer", "puller", "selaras"):
        assert networks[name] == {"site"}
    for name in ("central", "selaras-central"):
        assert networks[name] == {"central"}
    both = {name for name, on in networks.items() if {"site", "central"} <= on}
    assert both == {"rabbitmq", "postgres", "migrate", "prometheus"}
    assert SERVICES["prepare"]["network_mode"] == "none"
    declared = compose()["networks"]
    assert {name for name, how in declared.items() if not (how or {}).get("internal")} == {"edge"}
    assert {name for name, on in networks.items() if "edge" in on} == {
        "rabbitmq", "prometheus", "alertmanager", "grafana",
    }  # fmt: skip


def test_a_site_alone_runs_what_the_whole_runs_but_central() -> None:
    alone = services("compose.site.yaml")
    assert set(alone) == {*SERVICES, "join"} - {"central", "selaras-central"}
    for name, service in alone.items():
        base = "prepare" if name == "join" else name
        assert service["extends"] == {"file": "compose.yaml", "service": base}
        assert service.keys() <= {"extends", "command", "profiles", "networks"}
    declared = compose("compose.site.yaml")
    used = {on for name in set(alone) - {"join"} for on in SERVICES[name].get("networks", [])}
    assert set(declared["networks"]) == used | {"edge"}
    assert all(declared["networks"][name] == compose()["networks"][name] for name in used)


def test_what_is_not_always_wanted_is_in_a_profile() -> None:
    profiles = {name: service["profiles"] for name, service in SERVICES.items() if "profiles" in service}
    assert profiles == {
        "prometheus": ["watch"], "alertmanager": ["watch"], "grafana": ["grafana"],
        "selaras": ["tools"], "selaras-central": ["tools"],
    }  # fmt: skip


def test_what_is_mounted_is_there() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", []):
            if isinstance(volume, str):
                source, target, mode = volume.split(":")
                assert (DEPLOY / source).exists(), source
                assert mode == "ro", target
            elif "volume" in volume or volume["source"] != "state":
                assert volume["source"] in compose()["volumes"]


def test_prometheus_scrapes_every_service_under_its_name() -> None:
    config = yaml.safe_load((DEPLOY / "prometheus" / "prometheus.yml").read_text())
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    for name in OURS:
        (found,) = jobs[name]["dns_sd_configs"]
        assert (found["names"], found["type"], found["port"]) == ([name], "A", 9100)
    (broker,) = jobs["rabbitmq"]["dns_sd_configs"]
    assert (broker["names"], broker["port"]) == (["rabbitmq"], 15692)


def test_the_brokers_limits_are_set() -> None:
    text = (DEPLOY / "rabbitmq" / "selaras.conf").read_text()
    set_to = dict(re.findall(r"^([a-z_.0-9]+) = (.+)$", text, re.MULTILINE))
    assert set_to["max_message_size"] == str(16 * 1024 * 1024)
    assert {"vm_memory_high_watermark.relative", "disk_free_limit.absolute", "channel_max", "connection_max"} <= set(
        set_to
    )
    assert set_to["load_definitions"] == "/run/secrets/definitions.json"
    assert set_to["listeners.ssl.default"] == "5671"
    assert not [name for name in set_to if name.startswith(("default_", "loopback_"))]
    plugins = (DEPLOY / "rabbitmq" / "enabled_plugins").read_text()
    for plugin in ("consistent_hash_exchange", "management", "prometheus"):
        assert f"rabbitmq_{plugin}" in plugins
