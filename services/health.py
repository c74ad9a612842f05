"""`python -m services.health`: is the service of this container ready? Ends with 0, or with 1 and what it waits for.

Imports next to nothing: it runs every few seconds beside the service.
"""

from __future__ import annotations

import os
import socket
import sys

SECONDS = 4.0


def main() -> int:
    """Ask /readyz on this machine."""
    port = int(os.environ.get("SELARAS_HTTP_PORT", "9100"))
    try:
        head, _, said = _ask(port).partition("\r\n\r\n")
    except OSError as error:
        head, said = "", type(error).__name__
    sys.stdout.write(said.strip() + "\n")
    return 0 if head.split()[1:2] == ["200"] else 1


def _ask(port: int) -> str:
    with socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as connection:
        connection.sendall(b"GET /readyz HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n")
        answer = b""
        while more := connection.recv(65536):
            answer += more
    return answer.decode(errors="replace")


if __name__ == "__main__":
    sys.exit(main())
