"""A program that owns private servers until it is told to end: `python -m tests.embedded.owner FOLDER fresh|kept`.

It prints the superuser's address when both servers are ready.
"""

from __future__ import annotations

import sys
from pathlib import Path

from services.embedded import private_servers
from tests.embedded.installation import DATABASES, DEFINITIONS


def main(run_dir: Path, *, fresh: bool) -> None:
    with private_servers(run_dir, definitions=DEFINITIONS, databases=DATABASES, fresh=fresh) as servers:
        print(servers.superuser_url, flush=True)  # noqa: T201
        sys.stdin.read()


if __name__ == "__main__":
    main(Path(sys.argv[1]), fresh=sys.argv[2] == "fresh")
