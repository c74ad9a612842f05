"""What is typed at a school: register, publish, validate, sync, pull, status."""

from __future__ import annotations

import re

from services.central import administration
from services.demo.stage import Stage
from services.messages import MAX_CHANGES, ChangeAccepted
from tests.cli.conftest import Said, Terminal, baseline, change_of
from tests.e2e.conftest import School

ROOT = re.compile(r"\b[0-9a-f]{64}\b")


def code_in(said: Said) -> str:
    """The registration code that a command showed."""
    found = re.search(r"\b[0-9A-Z]{4}(-[0-9A-Z]{4}){4}\b", said.out)
    assert found, said
    return found[0]


# ── register ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_school_is_registered_once_with_the_code_of_its_officer(
    terminal: Terminal, stage: Stage, npsn: str
) -> None:
    terminal.file("sekolah.jsonl", baseline(npsn))
    first = await terminal.selaras("officer", "school", "add", npsn, "--baseline", "sekolah.jsonl")
    assert first.code == 0
    second = await terminal.selaras("officer", "school", "code", npsn, "--json")
    assert (second.code, second.json["npsn"]) == (0, npsn)

    told, as_json = await terminal.all(
        f"register {npsn} --code {code_in(first)}", f"register {npsn} --code SALAH --json"
    )
    assert (told.code, as_json.code) == (3, 3)
    assert told.out.startswith("SYN-04 Kode registrasi ditolak · The registration code was refused\n   → ")
    assert as_json.json["code"] == "SYN-04"

    good = await terminal.selaras("register", npsn, "--code", second.json["code"], "--json")
    assert good.code == 0
    assert (good.json["type"], good.json["sent"]) == ("pull.completed.v1", 0)
    assert good.json["receipt"]["root"] == (await stage.here(npsn)).root == (await stage.centre(npsn)).root

    again = await terminal.selaras("register", npsn, "--code", second.json["code"])
    assert (again.code, again.out) == (
        3,
        f"{npsn}: belum terkirim, akan hilang · unsent, would be lost: tidak ada · none\n",
    )
    already, nothing_done = again.err.splitlines()
    assert already == f"{npsn} sudah terdaftar di instalasi ini · is registered here already."
    assert nothing_done.endswith("nothing was wiped: consent with --yes.")


async def test_registering_says_that_the_data_came_in(terminal: Terminal, stage: Stage, npsn: str) -> None:
    code = await administration.add_school(stage.registry, npsn, baseline(npsn).splitlines())
    said = await terminal.selaras("register", npsn, "--code", code)
    assert (said.code, said.err) == (0, "tarik data dimulai · the pull has begun\n")
    assert f"({npsn}) terdaftar di instalasi ini" in said.out
    assert "kedua sisi sama · both sides equal" in said.out


async def test_nothing_is_registered_that_could_not_be_pulled(terminal: Terminal, npsn: str) -> None:
    said = await terminal.lacking("SELARAS_AMQP_URL").selaras("register", npsn, "--code", "SALAH")
    assert said.code == 5
    assert said.err.startswith("SELARAS_AMQP_URL is not set")


# ── publish ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_changes_of_several_files_are_stored(terminal: Terminal, stage: Stage, school: School) -> None:
    array = terminal.file("larik.json", [change_of(school, 0, anak_keberapa=9)])
    whole = terminal.file("objek.json", {"changes": [change_of(school, 1, anak_keberapa=9)]})
    lines = terminal.file("baris.jsonl", [change_of(school, n, anak_keberapa=9) for n in (2, 3)])
    said = await terminal.selaras("publish", school.npsn, array, whole, lines, "--actor", "Operator Contoh")
    assert (said.code, said.err) == (0, "")
    stored, now = said.out.splitlines()
    assert stored == "4 perubahan tersimpan · stored"
    assert "0 invalid" in now
    assert "4 belum terkirim" in now
    assert (await stage.here(school.npsn)).pending == 4


async def test_more_than_an_event_takes_travels_in_several(terminal: Terminal, school: School) -> None:
    number = MAX_CHANGES + 1
    many = terminal.file("banyak.jsonl", [change_of(school, n % 6, anak_keberapa=1 + n % 9) for n in range(number)])
    said = await terminal.selaras("publish", school.npsn, many, "--json")
    assert said.code == 0
    assert [(a["type"], len(a["changes"])) for a in said.json] == [
        ("change.accepted.v1", MAX_CHANGES),
        ("change.accepted.v1", 1),
    ]


