"""Central's database after it was put back from a backup: say so, see what came back, decide what is listed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Annotated

import typer

from services.central import aftermath, lives
from services.central.aftermath import Listed, Report, State
from services.cli import registry, show
from services.cli.arguments import AsJson, By, Npsn
from services.cli.outcomes import USAGE, Stop

app = typer.Typer(help="Central after it was put back from a backup.", no_args_is_help=True)
Ids = Annotated[list[int] | None, typer.Argument(metavar="[ID]...", help="Which, as `selaras central listed` shows")]
All = Annotated[bool, typer.Option("--all", help="All that is open of the school")]


@app.command("restored")
def restored(json: AsJson = False) -> None:
    """Say that central's database was put back by a copy of its volume; any other way it finds out by itself."""
    life = registry.at(lives.restored, json)
    show.said(
        json,
        asdict(life),
        "Pusat dinyatakan pulih dari cadangan: setiap sekolah memulihkan bagiannya sebelum sesi berikutnya · central "
        "counts as put back: each school gives back its part before its next session (selaras central report).",
    )


@app.command("report")
def report(
    json: AsJson = False,
    unseen: Annotated[int, typer.Option("--unseen", min=0, help="Schools not seen yet to name, at most")] = 100,
) -> None:
    """What came back from which school since central was put back, what did not, and who has not been seen yet."""
    found = registry.at(lambda database: aftermath.report(database, unseen=unseen), json)
    if json:
        show.as_json(asdict(found))
    else:
        _show(found)


@app.command("listed")
def listed(
    npsn: Annotated[str | None, typer.Argument(metavar="[NPSN]", help="One school; without it, all")] = None,
    every: Annotated[bool, typer.Option("--decided", help="Those that are decided, too")] = False,
    json: AsJson = False,
) -> None:
    """What did not come back although only central may say it, and what a replaced installation wrote meanwhile."""
    found = registry.at(lambda database: aftermath.listed(database, npsn, every=every), json)
    if json:
        show.as_json([{**asdict(one), "fields": one.fields} for one in found])
        return
    for one in found:
        _show_listed(one)
    show.line(f"{len(found)} tercatat · listed")


@app.command("accept")
def accept(npsn: Npsn, ids: Ids = None, every: All = False, actor: By = "petugas", json: AsJson = False) -> None:
    """Write central's part of what is listed, as the life before had it; all of them or none."""
    _decide(npsn, ids, every, aftermath.ACCEPTED, actor, json)  # type: ignore[arg-type]


@app.command("dismiss")
def dismiss(npsn: Npsn, ids: Ids = None, every: All = False, actor: By = "petugas", json: AsJson = False) -> None:
    """Leave central as it is; what is listed stays on record as dismissed."""
    _decide(npsn, ids, every, aftermath.DISMISSED, actor, json)  # type: ignore[arg-type]


def _decide(npsn: str, ids: Sequence[int] | None, every: bool, choice: State, actor: str, json: bool) -> None:
    if bool(ids) == every:
        raise Stop("Sebutkan ID atau --all · name IDs, or --all (selaras central listed).", USAGE)
    found = registry.at(lambda database: aftermath.decide(database, npsn, ids or [], choice, by=actor), json)
    word = "diterima · accepted" if choice == aftermath.ACCEPTED else "diabaikan · dismissed"
    show.said(json, {"npsn": npsn, "state": choice, "ids": [one.id for one in found]}, f"{len(found)} {word}")


_WHY = {lives.FOUND: ("ditemukan sendiri", "as it found by itself"), lives.SAID: ("dinyatakan", "as somebody said")}


def _show(found: Report) -> None:
    if found.lives == 1:
        show.line("Pusat belum pernah dipulihkan dari cadangan · central was never put back from a backup.")
        return
    indonesian, english = _WHY.get(found.life.why, (found.life.why, found.life.why))
    show.line(
        f"Pusat dipulihkan, {indonesian} {show.when(found.life.at)} · central was put back, {english} then: this is "
        f"its life no. {found.lives}, {found.life.incarnation}"
    )
    rows = [
        (one.npsn, one.nama, one.taken, one.moved, one.unproven, one.older, one.listed)
        for one in found.schools
        if one.taken or one.moved or one.unproven or one.older
    ]
    show.table(
        "Kembali dari sekolah · came back from schools",
        (
            "NPSN",
            "",
            "kembali · taken",
            "berubah · moved",
            "tanpa bukti · unproven",
            "instalasi lama · older",
            "tercatat · listed",
        ),
        rows,
    )
    show.line(
        f"Sudah terlihat · seen: {found.seen} · tidak ada yang hilang · nothing forgotten: {found.seen - len(rows)}"
    )
    show.table(
        f"Belum terlihat · not seen yet: {found.unseen_count}",
        ("NPSN", "", "situs · site", "terakhir · last"),
        [(one.npsn, one.nama, one.site, show.when(one.last)) for one in found.unseen],
    )
    show.line(
        "Perubahan petugas sejak cadangan yang belum ditarik sekolah mana pun tidak dapat kembali: ulangi · officers' "
        "changes since the backup that no school had fetched cannot come back: repeat them."
    )


def _show_listed(one: Listed) -> None:
    why = {
        "moved": "sudah diubah di pusat · changed at central since",
        "unproven": "tanpa pernyataan pusat · under no statement of central's",
        "written": "ditulis instalasi lama · written by a replaced installation",
    }[one.why]
    show.line(f"{one.npsn} #{one.id} {one.entity} {one.record_id} versi · version {one.version}: {why}; {one.state}")
    present = (one.now.fields if one.now else None) or {}
    if one.why == "written":
        return
    given = one.fields
    if given is None:
        show.line("   dihapus · deleted")
        return
    for name in sorted(given.keys() | present.keys()):
        if given.get(name) != present.get(name):
            show.line(f"   {name}: {given.get(name)!r} (pusat kini · central now: {present.get(name)!r})")
