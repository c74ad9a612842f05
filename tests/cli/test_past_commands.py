"""What is typed to see a school's past, what changed, what a receipt is worth, and the cut-off of all schools."""

from __future__ import annotations

import hashlib
import json
import shutil
from datetime import timedelta
from typing import Any

import pytest

from services import calendar
from services.demo.stage import Stage
from services.messages import SessionCompleted
from tests.cli.conftest import Said, Terminal
from tests.cli.test_officer_commands import officer_renames
from tests.e2e.backups import back_up, put_central_back
from tests.e2e.conftest import School


@pytest.fixture
def keys(stage: Stage, terminal: Terminal) -> str:
    """Central's public keys, in the folder."""
    there = stage.stack.addresses.keys
    assert there is not None
    shutil.copy(there.public, terminal.folder / "kunci.json")
    return "kunci.json"


async def synced(stage: Stage, school: School) -> dict[str, Any]:
    """A sync; its receipt."""
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return dict(end.receipt)


def lines(said: Said) -> list[dict[str, Any]]:
    """JSON lines on standard output."""
    return [json.loads(line) for line in said.out.splitlines()]


async def test_a_school_as_of_seq_receipt_and_date(terminal: Terminal, stage: Stage, school: School, keys: str) -> None:
    await officer_renames(stage, school, 0)
    receipt = await synced(stage, school)
    shown = await terminal.selaras("receipt", "show", school.npsn)
    terminal.file("bukti.json", shown.out)
    await officer_renames(stage, school, 1)
    seq, of = receipt["head_seq"], f"officer as-of {school.npsn}"
    by_seq, by_file, head, told = await terminal.all(
        f"{of} {seq} --json",
        f"{of} bukti.json --keys {keys} --json",
        f"{of} head --json",
        f"{of} bukti.json --keys {keys}",
    )
    assert [said.code for said in (by_seq, by_file, head, told)] == [0, 0, 0, 0]
    assert by_seq.json["root"] == by_file.json["root"] == receipt["root"] != head.json["root"]
    assert by_seq.json["counts"] == receipt["counts"]
    assert by_seq.json["signed"]["same"] is by_file.json["signed"]["same"] is True
    assert (by_file.json["by"]["session"], by_file.json["meaning"]) == (receipt["session"], "statement")
    assert (head.json["seq"], head.json["signed"]) == (seq + 1, None)
    assert "Root ini yang dinyatakan pusat" in told.out

    tomorrow = (calendar.today() + timedelta(days=1)).isoformat()
    time = receipt["time"]
    then, not_yet, early, unknown, keyless = await terminal.all(
        f"{of} {time} --json", f"{of} {tomorrow}", f"{of} 2020-01-01 --json", f"{of} entah", f"{of} bukti.json"
    )
    assert (then.json["seq"], then.json["by"]["root"]) == (seq, receipt["root"])
    assert [said.code for said in (then, not_yet, early, unknown, keyless)] == [0, 3, 3, 3, 2]
    assert not_yet.out.startswith("PUSAT-14 ")
    assert early.json["code"] == "PUSAT-13"
    assert unknown.out.startswith("PUSAT-11 ")

    records = await terminal.selaras(*f"{of} {seq} --records".split())
    assert len(lines(records)) == sum(receipt["counts"].values())
    pupils = await terminal.selaras(*f"{of} {seq} --entity peserta_didik".split())
    assert {one["record_id"] for one in lines(pupils)} == set(school.pupils)
    renamed = [one for one in lines(pupils) if one["record_id"] == school.pupils[0]]
    assert (renamed[0]["version"], renamed[0]["written_by"], renamed[0]["fields"]["nama"]) == (
        2, "petugas", "Nama Dari Pusat",
    )  # fmt: skip


