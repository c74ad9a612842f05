"""What goes wrong at the keyboard or in the settings: one sentence that helps, and the exit code that docs/command.md
gives it."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Mapping
from pathlib import Path

import pytest
from sqlalchemy import make_url
from typer.testing import CliRunner
from yarl import URL

from services.cli.commands import app
from tests.cli.conftest import Said, Terminal, change_of
from tests.e2e.conftest import School

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command.md").read_text(encoding="utf-8")
COMMANDS = re.findall(r"^### selaras (.+)$", PAGE, re.MULTILINE)
NPSN = "99000010"
WRONG = "sandi-yang-salah"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_documented_command_explains_itself(command: str) -> None:
    said = CliRunner().invoke(app, [*command.split(), "--help"], prog_name="selaras")
    assert said.exit_code == 0
    assert f"Usage: selaras {command} " in said.output


async def test_help_and_version_are_there_without_any_setting(terminal: Terminal) -> None:
    bare = terminal.lacking(*terminal.settings)
    whole, group, nothing, one, version = await bare.all("--help", "officer --help", "dead", "sync --help", "--version")
    assert (whole.code, group.code, one.code, version.code) == (0, 0, 0, 0)
    assert all(command.split()[0] in whole.out for command in COMMANDS)
    assert {"school", "record", "change", "confirm"} <= set(group.out.split())
    assert "replay" in nothing.out + nothing.err, "a group alone lists its commands"
    assert "--role" in one.out
    assert re.fullmatch(r"selaras \d+\.\d+\.\d+\n", version.out)


# ── the command line ─────────────────────────────────────────────────────────────────────────────────────────────────


WRONG_LINES = {
    "sync 1234567": "is no NPSN",
    "sample sekolahku": "is no NPSN",
    "status": "Give an NPSN, or --failed.",
    "sinkron 99000010": "No such command",
    "officer school show 99000010 --as-of kemarin": "--as-of takes confirmed, head or a seq.",
    "pull 99000010 --actor \udcff": "is not UTF-8",
}


async def test_a_command_line_that_is_wrong_is_refused_with_the_reason(terminal: Terminal) -> None:
    for said, because in zip(await terminal.all(*WRONG_LINES), WRONG_LINES.values(), strict=True):
        assert (said.code, said.out) == (2, "")
        assert because in " ".join(said.err.replace("│", "").split())


WRONG_FILES = {
    "rusak.jsonl": ("\n\n{", "rusak.jsonl:3: MSG-01 "),
    "bukan.json": ('{"perubahan": []}', "bukan.json: neither an array of changes nor an object with `changes`."),
    "kurang.json": ('[{"entity": "ptk"}]', "kurang.json[1]: bukan perubahan · not a change: record_id: "),
    "kosong.jsonl": ("", "Berkas tidak berisi perubahan · the files hold no changes."),
    "tidak-ada.json": (None, "tidak-ada.json: No such file or directory"),
}


async def test_a_file_that_holds_no_changes_is_named(terminal: Terminal) -> None:
    for name, (body, _) in WRONG_FILES.items():
        if body is not None:
            terminal.file(name, body)
    every = await terminal.all(*(f"publish {NPSN} {name}" for name in WRONG_FILES))
    for said, (_, because) in zip(every, WRONG_FILES.values(), strict=True):
        assert (said.code, said.out) == (2, "")
        assert said.err.startswith(because)
        assert said.err.count("\n") == 1


# ── the settings ─────────────────────────────────────────────────────────────────────────────────────────────────────


ASKS_FOR = {
    "sync 99000010": "SELARAS_AMQP_URL",
    "validate 99000010": "SELARAS_SITE_DATABASE_URL",
    "register 99000010 --code K": "SELARAS_CENTRAL_AMQP_URL",
    "migrate": "SELARAS_CENTRAL_DATABASE_URL",
    "serve central": "SELARAS_CENTRAL_DATABASE_URL",
}


async def test_a_missing_setting_is_named_in_one_sentence(terminal: Terminal) -> None:
    async def lacking(command: str, name: str) -> Said:
        return await terminal.lacking(name).selaras(*command.split())

    every = await asyncio.gather(*(lacking(*both) for both in ASKS_FOR.items()))
    for said, name in zip(every, ASKS_FOR.values(), strict=True):
        assert (said.code, said.out) == (5, "")
        assert said.err.startswith(f"{name} is not set: ")
        assert said.err.count("\n") == 1


def with_password(url: str, password: str) -> str:
    """The same address with another password."""
    if url.startswith("postgresql"):
        return make_url(url).set(password=password).render_as_string(hide_password=False)
    return str(URL(url).with_password(password))


UNREADABLE: Mapping[str, str] = {
    "SELARAS_AMQP_URL": f"amqp://perintah:{WRONG}@127.0.0.1:port/",
    "SELARAS_SITE_DATABASE_URL": f"mysql://site:{WRONG}@127.0.0.1/site",
}
NOBODY: Mapping[str, str] = {
    "SELARAS_AMQP_URL": f"amqp://perintah:{WRONG}@127.0.0.1:1/",
    "SELARAS_SITE_DATABASE_URL": f"postgresql+asyncpg://site:{WRONG}@127.0.0.1:1/site",
}


async def test_an_address_that_is_none_at_which_nobody_answers_or_that_lets_nobody_in(terminal: Terminal) -> None:
    refused = {name: with_password(terminal.settings[name], WRONG) for name in NOBODY}
    elsewhere = {
        "SELARAS_AMQP_URL": terminal.settings["SELARAS_AMQP_URL"] + "tidak-ada",
        "SELARAS_SITE_DATABASE_URL": terminal.settings["SELARAS_SITE_DATABASE_URL"] + "-tidak-ada",
    }
    meant = {
        "SELARAS_AMQP_URL is not an address": "SELARAS_SITE_DATABASE_URL is not an address",
        "The broker does not answer": "Out of reach (DatabaseAway: ",
        "The broker refuses this user or password": "The database refuses this user or password",
        "The broker has no such virtual host": "There is no database of that name",
    }
    every = await asyncio.gather(
        *(
            terminal.told(**settings).all(f"pull {NPSN}", f"status {NPSN} --json")
            for settings in (UNREADABLE, NOBODY, refused, elsewhere)
        )
    )
    for both, sentences in zip(every, meant.items(), strict=True):
        for said, because in zip(both, sentences, strict=True):
            assert (said.code, said.out) == (5, "")
            assert said.err.startswith(because)
            assert said.err.count("\n") == 1


async def test_a_user_who_is_no_officer_is_refused_by_the_broker(terminal: Terminal, school: School) -> None:
    file = terminal.file("ubah.json", [{**change_of(school, 0, nama="Nama Lain"), "version": 1}])
    intruder = terminal.told(SELARAS_OFFICER_AMQP_URL=terminal.settings["SELARAS_AMQP_URL"])
    said = await intruder.selaras("officer", "change", school.npsn, file)
    assert (said.code, said.out) == (5, "")
    assert said.err.startswith("The broker refuses: ACCESS_REFUSED")
