"""The `selaras` command: a composition root, and nothing that a library would want.

commands  all of them, and how each ends
school    publish, validate, sync, pull, status
installation  register, reinstall, export
conflicts see and decide them
officer   central's officers
ops       serve, migrate, topology, dead
local     demo, up, sample: everything on one machine
arguments what several commands take
outcomes  the exit codes
troubles  other libraries' errors in one sentence
"""

from __future__ import annotations

import sys

from services.cli.outcomes import INTERRUPTED


def main() -> None:
    """Run the command. The rest is imported only here: it takes a second, and Ctrl-C may come at any time."""
    try:
        from services.cli.commands import run

        sys.exit(run())
    except KeyboardInterrupt:
        sys.stderr.write("dihentikan · stopped\n")
        sys.exit(INTERRUPTED)
