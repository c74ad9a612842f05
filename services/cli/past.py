"""A school's past at central: as of a moment, what changed between two, and what a receipt is worth now."""

from __future__ import annotations

import json as json_text
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from services.central import explaining, history, moments
from services.central.administration import Refused
from services.central.explaining import Explanation
from services.central.history import Change, Changes
from services.central.moments import Forgotten, Moment, Point
from services.central.registry import Roots, Stored
from services.cli import registry, show
from services.cli.arguments import AsJson, Npsn
from services.cli.outcomes import FAILED, REFUSED, USAGE, Stop
from services.cli.proof import read_receipt
from services.cli.settings import CommandSettings
from services.database import Database, Transaction
from services.exchange import canonical
from services.exchange.canonical import NotCanonical, same
from services.problems import problem
from services.signing import KeysUnusable, NotProven, PublicKeys, unverified

PAGE_RECORDS = 1000
PAGE_BYTES = 4 * 1024 * 1024
MOMENTS = "confirmed, head, a seq, session:9, 2026-11-30, 2026-11-30T12:00, or a receipt's file"

AMoment = Annotated[str, typer.Argument(metavar="MOMENT", help=MOMENTS)]
Held = Annotated[
    bool, typer.Option("--held", help="Of a date: all that central held then, not what the last sync had confirmed")
]
KeyFile = Annotated[
    Path | None, typer.Option("--keys", help="Central's public keys (JWKS); else SELARAS_CENTRAL_KEYS_FILE")
]
OneEntity = Annotated[str | None, typer.Option("--entity", help="Records of this entity only")]
AsLines = Annotated[bool, typer.Option("--json", help="JSON, an object a line: first the moments, then each record")]


def as_of(
    npsn: Npsn,
    moment: AMoment = "confirmed",
    held: Held = False,
    records: Annotated[bool, typer.Option("--records", help="Its records too, a JSON object a line")] = False,
    entity: OneEntity = None,
    keys: KeyFile = None,
    json: AsJson = False,
) -> None:
    """A school as of any seq, receipt or date: numbers, root, whether it is the one that was signed; its records."""

    async def read(database: Database) -> bool:
        async with database.snapshot() as transaction:
            point = await _located(transaction, npsn, moment, keys, held=held)
            roots = await history.roots_as_of(transaction, npsn, point.seq)
            signed = await _signed(transaction, point, roots)
            if records or entity:
                async for page in _pages(transaction, npsn, 0, point.seq, entity):
                    _write(_record(one) for one in page.rows)
            elif json:
                show.as_json({**_point(point), "root": roots.root, "counts": roots.counts, "signed": signed})
            else:
                show.table(f"{point.school.nama} ({npsn})", ("", ""), [
                    *_rows(point), ("root", roots.root), *roots.counts.items(),
                ])  # fmt: skip
                for sentence in _warnings(point, signed):
                    show.line(sentence)
            return signed is None or bool(signed["same"])

    if not registry.at(read, json):
        raise Stop("", FAILED)


def diff(
    npsn: Npsn,
    first: Annotated[str, typer.Argument(metavar="FROM", help=MOMENTS)],
    second: Annotated[str, typer.Argument(metavar="TO", help="Likewise")] = "head",
    held: Held = False,
    entity: OneEntity = None,
    keys: KeyFile = None,
    json: AsLines = False,
) -> None:
    """What changed in a school between two moments: per record and field, the old value, the new one, and by whom."""

    async def read(database: Database) -> None:
        async with database.snapshot() as transaction:
            since = await _located(transaction, npsn, first, keys, held=held)
            point = await _located(transaction, npsn, second, keys, held=held)
            if since.seq > point.seq:
                raise Refused(problem("PUSAT-18", since=str(since.seq), seq=str(point.seq)))
            if json:
                _write([{"from": _point(since), "to": _point(point)}])
            else:
                show.line(f"{point.school.nama} ({npsn}): seq {since.seq} → {point.seq}")
                for sentence in (*_warnings(since, None), *_warnings(point, None)):
                    show.line(sentence)
            number = 0
            async for page in _pages(transaction, npsn, since.seq, point.seq, entity):
                number += len(page.rows)
                if json:
                    _write(changed(one) for one in page.rows)
                else:
                    for one in page.rows:
                        for sentence in _words(changed(one)):
                            show.line(sentence)
            if not json:
                show.line(f"{number} data berubah · records changed")

    registry.at(read, json)


