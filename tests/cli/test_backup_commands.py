"""What people type about backups: a key, a backup, its check, and putting it back; and what they are told otherwise."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services.demo.stage import Stage
from services.tables import NEEDED
from tests.cli.conftest import Said, Terminal
from tests.e2e.conftest import School

NAME = "selaras_test_backup_cli"


@pytest.fixture
async def empty(stage: Stage) -> AsyncIterator[str]:
    """The address of an empty database."""
    administrator = stage.stack.addresses.administrator
    engine = create_async_engine(administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
        await connection.execute(text(f"CREATE DATABASE {NAME}"))
    yield make_url(administrator).set(database=NAME).render_as_string(hide_password=False)
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)"))
    await engine.dispose()


@pytest.fixture
async def ready(terminal: Terminal) -> Terminal:
    """A shell with a folder for backups, a key, and its public half among the settings."""
    (terminal.folder / "cadangan").mkdir()
    made = await terminal.selaras("backup", "keygen", "kunci.txt", "--json")
    assert made.code == 0, made
    return terminal.told(SELARAS_BACKUP_FOLDER="cadangan", SELARAS_BACKUP_RECIPIENTS=made.json["recipient"])


def refused(said: Said, exit_code: int, code: str) -> None:
    """With this exit code, a code of the catalogue, what to do, and nothing on standard output."""
    assert (said.code, said.out) == (exit_code, ""), said
    assert said.err.startswith(f"{code} "), said
    assert "\n   → " in said.err
    assert " · " in said.err


async def test_a_key_is_made_once_and_read_by_its_owner_alone(terminal: Terminal) -> None:
    made = await terminal.selaras("backup", "keygen", "kunci.txt")
    file = terminal.folder / "kunci.txt"
    assert made.code == 0
    assert made.out.startswith("SELARAS_BACKUP_RECIPIENTS=age1")
    assert file.stat().st_mode & 0o777 == 0o600
    secret = file.read_text().splitlines()[-1]
    assert secret.startswith("AGE-SECRET-KEY-1")
    assert secret not in made.out + made.err
    again = await terminal.selaras("backup", "keygen", "kunci.txt")
    assert again.code == 2
    assert file.read_text().splitlines()[-1] == secret


@pytest.mark.parametrize("side", ["site", "central"])
async def test_a_backup_is_made_listed_checked_and_put_back(
    ready: Terminal, stage: Stage, school: School, empty: str, side: str
) -> None:
    made = await ready.selaras("backup", side, "--json")
    assert made.code == 0, made
    rows, tables = made.json["rows"], made.json["tables"]
    assert tables["school"] >= 1
    assert rows == sum(tables.values()) > 20
    file = made.json["file"]
    told, listed, shown, checked, seen = await ready.all(
        f"backup {side}", "backup list --json", "backup list",
        f"backup check {file} --identity kunci.txt --json", f"backup check {file} --identity kunci.txt",
    )  # fmt: skip
    assert told.code == 0
    assert "cadangan/selaras-" in told.out
    found = {one["file"]: one for one in listed.json}
    assert found[file]["side"] == side
    assert found[file]["bytes"] == (ready.folder / file).stat().st_size == made.json["bytes"]
    assert Path(file).name in shown.out
    assert (checked.code, checked.json["rows"], checked.json["tables"]) == (0, rows, tables)
    assert (checked.json["side"], checked.json["revision"]) == (side, NEEDED[side])  # type: ignore[index]
    assert f"{rows} baris · rows" in seen.out
    back = await ready.selaras("backup", "restore", file, "--identity", "kunci.txt", "--into", empty)
    assert back.code == 0, back
    assert ("SYN-05" in back.out) == (side == "site")
    assert ("SYN-14" in back.out) == (side == "central")
    refused(await ready.selaras("backup", "restore", file, "--identity", "kunci.txt", "--into", empty), 3, "CAD-06")
    name = f"SELARAS_{side.upper()}_DATABASE_URL"
    refused(
        await ready.told(**{name: empty}).selaras("backup", "restore", file, "--identity", "kunci.txt"), 3, "CAD-06"
    )


async def test_only_so_many_are_kept(ready: Terminal) -> None:
    for _ in range(3):
        assert (await ready.selaras("backup", "site", "--keep", "2")).code == 0
    listed = (await ready.selaras("backup", "list", "--json")).json
    assert len(listed) == len(list((ready.folder / "cadangan").iterdir())) == 2
    assert listed[0]["made_at"] > listed[1]["made_at"]


async def test_what_cannot_be_made_says_why(ready: Terminal) -> None:
    refused(await ready.lacking("SELARAS_BACKUP_RECIPIENTS").selaras("backup", "site"), 5, "CAD-01")
    refused(await ready.selaras("backup", "site", "--recipient", "age1salah"), 5, "CAD-01")
    refused(await ready.selaras("backup", "site", "--to", "tidak-ada"), 5, "CAD-02")
    refused(await ready.selaras("backup", "list", "--from", "tidak-ada"), 5, "CAD-02")
    none = await ready.lacking("SELARAS_BACKUP_FOLDER").selaras("backup", "site")
    assert (none.code, none.out) == (2, "")
    assert "SELARAS_BACKUP_FOLDER" in none.err
    away = ready.told(SELARAS_SITE_DATABASE_URL="postgresql+asyncpg://a:Rahasia7@127.0.0.1:1/c")
    assert (await away.selaras("backup", "site")).code == 5


async def test_what_cannot_be_read_says_why(ready: Terminal, empty: str) -> None:
    file = (await ready.selaras("backup", "central", "--json")).json["file"]
    whole = (ready.folder / file).read_bytes()
    (ready.folder / "terpotong").write_bytes(whole[:-1])
    (ready.folder / "terbalik").write_bytes(whole[:-2000] + bytes([whole[-2000] ^ 1]) + whole[-1999:])
    (ready.folder / "lain").write_text("bukan cadangan")
    await ready.selaras("backup", "keygen", "kunci-lain.txt")
    for words, exit_code, code in (
        (("check", file, "--identity", "kunci-lain.txt"), 3, "CAD-03"),
        (("check", "terpotong", "--identity", "kunci.txt"), 3, "CAD-04"),
        (("check", "terbalik", "--identity", "kunci.txt"), 3, "CAD-04"),
        (("check", "lain", "--identity", "kunci.txt"), 2, "CAD-05"),
        (("check", "tidak-ada", "--identity", "kunci.txt"), 2, "CAD-05"),
        (("check", file, "--identity", "tidak-ada"), 2, "CAD-10"),
        (("check", file, "--identity", "lain"), 2, "CAD-10"),
        (("restore", "terpotong", "--identity", "kunci.txt", "--into", empty), 3, "CAD-04"),
        (("restore", file, "--identity", "kunci-lain.txt", "--into", empty), 3, "CAD-03"),
    ):
        refused(await ready.selaras("backup", *words), exit_code, code)
    back = await ready.selaras("backup", "restore", file, "--identity", "kunci.txt", "--into", empty, "--json")
    assert back.code == 0, "after all that the database is as empty as before"


async def test_the_settings_of_a_schedule_are_checked(ready: Terminal, stage: Stage) -> None:
    shell = Terminal(ready.folder, {**stage.stack.addresses.of_service("validator"), "SELARAS_BACKUP_EVERY": "24"})
    none = await shell.selaras("config", "check", "validator", "--seconds", "30", "--json")
    assert none.code == 5
    troubles = {one["name"]: one["trouble"] for one in none.json["parts"][0]["settings"] if one["trouble"]}
    assert set(troubles) == {"SELARAS_BACKUP_FOLDER", "SELARAS_BACKUP_RECIPIENTS"}
    assert "CAD-01" in troubles["SELARAS_BACKUP_RECIPIENTS"]
    served = await shell.selaras("serve", "validator")
    assert served.code == 5
    assert "SELARAS_BACKUP_FOLDER is not usable" in served.err
    told = {"SELARAS_BACKUP_RECIPIENTS": ready.settings["SELARAS_BACKUP_RECIPIENTS"]}
    gone = await shell.told(**told, SELARAS_BACKUP_FOLDER="tidak-ada").selaras(
        "config", "check", "validator", "--seconds", "30", "--json"
    )
    (wrong,) = (one for one in gone.json["parts"][0]["checks"] if not one["ok"])
    assert wrong["what"] == "backups"
    good = await shell.told(**told, SELARAS_BACKUP_FOLDER="cadangan").selaras(
        "config", "check", "validator", "--seconds", "30", "--json"
    )
    assert good.code == 0, good
