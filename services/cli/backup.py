"""Backups by hand: make one, list them, check one with its key, put one back into an empty database."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, cast

import typer
from alembic.util import CommandError
from pyrage.x25519 import Identity

from services import tables
from services.backup import folder, reading, sealing, taking
from services.backup.reading import Read
from services.backup.settings import KEEP
from services.central import lives
from services.cli import show
from services.cli.arguments import AsJson
from services.cli.files import write_new
from services.cli.outcomes import NOT_SET_UP, REFUSED, USAGE, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.errors import BackupFailed
from services.problems import problem
from services.tables import Side

app = typer.Typer(
    help="Backups of the site's and central's databases: make, list, check, put back.", no_args_is_help=True
)

_CODES = {
    "CAD-01": NOT_SET_UP, "CAD-02": NOT_SET_UP, "CAD-03": REFUSED, "CAD-04": REFUSED, "CAD-05": USAGE,
    "CAD-06": REFUSED, "CAD-07": REFUSED, "CAD-08": REFUSED, "CAD-09": NOT_SET_UP, "CAD-10": USAGE,
}  # fmt: skip

To = Annotated[Path | None, typer.Option("--to", help="The folder to put it into; else SELARAS_BACKUP_FOLDER")]
Keep = Annotated[
    int | None, typer.Option("--keep", min=1, help="How many of the newest to keep; else SELARAS_BACKUP_KEEP")
]
For = Annotated[
    list[str] | None,
    typer.Option(
        "--recipient", help="A public key (age1…) to encrypt for, again for more; else SELARAS_BACKUP_RECIPIENTS"
    ),
]
File = Annotated[Path, typer.Argument(metavar="FILE", help="A backup")]
KeyFile = Annotated[
    Path,
    typer.Option("--identity", help="The key file that `selaras backup keygen` made; /dev/stdin reads it from there"),
]


@app.command("site")
def backup_site(to: To = None, keep: Keep = None, recipient: For = None, json: AsJson = False) -> None:
    """Back up the site's database, as of one moment, while everything runs."""
    _make("site", to, keep, recipient, json)


@app.command("central")
def backup_central(to: To = None, keep: Keep = None, recipient: For = None, json: AsJson = False) -> None:
    """Back up central's database, as of one moment, while everything runs."""
    _make("central", to, keep, recipient, json)


def _make(side: Side, to: Path | None, keep: int | None, recipient: list[str] | None, json: bool) -> None:
    settings = CommandSettings()
    with _told(), _busy("membuat cadangan · making a backup"):
        wanted = taking.Wanted(
            _folder(to, settings, "--to"),
            sealing.recipients(" ".join(recipient or [settings.backup_recipients or ""])),
            keep or settings.backup_keep or KEEP,
        )
        taken = asyncio.run(_take(settings.need(f"{side}_database_url"), side, wanted))
    rows = sum(taken.rows.values())
    if json:
        show.as_json(
            {
                "file": str(taken.file), "bytes": taken.bytes, "seconds": round(taken.seconds, 3), "rows": rows,
                "tables": dict(taken.rows), "pruned": taken.pruned,
            }
        )  # fmt: skip
        return
    show.line(f"{taken.file}")
    show.line(
        f"   {rows} baris · rows, {_size(taken.bytes)}, {taken.seconds:.1f} s; "
        f"{taken.pruned} yang lama dihapus · older ones removed"
    )


async def _take(url: str, side: Side, wanted: taking.Wanted) -> taking.Taken:
    database = Database(url, pool=1, name="backup")
    try:
        taken = await taking.take(database, side, wanted)
    finally:
        await database.close()
    assert taken is not None, "nobody asked whether it is due"
    return taken


@app.command("list")
def backup_list(
    at: Annotated[Path | None, typer.Option("--from", help="The folder; else SELARAS_BACKUP_FOLDER")] = None,
    json: AsJson = False,
) -> None:
    """The whole backups of a folder, newest first."""
    with _told():
        found = folder.kept(_folder(at, CommandSettings(), "--from"))
    if json:
        show.as_json(
            [
                {
                    "file": str(one.file), "side": one.side, "database": one.database, "made_at": one.made_at,
                    "bytes": one.bytes,
                }
                for one in found
            ]
        )  # fmt: skip
        return
    show.table(
        "Cadangan · backups",
        ("berkas · file", "milik · of", "basis data · database", "dibuat · made", "ukuran · size"),
        [(one.file.name, one.side, one.database, show.when(one.made_at), _size(one.bytes)) for one in found],
    )


@app.command("check")
def backup_check(file: File, identity: KeyFile, json: AsJson = False) -> None:
    """Open a backup with its key and read it to the end: every row counted, no database needed."""
    with _told(), _busy("membaca cadangan · reading the backup"):
        read = reading.check(file, sealing.identities(identity))
    counted = {table: one.rows for table, one in read.manifest.tables.items()}
    about = _About.of(read)
    if json:
        show.as_json(about.plain() | {"rows": read.rows, "tables": counted})
        return
    show.table(
        f"{about.database} ({about.side}), {show.when(about.made_at)}",
        ("tabel · table", "baris · rows"),
        list(counted.items()),
    )
    show.line(f"Utuh · whole: {read.rows} baris · rows, tabel rilis · tables of release {about.release}")


