"""All commands, and how each ends: an exit code, and for every trouble one sentence."""

from __future__ import annotations

import asyncio
import io
import logging
import os
import sys
from importlib.metadata import version
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from services.cli.later import Later
from services.cli.outcomes import DONE, INTERRUPTED, USAGE, Stop

COMMANDS = (
    Later("publish", "school:publish", "Publish changes of a school's data and show what became of each."),
    Later("validate", "school:validate", "Judge the school now and list what is invalid."),
    Later(
        "sync",
        "school:sync",
        "Sinkronisasi: send what changed here, receive what changed at the centre, end exactly equal.",
    ),
    Later("pull", "school:pull", "Tarik data: take the centre's updates; nothing is ever sent."),
    Later("status", "status:status", "Where a school stands; with --failed, which sessions need somebody."),
    Later(
        "history",
        "history:history",
        "A school's sessions, newest first: asked by whom and when, how each ended, and what central stated.",
    ),
    Later("register", "installation:register", "Register this installation for a school, and bring its data in."),
    Later(
        "reinstall",
        "installation:reinstall",
        "Give up what is here and bring back the last completed sync; lists first what would be lost.",
    ),
    Later(
        "export",
        "installation:export",
        "Write a school's unsent changes to a file that `selaras publish` takes, here or at another installation.",
    ),
    Later(
        "conflicts", "conflicts:conflicts", "The conflicts that wait for a person, with what to type to decide each."
    ),
    Later(
        "decide",
        "conflicts:decide",
        "Decide a conflict: mine, what stands here, goes to the centre; central takes the centre's value.",
    ),
    Later(
        "verify",
        "checks:verify",
        "Compare a school with central now and mend what differs; nothing that anybody typed is sent.",
    ),
    Later(
        "audit",
        "checks:audit",
        "Verify every school of this site, one after the other; ends with 0 only if all were equal untouched.",
    ),
    Later("serve", "ops:serve", "Run a service until SIGTERM or Ctrl-C; `all` runs the four in one process."),
    Later(
        "migrate",
        "ops:migrate",
        "Bring the tables of the site's database, central's, or both to this release; again is harmless.",
    ),
    Later(
        "asyncapi",
        "interface:asyncapi",
        "Every message and channel as an AsyncAPI 3.0 document (JSON): `> asyncapi.json`.",
    ),
    Later("demo", "local:demo", "Run the whole story on embedded defaults, end to end, and show it."),
    Later("up", "local:up", "Keep servers and services running until Ctrl-C; data stay in the run folder."),
    Later(
        "sample",
        "local:sample",
        "Write a synthetic school as a baseline (JSONL), to try things with: nobody in it is real.",
    ),
    Later("officer", "officer:app", "Central's officers: schools, and changes to their records."),
    Later("central", "central:app", "Central after it was put back from a backup."),
    Later(
        "snapshot",
        "cutoff:snapshot",
        "The cut-off: all schools as readers saw them at the end of a day, as JSONL that shows whether it is whole.",
    ),
    Later("receipt", "proof:receipt", "Receipts (bukti sinkron): export, and check anywhere."),
    Later("keys", "proof:keys", "The keys that central signs with."),
    Later("site", "site:app", "Sites that sync with this central."),
    Later("account", "account:app", "Which broker user may speak for which school."),
    Later("backup", "backup:app", "Backups of the site's and central's databases: make, list, check, put back."),
    Later("dead", "ops:dead", "Messages that no service could take (quarantine)."),
    Later("config", "config:app", "The settings, and what they lead to."),
    Later("topology", "ops:topology_app", "The broker's exchanges, queues and bindings."),
    Later("deploy", "deploy:app", "For the compose files: prepare an installation in containers."),
)
"""Every command, with the line that `selaras --help` shows: that of its function, which a test holds it to."""

log = logging.getLogger(__name__)


class _Commands(TyperGroup):
    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in COMMANDS:
            self.add_command(command)


app = typer.Typer(
    name="selaras",
    cls=_Commands,
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
    except asyncio.CancelledError as error:
        raise KeyboardInterrupt from error
    except Exception as error:
        from services.cli import troubles

        if ours := troubles.ours(error):
            return _say(*ours)
        log.critical("stopped on an error", exc_info=error)  # seen where a service logs
        if os.environ.get("SELARAS_TRACEBACK"):
            raise
        return _say(*troubles.told(error))
    return DONE


def _is_text(word: str) -> bool:
    """Bytes that are no text come in as halves of surrogate pairs, which nothing can take further."""
    return not any("\ud800" <= character <= "\udfff" for character in word)


def _say(sentence: str, code: int) -> int:
    logs = sys.modules.get("services.logs")
    if sentence and logs is not None and logs.configured():
        log.critical("ended", extra={"why": sentence, "exit_code": code})  # a service says everything by lines
    elif sentence:
        sys.stderr.write(sentence + "\n")
    return code