async def test_a_diff_tells_each_field_with_both_values_and_who_wrote_it(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    before = (await stage.centre(school.npsn)).head_seq
    await officer_renames(stage, school, 2)
    told, read, back, none = await terminal.all(
        f"officer diff {school.npsn} {before} head",
        f"officer diff {school.npsn} {before} --json",
        f"officer diff {school.npsn} head {before}",
        f"officer diff {school.npsn} {before} --entity ptk --json",
    )
    assert [said.code for said in (told, read, back, none)] == [0, 0, 3, 0]
    about, one = lines(read)
    old = school.data["peserta_didik"][school.pupils[2]]["nama"]
    assert (about["from"]["seq"], about["to"]["seq"]) == (before, before + 1)
    assert one["fields"] == {"nama": [old, "Nama Dari Pusat"]}
    assert (one["change"], one["was"], one["version"], one["written_by"]) == ("changed", 1, 2, "petugas")
    assert f'nama: "{old}" → "Nama Dari Pusat"' in told.out
    assert "1 data berubah" in told.out
    assert back.out.startswith("PUSAT-18 ")
    assert len(lines(none)) == 1


async def test_a_receipt_is_explained_and_a_forged_one_is_not(
    terminal: Terminal, stage: Stage, school: School, keys: str
) -> None:
    receipt = await synced(stage, school)
    shown = (await terminal.selaras("receipt", "show", school.npsn)).json
    terminal.file("bukti.json", shown)
    terminal.file("diubah.json", {**shown, "statement": {**shown["statement"], "head_seq": 1}})
    terminal.file("palsu.json", {"jws": shown["jws"][:-8] + "AAAAAAAA"})
    good, words, altered, forged = await terminal.all(
        f"officer receipt bukti.json --keys {keys} --json",
        f"officer receipt bukti.json --keys {keys}",
        f"officer receipt diubah.json --keys {keys}",
        f"officer receipt palsu.json --keys {keys}",
    )
    assert [said.code for said in (good, words, altered, forged)] == [0, 0, 3, 3]
    assert (good.json["basis"], good.json["holds"], good.json["root"]) == ("history", True, receipt["root"])
    assert "Masih bagian dari riwayat pusat" in words.out
    assert "bukan bukti sinkron" in altered.err
    assert forged.out.startswith("PUSAT-15 ")


async def test_the_cut_off_is_written_whole_or_not_at_all(terminal: Terminal, stage: Stage, school: School) -> None:
    await officer_renames(stage, school, 3)
    done = await terminal.selaras("snapshot", "confirmed", "--out", "cutoff.jsonl", "--json")
    assert done.code == 0, done
    body = (terminal.folder / "cutoff.jsonl").read_bytes()
    *before, last = body.splitlines(keepends=True)
    assert json.loads(last)["sha256"] == hashlib.sha256(b"".join(before)).hexdigest() == done.json["sha256"]
    mine = [json.loads(line) for line in before if json.loads(line).get("npsn") == school.npsn]
    centre = await stage.centre(school.npsn, "confirmed")
    assert (mine[0]["root"], mine[0]["seq"], len(mine) - 1) == (centre.root, centre.seq, sum(centre.counts.values()))
    assert [file.name for file in sorted(terminal.folder.iterdir()) if "cutoff" in file.name] == ["cutoff.jsonl"]
    assert (terminal.folder / "cutoff.jsonl").stat().st_mode & 0o077 == 0

    again, early, seq, both, piped = await terminal.all(
        "snapshot confirmed --out cutoff.jsonl", "snapshot 2999-01-01 --out besok.jsonl", "snapshot 17",
        "snapshot head --json", "snapshot head --counts",
    )  # fmt: skip
    nowhere = await terminal.selaras("snapshot", "head", "--out", "tidak-ada/cutoff.jsonl")
    assert (nowhere.code, nowhere.err) == (2, "tidak-ada/cutoff.jsonl: No such file or directory\n")
    assert [said.code for said in (again, early, seq, both, piped)] == [2, 3, 2, 2, 0]
    assert (terminal.folder / "cutoff.jsonl").read_bytes() == body
    assert not any("besok" in file.name for file in terminal.folder.iterdir())
    assert not any("record_id" in line for line in lines(piped))
    assert (await stage.centre(school.npsn)).root in piped.out


async def test_a_receipt_from_before_central_was_put_back_is_explained_in_words(
    terminal: Terminal, stage: Stage, school: School, keys: str
) -> None:
    backup = await back_up(stage)
    await officer_renames(stage, school, 4)
    receipt = await synced(stage, school)
    terminal.file("bukti.json", (await terminal.selaras("receipt", "show", school.npsn)).out)
    await put_central_back(stage, backup)
    ask, of = f"officer receipt bukti.json --keys {keys}", f"officer as-of {school.npsn}"
    lost, gone = await terminal.all(ask, f"{of} bukti.json --keys {keys}")
    assert (lost.code, gone.code) == (3, 3)
    assert "berapa yang kembali tidak dapat dibuktikan" in lost.out
    assert gone.out.startswith("PUSAT-16 ")

    async with stage.at(school.npsn) as client:
        await stage.session(client, "pull", "operator")
    back, by_file, date, held = await terminal.all(
        ask, f"{of} bukti.json --keys {keys}", f"{of} {receipt['time']}", f"{of} {receipt['time']} --held"
    )
    assert [said.code for said in (back, by_file, date, held)] == [0, 0, 0, 0]
    assert "Semua kembali" in back.out
    assert receipt["root"] in by_file.out
    assert "keadaannya ada lagi pada seq" in by_file.out
    assert receipt["root"] in date.out
    assert "untuk bukti" in date.out
    assert "PERHATIAN" not in date.out
    assert "PERHATIAN: pusat dipulihkan dari cadangan" in held.out
