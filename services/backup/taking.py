"""Database → file: every row of one moment, packed and sealed as it streams by; nothing of it is on disk in plain."""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from pyrage.x25519 import Recipient

from services import tables
from services.backup import folder, ledger, sealing
from services.backup.archive import Head, Manifest, Writer
from services.backup.folder import Growing, Origin
from services.backup.ledger import Ledger
from services.database import FOREIGN, Database, Transaction
from services.errors import BackupFailed, DatabaseAway

T = TypeVar("T")
STALLED_SECONDS = 600.0
"""A server of which nothing is heard for so long in the middle of a table is away."""
PLAIN_TEXT = (
    "SET LOCAL TimeZone = 'UTC'", "SET LOCAL DateStyle = 'ISO, YMD'", "SET LOCAL IntervalStyle = 'postgres'",
    "SET LOCAL bytea_output = 'hex'", "SET LOCAL extra_float_digits = 1",
    "SET LOCAL row_security = off", "SET LOCAL statement_timeout = 0",
    "SET LOCAL idle_in_transaction_session_timeout = 0",
)  # fmt: skip
"""So that a value is written alike everywhere, and a row that this user may not see is an error, not left out."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Where a backup goes, who may read it, and how many stay."""

    folder: Path
    recipients: Sequence[Recipient]
    keep: int


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that is there. `rows`: of each table; `pruned`: older ones that were taken away."""

    file: Path
    bytes: int
    seconds: float
    rows: Mapping[str, int]
    pruned: int


class Stopped(Exception):
    """The process is to end: what was begun is taken back."""


async def take(
    database: Database,
    side: tables.Side,
    wanted: Wanted,
    *,
    is_due: Callable[[], Awaitable[bool]] | None = None,
    stopping: Callable[[], bool] = lambda: False,
    began: Callable[[], None] = lambda: None,
) -> Taken | None:
    """Make a backup. None if, with the lock in hand, `is_due` finds that there is no need.

    Raises BackupFailed (CAD-01, CAD-02, CAD-08, CAD-09), Stopped, and DatabaseAway before it has begun.
    """
    if not wanted.recipients:
        raise BackupFailed("CAD-01")
    clock = time.monotonic()
    async with database.alone(snapshot=True) as snapshot:
        for statement in PLAIN_TEXT:
            await snapshot.run(statement)
        if not await ledger.lock(snapshot):
            raise BackupFailed("CAD-08")
        if is_due is not None and not await is_due():
            return None
        book = Ledger(database)
        row_id = await book.begin()  # after the snapshot began: the backup itself knows nothing of it
        began()
        try:
            try:
                origin, file, grown, manifest = await _write(snapshot, side, wanted, stopping)
            except Stopped:
                await book.forget(row_id)
                raise
            except (DatabaseAway, *FOREIGN) as error:
                raise BackupFailed("CAD-09", getattr(error, "sqlstate", None) or type(error).__name__) from error
        except BackupFailed as error:
            await book.failed(row_id, error.code)
            raise
        await book.completed(row_id, file.name, grown.bytes)
        pruned = await asyncio.to_thread(folder.prune, wanted.folder, origin, wanted.keep)
    rows = {table: one.rows for table, one in manifest.tables.items()}
    return Taken(file, grown.bytes, time.monotonic() - clock, rows, pruned)


async def _write(
    snapshot: Transaction, side: tables.Side, wanted: Wanted, stopping: Callable[[], bool]
) -> tuple[Origin, Path, Growing, Manifest]:
    head, origin, name = await _about(snapshot, side)
    loop = asyncio.get_running_loop()
    async with (
        _in_threads(folder.growing(wanted.folder, origin, name)) as grown,
        _in_threads(sealing.sealed(grown, wanted.recipients)) as sealed,
    ):
        writer = await asyncio.to_thread(Writer, sealed, head)
        for table, columns in head.columns.items():
            async with asyncio.timeout(STALLED_SECONDS) as limit:

                async def more(piece: bytes, table: str = table, limit: asyncio.Timeout = limit) -> None:
                    limit.reschedule(loop.time() + STALLED_SECONDS)
                    if stopping():
                        raise Stopped
                    await asyncio.to_thread(writer.rows, table, piece)

                await snapshot.copy_out(f"SELECT {_quoted(columns)} FROM public.{_quoted([table])}", more)  # noqa: S608
            await asyncio.to_thread(writer.table_ends, table)
        manifest = await asyncio.to_thread(writer.close, await _sequences(snapshot))
    return origin, wanted.folder / name, grown, manifest


@asynccontextmanager
async def _in_threads(manager: AbstractContextManager[T]) -> AsyncIterator[T]:
    """A block whose beginning and end wait for a disk, without holding up whoever else is in this process."""
    value = await asyncio.to_thread(manager.__enter__)
    try:
        yield value
    except BaseException as error:
        await asyncio.to_thread(manager.__exit__, type(error), error, error.__traceback__)
        raise
    await asyncio.to_thread(manager.__exit__, None, None, None)


async def _about(snapshot: Transaction, side: tables.Side) -> tuple[Head, Origin, str]:
    found = await tables.read(snapshot)
    row = await snapshot.row(
        """
        SELECT current_database() AS name, now() AS now, d.oid AS oid,
               (SELECT system_identifier FROM pg_control_system()) AS system
        FROM pg_database d WHERE d.datname = current_database()
        """
    )
    if row is None or found.revision is None:
        raise BackupFailed("CAD-09", "it has no tables")
    mark = hashlib.sha256(f"{row.system}/{row.oid}".encode()).hexdigest()[:8]
    origin = Origin(side, row.name, mark)
    head = Head(side, row.name, found.revision, row.now.isoformat(), version("selaras"), await columns_of(snapshot))
    return head, origin, origin.name(row.now)


async def columns_of(transaction: Transaction) -> dict[str, list[str]]:
    """Of each table the columns that are written, not computed; in the order of their names, so that it is the same
    whatever the order in which migrations made them.
    """
    rows = await transaction.rows(
        """
        SELECT c.relname AS name,
               array_agg(CAST(a.attname AS text) ORDER BY a.attname) FILTER (WHERE a.attgenerated = '') AS columns
        FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
        WHERE c.relnamespace = to_regnamespace('public') AND c.relkind IN ('r', 'p') AND NOT c.relispartition
          AND c.relname <> :except
        GROUP BY c.relname ORDER BY c.relname
        """,
        **{"except": tables.VERSION_TABLE},
    )
    return {row.name: list(row.columns) for row in rows}


async def _sequences(snapshot: Transaction) -> dict[str, int]:
    """table.column → the last value given out, of those that gave out any: none of an earlier row's is above it."""
    rows = await snapshot.rows(
        """
        SELECT c.relname AS name, a.attname AS field, pg_sequence_last_value(s.seqrelid) AS last
        FROM pg_sequence s
        JOIN pg_depend d ON d.objid = s.seqrelid AND d.classid = to_regclass('pg_class') AND d.deptype IN ('a', 'i')
        JOIN pg_class c ON c.oid = d.refobjid
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = d.refobjsubid
        WHERE c.relnamespace = to_regnamespace('public') ORDER BY c.relname, a.attname
        """
    )
    return {f"{row.name}.{row.field}": row.last for row in rows if row.last is not None}


def _quoted(names: Sequence[str]) -> str:
    return ", ".join('"' + name.replace('"', '""') + '"' for name in names)
