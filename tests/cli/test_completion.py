"""The Tab key: commands, options and values, as the shells ask for them; quickly, and without a server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from services.cli.commands import COMMANDS

BIN = Path(sys.executable).parent
HEAVY = {"sqlalchemy", "faststream", "aio_pika", "pydantic_settings", "joserfc", "services.messages"}


def run(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    bare = {name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")}
    path = f"{BIN}:{os.environ['PATH']}"
    return subprocess.run(
        words, env={**bare, "PATH": path, **environment}, capture_output=True, text=True, timeout=60, check=False
    )


def completed(line: str) -> list[str]:
    """What bash offers at the end of a line, through the function that `source_bash` prints."""
    script = run("selaras", _SELARAS_COMPLETE="source_bash")
    assert script.returncode == 0
    words = line.split(" ")
    asked = " ".join(f"'{word}'" for word in words)
    shell = f"{script.stdout}\nCOMP_WORDS=({asked}); COMP_CWORD={len(words) - 1}; _selaras_completion selaras\n"
    done = run("bash", "-c", shell + 'printf "%s\\n" "${COMPREPLY[@]}"')
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.split()


LINES = {
    "selaras re": {"register", "reinstall", "receipt"},
    "selaras receipt ": {"show", "verify"},
    "selaras officer school ": {"add", "code", "show"},
    "selaras sync --r": {"--role"},
    "selaras history --": {"--kind", "--failed", "--limit", "--json", "--help"},
    "selaras history 99000010 --kind ": {"sync", "pull", "restore", "verify", "recover"},
    "selaras config check sy": {"syncer"},
}


@pytest.mark.parametrize("line", LINES)
def test_commands_options_and_values_are_completed(line: str) -> None:
    assert set(completed(line)) == LINES[line]


def test_every_command_is_offered() -> None:
    assert set(completed("selaras ")) == {command.name for command in COMMANDS}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_each_shell_has_its_script(shell: str) -> None:
    script = run("selaras", _SELARAS_COMPLETE=f"source_{shell}")
    assert script.returncode == 0
    assert f"complete_{shell}" in script.stdout


def test_help_and_checking_a_receipt_load_nothing_that_they_do_not_need() -> None:
    for words, needed in ((("--help",), set()), (("receipt", "verify", "--help"), {"joserfc"})):
        done = run(sys.executable, "-X", "importtime", "-m", "services.cli", *words)
        assert done.returncode == 0
        imported = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
        assert "typer" in imported
        assert imported & HEAVY == needed
