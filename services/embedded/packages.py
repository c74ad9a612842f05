"""Installs `rabbitmq-server` with the distribution's apt-get, and starts, stops or enables no service of the machine.

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
from pathlib import Path

from services.embedded.failures import MissingPart

RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
"""Not /usr/sbin/rabbitmq-server: that one changes to the user rabbitmq and to the machine's own data."""
COMMAND = "sudo apt-get install --no-install-recommends rabbitmq-server"
NEEDED_COMMANDS = ("apt-get", "flock")

_INSTALL = r"""
set -u
root=$1
server=$2
policy=$root/usr/sbin/policy-rc.d
kept=$policy.kept-by-selaras
mark='# selaras: no service may start while a package is being installed'
export DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1

exec 9<"$root/usr/sbin"
flock 9                                             # one at a time
[ ! -e "$server" ] || exit 0                        # somebody else's turn came first

put_back() {
    if [ -e "$kept" ] || [ -L "$kept" ]; then mv -f "$kept" "$policy"; else rm -f "$policy"; fi
}
apt() {
    apt-get -q -y -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold \
        "$@" </dev/null 9<&-
}
install() { apt --no-install-recommends install rabbitmq-server; }

units=
for unit in rabbitmq-server.service epmd.service epmd.socket; do
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
update-rc.d rabbitmq-server disable 9<&-
if [ -n "$units" ] && command -v systemctl >/dev/null; then
    systemctl disable $units 9<&-
fi
exit 0
"""


def install_rabbitmq(
    say: Callable[[str], None],
    *,
    root: Path = Path("/"),
    search_path: str | None = None,
    as_root: Sequence[str] | None = None,
) -> None:
    """Install rabbitmq-server if it is missing: about 25 s, 60 MB. Raises MissingPart with the command that mends it.

    `root` (where /usr is), `search_path` (where the commands are) and `as_root` (what makes a command run as root) are
    for tests.
    """
    server = root / RABBITMQ_SERVER.relative_to("/")
    if server.exists():
        return
    path = search_path or os.environ.get("PATH", os.defpath) + ":/usr/sbin:/sbin"
    if any(shutil.which(command, path=path) is None for command in NEEDED_COMMANDS):
        raise MissingPart(
            "RabbitMQ is missing, and there is no apt-get to install it with: install rabbitmq-server so that "
            f"{server} exists, or set SELARAS_AMQP_URL."
        )
    if as_root is None:
        as_root = _as_root(path)
    say("Installing RabbitMQ with apt-get, once (about 30 s; the machine's own services are left as they are) …")
    with tempfile.TemporaryFile("w+", errors="replace") as output:
        installing = subprocess.Popen(
            [*as_root, "env", f"PATH={path}", "sh", "-c", _INSTALL, "install", str(root).rstrip("/"), str(server)],
            stdin=None if as_root else subprocess.DEVNULL,  # sudo may ask for a password
            stdout=output,
            stderr=subprocess.STDOUT,
        )
        try:
            installing.wait()
        except BaseException:
            installing.wait()  # Ctrl-C reached it too; it puts things back first
            raise
        if not server.exists():
            output.seek(0)
            reason = _reason(output.read())
            raise MissingPart(f"RabbitMQ could not be installed ({reason}): try `{COMMAND}` and start again.")


def _as_root(path: str) -> list[str]:
    """What makes a command run as root: nothing for root; sudo, which asks only where there is somebody to ask."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo", path=path)
    if sudo is not None and sys.stdin is not None and sys.stdin.isatty():
        return [sudo]
    if sudo is not None and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    raise MissingPart(f"RabbitMQ is missing and only root can install it: {COMMAND}.")


def _reason(output: str) -> str:
    """apt-get's own last error, or its last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    errors = [line.removeprefix("E: ") for line in lines if line.startswith("E: ")]
    return (errors or lines or ["apt-get said nothing"])[-1][:200].rstrip(".")
