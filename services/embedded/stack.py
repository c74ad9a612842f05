"""The whole system on one machine: servers, users, tables, and the four services as four processes.

Each process is told only what it needs: the site's know no address of central's database, nor central of the site's.
"""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from services import migrations, signing, topology
from services.database import Database
from services.embedded import Servers, private_servers
from services.intake import Accounts
from services.intake.accounts import ANY_SCHOOL

SERVICES = ("validator", "syncer", "puller", "central")
SITE = "situs"
OPERATOR = topology.PERSON_USER
OFFICER = topology.OFFICER_USER
READY_SECONDS = 60.0
STOP_SECONDS = 25.0
GIVEN = ("SELARAS_AMQP_URL", "SELARAS_SITE_DATABASE_URL", "SELARAS_CENTRAL_DATABASE_URL")
"""Servers of one's own: with all three set, no private ones are started."""

Say = Callable[[str], None]


class StackFailed(Exception):
    """A service did not come up; the message is one sentence with what it said."""


@dataclass(frozen=True)
class Keys:
    """Central's key files: the private set, and the public one that sites pin."""

    private: Path
    public: Path


@dataclass(frozen=True)
class Addresses:
    """Where the servers are, as each user. `amqp` maps a user to its URL; `administrator` may make databases;
    `servers` are the private ones, if these are."""

    amqp: Mapping[str, str]
    site_database: str
    central_database: str
    administrator: str
    keys: Keys | None = None
    servers: Servers | None = None

    def of_service(self, name: str) -> dict[str, str]:
        """The settings of one service, and no other's."""
        if name == "central":
            settings = {"SELARAS_AMQP_URL": self.amqp["central"], "SELARAS_CENTRAL_DATABASE_URL": self.central_database}
            return settings | ({"SELARAS_SIGNING_KEYS_FILE": str(self.keys.private)} if self.keys else {})
        settings = {"SELARAS_AMQP_URL": self.amqp[name], "SELARAS_SITE_DATABASE_URL": self.site_database}
        if name in ("syncer", "puller"):
            user = f"{SITE}-sync" if name == "syncer" else f"{SITE}-pull"
            settings["SELARAS_CENTRAL_AMQP_URL"] = self.amqp[user]
            settings |= {"SELARAS_CENTRAL_KEYS_FILE": str(self.keys.public)} if self.keys else {}
        return settings

    def of_site_command(self) -> dict[str, str]:
        """The settings of the command at the site."""
        return {
            "SELARAS_AMQP_URL": self.amqp[OPERATOR],
            "SELARAS_SITE_DATABASE_URL": self.site_database,
            "SELARAS_CENTRAL_AMQP_URL": self.amqp[f"{SITE}-sync"],
        }

    def of_officer_command(self) -> dict[str, str]:
        """The settings of the command at central."""
        return {
            "SELARAS_OFFICER_AMQP_URL": self.amqp[OFFICER],
            "SELARAS_CENTRAL_DATABASE_URL": self.central_database,
        }


def users() -> list[topology.User]:
    """Every broker user of a one-machine installation."""
    return topology.installation_users(SITE)


async def seed_accounts(addresses: Addresses) -> None:
    """Who may speak for which school: the one-machine users, at the site and at central."""

    async def grant(url: str, rows: list[tuple[str, str, bool]]) -> None:
        database = Database(url)
        try:
            for user, role, names_people in rows:
                await Accounts(database).grant(user, ANY_SCHOOL, role, names_people=names_people)
        finally:
            await database.close()

    from services.broker import user_of

    operator = user_of(addresses.amqp[OPERATOR])
    await grant(addresses.site_database, [(operator, "operator", True), (operator, "principal", True)])
    await grant(
        addresses.central_database,
        [
            (user_of(addresses.amqp[f"{SITE}-sync"]), "site-sync", False),
            (user_of(addresses.amqp[f"{SITE}-pull"]), "site-pull", False),
            (user_of(addresses.amqp[OFFICER]), "officer", True),
        ],
    )


@dataclass
class Stack:
    """Running servers and services. `environment` is laid over every service's own settings."""

    run_dir: Path
    addresses: Addresses
    say: Say
    environment: Mapping[str, str] = field(default_factory=dict)
    processes: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)

    def start(self, name: str, *, python: str = sys.executable, **settings: str) -> None:
        """Start one service as a process of its own and return; `wait_ready` waits for it. `python` may be that of
        another release.
        """
        self.ports.setdefault(name, free_port())
        environment = {
            **_bare_environment(),
            "SELARAS_SITE": "pusat" if name == "central" else SITE,
            "SELARAS_HTTP_PORT": str(self.ports[name]),
            "SELARAS_LOG_FORMAT": "text",  # people read these
            **self.environment,
            **self.addresses.of_service(name),
            **settings,
        }
        log = self.log_file(name).open("ab")
        with log:
            self.processes[name] = subprocess.Popen(
                [python, "-P", "-m", "services.cli", "serve", name],
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=_die_with_parent,  # noqa: PLW1509  one system call, and no thread holds a lock it needs
            )

    def log_file(self, name: str) -> Path:
        """Where a service's output goes."""
        return self.run_dir / f"{name}.log"

    def wait_ready(self, *names: str) -> None:
        """Wait until /readyz of each is green. Raises StackFailed."""
        deadline = time.monotonic() + READY_SECONDS
        for name in names or SERVICES:
            while not self._is_ready(name):
                if self.processes[name].poll() is not None or time.monotonic() > deadline:
                    last = self.log_file(name).read_text(errors="replace").strip().splitlines()[-3:]
                    raise StackFailed(
                        f"The {name} did not come up; {self.log_file(name).name} ends: {' / '.join(last)}"
                    )
                time.sleep(0.05)

    def _is_ready(self, name: str) -> bool:
        try:
            return self.page(name, "readyz")[0] == 200
        except OSError:
            return False

    def page(self, name: str, page: str) -> tuple[int, str]:
        """The status and text of one of a service's pages; loopback only."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[name]}/{page}", timeout=10) as answer:
            return answer.status, answer.read().decode()

    def metrics(self, name: str) -> str:
        """What a service's /metrics says."""
        return self.page(name, "metrics")[1]

    def kill(self, name: str) -> None:
        """kill -9: the process gets no chance to tidy up."""
        self.processes[name].kill()
        self.processes[name].wait()

    def stop(self, name: str) -> int:
        """SIGTERM, and wait for the graceful stop; the exit code."""
        process = self.processes[name]
        process.send_signal(signal.SIGTERM)
        try:
            return process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            return process.wait()

    def stop_all(self) -> None:
        """Stop every service, all at once."""
        for process in self.processes.values():
            if process.poll() is None:
                process.send_signal(signal.SIGTERM)
        for name in self.processes:
            self.stop(name)