async def test_a_dry_run_publishes_nothing(terminal: Terminal, stage: Stage, school: School) -> None:
    file = terminal.file("ubah.json", [change_of(school, 0, anak_keberapa=9)])
    async with stage.at(school.npsn) as client:
        said = await terminal.selaras("publish", school.npsn, file, "--dry-run", "--json")
        assert (said.code, said.json) == (0, {"changes": 1, "published": False})
        assert (await stage.here(school.npsn)).pending == 0
        assert (await terminal.selaras("publish", school.npsn, file)).code == 0
        heard = await anext(client.events(None, seconds=10))
    assert isinstance(heard.data, ChangeAccepted)
    assert heard.data.revision == 2, "the first that the validator has heard since the baseline"


async def test_a_rejected_change_is_shown_with_code_field_channel_and_what_to_do(
    terminal: Terminal, school: School
) -> None:
    file = terminal.file("kunci.json", [change_of(school, 0, nama="Nama Lain"), change_of(school, 1, anak_keberapa=9)])
    told, as_json = await terminal.all(f"publish {school.npsn} {file}", f"publish {school.npsn} {file} --json")
    assert (told.code, as_json.code) == (3, 3)
    assert told.out.splitlines()[:4] == [
        "1 perubahan tersimpan · stored",
        f"ditolak · rejected: peserta_didik {school.pupils[0]}",
        "UBAH-04 nama terkunci: hanya dapat diubah melalui VervalPD · nama is locked: it can be changed through "
        "VervalPD only",
        "   → Ajukan perbaikan melalui VervalPD, lalu tarik data · Ask for the correction through VervalPD, then pull",
    ]
    (rejected,) = (change for answer in as_json.json for change in answer["changes"] if "problems" in change)
    (problem,) = rejected["problems"]
    assert (rejected["index"], problem["code"], problem["field"], problem["channel"]) == (
        0,
        "UBAH-04",
        "nama",
        "VervalPD",
    )


async def test_what_cannot_be_stored_anyhow_is_not_even_published(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    wrong = [change_of(school, 0, hobi="catur"), {**change_of(school, 0), "entity": "murid"}]
    file = terminal.file("salah.jsonl", [change_of(school, 1, anak_keberapa=9), *wrong])
    told, as_json = await terminal.all(f"publish {school.npsn} {file}", f"publish {school.npsn} {file} --json")
    assert (told.code, told.out, as_json.code) == (3, "", 3)
    assert told.err == as_json.err
    assert told.err.splitlines() == [
        "Tidak ada yang dikirim · nothing was published:",
        "salah.jsonl:2: UBAH-02 Isian hobi tidak dikenal · The field hobi is not known",
        "salah.jsonl:3: UBAH-01 Entitas murid tidak dikenal · The entity murid is not known",
    ]
    assert not as_json.json["published"]
    assert [(p["where"], p["code"], p["field"]) for p in as_json.json["problems"]] == [
        ("salah.jsonl:2", "UBAH-02", "hobi"),
        ("salah.jsonl:3", "UBAH-01", None),
    ]
    assert (await stage.here(school.npsn)).pending == 0


# ── validate, sync, pull, status ─────────────────────────────────────────────────────────────────────────────────────


async def test_a_clean_school_validates_and_syncs_to_the_root_of_both_sides(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    judged = await terminal.selaras("validate", school.npsn)
    assert judged.code == 0
    assert judged.out.startswith("0 invalid, ")
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])

    synced = await terminal.selaras("sync", school.npsn, "--actor", "Kepala Sekolah Contoh")
    here, centre = await stage.here(school.npsn), await stage.centre(school.npsn)
    assert (synced.code, synced.err) == (0, "sinkronisasi dimulai · the sync has begun\n")
    assert "Sinkronisasi selesai · synced: 1 dikirim, 0 diterima" in synced.out
    assert ROOT.findall(synced.out) == [here.root] == [centre.root]

    again, pulled, status, as_json = await terminal.all(
        f"sync {school.npsn} --json",
        f"pull {school.npsn} --json",
        f"status {school.npsn}",
        f"status {school.npsn} --json",
    )
    assert [said.code for said in (again, pulled, status, as_json)] == [0, 0, 0, 0]
    assert (again.json["type"], again.json["outcome"]) == ("sync.completed.v1", "completed")
    assert again.json["receipt"]["root"] == here.root
    assert (pulled.json["type"], pulled.json["received"], pulled.json["unsent"]) == ("pull.completed.v1", 0, 0)
    assert ROOT.findall(status.out) == [here.root], "a root is never broken over two lines"
    assert (as_json.json["npsn"], as_json.json["pending"], as_json.json["root"]) == (school.npsn, 0, here.root)
    assert as_json.json["last_sync_at"][10] == "T"


