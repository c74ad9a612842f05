"""What is started together, and what the caller gets: addresses that answer, for as long as the `with` block lasts."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.embedded import folder, packages, postgresql, rabbitmq
from services.embedded.guardian import end_remembered
from services.embedded.postgresql import DatabaseOwner
from services.embedded.processes import Guardian


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the private servers answer. `superuser_url` may make databases and roles;
    `metrics_port` is RabbitMQ's for Prometheus, `epmd_port` what `rabbitmqctl` finds the node by."""

    run_dir: Path
    amqp_host: str
    amqp_port: int
    management_port: int
    metrics_port: int
    epmd_port: int
    postgresql_host: str
    postgresql_port: int
    superuser_url: str

    def amqp_url(self, user: str, password: str, vhost: str = "/") -> str:
        """The broker's address for one user."""
        return rabbitmq.url(user, password, self.amqp_port, vhost)

    def database_url(self, role: str, password: str, database: str) -> str:
        """A database's address for one role, for SQLAlchemy with asyncpg."""
        return postgresql.url(role, password, self.postgresql_port, database)


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")
    sys.stderr.flush()


@contextmanager
def private_servers(
    run_dir: Path,
    *,
    definitions: Mapping[str, Any],
    databases: Mapping[str, DatabaseOwner],
    fresh: bool,
    say: Callable[[str], None] = _say,
) -> Iterator[Servers]:
    """A PostgreSQL and a RabbitMQ in `run_dir`, answering inside the block and gone after it, whatever ends it.

    `definitions`: RabbitMQ's definitions document (users with a clear `password`), loaded at every start.
    `databases`: database → the role that owns it and may connect to no other; made if absent, passwords set as given.
    `fresh`: begin without data, and do not care for them afterwards; otherwise both servers keep theirs.
    `say`: told, a line each, what takes time. Installs rabbitmq-server if the machine has none.

    Raises ServersUnavailable with one sentence. Takes about 5 s; stopping 0.3 s, or 6 s if the data are kept.
    """
    run_dir = run_dir.resolve()
    postgresql.binaries()
    packages.install_rabbitmq(say)
    with folder.held(run_dir) as lock:
        end_remembered(run_dir)
        if fresh:
            folder.wipe(run_dir)
        say("Starting private PostgreSQL and RabbitMQ (a few seconds) …")
        with Guardian(run_dir, lock) as guardian:
            yield _start(guardian, definitions, databases, fresh=fresh)


def _start(
    guardian: Guardian, definitions: Mapping[str, Any], databases: Mapping[str, DatabaseOwner], *, fresh: bool
) -> Servers:
    """Start both at once; if one fails, end the other at once too."""
    postgresql_port, *others = folder.free_ports(guardian.run_dir, 6)
    ports = rabbitmq.Ports(*others)
    with ThreadPoolExecutor(max_workers=2) as pool:
        try:
            database: Future[str] = pool.submit(postgresql.start, guardian, postgresql_port, databases)
            broker: Future[None] = pool.submit(rabbitmq.start, guardian, ports, definitions, fresh=fresh)
            both: list[Future[Any]] = [database, broker]
            done, _ = wait(both, return_when=FIRST_EXCEPTION)
            for finished in done:
                finished.result()
        except BaseException:
            guardian.close()  # the other's waiting ends with an error, so the pool does
            raise
    return Servers(
        run_dir=guardian.run_dir,
        amqp_host="127.0.0.1",
        amqp_port=ports.amqp,
        management_port=ports.management,
        metrics_port=ports.prometheus,
        epmd_port=ports.epmd,
        postgresql_host="127.0.0.1",
        postgresql_port=postgresql_port,
        superuser_url=database.result(),
    )
