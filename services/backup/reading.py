"""File → counts, or an empty database. Nothing is changed until the last row was read and held against the manifest."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from pyrage.x25519 import Identity

from services import tables
from services.backup import sealing
from services.backup.archive import Head, Manifest, Reader
from services.backup.taking import PLAIN_TEXT, columns_of
from services.database import FOREIGN, Database, Transaction
from services.errors import BackupFailed, DatabaseAway


@dataclass(frozen=True, slots=True)
class Read:
    """A backup that was read from end to end."""

    head: Head
    manifest: Manifest

    @property
    def rows(self) -> int:
        """Of all tables."""
        return sum(one.rows for one in self.manifest.tables.values())


def check(file: Path, keys: Sequence[Identity]) -> Read:
    """Open a backup and read it to its end, without any database. Raises BackupFailed (CAD-03, CAD-04, CAD-05)."""
    with opened(file, keys) as reader:
        for _, pieces in reader.parts():
            for _ in pieces:
                pass
        return _whole(reader)


@contextmanager
def opened(file: Path, keys: Sequence[Identity]) -> Iterator[Reader]:
    """A backup, to be read. Raises BackupFailed; what the file itself fails with, as CAD-05."""
    try:
        with file.open("rb") as sealed, sealing.opened(sealed, keys) as stream:
            yield Reader(stream)
    except OSError as error:
        raise BackupFailed("CAD-05", f"{file}: {error.strerror or type(error).__name__}") from error


async def is_empty(database: Database, revision: str) -> bool:
    """Has it no tables, or ours, of this revision at most, without a single row?"""
    async with database.transaction() as transaction:
        found = await tables.read(transaction)
        if found.revision is not None and found.revision > revision:
            return False
        names = await transaction.rows(
            """
            SELECT format('%I.%I', n.nspname, c.relname) AS name FROM pg_class c
            JOIN pg_namespace n ON n.oid = c.relnamespace
            WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname !~ '^pg_' AND n.nspname <> 'information_schema'
              AND c.relname <> :version
            """,
            version=tables.VERSION_TABLE,
        )
        for row in names:
            if await transaction.value(f"SELECT EXISTS (SELECT FROM {row.name})"):  # noqa: S608  quoted
                return False
    return True


async def restore(
    database: Database, file: Path, keys: Sequence[Identity], progress: Callable[[str], None] = lambda _: None
) -> Read:
    """Put all rows of a backup into tables of its revision that are empty, in one transaction. `progress` is told each
    table as it begins. Raises BackupFailed (CAD-03 to CAD-07, CAD-09).
    """
    try:
        with opened(file, keys) as reader:
            async with database.alone() as transaction:
                await _fits(transaction, reader.head)
                for statement in PLAIN_TEXT:
                    await transaction.run(statement)
                before = ""
                for table, pieces in reader.parts():
                    if table != before:
                        progress(table)
                        before = table
                    await transaction.copy_in(table, reader.head.columns[table], _given(pieces))
                read = _whole(reader)
                await _continue(transaction, read)
            return read
    except (DatabaseAway, *FOREIGN) as error:
        raise BackupFailed("CAD-09", getattr(error, "sqlstate", None) or type(error).__name__) from error


async def _given(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def _fits(transaction: Transaction, head: Head) -> None:
    """The tables are empty and those of the backup: names in a file are nobody's word. Held until the end."""
    found = await tables.read(transaction)
    columns = await columns_of(transaction)
    if found.revision != head.revision or columns != head.columns:
        raise BackupFailed("CAD-07", f"{head.side} {head.revision}")
    for table in columns:
        await transaction.run(f'LOCK TABLE public."{table}" IN EXCLUSIVE MODE')
        if await transaction.value(f'SELECT EXISTS (SELECT FROM public."{table}")'):  # noqa: S608  names of the catalogue
            raise BackupFailed("CAD-06")


async def _continue(transaction: Transaction, read: Read) -> None:
    """Sequences go on where they were."""
    for name, last in read.manifest.sequences.items():
        table, _, field = name.partition(".")
        if field not in read.head.columns.get(table, ()):
            raise BackupFailed("CAD-04", "a sequence that no table has")
        await transaction.run(
            "SELECT setval(pg_get_serial_sequence(format('public.%I', CAST(:table AS text)), :field), :last)",
            table=table, field=field, last=last,
        )  # fmt: skip


def _whole(reader: Reader) -> Read:
    assert reader.manifest is not None, "it was read to its end"
    return Read(reader.head, reader.manifest)