async def test_an_operator_may_not_sync(terminal: Terminal, school: School) -> None:
    said = await terminal.selaras("sync", school.npsn, "--role", "operator")
    assert said.code == 3
    assert said.out.startswith("SYN-02 Sinkronisasi hanya dapat dilakukan oleh akun Kepala Sekolah · ")
    assert "\n   → Minta Kepala Sekolah atau PLT menjalankan sinkronisasi · " in said.out


async def test_a_blocked_school_gets_the_list_and_may_pull(terminal: Terminal, stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, agama_id=None)])
    where = f"peserta_didik {school.pupils[0]} agama_id"

    judged, as_json = await terminal.all(f"validate {school.npsn}", f"validate {school.npsn} --json")
    assert (judged.code, as_json.code) == (3, 3)
    assert judged.out.startswith("1 invalid, ")
    assert f"WAJIB-01 invalid · {where}\n   Agama belum diisi · " in judged.out
    assert [f["rule"] for f in as_json.json["list"] if f["severity"] == "invalid"] == ["WAJIB-01"]

    refused, as_json, pulled = await terminal.all(
        f"sync {school.npsn}", f"sync {school.npsn} --json", f"pull {school.npsn}"
    )
    assert (refused.code, as_json.code, pulled.code) == (3, 3, 0)
    assert refused.out.startswith("SYN-01 Sinkronisasi tidak dapat dilakukan, masih ada 1 data invalid · ")
    assert where in refused.out
    assert [f["field"] for f in as_json.json["findings"]] == ["agama_id"]
    assert pulled.out.startswith("Tarik data selesai · pulled: 0 diterima, 0 dikirim\n")
    assert "tarik data BUKAN sinkronisasi: 1 perubahan belum terkirim · a pull is NOT a sync" in pulled.out

    told, status = await terminal.all(f"status {school.npsn}", f"status {school.npsn} --json")
    assert "tarik data BUKAN sinkronisasi; 1 perubahan belum terkirim" in told.out
    assert (status.json["invalid"], status.json["pending"]) == (1, 1)
    assert status.json["badge"] == "tarik data BUKAN sinkronisasi; 1 perubahan belum terkirim"


async def test_a_failed_sync_is_for_ops_and_stands_among_the_failed(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    for database, column in ((stage.replica, "base_version"), (stage.registry, "version")):  # neither can prove its own
        async with database.transaction() as transaction:
            await transaction.run(
                f"UPDATE record SET {column} = {column} + length(:column) WHERE npsn = :npsn AND entity = 'sekolah'",
                npsn=school.npsn, column=column,
            )  # fmt: skip
    failed = await terminal.selaras("sync", school.npsn)
    assert failed.code == 1
    assert failed.out.startswith("SYN-20 ")
    told, as_json = await terminal.all("status --failed", "status --failed --json")
    assert (told.code, as_json.code) == (0, 0)
    assert any(line.split()[:3] == [school.npsn, "sync", "SYN-20"] for line in told.out.splitlines())
    assert (school.npsn, "SYN-20") in [(session["npsn"], session["reason"]) for session in as_json.json]


NOT_HERE = {
    "status 97999998": (5, "97999998 is not registered here: run `selaras register 97999998 --code CODE`."),
    "pull 97999998": (3, "SYN-11 Registrasi sekolah belum lengkap"),
    "validate 97999998": (3, "UBAH-08 Sekolah ini belum terdaftar di instalasi ini"),
}


async def test_a_school_that_is_not_registered_here_is_told_so(terminal: Terminal) -> None:
    for said, (code, sentence) in zip(await terminal.all(*NOT_HERE), NOT_HERE.values(), strict=True):
        assert said.code == code
        assert (said.out or said.err).startswith(sentence)
