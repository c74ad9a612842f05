"""age (age-encryption.org/v1): a backup is written for the holders of some keys, and whoever makes it is none of them.

Files stream through: neither side holds more of one than a few pieces of 64 KiB. `age -d` opens them as well.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Protocol

import pyrage
from pyrage.x25519 import Identity, Recipient

from services.errors import BackupFailed

MAGIC = b"age-encryption.org/v1\n"
PIECE_BYTES = 1024 * 1024
_COMMENT = re.compile(r"\s*(#.*)?")


def recipients(text: str) -> list[Recipient]:
    """Public keys (age1…), with commas or spaces between them. Raises BackupFailed (CAD-01) for what is none."""
    names = text.replace(",", " ").split()
    try:
        return [Recipient.from_str(name) for name in names]
    except pyrage.RecipientError:
        raise BackupFailed("CAD-01", "not a public key of the form age1…") from None


def new_identity(now: str) -> tuple[str, str]:
    """(what the key file holds, the public key)."""
    identity = Identity.generate()
    public = str(identity.to_public())
    return f"# created: {now}\n# public key: {public}\n{identity}\n", public


def identities(file: Path) -> list[Identity]:
    """The keys of a key file. Raises BackupFailed (CAD-10)."""
    try:
        lines = file.read_text(encoding="ascii").splitlines()
        found = [Identity.from_str(line.strip()) for line in lines if not _COMMENT.fullmatch(line)]
    except OSError as error:
        raise BackupFailed("CAD-10", f"{file}: {error.strerror}") from error
    except (UnicodeDecodeError, pyrage.IdentityError):
        raise BackupFailed("CAD-10", str(file)) from None  # whatever it holds instead, it is not to be quoted
    if not found:
        raise BackupFailed("CAD-10", str(file))
    return found


class Writable(Protocol):
    """What is written to."""

    def write(self, piece: bytes, /) -> int:
        """As of a file."""

    def flush(self) -> None:
        """As of a file."""


@contextmanager
def sealed(out: Writable, for_whom: Sequence[Recipient]) -> Iterator[BinaryIO]:
    """What is written in the block goes to `out`, sealed. Raises what `out` raises."""
    target = _Kept(out)
    with _beside(lambda plain: pyrage.encrypt_io(plain, _as_file(target), for_whom), target, writes=True) as plain:
        yield plain


@contextmanager
def opened(file: BinaryIO, keys: Sequence[Identity]) -> Iterator[BinaryIO]:
    """What `file` holds, to be read in the block. Raises BackupFailed (CAD-03, CAD-04; CAD-05: age did not make it)."""
    if file.read(len(MAGIC)) != MAGIC:
        raise BackupFailed("CAD-05")
    file.seek(0)
    source = _Kept(file)
    with _beside(lambda plain: pyrage.decrypt_io(_as_file(source), plain, keys), source, writes=False) as plain:
        yield plain


@contextmanager
def _beside(work: Any, file: _Kept, *, writes: bool) -> Iterator[BinaryIO]:
    """Run age in a thread, at the other end of a pipe. What it fails with counts more than what the block makes of a
    pipe that ended early.
    """
    reads, feeds = os.pipe()
    ends: list[BinaryIO] = [os.fdopen(feeds, "wb"), os.fdopen(reads, "rb")]
    ours, theirs = ends if writes else reversed(ends)
    failed: list[BaseException] = []

    def run() -> None:
        try:
            work(theirs)
        except BaseException as error:
            failed.append(error)
        finally:
            with suppress(OSError):
                theirs.close()

    thread = Thread(target=run, name="age", daemon=True)
    thread.start()
    try:
        yield ours
        if not writes:
            while ours.read(PIECE_BYTES):  # to the end, where age proves that it is the end
                pass
        ours.close()
        thread.join()
    except BaseException as error:
        with suppress(OSError):
            ours.close()
        thread.join()
        if failed and not isinstance(failed[0], BrokenPipeError) and isinstance(error, Exception):
            raise _told(failed[0], file) from error
        raise
    if failed:
        raise _told(failed[0], file)


def _as_file(kept: _Kept) -> Any:
    """It has what age asks of a file, and nothing else."""
    return kept


def _told(error: BaseException, file: _Kept) -> BaseException:
    if file.failed is not None:
        return file.failed
    if isinstance(error, pyrage.DecryptError):
        return BackupFailed("CAD-03") if "matching keys" in str(error) else BackupFailed("CAD-04", "its head")
    if isinstance(error, OSError) and error.errno is None:  # age's own word for a piece that does not prove itself
        return BackupFailed("CAD-04", "decryption error")
    return error


class _Kept:
    """A file that keeps what it failed with: age hands on no more than the words."""

    def __init__(self, file: Any) -> None:
        self._file = file
        self.failed: Exception | None = None

    def read(self, size: int) -> bytes:
        """As of a file."""
        try:
            return bytes(self._file.read(size))
        except Exception as error:
            self.failed = error
            raise

    def write(self, piece: bytes) -> int:
        """As of a file."""
        try:
            return int(self._file.write(piece))
        except Exception as error:
            self.failed = error
            raise

    def flush(self) -> None:
        """As of a file."""
        self._file.flush()
