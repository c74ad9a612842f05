"""Installing RabbitMQ leaves the machine's policy for its services as it was, whatever happens on the way.

The machine is a folder, and shell scripts stand in for apt-get and its companions; what runs between them is real.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.embedded import MissingPart
from services.embedded.packages import RABBITMQ_SERVER, install_rabbitmq

REPOSITORY = Path(__file__).parents[2]
OWN_POLICY = "#!/bin/sh\n# the machine's own\nexit 104\n"
INSTALLS = """
mkdir -p "$root/usr/lib/rabbitmq/bin" && : >"$root/usr/lib/rabbitmq/bin/rabbitmq-server"
"""
FAILS = """
echo "Reading package lists..."
echo "E: Unable to locate package rabbitmq-server"
exit 100
"""


class Machine:
    """A folder that looks enough like a Debian to install into."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.policy = root / "usr/sbin/policy-rc.d"
        self.policy.parent.mkdir(parents=True)
        self.commands = root / "commands"
        self.commands.mkdir()
        self.calls = root / "calls"
        self.search_path = f"{self.commands}:/usr/bin:/bin"
        self.said: list[str] = []
        for name in ("systemctl", "update-rc.d"):
            self.put_command(name, "")

    def put_command(self, name: str, body: str) -> None:
        """A command that notes its name, whether services may start just now, and its arguments."""
        command = self.commands / name
        command.write_text(
            f"#!/bin/sh\nroot='{self.root}'\n"
            '"$root/usr/sbin/policy-rc.d" 2>/dev/null; forbidden=$?\n'
            f'echo "{name} $forbidden $*" >>"$root/calls"\n{body}\n'
        )
        command.chmod(0o755)

    def put_apt_get(self, install: str) -> None:
        self.put_command("apt-get", f'case "$*" in *install*) {install} ;; esac')

    def install(self) -> None:
        install_rabbitmq(self.said.append, root=self.root, search_path=self.search_path, as_root=[])

    def called(self) -> list[tuple[str, int, str]]:
        """(command, what policy-rc.d said, arguments)"""
        lines = [line.split(" ", 2) for line in self.calls.read_text().splitlines()]
        return [(name, int(forbidden), arguments) for name, forbidden, arguments in lines]


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path / "machine")


def no_policy(_machine: Machine) -> None: ...


def a_policy_of_its_own(machine: Machine) -> None:
    machine.policy.write_text(OWN_POLICY)
    machine.policy.chmod(0o754)
    os.utime(machine.policy, (1_000_000_000, 1_000_000_000))


def a_policy_that_is_a_link(machine: Machine) -> None:
    (machine.root / "elsewhere").write_text(OWN_POLICY)
    machine.policy.symlink_to(machine.root / "elsewhere")


EVERY_POLICY = pytest.mark.parametrize("before", [no_policy, a_policy_of_its_own, a_policy_that_is_a_link])


def folder_of(policy: Path) -> dict[str, tuple[int, int, int, bytes]]:
    """All in the policy's folder: mode, inode, time of change, content or target."""
    found = {}
    for file in policy.parent.iterdir():
        it = file.lstat()
        content = os.fsencode(file.readlink()) if file.is_symlink() else file.read_bytes()
        found[file.name] = (it.st_mode, it.st_ino, it.st_mtime_ns, content)
    return found


@EVERY_POLICY
def test_no_service_may_start_during_the_installation_and_the_policy_is_put_back(
    machine: Machine, before: Callable[[Machine], None]
) -> None:
    before(machine)
    was = folder_of(machine.policy)
    machine.put_apt_get(INSTALLS)

    machine.install()

    assert (machine.root / RABBITMQ_SERVER.relative_to("/")).exists()
    assert folder_of(machine.policy) == was
    (installed, *_) = machine.called()
    assert installed[:2] == ("apt-get", 101)
    assert installed[2].endswith("--no-install-recommends install rabbitmq-server")
    assert len(machine.said) == 1


