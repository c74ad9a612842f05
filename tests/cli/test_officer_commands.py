"""What is typed at central: schools, records, changes, confirmations."""

from __future__ import annotations

from services.demo.stage import Stage
from services.messages import OfficerChange, OfficerChangeAccepted
from tests.cli.conftest import Terminal, baseline
from tests.e2e.conftest import School


async def officer_renames(stage: Stage, school: School, number: int, version: int = 1) -> None:
    """An officer's change that no sync has confirmed yet."""
    pupil = school.pupils[number]
    change = OfficerChange(entity="peserta_didik", record_id=pupil, version=version, fields={"nama": "Nama Dari Pusat"})
    assert isinstance(await stage.officer(school.npsn, [change]), OfficerChangeAccepted)


async def test_a_school_is_shown_as_confirmed_as_it_is_and_as_of_any_seq(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    total = sum(map(len, school.data.values()))
    await officer_renames(stage, school, 0)
    show = f"officer school show {school.npsn}"
    told, confirmed, head, early = await terminal.all(
        show, f"{show} --json", f"{show} --as-of head --json", f"{show} --as-of 1 --json"
    )
    assert [said.code for said in (told, confirmed, head, early)] == [0, 0, 0, 0]
    assert confirmed.json["root"] in told.out
    assert (confirmed.json["seq"], head.json["seq"], early.json["seq"]) == (total, total + 1, 1)
    assert head.json["root"] == (await stage.centre(school.npsn)).root != confirmed.json["root"]
    assert head.json["counts"]["peserta_didik"] == len(school.pupils)
    assert sum(early.json["counts"].values()) == 1


async def test_what_is_no_school_is_refused_with_its_code(terminal: Terminal, school: School) -> None:
    terminal.file("sekolah.jsonl", baseline(school.npsn))
    terminal.file("rusak.jsonl", baseline("97999997") + "{\n")
    twice, broken, unknown, code = await terminal.all(
        f"officer school add {school.npsn} --baseline sekolah.jsonl",
        "officer school add 97999997 --baseline rusak.jsonl --json",
        "officer school show 97999997 --json",
        "officer school code 97999997",
    )
    assert [said.code for said in (twice, broken, unknown, code)] == [3, 3, 3, 3]
    assert twice.out.startswith("PUSAT-05 Sekolah sudah terdaftar di pusat")
    assert broken.json["code"] == "PUSAT-06"
    assert f"Baris {baseline('97999997').count(chr(10)) + 1} " in broken.json["text_id"]
    assert unknown.json["code"] == "PUSAT-04", "of the broken baseline nothing was stored"
    assert code.out.startswith("PUSAT-04 ")


async def test_a_record_is_read_changed_and_refused_at_an_old_version(terminal: Terminal, school: School) -> None:
    pupil = school.pupils[1]
    record = f"officer record {school.npsn} peserta_didik"
    before, nobody = await terminal.all(f"{record} {pupil}", f"{record} {school.npsn}")
    assert (before.code, before.json["version"], before.json["record_id"]) == (0, 1, pupil)
    assert before.json["fields"] == school.data["peserta_didik"][pupil]
    assert (nobody.code, nobody.out) == (3, "")
    assert nobody.err == f"Central has no peserta_didik {school.npsn} of {school.npsn}.\n"

    change = {"entity": "peserta_didik", "record_id": pupil, "version": 1, "fields": {"nama": "Nama Dari Pusat"}}
    file = terminal.file("pembetulan.json", [change])
    done = await terminal.selaras("officer", "change", school.npsn, file, "--actor", "Petugas Contoh", "--json")
    assert done.code == 0
    assert done.json["type"] == "officer.change.accepted.v1"

    late, after = await terminal.all(f"officer change {school.npsn} {file}", f"{record} {pupil}")
    assert late.code == 3
    assert late.out.startswith(f"ditolak · rejected: peserta_didik {pupil}\nPUSAT-01 Data sudah berubah (versi kini 2)")
    assert (after.json["version"], after.json["seq"]) == (2, done.json["head_seq"])
    assert after.json["fields"]["nama"] == "Nama Dari Pusat"


async def test_an_identity_is_confirmed_by_its_version(terminal: Terminal, stage: Stage, school: School) -> None:
    pupil = school.pupils[2]
    confirm = f"officer confirm {school.npsn} peserta_didik {pupil} --version"
    old = await terminal.selaras(*f"{confirm} 0 --json".split())
    assert (old.code, old.json["type"]) == (3, "officer.change.rejected.v1")
    assert old.json["changes"][0]["problems"][0]["code"] == "PUSAT-01"

    said = await terminal.selaras(*f"{confirm} 1".split())
    assert said.code == 0
    assert said.out.startswith("1 perubahan tersimpan di pusat · stored, seq ")
    stored = await stage.central_record(school.npsn, "peserta_didik", pupil)
    assert stored.fields is not None
    assert stored.fields["terverifikasi"] is True


async def test_an_officers_file_must_name_a_version(terminal: Terminal, school: School) -> None:
    file = terminal.file("tanpa.json", [{"entity": "ptk", "record_id": school.pupils[0], "fields": {}}])
    said = await terminal.selaras("officer", "change", school.npsn, file)
    assert (said.code, said.out) == (2, "")
    assert said.err == "tanpa.json[1]: bukan perubahan · not a change: version: Field required\n"