def receipt(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt as `receipt show` writes it, or a bare JWS")],
    keys: KeyFile = None,
    json: AsJson = False,
) -> None:
    """What a receipt is worth now at central: signed, part of its history, or back since central was put back."""
    jws = _token(file)

    async def read(database: Database) -> Explanation:
        async with database.snapshot() as transaction:
            return await explaining.explain(transaction, jws, public_keys(keys))

    found = registry.at(read, json)
    if json:
        show.as_json({**asdict(found), "holds": found.holds})
    else:
        for sentence in _explained(found):
            show.line(sentence)
    if found.basis == "history" and not found.holds:
        raise Stop("", FAILED)
    if not found.holds and (found.there is None or found.there != found.rows):
        raise Stop("", REFUSED)


# ── moments ──────────────────────────────────────────────────────────────────────────────────────────────────────────


def public_keys(file: Path | None) -> PublicKeys:
    """Central's public keys, of this file or of the settings."""
    file = file or CommandSettings().central_keys_file
    if file is None:
        raise Stop("--keys, atau SELARAS_CENTRAL_KEYS_FILE: kunci publik pusat · central's public keys (JWKS).", USAGE)
    try:
        return PublicKeys.read(file)
    except KeysUnusable as error:
        raise Stop(str(error), USAGE) from error


async def _located(transaction: Transaction, npsn: str, text: str, keys: Path | None, *, held: bool) -> Point:
    return await moments.locate(transaction, npsn, _moment(text), held=held, keys=lambda: public_keys(keys))


def _moment(text: str) -> Moment:
    """What is no word of ours is a file."""
    try:
        return moments.parse(text)
    except Refused:
        if Path(text).is_file():
            return moments.parse(_token(Path(text)))
        raise


def _token(file: Path) -> str:
    """The JWS of a receipt's file; what stands in clear beside it must say the same."""
    token, beside = read_receipt(file)
    try:
        says_so = beside is None or canonical.same(beside, unverified(token))
    except NotProven:
        says_so = False
    if not says_so or moments.parse_receipt(token) is None:
        raise Stop(f"{file}: bukan bukti sinkron · is no receipt: `selaras receipt verify` says why.", REFUSED)
    return token


def _point(point: Point) -> dict[str, Any]:
    school = point.school
    return {
        "npsn": school.npsn,
        "nama": school.nama,
        "seq": point.seq,
        "meaning": point.meaning,
        "time": point.time,
        "by": asdict(point.by) if point.by else None,
        "back_from": point.back_from,
        "forgotten": asdict(point.forgotten) if point.forgotten else None,
        "head_seq": school.head_seq,
        "confirmed_seq": school.confirmed_seq,
    }


_MEANINGS = {
    "seq": "seq",
    "confirmed": "yang dikonfirmasi sinkron · what a sync had confirmed",
    "head": "semua yang ada · all there is",
    "held": "semua yang ada waktu itu · all that was there then",
    "statement": "pernyataan pusat · central's statement",
}


def _rows(point: Point) -> Iterator[tuple[str, object]]:
    yield "seq", point.seq
    yield "arti · meaning", _MEANINGS[point.meaning]
    if point.time:
        yield "sampai · up to", moments.clock(point.time)
    if by := point.by:
        yield "menurut · by", f"{by.kind}, sesi · session {by.session}, {by.time}"
        if by.confirmed_at not in (None, by.time):
            yield "untuk bukti · for the receipt of", by.confirmed_at
    elif point.time and point.meaning == "confirmed":
        yield "menurut · by", "data awal · the baseline"


