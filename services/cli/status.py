"""Where a school stands at this site."""

from __future__ import annotations

import asyncio
from dataclasses import asdict
from typing import Annotated, Any

import typer

from services.cli import show
from services.cli.arguments import AsJson, OptionalNpsn
from services.cli.outcomes import NOT_SET_UP, USAGE, Stop
from services.cli.settings import CommandSettings
from services.database import Database
from services.replica import status as standing


def status(
    npsn: OptionalNpsn = None,
    failed: Annotated[bool, typer.Option("--failed", help="Every school whose latest session failed")] = False,
    json: AsJson = False,
) -> None:
    """Where a school stands; with --failed, which sessions need somebody."""
    if failed == (npsn is not None):
        raise Stop("Give an NPSN, or --failed.", USAGE)
    found = asyncio.run(_status(CommandSettings().need("site_database_url"), npsn))
    if json:
        show.as_json([asdict(f) for f in found] if failed else {**asdict(found[0]), "badge": found[0].badge()})
    elif failed:
        show.table(
            "Sesi gagal · failed sessions",
            ("NPSN", "Jenis", "Sebab", "Sejak"),
            [(f.npsn, f.kind, f.reason or "", show.when(f.ended_at)) for f in found],
        )
    else:
        _show_status(found[0])


async def _status(url: str, npsn: str | None) -> list[Any]:
    database = Database(url, pool=1)
    try:
        if npsn is None:
            return list(await standing.failed(database))
        found = await standing.status(database, npsn)
    finally:
        await database.close()
    if found is None:
        raise Stop(f"{npsn} is not registered here: run `selaras register {npsn} --code CODE`.", NOT_SET_UP)
    return [found]


def _waits(request: standing.Open) -> str:
    """Since when a request is open, and what it waits for."""
    since = f"sejak · since {show.when(request.asked_at)}"
    return since if request.waiting is None else f"{request.waiting['code']} {request.waiting['text_id']}, {since}"


def _show_status(s: standing.Status) -> None:
    show.table(
        f"{s.nama} ({s.npsn})",
        ("", ""),
        [
            ("invalid", s.invalid if s.judged else f"{s.invalid} (belum divalidasi lagi)"),
            ("peringatan · warnings", s.warning),
            ("belum terkirim · pending", s.pending),
            ("konflik · held", s.held),
            ("ditolak pusat · refused", s.refused),
            ("sinkron terakhir · last sync", show.when(s.last_sync_at)),
            ("tarik terakhir · last pull", show.when(s.last_pull_at)),
            *([("pasang ulang sejak · restoring since", show.when(s.restoring_since))] if s.restoring_since else []),
            *([("pemulihan sejak · recovering since", show.when(s.recovering_since))] if s.recovering_since else []),
            *([("perubahan ditahan · changes parked", s.parked)] if s.parked else []),
            (
                "sesi terakhir · latest",
                ", ".join(f"{k}: {v.outcome} {v.reason or ''}".strip() for k, v in s.latest.items()),
            ),
            *((f"{o.kind} {o.state}", _waits(o)) for o in s.open),
            ("seq", s.cursor),
            ("root", s.root),
        ],
    )
    if badge := s.badge():
        show.console.print(f"[yellow]{badge}[/] · {s.badge('en')}")
