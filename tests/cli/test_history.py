"""`selaras history`: what became of a school's sessions, and the way from there to a receipt."""

from __future__ import annotations

from tests.cli.conftest import Terminal, change_of
from tests.e2e.conftest import School


async def test_the_history_tells_every_session_and_leads_to_its_receipt(terminal: Terminal, school: School) -> None:
    file = terminal.file("ubah.json", [change_of(school, 0, anak_keberapa=9)])
    assert (await terminal.selaras("publish", school.npsn, file)).code == 0
    assert (await terminal.selaras("sync", school.npsn, "--role", "operator")).code == 3
    assert (await terminal.selaras("sync", school.npsn, "--actor", "Kepala Uji")).code == 0

    told, found = await terminal.all(f"history {school.npsn}", f"history {school.npsn} --json")
    assert (told.code, found.code) == (0, 0)
    sync, refused, pull = found.json["entries"]
    assert (sync["kind"], sync["outcome"], sync["actor"], sync["sent"]) == ("sync", "completed", "Kepala Uji", 1)
    assert (refused["outcome"], refused["reason"], refused["statement"]) == ("refused", "SYN-02", None)
    assert (pull["kind"], pull["outcome"], pull["sent"]) == ("pull", "completed", 0)
    number = sync["statement"]["session"]
    receipt = await terminal.selaras("receipt", "show", school.npsn, "--session", str(number))
    assert receipt.json["statement"]["root"] == sync["statement"]["root"]
    assert receipt.json["statement"]["head_seq"] == sync["statement"]["seq"]

    assert f"({school.npsn}): terdaftar di sini sejak" in told.out
    assert f"→ selaras receipt show {school.npsn} --session {number}\n" in told.out
    assert "SYN-02" in told.out
    assert "3 dari 3 sesi · of 3 sessions\n" in told.out

    one, none = await terminal.all(f"history {school.npsn} --kind sync --limit 1", f"history {school.npsn} --failed")
    assert "1 dari 2 sesi · of 2 sessions; --limit menampilkan lebih · shows more\n" in one.out
    assert "0 dari 0 sesi · of 0 sessions\n" in none.out


async def test_a_school_that_is_not_here_has_no_history(terminal: Terminal) -> None:
    said = await terminal.selaras("history", "99999999", "--json")
    assert (said.code, said.out) == (5, "")
    assert said.err.startswith("99999999 is not registered here: run `selaras register 99999999 --code CODE`.")