@contextmanager
def stack(
    run_dir: Path,
    *,
    fresh: bool,
    say: Say,
    environment: Mapping[str, str] | None = None,
    start: bool = True,
    others: Sequence[topology.User] = (),
) -> Iterator[Stack]:
    """Servers, users, tables and (with `start`) the four services; all gone when the block ends.

    `others`: broker users beside the system's own, with no account at the site or at central.
    With SELARAS_AMQP_URL, SELARAS_SITE_DATABASE_URL and SELARAS_CENTRAL_DATABASE_URL set, those servers are used.
    """
    with addresses(run_dir, fresh=fresh, say=say, others=others) as found:
        where = replace(found, keys=_own_keys(run_dir))
        try:
            migrations.upgrade("site", where.site_database)
            migrations.upgrade("central", where.central_database)
        except (migrations.TablesInUse, migrations.TablesUnfit) as error:
            raise StackFailed(str(error)) from error
        asyncio.run(seed_accounts(where))
        running = Stack(run_dir, where, say, environment or {})
        for name in SERVICES if fresh else ():
            running.log_file(name).unlink(missing_ok=True)
        try:
            if start:
                for name in SERVICES:
                    running.start(name)
                running.wait_ready()
            yield running
        finally:
            running.stop_all()


@contextmanager
def addresses(run_dir: Path, *, fresh: bool, say: Say, others: Sequence[topology.User] = ()) -> Iterator[Addresses]:
    """The servers' addresses: given by the environment, or of private servers that this starts."""
    given = [os.environ.get(name) for name in GIVEN]
    if all(given):
        amqp, site, central = (str(url) for url in given)
        run_dir.mkdir(parents=True, exist_ok=True)
        asyncio.run(topology_declare(amqp))
        yield Addresses({user.name: amqp for user in [*users(), *others]}, site, central, administrator=site)
        return
    everybody = [*users(), *others]
    passwords = _passwords(run_dir, everybody, fresh=fresh)
    definitions = topology.definitions({user.name: (user, passwords[user.name]) for user in everybody})
    with private_servers(
        run_dir,
        definitions=definitions,
        databases={side: (side, passwords[f"@{side}"]) for side in ("site", "central")},
        fresh=fresh,
        say=say,
    ) as servers:
        yield _private(servers, everybody, passwords)


def _private(servers: Servers, everybody: Sequence[topology.User], passwords: Mapping[str, str]) -> Addresses:
    return Addresses(
        {user.name: servers.amqp_url(user.name, passwords[user.name]) for user in everybody},
        servers.database_url("site", passwords["@site"], "site"),
        servers.database_url("central", passwords["@central"], "central"),
        administrator=servers.superuser_url,
        servers=servers,
    )


def _passwords(run_dir: Path, everybody: Sequence[topology.User], *, fresh: bool) -> dict[str, str]:
    """A random password per user, kept beside the data it opens."""
    file = run_dir.with_name(run_dir.name + ".passwords.json")
    names = [*(user.name for user in everybody), "@site", "@central"]
    known: dict[str, Any] = {} if fresh or not file.exists() else json.loads(file.read_text())
    passwords = {name: known.get(name) or secrets.token_urlsafe(18) for name in names}
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(json.dumps(passwords))
    return passwords


def _own_keys(run_dir: Path) -> Keys:
    """Central's keys, made once and kept beside the data that they sign."""
    keys = Keys(run_dir.with_name(run_dir.name + ".keys.json"), run_dir.with_name(run_dir.name + ".keys.public.json"))
    if not keys.private.exists():
        signing.new(keys.private)
    keys.public.write_text(signing.public_document(keys.private))
    return keys


async def topology_declare(url: str) -> None:
    """Make the whole topology on a broker of one's own."""
    from services.declare import declare

    await declare(url)


def free_port() -> int:
    """A TCP port that nobody listens on just now."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _bare_environment() -> dict[str, str]:
    """The parent's environment without any of our settings: a service knows only what it is told."""
    return {name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")}


def _die_with_parent() -> None:
    """Ask Linux to end this process when its parent dies (also by kill -9)."""
    if sys.platform == "linux":
        import ctypes

        ctypes.CDLL(None).prctl(1, signal.SIGTERM)  # PR_SET_PDEATHSIG
