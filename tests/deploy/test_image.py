"""The image's recipe, read without Docker; and the parts of the lock file that it installs."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

from scripts import locked
from tests.deploy.files import DEPLOY, ROOT

DOCKERFILE = (DEPLOY / "Dockerfile").read_text()
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def names(part: str) -> set[str]:
    """The packages of a part of the lock."""
    return {name for name, _, _ in locked.entries(part)}


def test_the_image_is_built_in_stages_and_runs_as_nobody_special() -> None:
    stages = re.findall(r"^FROM (\S+)", DOCKERFILE, re.MULTILINE)
    assert stages == ["${PYTHON_IMAGE}", "${PYTHON_IMAGE}"]
    last = DOCKERFILE.rpartition("\nFROM ")[2]
    assert "\nUSER 10001:10001\n" in last
    assert "pip" not in last, "no tool that installs is in the image"
    assert re.search(r"^HEALTHCHECK .*\\\n  CMD \[\"python\", \"-m\", \"services.health\"\]$", last, re.MULTILINE)
    for label in ("title", "description", "licenses", "version", "revision"):
        assert f"org.opencontainers.image.{label}=" in last
    assert "# syntax=" not in DOCKERFILE
    assert "@sha256" not in DOCKERFILE


def test_everything_installed_is_checked_by_its_hash() -> None:
    for install in re.findall(r"install -q (.*?)(?: \\)?$", DOCKERFILE, re.MULTILINE):
        assert "--require-hashes" in install or install == "--no-deps dist/*.whl"


def test_the_image_says_the_release_that_it_is() -> None:
    assert f"ARG VERSION={PROJECT['project']['version']}\n" in DOCKERFILE


def test_only_what_is_named_goes_to_the_builder() -> None:
    first, *rest = [
        line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if not line.startswith("#")
    ]
    assert first == "*"
    allowed = {line.removeprefix("!") for line in rest if line.startswith("!")}
    assert allowed == {"requirements.lock", "pyproject.toml", "README.md", "LICENSE", "scripts/locked.py", "services"}
    assert all((ROOT / name).exists() for name in allowed)


def test_the_run_time_part_has_all_that_the_services_import_and_none_of_the_tools() -> None:
    part = names(locked.part(LOCK, locked.roots("run-time")))
    assert {locked.normal(one) for one in PROJECT["project"]["dependencies"]} <= part
    tools = {
        locked.normal(one) for name in ("dev", "embedded") for one in PROJECT["project"]["optional-dependencies"][name]
    }
    assert part & tools == set()
    for package in part & {locked.normal(one.metadata["Name"]) for one in metadata.distributions()}:
        for requirement in metadata.requires(package) or []:
            if ";" not in requirement:
                assert locked.normal(requirement) in part, f"{package} needs {requirement}"


def test_a_part_is_taken_from_the_lock_as_it_is() -> None:
    part = locked.part(LOCK, ["hatchling"])
    assert "hatchling" in names(part)
    assert all(text in LOCK for _, text, _ in locked.entries(part))
    assert all("--hash=sha256:" in text for _, text, _ in locked.entries(part))


def test_a_package_that_is_not_locked_is_named() -> None:
    with pytest.raises(ValueError, match=r"not in requirements\.lock: tiada"):
        locked.part(LOCK, ["tiada"])


def test_the_part_is_made_with_nothing_but_python_beside_the_two_files(tmp_path: Path) -> None:
    for name in ("requirements.lock", "pyproject.toml", "scripts/locked.py"):
        (tmp_path / Path(name).name).write_bytes((ROOT / name).read_bytes())
    done = subprocess.run(
        [sys.executable, "-I", "-S", "locked.py", "run-time"], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    assert names(done.stdout) == names(locked.part(LOCK, locked.roots("run-time")))
