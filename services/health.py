"""`python -m services.health`: is the service of this container ready? Ends with 0, or with 1 and what it waits for.

Imports next to nothing: it runs every few seconds beside the service.
"""

from __future__ import annotations

import os
import sys
import urllib.error
import urllib.request

SECONDS = 4.0


def main() -> int:
    """Ask /readyz on this machine."""
    port = int(os.environ.get("SELARAS_HTTP_PORT", "9100"))
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=SECONDS) as answer:
            said, ready = answer.read().decode(), answer.status == 200
    except urllib.error.HTTPError as error:
        said, ready = error.read().decode(), False
    except OSError as error:
        said, ready = type(error).__name__, False
    sys.stdout.write(said + "\n")
    return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main())
