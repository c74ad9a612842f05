"""Receipts and keys: export what central signed, check it anywhere, and make the keys it is signed with."""

from __future__ import annotations

import asyncio
import json as json_text
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated, Any, TypeVar

import typer

from services import signing
from services.cli import show
from services.cli.arguments import LARGEST, AsJson, Npsn
from services.cli.outcomes import REFUSED, USAGE, Stop
from services.exchange import canonical
from services.signing import KeysUnusable, NotProven, PublicKeys, Reason

T = TypeVar("T")
File = Annotated[Path, typer.Argument(metavar="FILE", help="The private key set (JWKS)")]

receipt = typer.Typer(help="Receipts (bukti sinkron): export, and check anywhere.", no_args_is_help=True)
keys = typer.Typer(help="The keys that central signs with.", no_args_is_help=True)

REASONS: dict[Reason, tuple[str, str]] = {
    "form": ("isinya bukan JWS", "it holds no compact JWS"),
    "header": ("algoritma atau jenisnya lain", "it names another algorithm or type"),
    "key": ("kuncinya tidak ada di berkas kunci", "its key is not in the key file"),
    "signature": ("tanda tangannya tidak cocok", "its signature does not fit"),
    "content": ("isinya bukan pernyataan", "what is signed is no statement"),
}
"""Why a receipt proves nothing."""
FIELDS = {
    "npsn": str, "kind": str, "session": int, "head_seq": int, "root": str, "counts": dict, "unsent": int,
    "held": int, "refused": int, "time": str,
}  # fmt: skip
"""What every statement says."""


@receipt.command("show")
def receipt_show(
    npsn: Npsn,
    session: Annotated[
        int | None, typer.Option("--session", min=1, max=LARGEST, help="The session; without it, the last sync")
    ] = None,
    life: Annotated[
        str | None, typer.Option("--life", help="Central's life (incarnation), if several had that session")
    ] = None,
) -> None:
    """A school's receipt as a file (JSON): `> bukti.json`, and hand it on."""

    from services.cli.settings import CommandSettings
    from services.database import Database
    from services.replica import receipts

    async def read() -> str | None:
        database = Database(CommandSettings().need("site_database_url"), pool=1)
        try:
            return await receipts.find(database, npsn, session, life)
        finally:
            await database.close()

    token = asyncio.run(read())
    if token is None:
        raise Stop(f"Belum ada bukti · there is no receipt of {npsn} yet.", REFUSED)
    show.as_json({"jws": token, "statement": signing.unverified(token)})


@receipt.command("verify")
def receipt_verify(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A receipt as `receipt show` writes it, or a bare JWS")],
    key_file: Annotated[Path, typer.Option("--keys", help="Central's public keys (JWKS)")],
    json: AsJson = False,
) -> None:
    """Check a receipt against central's public keys, and say what it proves. Needs no server and no setting."""
    token, beside = read_receipt(file)
    pinned = _usable(lambda: PublicKeys.read(key_file))
    try:
        statement = _proven(pinned, token, beside)
    except NotProven as error:
        indonesian, english = REASONS[error.reason]
        if json:
            show.as_json({"proven": False, "reason": error.reason})
        raise Stop(
            "" if json else f"Bukan bukti: {indonesian} · this receipt proves nothing: {english}.", REFUSED
        ) from error
    if json:
        show.as_json({"proven": True, "statement": statement})
    else:
        for sentence in words(statement):
            show.line(sentence)


def _proven(pinned: PublicKeys, token: str, beside: dict[str, Any] | None) -> dict[str, Any]:
    """The statement that `token` proves. What stands in clear beside it must say the same. Raises NotProven."""
    statement = pinned.verify(token)
    if any(type(statement.get(name)) is not kind for name, kind in FIELDS.items()):
        raise NotProven("content")
    if beside is not None and not canonical.same(beside, statement):
        raise NotProven("signature")
    return statement


def words(statement: dict[str, Any]) -> Iterator[str]:
    """What a statement proves, and what it does not cover."""
    npsn, session, time = statement["npsn"], statement["session"], statement["time"]
    yield f"Tanda tangan pusat sah · signed by central: {npsn}, sesi · session {session}, {time}"
    yield (
        f"Saat itu sekolah dan pusat sama persis · both sides were exactly equal: seq {statement['head_seq']}, "
        f"root {statement['root']}"
    )
    yield "  " + ", ".join(f"{number} {entity}" for entity, number in sorted(statement["counts"].items()))
    if statement["kind"] != "sync":
        yield f"BUKAN bukti sinkron · NOT the receipt of a sync: {statement['kind']}"
    open_ends = (
        ("unsent", "perubahan BELUM terkirim", "changes were NOT sent"),
        ("held", "data menunggu keputusan konflik", "records waited for a conflict to be decided"),
        ("refused", "data DITOLAK pusat", "records were REFUSED by central"),
    )
    for name, indonesian, english in open_ends:
        if statement[name]:
            yield f"Tidak tercakup · not covered: {statement[name]} {indonesian} · {english}"
    if not any(statement[name] for name, _, _ in open_ends):
        yield "Tidak ada yang tertinggal · nothing was left out: 0 belum terkirim, 0 konflik, 0 ditolak"


@keys.command("new")
def keys_new(file: File, json: AsJson = False) -> None:
    """Make a key set with one key; the file is its owner's alone, and never written over."""
    kid = _usable(lambda: signing.new(file))
    show.said(json, {"kid": kid}, f"{file}: kunci aktif · active key {kid}")


@keys.command("rotate")
def keys_rotate(file: File, json: AsJson = False) -> None:
    """Put a new active key before the others, which stay so that older receipts still verify."""
    kid = _usable(lambda: signing.rotate(file))
    show.said(json, {"kid": kid}, f"{file}: kunci aktif · active key {kid}; mulai ulang pusat · restart central")


@keys.command("public")
def keys_public(file: File) -> None:
    """The public keys (JWKS), for every site and whoever checks receipts."""
    sys.stdout.write(_usable(lambda: signing.public_document(file)))


def read_receipt(file: Path) -> tuple[str, dict[str, Any] | None]:
    """The JWS of a receipt, and the statement that stands beside it in clear, if one does."""
    try:
        text = file.read_text(encoding="utf-8-sig").strip()  # an editor may have put a mark before it
    except OSError as error:
        raise Stop(f"{file}: {error.strerror}", USAGE) from error
    except UnicodeDecodeError:
        return "", None
    if not text.startswith("{"):
        return text, None
    try:
        body = json_text.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError):
        return "", None
    token, beside = body.get("jws"), body.get("statement")
    return token if isinstance(token, str) else "", beside


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no name stands twice: a person may read the one, and what is compared be the other."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _usable(work: Callable[[], T]) -> T:
    try:
        return work()
    except KeysUnusable as error:
        raise Stop(str(error), USAGE) from error
