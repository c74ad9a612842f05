"""Installs packages with the distribution's apt-get, and starts, stops or enables no service of the machine.

While apt-get works, /usr/sbin/policy-rc.d forbids the packages' scripts to start or stop a service (invoke-rc.d(8) and
deb-systemd-invoke(1p) ask it; exit status 101: forbidden). Afterwards what was there is there again, by a rename: the
same file, or none; also when apt-get fails, after Ctrl-C, and when the process that asked for it was killed.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.embedded.failures import MissingPart

RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not /usr/sbin/rabbitmq-server: that one changes to the user rabbitmq and to the machine's own data."""
NEEDED_COMMANDS = ("apt-get", "flock")

_INSTALL = r"""
set -u
root=$1
wanted=$2                                           # a file that is there when the packages are
packages=$3
own_units=$4
policy=$root/usr/sbin/policy-rc.d
kept=$policy.kept-by-selaras
mark='# selaras: no service may start while a package is being installed'
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

exec 9<"$root/usr/sbin"
flock 9                                             # one at a time
[ ! -e "$wanted" ] || exit 0                        # somebody else's turn came first

put_back() {
    if [ -e "$kept" ] || [ -L "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}
apt() {
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        "$@" </dev/null 9<&-
}
install() { apt --no-install-recommends install $packages; }

units=
for unit in $own_units; do
    [ -e "$root/lib/systemd/system/$unit" ] || units="$units $unit"
done

trap put_back EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM
if [ -e "$kept" ] || [ -L "$kept" ]; then :         # an earlier installation was killed: that is what was there
elif grep -qsF "$mark" "$policy"; then :            # likewise, and there was none
elif [ -e "$policy" ] || [ -L "$policy" ]; then mv "$policy" "$kept"
fi
printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy" && chmod 755 "$policy" || exit 1

install || { apt update && install; } || exit 1

# What came with the package would start by itself with the machine, on every network address: it is switched off.
for package in $packages; do update-rc.d "$package" disable 9<&-; done
if [ -n "$units" ] && command -v systemctl >/dev/null; then
    systemctl disable $units 9<&-
fi
exit 0
"""


@dataclass(frozen=True, slots=True)
class Debian:
    """Packages that come together. `file` is there when they are; `units` are systemd's that they bring.

    `takes`: how long it takes; `otherwise`: what helps where they cannot be installed.
    """

    name: str
    packages: tuple[str, ...]
    file: Path
    units: tuple[str, ...]
    takes: str
    otherwise: str = ""

    @property
    def command(self) -> str:
        """What a person types to install them."""
        return f"sudo apt-get install --no-install-recommends {' '.join(self.packages)}"


RABBITMQ = Debian(
    "RabbitMQ",
    ("rabbitmq-server",),
    RABBITMQ_SERVER,
    ("rabbitmq-server.service", "epmd.service", "epmd.socket"),
    "about 30 s",
    ", or set SELARAS_AMQP_URL",
)


def install_rabbitmq(
    say: Callable[[str], None],
    *,
    root: Path = Path("/"),
    search_path: str | None = None,
    as_root: Sequence[str] | None = None,
) -> None:
    """Install rabbitmq-server if it is missing: about 25 s, 60 MB. As `install`."""
    install(RABBITMQ, say, root=root, search_path=search_path, as_root=as_root)


def install(
    what: Debian,
    say: Callable[[str], None],
    *,
    root: Path = Path("/"),
    search_path: str | None = None,
    as_root: Sequence[str] | None = None,
) -> None:
    """Install packages if they are missing. Raises MissingPart with the command that mends it.

    `root` (where /usr is), `search_path` (where the commands are) and `as_root` (what makes a command run as root) are
    for tests.
    """
    file = root / what.file.relative_to("/")
    if file.exists():
        return
    path = search_path or os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    if any(shutil.which(command, path=path) is None for command in NEEDED_COMMANDS):
        raise MissingPart(
            f"{what.name} is missing, and there is no apt-get to install it with: install {' '.join(what.packages)} "
            f"so that {file} exists{what.otherwise}."
        )
    if as_root is None:
        as_root = _as_root(what, path)
    say(f"Installing {what.name} with apt-get, once ({what.takes}; the machine's own services are left as they are) …")
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        arguments = [str(root).rstrip("/"), str(file), " ".join(what.packages), " ".join(what.units)]
        installing = subprocess.Popen(
            [*as_root, "env", f"PATH={path}", "sh", "-c", _INSTALL, "install", *arguments],
            stdin=None if as_root else subprocess.DEVNULL,  # sudo may ask for a password
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            installing.wait()
        except BaseException:
            installing.wait()  # Ctrl-C reached it too; it puts things back first
            raise
        if not file.exists():
            output.seek(0)
            reason = _reason(output.read())
            raise MissingPart(f"{what.name} could not be installed ({reason}): try `{what.command}` and start again.")


def _as_root(what: Debian, path: str) -> list[str]:
    """What makes a command run as root: nothing for root; sudo, which asks only where there is somebody to ask."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo", path=path)
    if sudo is not None and sys.stdin is not None and sys.stdin.isatty():
        return [sudo]
    if sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    raise MissingPart(f"{what.name} is missing and only root can install it: {what.command}.")


def _reason(output: str) -> str:
    """apt-get's own last error, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return (errors or lines or ["apt-get said nothing"])[-1][:200].rstrip(".")
