"""One machine: `demo` tells the story and ends, `up` keeps everything running, `sample` writes a school to try."""

from __future__ import annotations

import contextlib
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import typer

from services import calendar
from services.cli import show
from services.cli.arguments import Npsn
from services.cli.outcomes import FAILED, NOT_SET_UP, Stop
from services.cli.settings import UP_FILE

CLASSES_OF_AN_SD = 6
RunDir = Annotated[Path, typer.Option("--run-dir", help="Where the private servers keep their data")]


def demo(run_dir: RunDir = Path(".run/demo")) -> None:
    """Run the whole story on embedded defaults, end to end, and show it."""
    from services.demo.story import tell
    from services.embedded import ServersUnavailable
    from services.embedded.stack import StackFailed

    try:
        ok = tell(run_dir.resolve())
    except (ServersUnavailable, StackFailed) as error:
        raise Stop(str(error), NOT_SET_UP) from error
    if not ok:
        raise Stop("The story did not end as it should: see the table above.", FAILED)


def sample(
    npsn: Npsn,
    pupils: Annotated[int, typer.Option(min=1, max=5000, help="Its students")] = 60,
    seed: Annotated[int, typer.Option(help="The same seed makes the same school")] = 1,
) -> None:
    """Write a synthetic school as a baseline (JSONL), to try things with: nobody in it is real."""
    from services.demo.synthetic import jsonl, synthetic_school

    classes = max(6, -(-pupils // 28)) if pupils >= CLASSES_OF_AN_SD else 1
    school = synthetic_school(
        seed, npsn=npsn, today=calendar.today(), pupils=pupils, classes=classes, teachers=classes + 2
    )
    for line in jsonl(school):
        sys.stdout.write(line + "\n")


def up(run_dir: RunDir = Path(".run/up")) -> None:
    """Keep servers and services running until Ctrl-C; data stay in the run folder."""
    from services.embedded import ServersUnavailable
    from services.embedded.stack import SERVICES, StackFailed, stack

    stop = threading.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, lambda *_: stop.set())
    settings = run_dir.with_name(run_dir.name + ".env")
    try:
        with stack(run_dir.resolve(), fresh=False, say=show.console.print) as running, _kept(settings):
            _write_private(settings, {**running.addresses.of_site_command(), **running.addresses.of_officer_command()})
            for service in SERVICES:
                show.console.print(f"{service:<10} http://127.0.0.1:{running.ports[service]}/readyz  /metrics")
            if settings == Path(UP_FILE):
                show.console.print("Perintah `selaras` di folder ini memakainya · the command in this folder uses it")
            else:
                show.console.print(f"Alamat untuk perintah `selaras` · addresses for the command: {settings}")
            show.console.print("Ctrl-C menghentikan semuanya · stops everything")
            while not stop.wait(0.5):
                for service, process in running.processes.items():
                    if process.poll() is not None:
                        show.errors.print(f"{service} ended by itself (see {running.log_file(service)}): started again")
                        running.start(service)
            show.console.print("menghentikan semuanya · stopping")
    except (ServersUnavailable, StackFailed) as error:
        raise Stop(str(error), NOT_SET_UP) from error


@contextlib.contextmanager
def _kept(settings: Path) -> Iterator[None]:
    """The file of addresses is there while the servers are."""
    try:
        yield
    finally:
        settings.unlink(missing_ok=True)


def _write_private(file: Path, values: dict[str, str]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.chmod(0o600)
    file.write_text("".join(f"{name}={value}\n" for name, value in values.items()))
