"""The folder of an installation's secrets: a part for each container, which sees that part alone.

`own` and what begins with it is never mounted anywhere: passwords, the authority's key, what central sent.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
from collections.abc import Iterable
from pathlib import Path

PASSWORD_BYTES = 24
OURS = 0o600
"""Of a file that this user's own containers read."""
GROUPS = 0o640
"""Of a file for a server that runs as another user, with our group added."""


class Folder:
    """Files that are written whole, and only where they differ from what is there."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def part(self, name: str, *, mode: int = OURS) -> Path:
        """The folder of one container; its mode follows that of its files."""
        path = self.root / name
        path.mkdir(parents=True, exist_ok=True)
        path.chmod(0o750 if mode == GROUPS else 0o700)
        return path

    def write(self, part: str, name: str, content: str | bytes, *, mode: int = OURS) -> None:
        """One file, in one step: whoever reads it sees the old content or the new one."""
        file = self.part(part, mode=mode) / name
        data = content.encode() if isinstance(content, str) else content
        if file.exists() and file.read_bytes() == data and file.stat().st_mode & 0o777 == mode:
            return
        descriptor, beside = tempfile.mkstemp(dir=file.parent, prefix=".")
        with os.fdopen(descriptor, "wb") as out:
            out.write(data)
            out.flush()
            os.fchmod(out.fileno(), mode)
            os.fsync(out.fileno())
        Path(beside).replace(file)

    def read(self, part: str, name: str) -> bytes | None:
        """A file, if it is there."""
        file = self.root / part / name
        return file.read_bytes() if file.exists() else None

    def passwords(self, names: Iterable[str]) -> dict[str, str]:
        """A random password for each name, made once."""
        kept = self.read("own", "passwords.json")
        known: dict[str, str] = json.loads(kept) if kept else {}
        for name in names:
            known.setdefault(name, secrets.token_urlsafe(PASSWORD_BYTES))
        self.write("own", "passwords.json", json.dumps(known, indent=1, sort_keys=True))
        return known