@EVERY_POLICY
def test_a_failed_installation_puts_the_policy_back_and_names_the_reason_and_the_command(
    machine: Machine, before: Callable[[Machine], None]
) -> None:
    before(machine)
    was = folder_of(machine.policy)
    machine.put_apt_get(FAILS)

    with pytest.raises(MissingPart) as refused:
        machine.install()

    assert str(refused.value) == (
        "RabbitMQ could not be installed (Unable to locate package rabbitmq-server): "
        "try `sudo apt-get install --no-install-recommends rabbitmq-server` and start again."
    )
    assert folder_of(machine.policy) == was


@EVERY_POLICY
def test_ctrl_c_during_the_installation_puts_the_policy_back(
    machine: Machine, before: Callable[[Machine], None]
) -> None:
    before(machine)
    was = folder_of(machine.policy)
    machine.put_apt_get('while [ ! -e "$root/go-on" ]; do sleep 0.02; done')
    program = (
        "import sys; from pathlib import Path; from services.embedded.packages import install_rabbitmq; "
        "install_rabbitmq(print, root=Path(sys.argv[1]), search_path=sys.argv[2], as_root=[])"
    )
    installing = subprocess.Popen(
        [sys.executable, "-c", program, str(machine.root), machine.search_path],
        cwd=REPOSITORY,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    assert eventually(lambda: machine.calls.exists() and bool(machine.called()))

    os.killpg(installing.pid, signal.SIGINT)

    assert installing.wait(timeout=20) != 0
    assert folder_of(machine.policy) == was
    assert len(machine.called()) == 1  # it did not go on to update the lists


def test_what_a_killed_installation_left_is_put_back_by_the_next(machine: Machine) -> None:
    a_policy_of_its_own(machine)
    was = folder_of(machine.policy)
    machine.put_apt_get('kill -9 "$PPID"; kill -9 $$')
    with pytest.raises(MissingPart):
        machine.install()
    assert folder_of(machine.policy) != was

    machine.put_apt_get(INSTALLS)
    machine.install()

    assert folder_of(machine.policy) == was


def test_package_lists_are_fetched_when_there_are_none(machine: Machine) -> None:
    machine.put_command(
        "apt-get",
        f"""case "$*" in
            *update*) : >"$root/lists" ;;
            *install*) if [ -e "$root/lists" ]; then {INSTALLS}
                       else {FAILS}
                       fi ;;
        esac""",
    )

    machine.install()

    assert [arguments.split()[-1] for name, _, arguments in machine.called() if name == "apt-get"] == [
        "rabbitmq-server",
        "update",
        "rabbitmq-server",
    ]


def test_the_services_that_came_with_the_package_do_not_start_with_the_machine(machine: Machine) -> None:
    units = machine.root / "lib/systemd/system"
    units.mkdir(parents=True)
    (units / "epmd.service").touch()  # somebody's already
    machine.put_apt_get(INSTALLS)

    machine.install()

    assert machine.called()[1:] == [
        ("update-rc.d", 101, "rabbitmq-server disable"),
        ("systemctl", 101, "disable rabbitmq-server.service epmd.socket"),
    ]


def test_what_is_installed_is_not_installed_again(machine: Machine) -> None:
    machine.put_apt_get(INSTALLS)
    machine.install()
    calls = machine.called()

    machine.install()

    assert machine.called() == calls


def test_a_machine_without_apt_get_is_told_what_to_install(machine: Machine, tmp_path: Path) -> None:
    with pytest.raises(MissingPart, match="there is no apt-get to install it with: install rabbitmq-server so that"):
        install_rabbitmq(machine.said.append, root=machine.root, search_path=str(tmp_path))
    assert machine.said == []


def eventually(is_so: Callable[[], bool], seconds: float = 20) -> bool:
    deadline = time.monotonic() + seconds
    while not is_so():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