@app.command("restore")
def backup_restore(
    file: File,
    identity: KeyFile,
    into: Annotated[
        str | None,
        typer.Option(
            "--into",
            help="The empty database: postgresql+asyncpg://…; else that of SELARAS_SITE_DATABASE_URL or "
            "SELARAS_CENTRAL_DATABASE_URL, whichever the backup is of",
        ),
    ] = None,
    json: AsJson = False,
) -> None:
    """Put a backup into an EMPTY database, and bring its tables to this release; says what comes next."""
    with _told(), _busy("memulihkan cadangan · putting the backup back"):
        keys = sealing.identities(identity)
        read = reading.check(file, keys)
        side = cast(Side, read.head.side)
        given: dict[str, Any] = {f"{side}_database_url": into} if into else {}
        settings = CommandSettings(**given)
        asyncio.run(_restore(settings.need(f"{side}_database_url"), side, file, keys, read))
    about = _About.of(read)
    if json:
        show.as_json(about.plain() | {"rows": read.rows})
        return
    show.line(f"{read.rows} baris dari {show.when(about.made_at)} sudah kembali · rows of that moment are back")
    for line in NEXT[side]:
        show.line(f"   → {line}")


NEXT: dict[Side, tuple[str, ...]] = {
    "site": (
        "Jalankan layanan situs di basis data ini · start the site's services on this database.",
        "Sekolah yang sudah mengirim sesudah cadangan ini ditolak dengan SYN-05 dan dipasang ulang: `selaras reinstall "
        "NPSN` · a school that has sent something since this backup is refused with SYN-05, and is reinstalled.",
        "Yang lain cukup `selaras sync NPSN` · for the others a sync is enough.",
    ),
    "central": (
        "Hidup baru pusat sudah dicatat (seperti `selaras central restored`). Jalankan pusat di basis data ini, dengan "
        "kunci penanda tangan yang sama · a new life of central has begun (as by that command): start central on this "
        "database, with the same signing keys.",
        "Yang sudah ditandatangani dikembalikan tiap situs pada sinkronisasi berikutnya (SYN-14); lihat `selaras "
        "central report` · what was signed each site gives back at its next sync; that command shows how far it is.",
    ),
}
"""What a person does when a database is back."""


async def _restore(url: str, side: Side, file: Path, keys: Sequence[Identity], read: Read) -> None:
    if read.head.revision > tables.NEEDED[side]:
        raise BackupFailed("CAD-07", f"{side} {read.head.revision}")
    database = Database(url, pool=1, name="restore")
    try:
        if not await reading.is_empty(database, read.head.revision):
            raise BackupFailed("CAD-06")
        await asyncio.to_thread(_tables, side, url, read.head.revision)
        await reading.restore(database, file, keys)
        await asyncio.to_thread(_tables, side, url, tables.NEEDED[side])
        if (
            side == "central"
        ):  # said, not left to be found: a backup of before lives were told apart has nothing to find
            await lives.restored(database)
    finally:
        await database.close()


def _tables(side: Side, url: str, revision: str) -> None:
    from services import migrations

    try:
        migrations.upgrade(side, url, revision)
    except CommandError as error:  # a revision that there never was
        raise BackupFailed("CAD-07", f"{side} {revision}") from error
    except (migrations.TablesInUse, migrations.TablesUnfit) as error:
        raise BackupFailed("CAD-09", str(error)) from error


@app.command("keygen")
def backup_keygen(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A new file for the secret half")], json: AsJson = False
) -> None:
    """Make a pair of keys: the secret half into a new file of mode 0600, the public half is shown."""
    secret, public = sealing.new_identity(datetime.now(UTC).isoformat(timespec="seconds"))
    write_new(file, [secret.encode()])
    if json:
        show.as_json({"recipient": public, "identity": str(file)})
        return
    show.line(f"SELARAS_BACKUP_RECIPIENTS={public}")
    show.line(
        f"Simpan {file} di tempat lain, jangan di mesin yang membuat cadangan: tanpanya tidak ada cadangan yang dapat "
        "dibuka · keep that file elsewhere, not on the machine that makes the backups: without it none can be opened."
    )


@dataclass(frozen=True, slots=True)
class _About:
    """What a backup is of."""

    side: str
    database: str
    release: str
    revision: str
    made_at: datetime

    @classmethod
    def of(cls, read: Read) -> _About:
        """From its head."""
        head = read.head
        return cls(head.side, head.database, head.release, head.revision, datetime.fromisoformat(head.made_at))

    def plain(self) -> dict[str, object]:
        """As JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def _folder(given: Path | None, settings: CommandSettings, option: str) -> Path:
    found = given or settings.backup_folder
    if found is None:
        raise Stop(f"Folder belum disebut · no folder is named: {option}, or SELARAS_BACKUP_FOLDER.", USAGE)
    return found


def _size(number: int) -> str:
    return f"{number / 1e6:.1f} MB" if number >= 100_000 else f"{number / 1e3:.1f} kB"


@contextmanager
def _busy(what: str) -> Iterator[None]:
    """That something goes on, where a person looks at it."""
    if not show.errors.is_terminal:
        yield
        return
    with show.errors.status(what):
        yield


@contextmanager
def _told() -> Iterator[None]:
    """A code of the catalogue in both languages, with what to do."""
    try:
        yield
    except BackupFailed as error:
        why = problem(error.code, detail=error.detail)
        sentence = f"{why.code} {why.text_id} · {why.text_en}\n   → {why.next_id} · {why.next_en}"
        raise Stop(sentence, _CODES[error.code]) from error
