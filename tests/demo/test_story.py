"""The demo's story, told whole by the command."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

README = Path(__file__).parents[2] / "README.md"
VARIES = re.compile(r"\b[0-9a-f]{16}…|(?<![-\w])\d+")
"""Roots (the school year is in them) and counts, but not the number of a code."""


def told(text: str) -> list[str]:
    """The lines, without what differs from one telling to the next."""
    return [VARIES.sub("#", line.rstrip()) for line in text.splitlines()]


def test_the_whole_story_ends_as_it_should_and_says_what_the_readme_shows(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "demo", "--run-dir", str(tmp_path / "demo")],
        env={
            **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
            "PYTHONUTF8": "1",
        },
        capture_output=True,
        text=True,
        encoding="utf-8",
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "✗" not in done.stdout
    (shown,) = re.findall(r"```text\n(▌.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
    rest = iter(told(done.stdout))
    missing = [line for line in told(shown) if line != "  …" and line not in rest]  # `in` goes on where it found one
    assert missing == []
