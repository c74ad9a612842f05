"""All commands, and how each ends: an exit code, and for every trouble one sentence."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from collections.abc import Callable
from importlib.metadata import version
from typing import Annotated

import typer

from services.cli import (
    account,
    checks,
    conflicts,
    deploy,
    installation,
    local,
    officer,
    ops,
    proof,
    school,
    site,
    troubles,
)
from services.cli.client import NoAnswer
from services.cli.outcomes import DONE, INTERRUPTED, NOT_SET_UP, UNFINISHED, USAGE, Stop
from services.errors import SelarasError, Transient
from services.settings import SettingsMissing

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
    school.publish, school.validate, school.sync, school.pull, school.status,
    installation.register, installation.reinstall, installation.export,
    conflicts.conflicts, conflicts.decide,
    checks.verify, checks.audit, ops.serve, ops.migrate, local.demo, local.up, local.sample,
)  # fmt: skip
for _command in _COMMANDS:
    app.command()(_command)
officer.app.command("audit")(checks.officer_audit)
app.add_typer(officer.app, name="officer")
app.add_typer(proof.receipt, name="receipt")
app.add_typer(proof.keys, name="keys")
app.add_typer(account.app, name="account")
app.add_typer(site.app, name="site")
app.add_typer(ops.dead, name="dead")
app.add_typer(ops.topology_app, name="topology")
app.add_typer(deploy.app, name="deploy")


def run() -> int:
    """Run what the command line says; its exit code. Raises KeyboardInterrupt after Ctrl-C, and nothing else unless
    SELARAS_TRACEBACK is set.
    """
    logging.getLogger().addHandler(logging.NullHandler())  # libraries say nothing on a person's screen
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that is not UTF-8 shows "?" for what it lacks
    if not all(map(_is_text, sys.argv)):
        return _say("Ada kata perintah yang bukan UTF-8 · a word of the command is not UTF-8.", USAGE)
    try:
        app(standalone_mode=True)
    except SystemExit as end:
        if end.code == INTERRUPTED:
            raise KeyboardInterrupt from end
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
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        log.critical("stopped", exc_info=error)  # seen where a service logs
        if os.environ.get("SELARAS_TRACEBACK"):
            raise
        return _say(*troubles.told(error))
    return DONE


def _is_text(word: str) -> bool:
    """Bytes that are no text come in as halves of surrogate pairs, which nothing can take further."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _say(sentence: str, code: int) -> int:
    if sentence:
        sys.stderr.write(sentence + "\n")
    return code
