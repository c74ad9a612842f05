"""PostgreSQL clusters of a test's own, with all that is physical about them: base backups, an archive of WAL, standbys,
copied volumes. They end with their guardian, however the test run ends.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import asyncpg

from services.embedded import folder
from services.embedded.postgresql import (
    LOG_WITHOUT_VALUES,
    SUPERUSER,
    UNPRIVILEGED,
    _without_root,
    binaries,
    url,
)
from services.embedded.processes import ENVIRONMENT, Guardian

PATIENCE_SECONDS = 60.0
_names = count(1)


@dataclass
class Clusters:
    """The clusters of one folder, which share an archive of WAL and a password."""

    guardian: Guardian
    home: Path
    as_user: list[str]
    password: str

    @property
    def archive(self) -> Path:
        """Where every cluster that archives puts its WAL."""
        return self.home / "archive"

    def program(self, name: str, *words: str, given: str | None = None) -> str:
        """Run one of PostgreSQL's programs; what it printed. Raises CalledProcessError."""
        return subprocess.run(
            [*self.as_user, str(binaries() / name), *words],
            env={**ENVIRONMENT, "PGPASSWORD": self.password},
            cwd=self.home,
            input=given,
            capture_output=True,
            text=True,
            check=True,
        ).stdout

    def folder(self, name: str) -> Path:
        """An empty folder of the user that PostgreSQL runs as."""
        made = self.home / name
        made.mkdir(mode=0o700)
        self.own(made)
        return made

    def own(self, path: Path) -> None:
        """Give it to the user that PostgreSQL runs as."""
        if self.as_user:
            account = pwd.getpwnam(UNPRIVILEGED)
            os.chown(path, account.pw_uid, account.pw_gid)

    def new(self) -> Cluster:
        """An empty cluster, not started."""
        cluster = self._cluster()
        password_file = self.home / f"{cluster.data.name}.password"
        password_file.write_text(self.password)
        password_file.chmod(0o600)
        self.own(password_file)
        self.program(
            "initdb", f"--pgdata={cluster.data}", f"--username={SUPERUSER}", f"--pwfile={password_file}",
            "--auth=scram-sha-256", "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8",
            "--locale=C", "--no-sync", "--no-instructions",
        )  # fmt: skip
        password_file.unlink()
        return cluster

    def backup(self, of: Cluster, *words: str) -> Cluster:
        """A base backup of a running cluster, not started. `-R` makes it a standby."""
        cluster = self._cluster()
        self.program(
            "pg_basebackup", f"--pgdata={cluster.data}", "--host=127.0.0.1", f"--port={of.port}",
            f"--username={SUPERUSER}", "--checkpoint=fast", "--no-sync", *words,
        )  # fmt: skip
        return cluster

    def copy(self, of: Cluster) -> Cluster:
        """The volume of a stopped cluster, copied file by file."""
        cluster = self._cluster()
        cluster.data.rmdir()
        subprocess.run(["cp", "-a", str(of.data), str(cluster.data)], check=True)
        return cluster

    def _cluster(self) -> Cluster:
        name = f"data{next(_names)}"
        return Cluster(self, self.folder(name), folder.free_ports(self.home / name, 1)[0])


@dataclass
class Cluster:
    """One data folder, and the server on it when it runs."""

    clusters: Clusters
    data: Path
    port: int
    settings: dict[str, str] = field(default_factory=dict)
    _process: str = ""

    def url(self, database: str = "central") -> str:
        """The address of one of its databases."""
        return url(SUPERUSER, self.clusters.password, self.port, database)

    def start(self, *, ready: bool = True) -> None:
        """Start the server; `ready`: and wait until it takes connections."""
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "shared_buffers": "16MB",
            **LOG_WITHOUT_VALUES,
            **self.settings,
        }
        self._process = f"postgresql-{next(_names)}"
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        self.clusters.guardian.start(
            self._process,
            [*self.clusters.as_user, str(binaries() / "postgres"), "-D", str(self.data), *options],
            environment={},
            folder=self.clusters.home,
            stop_signal=signal.SIGQUIT,
            stop_seconds=10,
        )
        if ready:
            self.clusters.guardian.wait_until(self._takes_connections, self._process)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT, tidily; SIGQUIT, as if it had crashed."""
        os.kill(int((self.data / "postmaster.pid").read_text().split()[0]), how)
        until(lambda: self.clusters.guardian.exit_status(self._process) is not None)

    def recover(self, *, target: str) -> None:
        """Start it on the archive's WAL up to a restore point, and take it into use."""
        (self.data / "recovery.signal").touch()
        self.clusters.own(self.data / "recovery.signal")
        self.settings = {
            **self.settings,
            "archive_mode": "off",
            "restore_command": f'cp "{self.clusters.archive}/%f" "%p"',
            "recovery_target_name": target,
            "recovery_target_action": "promote",
        }
        self.start()
        self.until_promoted()

    def archiving(self) -> Cluster:
        """Keep every segment of its WAL."""
        self.settings |= {"archive_mode": "on", "archive_command": f'cp "%p" "{self.clusters.archive}/%f"'}
        return self

    def restore_point(self, name: str) -> None:
        """Name this moment, and have the WAL up to it archived."""
        self.run(f"SELECT pg_create_restore_point('{name}')")
        segment = self.run("SELECT pg_walfile_name(pg_switch_wal())")
        until((self.clusters.archive / str(segment)).exists)

    def until_promoted(self) -> None:
        """Wait until it is nobody's standby and no longer recovers."""
        until(lambda: self.run("SELECT pg_is_in_recovery()") is False)

    def run(self, sql: str, database: str = "postgres") -> object:
        """One statement by itself; its value."""

        async def run() -> object:
            connection = await self._connect(database)
            try:
                return await connection.fetchval(sql)
            finally:
                await connection.close()

        return asyncio.run(run())

    async def _connect(self, database: str) -> asyncpg.Connection[asyncpg.Record]:
        return await asyncpg.connect(
            host="127.0.0.1", port=self.port, user=SUPERUSER, password=self.clusters.password, database=database,
            timeout=5,
        )  # fmt: skip

    def _takes_connections(self) -> bool:
        try:
            self.run("SELECT 1")
        except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
            return False
        return True


def until(holds: Callable[[], bool]) -> None:
    """Return when it does."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "it does not come about"
        time.sleep(0.02)


@contextmanager
def clusters(home: Path) -> Iterator[Clusters]:
    """A folder for clusters; all of them end with the block."""
    with folder.held(home) as lock, Guardian(home, lock) as guardian:
        made = Clusters(guardian, home, _without_root(binaries(), home), secrets.token_urlsafe(18))
        made.folder("archive")
        made.own(home)
        yield made
    shutil.rmtree(home, ignore_errors=True)


__all__ = ["Cluster", "Clusters", "clusters", "until"]