def _warnings(point: Point, signed: dict[str, Any] | None) -> Iterator[str]:
    """What is to be known beside the numbers."""
    if signed is not None:
        about = f"sesi · session {signed['session']}, {signed['kind']}, {signed['time']}"
        yield (
            f"Root ini yang dinyatakan pusat pada seq itu · this is the root that central stated at that seq: {about}"
            if signed["same"]
            else "BUKAN root yang dinyatakan pusat pada seq itu · NOT the root that central stated at that seq: "
            f"{about}, {signed['root']}; → selaras officer audit"
        )
    if point.back_from is not None:
        yield (
            f"Bukti dari masa pusat yang sudah berakhir (riwayat sama sampai seq {point.back_from}); keadaannya "
            f"ada lagi pada seq {point.seq} · the receipt is of a life of central that has ended (the histories are "
            f"one up to seq {point.back_from}); its state is there again at seq {point.seq}"
        )
    if point.forgotten is not None:
        yield forgotten(point.forgotten)


def forgotten(gap: Forgotten) -> str:
    """That the date lies in a time which central may have forgotten."""
    known = moments.clock(gap.known_until) if gap.known_until else "–"
    until = moments.clock(gap.until)
    return (
        f"PERHATIAN: pusat dipulihkan dari cadangan dan mulai lagi {until}; tentang sekolah ini cadangan itu terbukti "
        f"tahu sampai {known} saja. Yang terjadi di antaranya mungkin tidak diketahui pusat lagi; ini keadaan yang "
        "terakhir diketahui. Bukti sinkron dari waktu itu tetap berlaku (selaras officer receipt) · "
        f"NOTE: central was put back from a backup and went on at {until}; of this school that backup provably knows "
        f"all up to {known}. Central may have forgotten what came in between; this is what was known last. A receipt "
        "of that time still counts (selaras officer receipt)"
    )


async def _signed(transaction: Transaction, point: Point, roots: Roots) -> dict[str, Any] | None:
    """The last statement about this very seq, or about the receipt's state, and whether it says this root."""
    stated = await moments.stated_at(transaction, point.school.npsn, point.seq)
    by = point.by if point.meaning == "statement" else stated
    return None if by is None else {**asdict(by), "same": by.root == roots.root}


# ── records ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _pages(
    transaction: Transaction, npsn: str, since: int, seq: int, entity: str | None
) -> AsyncIterator[Changes]:
    cursor, complete = 0, False
    while not complete:
        page = await history.between(
            transaction,
            npsn,
            since,
            seq,
            cursor=cursor,
            entity=entity,
            records=PAGE_RECORDS,
            text_bytes=PAGE_BYTES,
        )
        yield page
        cursor, complete = page.cursor, page.complete


def _write(values: Iterator[dict[str, Any]] | list[dict[str, Any]]) -> None:
    ascii_only = not (sys.stdout.encoding or "").lower().startswith("utf")
    for value in values:
        sys.stdout.write(json_text.dumps(value, ensure_ascii=ascii_only, default=show.as_text) + "\n")


def _fields(stored: Stored | None) -> dict[str, Any] | None:
    """A record's fields; of a text that a hand made no record, that text under no name."""
    try:
        return stored.fields if stored else None
    except NotCanonical:
        return {"": stored.text if stored else None}


def _record(one: Change) -> dict[str, Any]:
    stored = one.after.stored
    return {
        "entity": stored.entity,
        "record_id": stored.record_id,
        "version": stored.version,
        "seq": stored.seq,
        "written_by": one.after.by,
        "written_session": one.after.session,
        "written_at": one.after.at,
        "fields": _fields(stored),
    }


