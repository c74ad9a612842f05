"""The form of a backup: a tar in zstd, of files that PostgreSQL's COPY reads without us.

    backup.json            what it is of: the side, the database, its tables' revision, their columns
    record/000001.copy     rows in COPY's text format, a line each; as many files as it takes
    manifest.json          the last: of each table its rows and the SHA-256 of their lines; where sequences stand

A file that ends without its manifest is no backup.
"""

from __future__ import annotations

import hashlib
import io
import re
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from typing import Any, BinaryIO, get_args

import orjson
import zstandard

from services.errors import BackupFailed
from services.tables import Side

FORMAT = 1
HEAD, TAIL = "backup.json", "manifest.json"
LEVEL = 3
PART_BYTES = 1024 * 1024
"""Rows of about so many bytes are one file of the tar."""
PIECE_BYTES = 1024 * 1024
"""What is read at once."""
WINDOW_BYTES = 8 * 1024 * 1024
"""Of memory, that a file may ask for to be unpacked; level 3 asks for 2 MiB."""
DOCUMENT_BYTES = 16 * 1024 * 1024
_PART = re.compile(r"([a-z_][a-z0-9_]*)/[0-9]{6,}\.copy")


@dataclass(frozen=True, slots=True)
class Head:
    """What a backup is of. `columns`: of each table those that are kept; what the database computes is not."""

    side: str
    database: str
    revision: str
    made_at: str
    release: str
    columns: Mapping[str, list[str]]


@dataclass(slots=True)
class Counted:
    """One table: its rows, and the SHA-256 of their lines."""

    rows: int = 0
    sha256: str = ""
    _hash: Any = field(default_factory=hashlib.sha256, repr=False, compare=False)

    def add(self, piece: bytes) -> None:
        """More of its lines. A line feed inside a value is written as two other characters, so each ends a row."""
        self.rows += piece.count(b"\n")
        self._hash.update(piece)

    def done(self) -> Counted:
        """With the hash of all."""
        return Counted(self.rows, self._hash.hexdigest())


@dataclass(frozen=True, slots=True)
class Manifest:
    """What was written. `sequences`: table.column → the last value that was given out."""

    tables: Mapping[str, Counted]
    sequences: Mapping[str, int]


# ── writing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Writer:
    """Writes a backup to a stream: the head, rows in any pieces table after table, the manifest."""

    def __init__(self, out: BinaryIO, head: Head) -> None:
        self._packed = zstandard.ZstdCompressor(level=LEVEL).stream_writer(out, closefd=False)
        self._tar = tarfile.open(fileobj=self._packed, mode="w|", format=tarfile.USTAR_FORMAT)  # noqa: SIM115
        self._counted = {table: Counted() for table in head.columns}
        self._rest = bytearray()
        self._parts = 0
        self._put(HEAD, orjson.dumps({"format": FORMAT, **asdict(head)}))

    def rows(self, table: str, piece: bytes) -> None:
        """More of a table's lines; a piece may end inside of one."""
        self._rest += piece
        if len(self._rest) >= PART_BYTES:
            self._flush(table)

    def table_ends(self, table: str) -> None:
        """That was all of it."""
        self._flush(table)
        self._parts = 0

    def close(self, sequences: Mapping[str, int]) -> Manifest:
        """The manifest, and the end."""
        manifest = Manifest({table: one.done() for table, one in self._counted.items()}, sequences)
        tables = {table: {"rows": one.rows, "sha256": one.sha256} for table, one in manifest.tables.items()}
        self._put(TAIL, orjson.dumps({"tables": tables, "sequences": dict(sequences)}))
        self._tar.close()
        self._packed.close()  # type: ignore[no-untyped-call]
        return manifest

    def _flush(self, table: str) -> None:
        """Whole lines only, so that each file can be read by itself."""
        end = self._rest.rfind(b"\n") + 1
        if not end:
            return
        lines = bytes(self._rest[:end])
        del self._rest[:end]
        self._parts += 1
        self._counted[table].add(lines)
        self._put(f"{table}/{self._parts:06d}.copy", lines)

    def _put(self, name: str, content: bytes) -> None:
        about = tarfile.TarInfo(name)
        about.size, about.mode = len(content), 0o600
        self._tar.addfile(about, io.BytesIO(content))
        self._tar.members = []  # type: ignore[attr-defined]  # it would remember all of them


# ── reading ──────────────────────────────────────────────────────────────────────────────────────────────────────────


class Reader:
    """Reads a backup from a stream, once, from head to manifest. Raises BackupFailed (CAD-04, CAD-05)."""

    def __init__(self, stream: BinaryIO) -> None:
        with _readable():
            unpacked = zstandard.ZstdDecompressor(max_window_size=WINDOW_BYTES).stream_reader(stream, closefd=False)
            self._tar = tarfile.open(fileobj=unpacked, mode="r|")  # noqa: SIM115
            first = self._tar.next()
            if first is None or first.name != HEAD:
                raise BackupFailed("CAD-05")
            self.head = _head(self._document(first))
        self.manifest: Manifest | None = None

    def parts(self) -> Iterator[tuple[str, Iterator[bytes]]]:
        """(table, its lines in pieces), one after the other; at the end all is held against the manifest."""
        counted = {table: Counted() for table in self.head.columns}
        while (member := self._next()).name != TAIL:
            named = _PART.fullmatch(member.name)
            if named is None or named[1] not in counted:
                raise BackupFailed("CAD-04", "a file that is not of the backup")
            yield named[1], self._pieces(member, counted[named[1]])
        with _readable():
            manifest = _manifest(self._document(member))
        if manifest.tables != {table: one.done() for table, one in counted.items()}:
            raise BackupFailed("CAD-04", "rows that the manifest does not count")
        self.manifest = manifest

    def _next(self) -> tarfile.TarInfo:
        with _readable():
            self._tar.members = []  # type: ignore[attr-defined]
            member = self._tar.next()
        if member is None:
            raise BackupFailed("CAD-04", "it ends before its manifest")
        return member

    def _pieces(self, member: tarfile.TarInfo, counted: Counted) -> Iterator[bytes]:
        with _readable():
            content = self._tar.extractfile(member)
        while content is not None:
            with _readable():
                piece = content.read(PIECE_BYTES)
            if not piece:
                return
            counted.add(piece)
            yield piece

    def _document(self, member: tarfile.TarInfo) -> Any:
        content = self._tar.extractfile(member)
        if content is None or member.size > DOCUMENT_BYTES:
            raise BackupFailed("CAD-05")
        return orjson.loads(content.read())


def _head(document: Any) -> Head:
    if document["format"] != FORMAT:
        raise BackupFailed("CAD-05")
    head = Head(**{name: document[name] for name in Head.__dataclass_fields__})
    datetime.fromisoformat(head.made_at)
    if head.side not in get_args(Side) or not re.fullmatch("[0-9]{4}", head.revision) or not _are_columns(head.columns):
        raise BackupFailed("CAD-05")
    return head


def _are_columns(given: object) -> bool:
    return isinstance(given, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names) for names in given.values()
    )


def _manifest(document: Any) -> Manifest:
    tables = {table: Counted(int(one["rows"]), str(one["sha256"])) for table, one in document["tables"].items()}
    return Manifest(tables, {name: int(value) for name, value in document["sequences"].items()})


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except (tarfile.TarError, zstandard.ZstdError, KeyError, TypeError, ValueError, AttributeError) as error:
        raise BackupFailed("CAD-04", type(error).__name__) from error
