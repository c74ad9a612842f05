"""Where backups are kept: a file appears under its name only when it is whole, on disk, and was read back."""

from __future__ import annotations

import errno
import hashlib
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from services.errors import BackupFailed

SUFFIX = ".tar.zst.age"
PARTIAL = ".partial"
READ_BYTES = 1024 * 1024
_NAME = re.compile(
    r"selaras-(site|central)-([A-Za-z0-9_.]+)-([0-9a-f]{8})-([0-9]{8}T[0-9]{6}\.[0-9]{3}Z)" + re.escape(SUFFIX)
)
_UNFIT = re.compile(r"[^A-Za-z0-9_.]")


@dataclass(frozen=True, slots=True)
class Origin:
    """Of which database. `mark`: eight hex digits that tell two databases of one name apart."""

    side: str
    database: str
    mark: str

    def name(self, at: datetime) -> str:
        """The file's, for a backup of that moment."""
        database = _UNFIT.sub("_", self.database)
        return f"selaras-{self.side}-{database}-{self.mark}-{_time(at)}{SUFFIX}"


@dataclass(frozen=True, slots=True)
class Kept:
    """A whole backup in a folder."""

    file: Path
    side: str
    database: str
    mark: str
    made_at: datetime
    bytes: int


def kept(folder: Path) -> list[Kept]:
    """The whole backups of a folder, newest first. Raises BackupFailed (CAD-02)."""
    with usable(folder):
        found = [
            Kept(file, named[1], named[2], named[3], _read_time(named[4]), file.stat().st_size)
            for file in folder.iterdir()
            if (named := _NAME.fullmatch(file.name)) and file.is_file()
        ]
    return sorted(found, key=lambda one: (one.made_at, one.file.name), reverse=True)


def _time(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y%m%dT%H%M%S.%f")[:-3] + "Z"


def _read_time(text: str) -> datetime:
    return datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC)


class Growing:
    """A backup that is being written, and nobody's yet. Counts and hashes what is written."""

    def __init__(self, folder: Path, file: BinaryIO) -> None:
        self._folder = folder
        self._file = file
        self._hash = hashlib.sha256()
        self.bytes = 0

    def write(self, piece: bytes) -> int:
        """As of a file. Raises BackupFailed (CAD-02)."""
        with usable(self._folder):
            written = self._file.write(piece)
        self._hash.update(piece[:written])
        self.bytes += written
        return written

    def flush(self) -> None:
        """As of a file. Raises BackupFailed (CAD-02)."""
        with usable(self._folder):
            self._file.flush()

    @property
    def sha256(self) -> str:
        """Of all that was written."""
        return self._hash.hexdigest()


@contextmanager
def growing(folder: Path, origin: Origin, name: str) -> Iterator[Growing]:
    """Write a backup in the block; when the block ends it is on disk, read back, and there under its name.

    What a process that died had left of another backup of the same database is taken away; of a block that does not
    end well nothing is left. Raises BackupFailed (CAD-02). One process at a time, per database.
    """
    partial, whole = folder / f".{name}{PARTIAL}", folder / name
    with usable(folder):
        for left in folder.glob(f".selaras-{origin.side}-*-{origin.mark}-*{PARTIAL}"):
            left.unlink()
        if whole.exists():
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
        handle = _create(partial)
    try:
        with os.fdopen(handle, "wb", buffering=0) as file:
            grown = Growing(folder, file)
            yield grown
            with usable(folder):
                os.fsync(file.fileno())
        with usable(folder):
            _hold_against(partial, grown)
            partial.rename(whole)
            _sync(folder)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


def _create(file: Path) -> int:
    return os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)


def _hold_against(file: Path, grown: Growing) -> None:
    if _read_back(file) != grown.sha256:
        raise OSError(errno.EIO, "what was written reads back as something else")


def _read_back(file: Path) -> str:
    """The SHA-256 of what is on disk, as far as the system lets one ask the disk."""
    found = hashlib.sha256()
    with file.open("rb") as opened:
        if hasattr(os, "posix_fadvise"):
            with suppress(OSError):
                os.posix_fadvise(opened.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
        while piece := opened.read(READ_BYTES):
            found.update(piece)
    return found.hexdigest()


def _sync(folder: Path) -> None:
    """So that the name is on disk too; not every file system can be asked."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def prune(folder: Path, origin: Origin, keep: int) -> int:
    """Take away all but the newest `keep` backups of one database; how many. Raises BackupFailed (CAD-02)."""
    ours = [one for one in kept(folder) if (one.side, one.mark) == (origin.side, origin.mark)]
    with usable(folder):
        for old in ours[keep:]:
            old.file.unlink()
    return len(ours[keep:])


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """What the file system says to anything done in the block, as ours: CAD-02 with its own word for it."""
    try:
        yield
    except OSError as error:
        raise BackupFailed("CAD-02", f"{folder}: {error.strerror or type(error).__name__}") from error