def changed(one: Change) -> dict[str, Any]:
    """A change as it is printed: `fields` maps a name to [old, new]; `was` and `version`: the record's versions."""
    stored, before = one.after.stored, one.before
    old, new = _fields(before) or {}, _fields(stored) or {}
    was_live, is_live = before is not None and before.text is not None, stored.text is not None
    return {
        "entity": stored.entity,
        "record_id": stored.record_id,
        "change": "changed" if was_live and is_live else "added" if is_live else "removed",
        "was": before.version if before else 0,
        "version": stored.version,
        "seq": stored.seq,
        "written_by": one.after.by,
        "written_session": one.after.session,
        "written_at": one.after.at,
        "fields": {
            name: [old.get(name), new.get(name)]
            for name in sorted(old.keys() | new.keys())
            if not same(old.get(name), new.get(name))
        },
    }


_CHANGES = {"added": "+ baru · added", "changed": "~ berubah · changed", "removed": "- dihapus · removed"}


def _words(one: dict[str, Any]) -> Iterator[str]:
    by = one["written_by"] + (f", sesi · session {one['written_session']}" if one["written_session"] else "")
    yield (
        f"{_CHANGES[one['change']]}  {one['entity']} {one['record_id']}  versi · version {one['was']} → "
        f"{one['version']}, seq {one['seq']}, oleh · by {by}, {moments.clock(one['written_at'])}"
    )
    for name, (old, new) in one["fields"].items():
        yield f"    {name}: {_value(old)} → {_value(new)}"


def _value(value: object) -> str:
    return "–" if value is None else json_text.dumps(value, ensure_ascii=False)


# ── a receipt ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _explained(found: Explanation) -> Iterator[str]:
    said = found.statement
    yield (
        f"Tanda tangan pusat sah · signed by central: {found.school.nama} ({said['npsn']}), {said['kind']}, "
        f"sesi · session {said['session']}, {said['time']}, seq {said['head_seq']}, root {said['root']}"
    )
    if found.basis == "history":
        yield (
            f"Masih bagian dari riwayat pusat, dan keadaan seq {found.seq} punya root itu · still part of central's "
            f"history, and its state at seq {found.seq} has that root"
            if found.holds
            else f"Bagian dari riwayat pusat, TETAPI keadaan seq {found.seq} sekarang punya root lain · part of "
            f"central's history, BUT its state at seq {found.seq} now has another root: {found.root}; → selaras "
            "officer audit"
        )
        return
    ended = found.ended
    since = moments.clock(ended.at) if ended and ended.at else "–"
    yield (
        f"Ditandatangani dalam masa pusat yang sudah berakhir: pusat dipulihkan ke seq {found.common} dan mulai lagi "
        f"{since} · signed in a life of central that has ended: central was put back to seq {found.common} and went on "
        f"at {since}"
    )
    yield from _come_back(found)
    if found.lacking:
        show.table(
            "Tidak diambil kembali · not taken back",
            ("entitas · entity", "record_id", "versi", "sebab · why", "petugas · officers"),
            [
                (one.entity, one.record_id, one.version, _OUTCOMES.get(one.outcome, one.outcome), one.state)
                for one in found.lacking
            ],
        )


_OUTCOMES = {
    "moved": "sudah diubah orang lain sesudahnya · somebody had changed it since",
    "unproven": "tidak terbukti · not proven",
}


def _come_back(found: Explanation) -> Iterator[str]:
    if found.basis == "found":
        yield (
            f"Semua kembali: keadaan seq {found.seq} sekarang punya root itu · all of it is back: the state at seq "
            f"{found.seq} of today has that root ({found.rows} baris · rows)"
        )
    elif found.there is None:
        yield (
            "Root-nya tidak dapat dibuat lagi dari yang ada di pusat: berapa yang kembali tidak dapat dibuktikan · its "
            "root cannot be made again from what central has: how much of it is back cannot be proven"
        )
    else:
        how = {
            "given": "root dibuat lagi dari yang dikembalikan · the root is made again from what was given back",
            "hashes": "menurut hash yang dibuktikan situs · by the hashes that the site proved",
        }[found.basis]
        yield (
            f"{found.there} dari {found.rows} baris ada lagi dengan versi dan hash yang sama · of the rows are there "
            f"again under the same version and hash ({how})"
        )
