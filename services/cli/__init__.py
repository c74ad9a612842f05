"""The `selaras` command: a composition root, and nothing that a library would want.

commands  all of them, and how each ends
school    publish, validate, sync, pull, status
installation  register, reinstall, export
conflicts see and decide them
officer   central's officers
proof     receipt, keys: what central signed, and what it signs with
checks    verify, audit: compare now
ops       serve, migrate, topology, dead
local     demo, up, sample: everything on one machine
arguments what several commands take
outcomes  the exit codes
troubles  other libraries' errors in one sentence
"""

from __future__ import annotations

import os
import signal
import sys

from services.cli.outcomes import INTERRUPTED

STOPPED = "dihentikan · stopped\n"


def main() -> None:
    """Run the command. The rest is imported only here: it takes a second, and Ctrl-C may come at any time."""
    interrupt = signal.getsignal(signal.SIGINT)
    if interrupt is signal.default_int_handler:  # else whoever started us wants it ignored
        signal.signal(signal.SIGINT, _leave)
    from services.cli.commands import run

    signal.signal(signal.SIGINT, interrupt)
    try:
        sys.exit(run())
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
        sys.exit(INTERRUPTED)


def _leave(*_: object) -> None:
    """While modules load there is nothing to tidy up, and an exception from here would come out of one of them."""
    os.write(sys.stderr.fileno(), STOPPED.encode())
    os._exit(INTERRUPTED)
