"""The release before this one: which it is, and an environment of its own that it runs from.

It is the newest tag on the way to this commit; as long as there is none, the commit that the file `previous` names. It
is built and installed as it would be by hand: a wheel, and the run-time packages of its own lock file, by their hashes.
That takes some 15 s, once: what was made is kept in .run/, in a folder named after the commit.
"""

from __future__ import annotations

import fcntl
import re
import shutil
import subprocess
import sys
import tempfile
import venv
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from email.parser import Parser
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
RECORDED = Path(__file__).parent / "previous"
KEPT = ROOT / ".run" / "releases"
PARTS = ("pyproject.toml", "requirements.lock", "README.md", "LICENSE", "services")
"""What a wheel is made of."""
_NEEDED_BY = re.compile(r"^ +# +(?:via )?([A-Za-z0-9].*)$", re.MULTILINE)


class NoPrevious(Exception):
    """The release before cannot be had here; the message is one sentence with what to do."""


@dataclass(frozen=True)
class Release:
    """A release that is installed, and the Python that runs it (`python -P -m services.cli`)."""

    commit: str
    python: Path

    def run(self, *words: str, **settings: str) -> str:
        """What `selaras …` of this release prints, told `settings` and nothing else. Raises CalledProcessError."""
        return self.python_says("-m", "services.cli", *words, **settings)

    def python_says(self, *words: str, **settings: str) -> str:
        """What its Python prints. `-P`: the folder where it runs is not looked for modules, for ours are in it."""
        command = [str(self.python), "-P", *words]
        environment = {"PATH": "/usr/bin:/bin", "PYTHONUTF8": "1", **settings}
        ran = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if ran.returncode:
            raise subprocess.CalledProcessError(ran.returncode, command, ran.stdout, ran.stderr)
        return ran.stdout


def git(*words: str) -> str:
    """What git says about this clone. Raises NoPrevious where there is none."""
    try:
        ran = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        raise NoPrevious("The release before is built from git's history, and git is not installed.") from None
    if ran.returncode:
        raise NoPrevious(
            "The release before is built from git's history, and this folder is no clone: run the tests of upgrades in "
            "one, or leave them out with --ignore=tests/upgrade."
        )
    return ran.stdout.strip()


def name(tags: Iterable[str], recorded: str) -> str:
    """What the release before is called: the newest of the tags on the way here, else what is recorded."""
    numbered = [(tuple(map(int, found.groups())), tag) for tag in tags if (found := _VERSION.fullmatch(tag))]
    return max(numbered)[1] if numbered else recorded


_VERSION = re.compile(r"v?(\d+)\.(\d+)\.(\d+)")


def commit() -> str:
    """The commit of the release before. Raises NoPrevious when it is not in this clone."""
    on_the_way = git("tag", "--merged", "HEAD", "--no-contains", "HEAD").splitlines()
    named = name(on_the_way, RECORDED.read_text().strip())
    if named not in on_the_way and git("rev-parse", "--is-shallow-repository") == "true":
        raise NoPrevious(
            f"The release before is commit {named[:12]}, and this clone is shallow: git fetch --unshallow --tags."
        )
    try:
        return git("rev-parse", "--verify", "--quiet", f"{named}^{{commit}}")
    except NoPrevious:
        raise NoPrevious(
            f"The release before is commit {named[:12]}, which is not in this clone: fetch it with its history, or "
            "name another in tests/upgrade/previous."
        ) from None


@cache
def previous() -> Release:
    """The release before, installed. Raises NoPrevious. Two that ask at once: one makes it, the other waits."""
    wanted = commit()
    home = KEPT / wanted
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / ".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (home / "installed").exists():
            shutil.rmtree(home, ignore_errors=True)
            home.mkdir()
            _install(wanted, home)
            (home / "installed").touch()
    return Release(wanted, home / "venv" / "bin" / "python")


def _install(wanted: str, home: Path) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        source = Path(scratch)
        archive = subprocess.run(["git", "-C", str(ROOT), "archive", wanted, *PARTS], capture_output=True, check=True)
        subprocess.run(["tar", "-x", "-C", scratch], input=archive.stdout, check=True)
        _said(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(home), cwd=source)
        (wheel,) = home.glob("*.whl")
        lock = home / "run-time.lock"
        lock.write_text(run_time_lock((source / "requirements.lock").read_text(), _required(wheel)))
    venv.create(home / "venv", symlinks=True)
    its_python = str(home / "venv" / "bin" / "python")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", its_python)
    _said(*pip, "install", "--quiet", "--require-hashes", "-r", str(lock))
    _said(*pip, "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    _said(*pip, "check")  # nothing that it requires was left out


def _said(*command: str, cwd: Path | None = None) -> None:
    ran = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)
    if ran.returncode:
        last = (ran.stderr or ran.stdout).strip().splitlines()[-3:]
        raise NoPrevious(f"The release before could not be installed ({' '.join(command[:4])} …): {' / '.join(last)}")


def _required(wheel: Path) -> set[str]:
    """The packages that the wheel requires without any extra."""
    with zipfile.ZipFile(wheel) as opened:
        (metadata,) = (entry for entry in opened.namelist() if entry.endswith(".dist-info/METADATA"))
        lines = Parser().parsestr(opened.read(metadata).decode()).get_all("Requires-Dist", [])
    return {_normal(line) for line in lines if "extra ==" not in line}


def run_time_lock(lock: str, roots: Iterable[str]) -> str:
    """Of a lock file by uv, whose comments say what a package is there for: `roots` and all that these need."""
    entries: dict[str, str] = {}
    needed_by: dict[str, set[str]] = {}
    for entry in re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]:
        named = _normal(entry)
        entries[named] = entry
        needed_by[named] = {_normal(line) for line in _NEEDED_BY.findall(entry)}
    wanted = set(roots)
    while more := {one for one, others in needed_by.items() if one not in wanted and others & wanted}:
        wanted |= more
    if missing := wanted - entries.keys():
        raise NoPrevious(f"The lock file of the release before lacks {', '.join(sorted(missing))}.")
    return "".join(entry for named, entry in entries.items() if named in wanted)


def _normal(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert found is not None, requirement
    return re.sub(r"[-_.]+", "-", found[0]).lower()
