"""Which release is the one before, and what is installed of it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.upgrade import release
from tests.upgrade.release import NoPrevious, Release

LOCK = """\
aio-pika==10.2.1 \\
    --hash=sha256:aa
    # via
    #   selaras (pyproject.toml)
    #   faststream
mypy==1.0.0 \\
    --hash=sha256:bb
    # via selaras (pyproject.toml)
mypy-extensions==1.0.0 \\
    --hash=sha256:cc
    # via mypy
typing-extensions==4.0.0 ; python_full_version < '3.13' \\
    --hash=sha256:dd
    # via
    #   aio-pika
    #   mypy
yarl==1.0.0 \\
    --hash=sha256:ee
    # via typing-extensions
"""


def test_it_is_the_newest_tag_and_without_tags_what_is_recorded() -> None:
    assert release.name(["v0.9.0", "v0.10.0", "0.2.0", "catatan"], "abc") == "v0.10.0"
    assert release.name(["catatan"], "abc") == "abc"


def test_of_its_lock_file_only_what_runs_is_installed() -> None:
    kept = release.run_time_lock(LOCK, ["aio-pika"])
    assert [line.split("==")[0] for line in kept.splitlines() if "==" in line and line[0] != " "] == [
        "aio-pika",
        "typing-extensions",
        "yarl",
    ]
    assert "--hash=sha256:dd" in kept
    with pytest.raises(NoPrevious, match="lacks polars"):
        release.run_time_lock(LOCK, ["aio-pika", "polars"])


def test_it_runs_its_own_code_with_its_own_packages(release_before: Release) -> None:
    said = release_before.python_says("-c", "import services, aio_pika; print(services.__file__, aio_pika.__file__)")
    home = release_before.python.parent.parent
    assert all(Path(file).is_relative_to(home) for file in said.split()), said


def test_a_shallow_clone_and_a_folder_that_is_none_say_so_in_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    subprocess.run(
        ["git", "clone", "--quiet", "--depth=1", release.ROOT.as_uri(), str(tmp_path / "dangkal")], check=True
    )
    monkeypatch.setattr(release, "ROOT", tmp_path / "dangkal")
    with pytest.raises(NoPrevious, match="this clone is shallow: git fetch --unshallow --tags"):
        release.commit()
    monkeypatch.setattr(release, "ROOT", tmp_path / "tidak-ada")
    with pytest.raises(NoPrevious, match="this folder is no clone"):
        release.commit()


def test_a_commit_that_is_not_there_is_said_in_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    recorded = tmp_path / "previous"
    recorded.write_text("0" * 40)
    monkeypatch.setattr(release, "RECORDED", recorded)
    monkeypatch.setattr(release, "name", lambda _tags, recorded: recorded)
    with pytest.raises(NoPrevious, match="commit 000000000000, which is not in this clone: fetch it"):
        release.commit()
