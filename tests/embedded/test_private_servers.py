"""Private servers answer in any folder, are closed to strangers, and are gone when their owner is, however it went."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import aio_pika
import asyncpg
import httpx
import pytest
from aio_pika.exceptions import AMQPConnectionError

from services.embedded import FolderRefused, Servers, postgresql, private_servers
from services.embedded.guardian import Process, descendants, is_alive, remembered
from tests.broker.refusing import refused
from tests.embedded.installation import DATABASES, DEFINITIONS, PASSWORD, USER

REPOSITORY = Path(__file__).parents[2]
SITE_PASSWORD = DATABASES["site"][1]


class Deep(NamedTuple):
    servers: Servers
    modes_before: dict[Path, tuple[int, int, int]]


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deep]:
    """Servers in a deep folder with spaces in its path, below one that only we may enter, and so are their programs."""
    closed = tmp_path_factory.mktemp("closed")
    closed.chmod(0o700)
    programs = postgresql.binaries()
    copied = closed / "packages" / postgresql.PACKAGE
    shutil.copytree(programs.parent, copied / postgresql.RELEASE)
    libraries = postgresql.PACKAGE + ".libs"
    shutil.copytree(programs.parents[2] / libraries, copied.with_name(libraries))
    (copied / "__init__.py").touch()
    folder = closed.joinpath(*["sebuah folder yang dalam sekali " + "x" * 30] * 4)
    folder.mkdir(parents=True)
    assert len(str(folder)) > 200
    before = modes_of_all_above(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(copied.parent)
        assert copied in postgresql.binaries().parents
        with private_servers(folder, definitions=DEFINITIONS, databases=DATABASES, fresh=True) as servers:
            yield Deep(servers, before)


def modes_of_all_above(folder: Path) -> dict[Path, tuple[int, int, int]]:
    found = {above: above.stat() for above in [folder, *folder.parents]}
    return {above: (it.st_mode, it.st_uid, it.st_gid) for above, it in found.items()}


class Owner:
    """A process of its own that owns servers in `folder`, in a process group of its own like a terminal's command."""

    def __init__(self, folder: Path, data: str) -> None:
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.embedded.owner", str(folder), data],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
            text=True,
        )

    def superuser_url(self) -> str:
        """Where PostgreSQL answers, once both servers do."""
        assert self.process.stdout is not None
        url = self.process.stdout.readline().strip().replace("+asyncpg", "")
        assert url, "the owner ended while it was starting the servers"
        return url

    def all_processes(self) -> list[Process]:
        """The guardian, the servers, and all they started."""
        known = remembered(self.folder)
        pids = {process.pid for process in known}
        return known + [child for child in descendants(known[0]) if child.pid not in pids] if known else []

    def press_ctrl_c(self) -> None:
        os.killpg(self.process.pid, signal.SIGINT)

    def wait(self) -> None:
        self.process.communicate(timeout=30)


@pytest.fixture
def own(tmp_path: Path) -> Iterator[Callable[[str], Owner]]:
    """Starts an owner of servers in the test's folder, with `fresh` or `kept` data."""
    owners: list[Owner] = []

    def start(data: str) -> Owner:
        owners.append(Owner(tmp_path, data))
        return owners[-1]

    yield start
    for owner in owners:
        owner.process.kill()
        owner.wait()


def eventually(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def are_gone(processes: list[Process]) -> bool:
    return not any(is_alive(process) for process in processes)


def names(processes: list[Process]) -> set[str]:
    return {process.name for process in processes} - {""}


async def test_postgresql_18_answers_in_a_deep_folder_with_a_space_in_its_path(deep: Deep) -> None:
    url = deep.servers.database_url("site", SITE_PASSWORD, "site").replace("+asyncpg", "")
    connection = await asyncpg.connect(url)
    try:
        assert str(await connection.fetchval("SHOW server_version")).startswith("18.")
        assert await connection.fetchval("SHOW server_encoding") == "UTF8"
        assert await connection.fetchval("SHOW fsync") == "on"
        assert await connection.fetchval("SELECT upper('é')") == "É"
        await connection.execute("CREATE TABLE its_own (x int)")
    finally:
        await connection.close()


async def test_rabbitmq_answers_the_users_of_the_definitions_and_has_their_queues(deep: Deep) -> None:
    async with await aio_pika.connect(deep.servers.amqp_url(USER, PASSWORD)) as connection:
        channel = await connection.channel()
        queue = await channel.get_queue("antrean")
        await channel.default_exchange.publish(aio_pika.Message(b"halo"), queue.name)
        message = await queue.get(timeout=10)
        assert message is not None
        await message.ack()
    overview = f"http://127.0.0.1:{deep.servers.management_port}/api/exchanges/%2F"
    async with httpx.AsyncClient(auth=(USER, PASSWORD)) as client:
        answer = await client.get(overview)
    assert answer.status_code == 200


async def test_the_guest_of_every_rabbitmq_is_not_let_in(deep: Deep) -> None:
    assert isinstance(await refused(deep.servers.amqp_url("guest", "guest")), AMQPConnectionError)


async def test_a_role_may_connect_to_its_own_database_only(deep: Deep) -> None:
    for other in ("central", "postgres", "template1"):
        url = deep.servers.database_url("site", SITE_PASSWORD, other).replace("+asyncpg", "")
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await asyncpg.connect(url)


async def test_a_wrong_password_is_refused(deep: Deep) -> None:
    url = deep.servers.database_url("site", "salah", "site").replace("+asyncpg", "")
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url)


