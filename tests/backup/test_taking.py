"""Database → file → database, on the real servers: of one moment, whole, sealed, and told from what is not."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest
from pyrage.x25519 import Identity

from services import migrations, tables
from services.backup import archive, folder, reading
from services.backup.ledger import Ledger
from services.backup.taking import Taken, Wanted, take
from services.cli import backup as command
from services.database import Database
from services.errors import BackupFailed
from services.tables import Side
from tests.backup.conftest import NPSN, NewDatabase, content, fill_central, fill_site, tables_in


async def taken(database: Database, side: Side, wanted: Wanted) -> Taken:
    """A backup."""
    found = await take(database, side, wanted)
    assert found is not None
    return found


def code(error: pytest.ExceptionInfo[BackupFailed]) -> str:
    """Which of the catalogue."""
    return error.value.code


async def put_back(url: str, side: Side, file: Path, key: Identity) -> Database:
    """As `selaras backup restore` does."""
    await command._restore(url, side, file, [key], reading.check(file, [key]))
    return Database(url)


@pytest.mark.parametrize("side", ["site", "central"])
async def test_what_is_put_back_is_what_was_there_row_by_row(
    side: Side, new_database: NewDatabase, wanted: Wanted, key: Identity
) -> None:
    there = await tables_in(await new_database(), side)
    await (fill_site if side == "site" else fill_central)(there)
    await taken(there, side, wanted)  # so that the ledger is not empty
    before = await content(there)
    made = await taken(there, side, Wanted(wanted.folder.parent, wanted.recipients, 1))
    assert made.rows == {name: len(rows) for name, rows in before.items() if name in made.rows}
    assert sum(made.rows.values()) > 200
    back = await put_back(await new_database(), side, made.file, key)
    after = await content(back)
    assert set(after) == set(before)
    assert before["sequences"].pop(0) == "backup_id_seq 1"
    assert after["sequences"].pop(0) == "backup_id_seq 2", "the attempt itself: its number is not given out twice"
    if side == "central":
        assert len(after.pop("incarnation")) == len(before.pop("incarnation")) + 1, "another life has begun"
    for table in before:
        assert after[table] == before[table], table
    await there.close()
    await back.close()


async def test_a_backup_is_of_one_moment_however_long_it_takes(
    site_database: Database, wanted: Wanted, key: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While it is written, somebody adds a row to every table that is still to come and takes others away."""
    await fill_site(site_database)
    late = asyncio.Event()
    original = archive.Writer.table_ends

    async def meanwhile() -> None:
        async with site_database.transaction() as transaction:
            await transaction.run("DELETE FROM record WHERE base_seq <= 250")
            await transaction.run(
                "INSERT INTO standing (npsn, kind, session_id, outcome, ended_at) "
                "VALUES ('99000011', 'sync', 'x', 'y', now())"
            )
        late.set()

    loop = asyncio.get_running_loop()

    def ends(self: archive.Writer, table: str) -> None:
        if table == "parked" and not late.is_set():  # `record` and `standing` come after it
            asyncio.run_coroutine_threadsafe(meanwhile(), loop).result()
        original(self, table)

    monkeypatch.setattr(archive.Writer, "table_ends", ends)
    made = await taken(site_database, "site", wanted)
    assert late.is_set()
    assert (made.rows["record"], made.rows["standing"]) == (500, 0)
    assert reading.check(made.file, [key]).manifest.tables["record"].rows == 500


async def test_a_backup_of_the_release_before_is_put_back_and_brought_forward(
    new_database: NewDatabase, wanted: Wanted, key: Identity
) -> None:
    """Also made on tables that have no ledger yet: the backup before an update is the one that counts."""
    old = await tables_in(await new_database(), "site", "0003")
    await fill_site(old)
    made = await taken(old, "site", wanted)
    url = await new_database()
    back = await put_back(url, "site", made.file, key)
    async with back.transaction() as transaction:
        assert (await tables.read(transaction)).revision == tables.NEEDED["site"]
        assert await transaction.value("SELECT count(*) FROM record") == 500
    await old.close()
    await back.close()


async def test_a_backup_of_a_newer_release_is_not_taken_for_one_of_this(
    new_database: NewDatabase, wanted: Wanted, key: Identity
) -> None:
    newer = await tables_in(await new_database(), "site")
    async with newer.transaction() as transaction:
        await transaction.run("UPDATE alembic_version SET version_num = '9998'")
    made = await taken(newer, "site", wanted)
    with pytest.raises(BackupFailed) as error:
        await put_back(await new_database(), "site", made.file, key)
    assert code(error) == "CAD-07"
    await newer.close()


