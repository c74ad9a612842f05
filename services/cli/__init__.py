"""The `selaras` command: a composition root, and nothing that a library would want.

commands  all of them, and how each ends
later     what makes each a module of its own that is imported when it is typed
school    publish, validate, sync, pull
status    status
history   history
installation  register, reinstall, export
conflicts see and decide them
officer   central's officers
central   central after it was put back from a backup
past      a school's past at central: officer as-of, diff, receipt
cutoff    snapshot
registry  central's database, for those who work on it themselves
proof     receipt, keys: what central signed, and what it signs with
checks    verify, audit: compare now
ops       serve, migrate, topology, dead
config    config check: every setting and connection (connections, probes)
interface asyncapi
local     demo, up, sample: everything on one machine
arguments what several commands take
outcomes  the exit codes
troubles  other libraries' errors in one sentence
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from services.cli.outcomes import INTERRUPTED

STOPPED = "dihentikan · stopped\n"


def main() -> None:
    """Run the command. Modules are imported only here and when a command is known: it takes a while."""
    with loading():
        from services.cli.commands import run
    try:
        sys.exit(run())
    except KeyboardInterrupt:
        sys.stderr.write(STOPPED)
        sys.exit(INTERRUPTED)


@contextmanager
def loading() -> Iterator[None]:
    """While modules load, Ctrl-C ends the process at once: an exception would come out of one of them."""
    interrupt = signal.getsignal(signal.SIGINT)
    is_main = threading.current_thread() is threading.main_thread()
    ours = is_main and interrupt is signal.default_int_handler  # else whoever started us wants it ignored
    if ours:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if ours:
            signal.signal(signal.SIGINT, interrupt)


def _leave(*_: object) -> None:
    """While modules load there is nothing to tidy up."""
    os.write(sys.stderr.fileno(), STOPPED.encode())
    os._exit(INTERRUPTED)
