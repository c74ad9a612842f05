"""A system of its own on the servers of these tests: a virtual host, two databases, services of either release."""

from __future__ import annotations

import base64
import json
import shutil
import urllib.request
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import asyncpg
from rich.console import Console
from sqlalchemy import make_url

from services import declare, migrations, signing, topology
from services.demo.stage import Stage
from services.embedded import Servers, private_servers
from services.embedded.stack import Addresses, Keys, Stack, seed_accounts, users
from services.tables import Side
from tests.upgrade.release import Release

ADMINISTRATOR = topology.User("penguji", configure=".*", write=".*", read=".*", tags="administrator")
EVERYBODY = (*users(), ADMINISTRATOR)
PASSWORD = "kata-sandi-uji"
SIDES: tuple[Side, ...] = ("site", "central")
_DEFINITIONS = """
import json, sys
from services import topology
from services.embedded.stack import users
everybody = {user.name: (user, sys.argv[2]) for user in users()}
print(json.dumps(topology.definitions(everybody, vhost=sys.argv[1])))
"""
"""What a release loads into the broker, told by its own code."""


@dataclass
class System:
    """A stack whose parts are brought up one by one, each by the release that a test says. None of it is there yet."""

    name: str
    servers: Servers
    release_before: Release
    run_dir: Path
    keys: Keys
    environment: Mapping[str, str]

    def __post_init__(self) -> None:
        site, central = (
            self.servers.database_url(self.database(side), PASSWORD, self.database(side)) for side in SIDES
        )
        self.addresses = Addresses(
            {user.name: self.servers.amqp_url(user.name, PASSWORD, self.name) for user in EVERYBODY},
            site,
            central,
            administrator=self.servers.superuser_url,
            keys=self.keys,
        )
        self.run_dir.mkdir(parents=True, exist_ok=True)
        self.stack = Stack(self.run_dir, self.addresses, print, self.environment)
        self.beside = Stack(self.run_dir / "beside", self.addresses, print, self.environment)
        self.beside.run_dir.mkdir(exist_ok=True)

    def database(self, side: str) -> str:
        """A side's database, and the role that owns it."""
        return f"{self.name}_{side}"

    async def make_databases(self) -> None:
        """Both, empty, as docs/operations.md wants them."""
        administrator = await self.as_superuser()
        try:
            for name in map(self.database, SIDES):
                await administrator.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'")
                await administrator.execute(f"CREATE DATABASE {name} OWNER {name}")
        finally:
            await administrator.close()

    async def as_superuser(self, database: str = "postgres") -> asyncpg.Connection:
        """A connection as PostgreSQL's superuser."""
        url = make_url(self.servers.superuser_url).set(drivername="postgresql", database=database)
        return await asyncpg.connect(url.render_as_string(hide_password=False))

    def old_tables(self) -> None:
        """The tables of the release before, made by its own command."""
        self.release_before.run(
            "migrate",
            SELARAS_SITE_DATABASE_URL=self.addresses.site_database,
            SELARAS_CENTRAL_DATABASE_URL=self.addresses.central_database,
        )

    def add_school(self, npsn: str, baseline: str) -> str:
        """The release before adds a school to its registry, or to this release's; its registration code."""
        file = self.run_dir / f"{npsn}.jsonl"
        file.write_text(baseline, encoding="utf-8")
        added = self.release_before.run(
            "officer", "school", "add", npsn, "--baseline", str(file), "--json",
            SELARAS_CENTRAL_DATABASE_URL=self.addresses.central_database,
        )  # fmt: skip
        return str(json.loads(added)["code"])

    def old_topology(self) -> None:
        """The exchanges, queues and permissions of the release before."""
        self._load(json.loads(self.release_before.python_says("-c", _DEFINITIONS, self.name, PASSWORD)))

    async def accounts(self) -> None:
        """Who may speak for whom; the tables are there."""
        await seed_accounts(self.addresses)

    def migrate(self, *sides: Side) -> None:
        """This release's tables."""
        for side in sides or SIDES:
            url = self.addresses.site_database if side == "site" else self.addresses.central_database
            migrations.upgrade(side, url)

    def new_topology(self) -> None:
        """This release's exchanges, queues and permissions over what is there, as a deployment loads them."""
        everybody = {user.name: (user, PASSWORD) for user in users()}
        self._load(topology.definitions(everybody, vhost=self.name))

    async def new_topology_of_the_site(self) -> None:
        """The site's half of that, as at a site whose broker is its own: central's, and its users there, stay."""
        await declare.declare(self.addresses.amqp[ADMINISTRATOR.name], ("site",))
        at_the_site = {user.name: (user, PASSWORD) for user in users() if topology.EVENTS in user.topics}
        made = topology.definitions(at_the_site, vhost=self.name)
        self._load({part: made[part] for part in ("vhosts", "users", "permissions", "topic_permissions")})

    def _load(self, definitions: Mapping[str, Any]) -> None:
        mine = {"user": ADMINISTRATOR.name, "vhost": self.name, "configure": ".*", "write": ".*", "read": ".*"}
        both = {**definitions, "permissions": [*definitions["permissions"], mine]}
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.servers.management_port}/api/definitions",
            data=json.dumps(both).encode(),
            headers={
                "content-type": "application/json",
                "authorization": "Basic " + base64.b64encode(f"{ADMINISTRATOR.name}:{PASSWORD}".encode()).decode(),
            },
            method="POST",
        )
        with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310  loopback
            assert answer.status in (200, 204), answer.status

    @contextmanager
    def without_keys(self) -> Iterator[None]:
        """Services that are started meanwhile have no keys of central's."""
        self.stack.addresses = replace(self.addresses, keys=None)
        try:
            yield
        finally:
            self.stack.addresses = self.addresses

    def old(self, *names: str, stack: Stack | None = None, **settings: str) -> None:
        """Start services of the release before; whoever has one of these names is stopped first."""
        self._start(names, stack or self.stack, python=str(self.release_before.python), **settings)

    def new(self, *names: str, stack: Stack | None = None, **settings: str) -> None:
        """Start services of this release; whoever has one of these names is stopped first."""
        self._start(names, stack or self.stack, **settings)

    def _start(self, names: tuple[str, ...], stack: Stack, **settings: str) -> None:
        for name in names:
            if name in stack.processes and stack.processes[name].poll() is None:
                assert stack.stop(name) == 0, stack.log_file(name).read_text()
            stack.start(name, **settings)
        stack.wait_ready(*names)

    def stage(self) -> Stage:
        """What people do with it, and what can be read back."""
        return Stage(self.stack, Console(quiet=True))

    def taken(self, stack: Stack, service: str, message: str, npsn: str) -> int:
        """How many messages of a type and a school that process says to have taken, in lines of its release's form."""
        lines = stack.log_file(service).read_text().splitlines()
        return sum(all(word in line for word in ("taken", message, npsn)) for line in lines)

    def stop(self) -> None:
        """Every service of it."""
        self.beside.stop_all()
        self.stack.stop_all()


@contextmanager
def servers_for_upgrades(run_dir: Path) -> Iterator[tuple[Servers, Keys]]:
    """A broker with nobody but its administrator, a PostgreSQL without databases; and central's keys."""
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    definitions = topology.definitions({ADMINISTRATOR.name: (ADMINISTRATOR, PASSWORD)})
    with private_servers(run_dir, definitions=definitions, databases={}, fresh=True, say=print) as servers:
        own = servers.run_dir / "systems"
        shutil.rmtree(own, ignore_errors=True)
        own.mkdir()
        keys = Keys(own / "keys.json", own / "keys.public.json")
        signing.new(keys.private)
        keys.public.write_text(signing.public_document(keys.private))
        yield servers, keys


@asynccontextmanager
async def old_system(
    name: str, servers: Servers, keys: Keys, release: Release, environment: Mapping[str, str]
) -> AsyncIterator[System]:
    """The release before with empty tables, its topology and accounts; no service runs yet."""
    system = System(name, servers, release, keys.private.parent / name, keys, environment)
    await system.make_databases()
    system.old_tables()
    system.old_topology()
    await system.accounts()
    try:
        yield system
    finally:
        system.stop()