async def test_a_database_with_a_single_row_is_not_overwritten(
    new_database: NewDatabase, site_database: Database, wanted: Wanted, key: Identity
) -> None:
    await fill_site(site_database)
    made = await taken(site_database, "site", wanted)
    full = await tables_in(await new_database(), "site")
    async with full.transaction() as transaction:
        await transaction.run("INSERT INTO account (user_name, npsn, role) VALUES ('u', '*', 'operator')")
    before = await content(full)
    with pytest.raises(BackupFailed) as error:
        await put_back(full.url, "site", made.file, key)
    assert code(error) == "CAD-06"
    assert await content(full) == before
    others = await new_database()
    strange = Database(others)
    async with strange.transaction() as transaction:
        await transaction.run("CREATE SCHEMA lain")
        await transaction.run("CREATE TABLE lain.milik_orang AS SELECT 1 AS n")
    with pytest.raises(BackupFailed) as error:
        await put_back(others, "site", made.file, key)
    assert code(error) == "CAD-06"
    await full.close()
    await strange.close()


async def test_a_database_that_only_has_the_tables_is_empty(
    new_database: NewDatabase, site_database: Database, wanted: Wanted, key: Identity
) -> None:
    await fill_site(site_database)
    made = await taken(site_database, "site", wanted)
    empty = await tables_in(await new_database(), "site")
    back = await put_back(empty.url, "site", made.file, key)
    async with back.transaction() as transaction:
        assert await transaction.value("SELECT count(*) FROM record") == 500
    await empty.close()
    await back.close()


async def test_what_fails_in_the_middle_of_a_restore_leaves_the_tables_empty(
    new_database: NewDatabase, site_database: Database, wanted: Wanted, key: Identity
) -> None:
    """A file that was changed between the check and the restore."""
    await fill_site(site_database)
    made = await taken(site_database, "site", wanted)
    whole = made.file.read_bytes()
    made.file.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    empty = await tables_in(await new_database(), "site")
    with pytest.raises(BackupFailed) as error:
        await reading.restore(empty, made.file, [key])
    assert code(error) == "CAD-04"
    assert await reading.is_empty(empty, tables.NEEDED["site"])
    await empty.close()


# ── the file ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_nothing_of_a_person_can_be_read_in_the_file_nor_is_anything_in_plain_on_disk(
    central_database: Database, wanted: Wanted, key: Identity
) -> None:
    await fill_central(central_database)
    async with central_database.transaction() as transaction:
        numbers = await transaction.rows(
            "SELECT CAST(text AS jsonb) ->> 'nik' AS nik, CAST(text AS jsonb) ->> 'nama' AS nama FROM record "
            "WHERE entity = 'peserta_didik'"
        )
    assert len(numbers) == 40
    seen: list[bytes] = []
    original = folder._hold_against

    def look(file: Path, grown: folder.Growing) -> None:
        seen.extend(one.read_bytes() for one in wanted.folder.iterdir())
        original(file, grown)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(folder, "_hold_against", look)
        made = await taken(central_database, "central", wanted)
    assert len(seen) == 1, "one file, from the first byte to the last"
    for bytes_ in (*seen, made.file.read_bytes()):
        assert bytes_.startswith(b"age-encryption.org/v1\n")
        for row in numbers:
            assert row.nik.encode() not in bytes_
            assert row.nama.encode() not in bytes_
    assert made.file.stat().st_mode & 0o777 == 0o600
    reading.check(made.file, [key])


