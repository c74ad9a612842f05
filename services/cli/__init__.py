"""The `selaras` command: a composition root, and nothing that a library would want.

school    publish, validate, sync, pull, status, register
conflicts see and decide them
officer   central's officers
ops       serve, migrate, topology, dead
local     demo, up, sample: everything on one machine
arguments what several commands take
outcomes  the exit codes
troubles  other libraries' errors in one sentence
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from services.cli import conflicts, local, officer, ops, school, troubles
from services.cli.client import NoAnswer
from services.cli.outcomes import DONE, NOT_SET_UP, UNFINISHED, Stop
from services.errors import SelarasError, Transient
from services.settings import SettingsMissing

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""
log = logging.getLogger(__name__)

app = typer.Typer(
    name="selaras",
    help="Keeps a school's data equal with the central registry, and proves it. "
    "Exit codes: 0 done, 1 a service failed, 2 wrong usage, 3 refused with reasons, 4 no end in time, 5 not set up or "
    "out of reach, 130 Ctrl-C.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


@app.callback(invoke_without_command=True)
def _root(
    show_version: Annotated[bool, typer.Option("--version", help="The release, and stop")] = False,
) -> None:
    if show_version:
        sys.stdout.write(f"selaras {version('selaras')}\n")
        raise typer.Exit


_COMMANDS: tuple[Callable[..., None], ...] = (
    school.publish, school.validate, school.sync, school.pull, school.status, school.register,
    conflicts.conflicts, conflicts.decide,
    ops.serve, ops.migrate, local.demo, local.up, local.sample,
)  # fmt: skip
for _command in _COMMANDS:
    app.command()(_command)
app.add_typer(officer.app, name="officer")
app.add_typer(ops.dead, name="dead")
app.add_typer(ops.topology_app, name="topology")


def main() -> None:
    """Run the command; every trouble is one sentence and an exit code, never a traceback."""
    logging.getLogger().addHandler(logging.NullHandler())  # libraries say nothing on a person's screen
    sys.exit(_run())


def _run() -> int:
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            return _say("dihentikan · stopped", INTERRUPTED)
        raise
    except Stop as stop:
        return _say(str(stop), stop.code)
    except SettingsMissing as error:
        return _say(str(error), NOT_SET_UP)
    except NoAnswer as error:
        return _say(str(error), UNFINISHED)
    except Transient as error:
        return _say(
            f"Out of reach ({type(error).__name__}: {error}). Is everything running? `make up` starts it.", NOT_SET_UP
        )
    except SelarasError as error:
        return _say(str(error), NOT_SET_UP)
    except (KeyboardInterrupt, asyncio.CancelledError):
        return _say("dihentikan · stopped", INTERRUPTED)
    except Exception as error:
        log.critical("stopped", exc_info=error)  # seen where a service logs
        if os.environ.get("SELARAS_TRACEBACK"):
            raise
        return _say(*troubles.told(error))
    return DONE


def _say(sentence: str, code: int) -> int:
    if sentence:
        sys.stderr.write(sentence + "\n")
    return code
