"""A private RabbitMQ node on loopback, with ports, epmd, cookie and users of its own; the machine's own is not touched.

Every setting comes by the environment and by files in the run folder; those of the machine's own node (/etc/rabbitmq)
are not read.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from services.embedded.failures import MissingPart
from services.embedded.packages import RABBITMQ_SERVER
from services.embedded.processes import Guardian

NODE = "selaras@localhost"
"""The same name in every folder: nodes meet by way of their epmd, and each private node has one of its own."""
PLUGINS = ("rabbitmq_consistent_hash_exchange", "rabbitmq_management", "rabbitmq_prometheus")
MAX_MESSAGE_BYTES = 16 * 1024 * 1024
"""What RabbitMQ 4 allows by default; older ones allow 128 MiB, and what passes here should pass there."""
STOP_SECONDS = 10.0
"""A clean stop takes 6 s with the management plugin, of which it waits for 5 (3.10)."""
AMQP_HEADER = b"AMQP\x00\x00\x09\x01"


@dataclass(frozen=True, slots=True)
class Ports:
    """The node's ports, all on 127.0.0.1. `distribution` and `epmd` are Erlang's own, for `rabbitmqctl`."""

    amqp: int
    management: int
    prometheus: int
    distribution: int
    epmd: int


def url(user: str, password: str, port: int, vhost: str) -> str:
    """The address of a virtual host. The default one, `/`, is written as an empty name, as the clients here read it."""
    name = "" if vhost == "/" else quote(vhost, safe="")
    return f"amqp://{quote(user, safe='')}:{quote(password, safe='')}@127.0.0.1:{port}/{name}"


def start(guardian: Guardian, ports: Ports, definitions: Mapping[str, Any], *, fresh: bool) -> None:
    """Start the node, with data in <run folder>/rabbitmq, and load the definitions.

    `fresh` data are thrown away, so the node is killed in the end, at once. Raises StartFailed or MissingPart.
    """
    epmd = shutil.which("epmd")
    if epmd is None:
        raise MissingPart("Erlang's epmd is missing: sudo apt-get install erlang-base.")
    home = guardian.run_dir / "rabbitmq"
    home.mkdir(mode=0o700, exist_ok=True)
    erlang = {"HOME": str(home), "ERL_EPMD_PORT": str(ports.epmd), "ERL_EPMD_ADDRESS": "127.0.0.1"}
    guardian.start(
        "epmd",
        [epmd, "-port", str(ports.epmd), "-address", "127.0.0.1"],
        environment=erlang,
        folder=home,
        stop_signal=signal.SIGKILL,
        stop_seconds=0,
    )
    guardian.wait_until(lambda: _accepts(ports.epmd), "epmd")
    guardian.start(
        "rabbitmq",
        [str(RABBITMQ_SERVER)],
        environment=erlang | _environment(home, ports, definitions),
        folder=home,
        stop_signal=signal.SIGKILL if fresh else signal.SIGTERM,
        stop_seconds=0 if fresh else STOP_SECONDS,
    )
    guardian.wait_until(lambda: _speaks_amqp(ports.amqp) and _accepts(ports.management), "rabbitmq")


def _environment(home: Path, ports: Ports, definitions: Mapping[str, Any]) -> dict[str, str]:
    """Write the node's files, and say where they are."""
    (home / "enabled_plugins").write_text(f"[{','.join(PLUGINS)}].\n")
    definitions_file = home / "definitions.json"
    definitions_file.touch(mode=0o600)  # it holds the passwords
    definitions_file.write_text(json.dumps(definitions))
    (home / "rabbitmq.conf").write_text(
        f"listeners.tcp.default = 127.0.0.1:{ports.amqp}\n"
        "management.tcp.ip = 127.0.0.1\n"
        f"management.tcp.port = {ports.management}\n"
        "prometheus.tcp.ip = 127.0.0.1\n"
        f"prometheus.tcp.port = {ports.prometheus}\n"
        f"load_definitions = {definitions_file}\n"
        f"max_message_size = {MAX_MESSAGE_BYTES}\n"
        "vm_memory_high_watermark.absolute = 1GB\n"
        "disk_free_limit.absolute = 50MB\n"
        "log.console = false\n"
    )
    return {
        "RABBITMQ_NODENAME": NODE,
        "RABBITMQ_NODE_IP_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODE_PORT": str(ports.amqp),
        "RABBITMQ_DIST_PORT": str(ports.distribution),
        "RABBITMQ_MNESIA_BASE": str(home / "data"),
        "RABBITMQ_LOG_BASE": str(home / "log"),
        "RABBITMQ_PID_FILE": str(home / "pid"),
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": str(home / "none"),  # not the machine's /etc/rabbitmq/rabbitmq-env.conf
        "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "none"),
        "RABBITMQ_CONFIG_FILES": str(home / "none"),  # nor its conf.d
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-start_epmd false -kernel inet_dist_use_interface {127,0,0,1}",
        "RUNNING_UNDER_SYSTEMD": "1",  # the script then becomes the server: its pid is the server's
    }


def _accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True


def _speaks_amqp(port: int) -> bool:
    """Does it answer AMQP's greeting? (The port is opened last, when definitions and plugins are in place.)"""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(AMQP_HEADER)
            return bool(connection.recv(1))
    except OSError:
        return False