async def test_another_key_a_cut_and_a_flipped_bit_are_told_apart_from_a_whole_file(
    site_database: Database, wanted: Wanted, key: Identity, tmp_path: Path
) -> None:
    await fill_site(site_database)
    made = await taken(site_database, "site", wanted)
    whole = made.file.read_bytes()
    copy = tmp_path / "salinan"

    def told(content: bytes, opener: Identity = key) -> str:
        copy.write_bytes(content)
        with pytest.raises(BackupFailed) as error:
            reading.check(copy, [opener])
        return code(error)

    assert told(whole, Identity.generate()) == "CAD-03"
    assert {told(whole[:cut]) for cut in (len(whole) - 1, len(whole) // 2, 1000)} == {"CAD-04"}
    for place in (300, 5_000, len(whole) // 2, len(whole) - 1):
        assert told(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :]) == "CAD-04"
    assert told(whole + b"x") == "CAD-04"
    assert told(b"PGDMP bukan cadangan kami" * 1000) == "CAD-05"
    assert told(b"") == "CAD-05"
    reading.check(made.file, [key])


async def test_every_recipient_opens_it(site_database: Database, wanted: Wanted, key: Identity) -> None:
    other = Identity.generate()
    made = await taken(site_database, "site", Wanted(wanted.folder, [*wanted.recipients, other.to_public()], 1))
    assert reading.check(made.file, [key]).manifest == reading.check(made.file, [other]).manifest


async def test_without_a_recipient_there_is_no_backup(site_database: Database, wanted: Wanted) -> None:
    with pytest.raises(BackupFailed) as error:
        await take(site_database, "site", Wanted(wanted.folder, [], 1))
    assert code(error) == "CAD-01"
    assert list(wanted.folder.iterdir()) == []


# ── the folder ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def failing(database: Database, wanted: Wanted) -> str:
    """What a backup is refused with, and that the ledger has it."""
    with pytest.raises(BackupFailed) as error:
        await take(database, "site", wanted)
    async with database.transaction() as transaction:
        row = await transaction.row("SELECT outcome, reason FROM backup ORDER BY id DESC LIMIT 1")
    assert row is not None
    assert (row.outcome, row.reason) == ("failed", code(error))
    return str(error.value)


async def test_a_folder_that_is_not_there_or_is_a_file_is_said(site_database: Database, wanted: Wanted) -> None:
    gone = Wanted(wanted.folder / "tidak-ada", wanted.recipients, 1)
    assert "tidak-ada: No such file or directory" in await failing(site_database, gone)
    (wanted.folder / "berkas").touch()
    blocked = Wanted(wanted.folder / "berkas", wanted.recipients, 1)
    assert "CAD-02" in await failing(site_database, blocked)


async def test_a_full_disk_is_said_and_the_backups_that_are_there_stay(
    site_database: Database, wanted: Wanted, key: Identity, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel's own full disk, /dev/full, in place of the file."""
    await fill_site(site_database)
    first = await taken(site_database, "site", Wanted(wanted.folder, wanted.recipients, 1))
    monkeypatch.setattr(folder, "_create", lambda _: os.open("/dev/full", os.O_WRONLY))
    assert "No space left on device" in await failing(site_database, wanted)
    assert list(wanted.folder.iterdir()) == [first.file]
    reading.check(first.file, [key])


@pytest.mark.skipif(os.geteuid() != 0, reason="takes another user's part")
async def test_a_folder_that_may_not_be_written_to_is_said(
    site_database: Database, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/nonexistent")  # where the driver looks for certificates
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)  # noqa: PTH101, S103  whom it lets in is the point
        os.seteuid(65534)
        try:
            said = await failing(site_database, Wanted(Path(name), wanted.recipients, 1))
        finally:
            os.seteuid(0)
    assert said.endswith(f"{name}: Permission denied")


async def test_older_ones_go_only_when_a_newer_one_is_whole_and_only_those_of_this_database(
    new_database: NewDatabase, site_database: Database, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Wanted(wanted.folder, wanted.recipients, 2)
    other = await tables_in(await new_database(), "site")
    theirs = (await taken(other, "site", keep)).file
    old = (await taken(site_database, "site", keep)).file
    names = [old.name]
    for day in ("19990101", "19980101"):
        stem = old.name.split("-20")[0]
        names.append(f"{stem}-{day}T000000.000Z{folder.SUFFIX}")
        (wanted.folder / names[-1]).write_bytes(old.read_bytes())
    (wanted.folder / "catatan.txt").write_text("bukan milik kami")
    monkeypatch.setattr(folder, "_read_back", lambda _: "lain")
    assert "reads back as something else" in await failing(site_database, keep)
    assert {one.file.name for one in folder.kept(wanted.folder)} == {*names, theirs.name}
    monkeypatch.undo()
    made = await taken(site_database, "site", keep)
    assert made.pruned == 2
    assert {one.name for one in wanted.folder.iterdir()} == {made.file.name, old.name, theirs.name, "catatan.txt"}
    await other.close()


STOPS_IN_THE_MIDDLE = """
import asyncio, pathlib, sys, time
from services.backup import archive, sealing, taking
from services.database import Database

def ends(self, table, original=archive.Writer.table_ends):
    original(self, table)
    if table == "record":
        print("middle", flush=True)
        time.sleep(600)

archive.Writer.table_ends = ends
wanted = taking.Wanted(pathlib.Path(sys.argv[2]), sealing.recipients(sys.argv[3]), 1)
asyncio.run(taking.take(Database(sys.argv[1]), "site", wanted))
"""


async def test_a_process_killed_in_the_middle_leaves_nothing_that_looks_whole_and_is_cleared_up_after(
    site_database: Database, wanted: Wanted, key: Identity
) -> None:
    await fill_site(site_database)
    arguments = [site_database.url, str(wanted.folder), str(key.to_public())]
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", STOPS_IN_THE_MIDDLE, *arguments, stdout=asyncio.subprocess.PIPE
    )
    try:
        assert child.stdout is not None
        assert await child.stdout.readline() == b"middle\n"
        with pytest.raises(BackupFailed) as error:
            await take(site_database, "site", wanted)
        assert code(error) == "CAD-08", "it is at it"
    finally:
        child.kill()
        assert await child.wait() == -signal.SIGKILL
    (left,) = wanted.folder.iterdir()
    assert left.name.startswith(".")
    assert folder.kept(wanted.folder) == []
    made = None
    for _ in range(100):  # until the server has seen that its client is gone
        with contextlib.suppress(BackupFailed):
            made = await taken(site_database, "site", wanted)
            break
        await asyncio.sleep(0.1)
    assert made is not None
    assert list(wanted.folder.iterdir()) == [made.file]
    reading.check(made.file, [key])
    async with site_database.transaction() as transaction:
        rows = await transaction.rows("SELECT outcome FROM backup ORDER BY id")
    assert [row.outcome for row in rows] == [None, "completed"]
    assert (await Ledger(site_database).state()).failures == 0


async def test_a_database_that_goes_away_in_the_middle_is_said_and_counted(
    site_database: Database, wanted: Wanted, monkeypatch: pytest.MonkeyPatch
) -> None:
    await fill_site(site_database)
    original = archive.Writer.table_ends
    loop = asyncio.get_running_loop()

    async def cut() -> None:
        async with site_database.transaction() as transaction:
            await transaction.run(
                "SELECT pg_terminate_backend(pid) FROM pg_locks WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )

    def ends(self: archive.Writer, table: str) -> None:
        if table == "parked":
            asyncio.run_coroutine_threadsafe(cut(), loop).result()
        original(self, table)

    monkeypatch.setattr(archive.Writer, "table_ends", ends)
    assert "CAD-09" in await failing(site_database, wanted)
    assert list(wanted.folder.iterdir()) == []


async def test_a_row_that_this_user_may_not_see_is_an_error_and_not_left_out(
    new_database: NewDatabase, wanted: Wanted
) -> None:
    url = await new_database()
    await asyncio.to_thread(migrations.upgrade, "site", url)
    database = Database(url)
    async with database.transaction() as transaction:
        await transaction.run("INSERT INTO account (user_name, npsn, role) VALUES ('u', '*', 'operator')")
        await transaction.run("DROP ROLE IF EXISTS cadangan_uji")
        await transaction.run("CREATE ROLE cadangan_uji LOGIN PASSWORD 'uji'")
        await transaction.run("GRANT SELECT ON ALL TABLES IN SCHEMA public TO cadangan_uji")
        await transaction.run("GRANT INSERT, UPDATE, DELETE ON backup TO cadangan_uji")
    from sqlalchemy import make_url

    limited = Database(make_url(url).set(username="cadangan_uji", password="uji").render_as_string(hide_password=False))
    try:
        assert (await taken(limited, "site", wanted)).rows["account"] == 1
        async with database.transaction() as transaction:
            await transaction.run("ALTER TABLE account ENABLE ROW LEVEL SECURITY")
        assert "CAD-09" in await failing(limited, wanted)
    finally:
        await limited.close()
        async with database.transaction() as transaction:
            await transaction.run("DROP OWNED BY cadangan_uji")
            await transaction.run("DROP ROLE cadangan_uji")
        await database.close()


def test_the_number_of_a_school_is_no_part_of_a_name() -> None:
    assert NPSN not in folder.Origin("site", "situs", "0a1b2c3d").name(folder._read_time("20260101T000000.000Z"))