def test_all_folders_above_the_data_keep_their_owners_and_modes(deep: Deep) -> None:
    assert modes_of_all_above(deep.servers.run_dir) == deep.modes_before


def test_postgresql_does_not_run_as_root(deep: Deep) -> None:
    (server,) = [process for process in remembered(deep.servers.run_dir) if process.name == "postgresql"]
    assert os.stat(f"/proc/{server.pid}").st_uid != 0  # noqa: PTH116 - pathlib would do the same, longer


def test_the_servers_listen_on_loopback_only(deep: Deep) -> None:
    listening = set()
    inodes = {
        inode
        for server in remembered(deep.servers.run_dir)
        for file in Path(f"/proc/{server.pid}/fd").iterdir()
        if (inode := socket_of(file))
    }
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A" and fields[9] in inodes:  # LISTEN
                listening.add(fields[1].partition(":")[0])
    assert "0100007F" in listening
    assert listening <= {"0100007F", "00000000000000000000000001000000"}  # 127.0.0.1, and ::1 (epmd)


def socket_of(file: Path) -> str | None:
    try:
        target = os.readlink(file)  # noqa: PTH115
    except OSError:
        return None
    return target[len("socket:[") : -1] if target.startswith("socket:[") else None


def test_a_second_start_in_the_same_folder_is_refused_by_naming_the_process_that_has_it(deep: Deep) -> None:
    with (
        pytest.raises(FolderRefused, match=f"is in use by process {os.getpid()}: stop that one first"),
        private_servers(deep.servers.run_dir, definitions=DEFINITIONS, databases=DATABASES, fresh=True),
    ):
        pass


def test_killing_the_owner_leaves_no_process(own: Callable[[str], Owner]) -> None:
    owner = own("fresh")
    owner.superuser_url()
    processes = owner.all_processes()
    assert {"guardian", "epmd", "rabbitmq", "postgresql"} <= names(processes)

    owner.process.kill()

    owner.wait()
    assert eventually(lambda: are_gone(processes))


def test_ctrl_c_while_the_servers_are_starting_leaves_no_process(own: Callable[[str], Owner]) -> None:
    owner = own("fresh")
    assert eventually(lambda: {"rabbitmq", "initdb"} <= names(owner.all_processes()))
    processes = owner.all_processes()

    owner.press_ctrl_c()

    owner.wait()
    assert owner.process.returncode != 0
    assert are_gone(processes)
    assert remembered(owner.folder) == []


async def test_what_a_killed_owner_and_guardian_left_is_ended_by_the_next_start_and_the_data_are_kept(
    own: Callable[[str], Owner],
) -> None:
    first = own("fresh")
    connection = await asyncpg.connect(first.superuser_url())
    await connection.execute("CREATE TABLE kept AS SELECT 'masih ada' AS text")
    await connection.close()
    left = first.all_processes()
    (guardian,) = [process for process in left if process.name == "guardian"]
    os.kill(guardian.pid, signal.SIGKILL)
    first.process.kill()
    first.wait()
    left.remove(guardian)
    assert {process.name for process in left if is_alive(process)} >= {"epmd", "rabbitmq", "postgresql"}

    second = own("kept")
    connection = await asyncpg.connect(second.superuser_url())
    assert await connection.fetchval("SELECT text FROM kept") == "masih ada"
    await connection.close()
    assert are_gone(left)

    processes = second.all_processes()
    second.press_ctrl_c()
    second.wait()
    assert are_gone(processes)
