"""A line of the log: listed fields in their forms, constant messages, and nothing that somebody typed."""

from __future__ import annotations

import io
import json
import logging
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from services import logs

NIK = "9900011234567890"
NAME = "Kenanga Rahasia"
SETTINGS = ("site", "why", "address")
"""Fields that only settings, and sentences about settings and servers, come into."""
ours = logging.getLogger("services.uji")
theirs = logging.getLogger("pustaka.uji")


@pytest.fixture
def written() -> Iterator[Callable[[logs.Format], io.StringIO]]:
    """Lets this process speak by lines, and gives what is written."""
    root, hooks = logging.getLogger(), (sys.excepthook, sys.unraisablehook, threading.excepthook)
    handlers, level = root.handlers[:], root.level

    def configure(form: logs.Format) -> io.StringIO:
        logs.configure("INFO", form)
        (handler,) = root.handlers
        stream = io.StringIO()
        handler.setStream(stream)  # type: ignore[attr-defined]
        return stream

    yield configure
    logging.captureWarnings(capture=False)
    root.handlers[:], root.level = handlers, level
    sys.excepthook, sys.unraisablehook, threading.excepthook = hooks


@pytest.fixture
def said(written: Callable[[logs.Format], io.StringIO]) -> Callable[[], list[dict[str, Any]]]:
    """Gives the lines of what was logged."""
    stream = written("json")
    return lambda: [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_has_the_fields_it_was_given_and_those_of_the_block_it_stands_in(said: Any) -> None:
    with logs.about(service="syncer", npsn="98000001"):
        logs.add(kind="sync")
        ours.info("session ended", extra={"outcome": "completed", "verdicts": {"applied": 3}, "duration_seconds": 0.25})
    ours.info("stopped")
    line, after = said()
    assert line.pop("time").endswith("Z")
    assert line == {
        "level": "INFO", "logger": "services.uji", "message": "session ended", "service": "syncer", "npsn": "98000001",
        "kind": "sync", "outcome": "completed", "verdicts": {"applied": 3}, "duration_seconds": 0.25,
    }  # fmt: skip
    assert set(after) == {"time", "level", "logger", "message"}


def test_a_field_that_is_not_listed_is_left_out(said: Any) -> None:
    ours.info("message taken", extra={"nama": NAME, "body": NIK, "npsn": "98000001"})
    (line,) = said()
    assert set(line) == {"time", "level", "logger", "message", "npsn"}


@pytest.mark.parametrize("field", sorted(logs.FIELDS.keys() - {*SETTINGS}))
@pytest.mark.parametrize("value", [NIK, int(NIK), NAME, [NAME], {NAME: 1}, {"applied": NIK}, f"change.{NIK}"])
def test_no_field_takes_a_number_or_a_name_of_a_person(said: Any, field: str, value: Any) -> None:
    ours.info("message taken", extra={field: value})
    (line,) = said()
    told = json.dumps(line)
    assert field in line
    assert NIK not in told
    assert "Kenanga" not in told


def test_of_a_library_only_the_template_is_said_and_where_it_stands(said: Any) -> None:
    theirs.warning("could not send %r to %s", NIK, NAME)
    theirs.warning(f"{NAME} was not accepted")
    template, put_together = said()
    assert template["message"] == "could not send %r to %s"
    assert template["place"].startswith("test_lines:")
    assert put_together["message"] == "a library's message, see its place"


def test_an_exception_is_told_by_types_and_places_without_its_text(said: Any) -> None:
    try:
        try:
            int(f"x{NIK}")
        except ValueError as error:
            raise RuntimeError(NAME) from error
    except RuntimeError:
        ours.exception("handler failed")
    (line,) = said()
    assert line["error"] == "RuntimeError < ValueError"
    assert "test_lines.py" in line["traceback"]
    assert "caused by" in line["traceback"]
    assert NIK not in json.dumps(line)
    assert NAME not in json.dumps(line)


def test_text_is_for_people_and_has_the_same_fields(written: Callable[[logs.Format], io.StringIO]) -> None:
    stream = written("text")
    ours.info("ended", extra={"npsn": "98000001", "why": "The database has no tables yet.", "exit_code": 5})
    _, _, line = stream.getvalue().partition("Z ")
    assert line == ('INFO services.uji ended npsn=98000001 why="The database has no tables yet." exit_code=5\n')


@pytest.mark.parametrize(
    "breaks",
    [
        f"raise ValueError('{NIK}')",
        f"import threading; t = threading.Thread(target=int, args=['x{NIK}']); t.start(); t.join()",
        f"class Left:\n    def __del__(self): raise ValueError('{NIK}')\nLeft()",
        f"import warnings; warnings.warn('{NIK}')",
        f"import logging; logging.getLogger('pustaka').warning('%d', '{NIK}')",
        "import asyncio\nasync def main():\n"
        f"    t = asyncio.create_task(fails()); await asyncio.sleep(0)\nasync def fails(): raise ValueError('{NIK}')\n"
        "asyncio.run(main())",
    ],
    ids=["uncaught", "in a thread", "in a finaliser", "a warning", "a wrong format", "a task nobody asked for"],
)
def test_whatever_ends_badly_is_one_line_without_values(breaks: str) -> None:
    program = f"from services import logs\nlogs.configure('INFO', 'json')\n{textwrap.dedent(breaks)}\n"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=False)
    (line,) = [json.loads(line) for line in ended.stderr.splitlines()]
    assert line["level"] in ("WARNING", "ERROR", "CRITICAL")
    assert NIK not in ended.stderr


def test_every_field_is_explained_to_who_reads_the_log() -> None:
    page = (Path(__file__).parents[2] / "docs" / "operations.md").read_text(encoding="utf-8")
    _, _, section = page.partition("\n## Logs\n")
    explained = set(re.findall(r"`([a-z_]+)`", section.partition("\n## ")[0]))
    assert logs.FIELDS.keys() - explained == set()
