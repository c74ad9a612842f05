"""Things tried one by one: each says ok, or what is wrong and what to do, in the time that it is given."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from aiormq.exceptions import (
    AuthenticationError,
    InvalidFrameError,
    ProbableAuthenticationError,
)

from services.central import receipts as central_receipts
from services.database import Database
from services.problems import problem
from services.replica import receipts as site_receipts
from services.signing import KeysUnusable, NotProven, PublicKeys, SigningKeys

LIMIT_SECONDS = 5.0
"""How long each connection may take."""
CLOSE_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Found:
    """What a try found: in Indonesian and English, and what to do if it is not `ok`."""

    what: str
    ok: bool
    text_id: str
    text_en: str
    next_id: str = ""
    next_en: str = ""


Probe = Callable[[], Awaitable[list[Found]]]

LOOK = ("Periksa alamatnya, dan apakah servernya hidup", "Look at the address, and whether the server is up")
LOG_IN = ("Periksa pengguna dan sandi di alamatnya", "Look at the user and password in the address")


async def within(what: str, probe: Probe, seconds: float = LIMIT_SECONDS) -> list[Found]:
    """What `probe` found, or that it took too long. A connection that is stuck is left to itself."""
    task = asyncio.ensure_future(probe())
    done, _ = await asyncio.wait({task}, timeout=seconds)
    if done:
        try:
            return task.result()
        except Exception as error:
            return [_trouble(what, error)]
    task.cancel()
    return [
        Found(
            what, False, f"tidak menjawab dalam {seconds:g} s", f"does not answer within {seconds:g} s", *LOOK
        )
    ]  # fmt: skip


# ── what went wrong ──────────────────────────────────────────────────────────────────────────────────────────────────

_SQLSTATES = {
    "28": ("menolak pengguna atau sandi ini", "refuses this user or password", *LOG_IN),
    "3D": ("tidak punya basis data bernama itu", "has no database of that name", *LOOK),
    "42501": ("tidak mengizinkan pengguna ini membaca", "does not let this user read", *LOG_IN),
    "53300": ("tidak menerima sambungan lagi", "takes no more connections", "Tutup yang lain", "Close others"),
}
"""By the beginning of PostgreSQL's SQLSTATE."""
_KINDS: tuple[tuple[type[BaseException] | tuple[type[BaseException], ...], tuple[str, str, str, str]], ...] = (
    ((AuthenticationError, ProbableAuthenticationError), _SQLSTATES["28"]),
    (InvalidFrameError, ("tidak punya vhost itu untuk pengguna ini", "has no such vhost for this user", *LOOK)),
    (
        ssl.SSLError,
        (
            "TLS gagal", "TLS failed",
            "Periksa cafile di alamatnya dan sertifikat server",
            "Look at the address's cafile and the server's certificate",
        ),
    ),
    (socket.gaierror, ("nama hostnya tidak dikenal", "its host's name is not known", *LOOK)),
    (ConnectionRefusedError, ("tidak ada yang mendengarkan di sana", "nothing listens there", *LOOK)),
    (FileNotFoundError, ("berkas di alamatnya tidak ada", "a file that its address names is not there", *LOOK)),
    (TimeoutError, ("tidak menjawab", "does not answer", *LOOK)),
    (OSError, ("tidak terjangkau", "is out of reach", *LOOK)),
)  # fmt: skip


def _trouble(what: str, error: BaseException) -> Found:
    """What a connection failed with. Never the exceptions' own words: they may quote an address."""
    chain = list(_chain(error))
    for one in chain:
        state = str(getattr(one, "sqlstate", None) or "")
        for beginning, told in _SQLSTATES.items():
            if state.startswith(beginning):
                return Found(what, False, *told)
    for kind, told in _KINDS:
        if any(isinstance(one, kind) for one in chain):
            return Found(what, False, *told)
    name = type(error).__name__
    return Found(what, False, f"gagal ({name})", f"failed ({name})", *LOOK)


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    """The exception, what caused it, and what it carries."""
    while error is not None:
        yield error
        yield from (one for one in error.args if isinstance(one, BaseException))
        if isinstance(original := getattr(error, "orig", None), BaseException):
            yield from _chain(original)
        error = error.__cause__ or error.__context__


# ── keys and the port ────────────────────────────────────────────────────────────────────────────────────────────────


async def signing_keys(what: str, file: Path, database_url: str | None) -> list[Found]:
    """Central's private keys: readable, and what the newest statement was signed with is among them."""
    try:
        keys = SigningKeys.read(file)
    except KeysUnusable as error:
        return [_unusable(what, str(error))]
    found = [Found(what, True, f"terbaca, kunci aktif {keys.active}", f"readable, active key {keys.active}")]
    return found + await _fits(what, keys.public, database_url, central_receipts.some_signed)


async def public_keys(what: str, file: Path | None, database_url: str | None) -> list[Found]:
    """Central's public keys as a site pins them: readable, and the newest statement here was signed with one."""
    if file is None:
        return [
            Found(what, True, "tidak dipatok, tanda tangan pusat tidak diperiksa",
                  "not pinned, central's signatures are not checked")
        ]  # fmt: skip
    try:
        keys = PublicKeys.read(file)
    except KeysUnusable as error:
        why = str(error).partition(";")[0]
        return [_unusable(what, why)]
    return [Found(what, True, "terbaca", "readable")] + await _fits(
        what, keys, database_url, site_receipts.newest_signed
    )


async def _fits(
    what: str, keys: PublicKeys, database_url: str | None, newest: Callable[[Database], Awaitable[str | None]]
) -> list[Found]:
    """Do the keys fit what is signed already? A database that is away is told by its own line."""
    if database_url is None:
        return []
    reached = Database(database_url, pool=1, name="config check")
    try:
        token = await newest(reached)
    except Exception:
        return []
    finally:
        with suppress(Exception):
            await asyncio.wait_for(reached.close(), CLOSE_SECONDS)
    if token is None:
        return [Found(f"{what}: match", True, "belum ada yang ditandatangani", "nothing is signed yet")]
    try:
        keys.verify(token)
    except NotProven:
        return [
            Found(
                f"{what}: match", False, "bukan kunci yang menandatangani pernyataan terakhir",
                "not the keys that the newest statement was signed with",
                "Pasang kunci pusat: `selaras keys public` di pusat",
                "Put central's keys here: `selaras keys public` at central",
            )
        ]  # fmt: skip
    return [Found(f"{what}: match", True, "cocok dengan pernyataan terakhir", "fit the newest statement")]


async def pair(what: str, private: Path, public: Path) -> list[Found]:
    """Where both files are here: is the key that signs among those that the sites pin?"""
    try:
        fits = PublicKeys.read(public).knows(SigningKeys.read(private).active)
    except KeysUnusable:
        return []  # its own line says so
    if not fits:
        return [
            Found(what, False, "kunci aktif tidak ada di kunci publik", "the active key is not among the public ones",
                  "Jalankan `selaras keys public`", "Run `selaras keys public`")
        ]  # fmt: skip
    return [Found(what, True, "pasangan cocok", "private and public fit")]


async def backups(what: str, folder: Path) -> list[Found]:
    """A folder that is there and may be written to, as far as can be told without writing."""
    if os.access(folder, os.W_OK | os.X_OK) and folder.is_dir():  # noqa: ASYNC240  as the other files here
        return [Found(what, True, f"{folder} dapat ditulis", f"{folder} can be written to")]
    why = problem("CAD-02")
    return [Found(what, False, f"{folder}: {why.text_id}", f"{folder}: {why.text_en}", why.next_id, why.next_en)]


async def port(what: str, service: str, host: str, number: int) -> list[Found]:
    """Free, or taken by this very service."""
    if number == 0:
        return [Found(what, True, "port bebas mana saja", "any free port")]
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as own:
            own.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            own.bind((host, number))
    except OSError as error:
        where = f"{host}:{number}"
        if await _answers(service, host, number):
            return [Found(what, True, f"{service} sudah berjalan di {where}", f"{service} runs at {where} already")]
        return [
            Found(
                what,
                False,
                f"{where} tidak dapat dipakai ({error.strerror})",
                f"{where} cannot be used ({error.strerror})",
                "Ubah SELARAS_HTTP_PORT atau SELARAS_HTTP_HOST", "Change SELARAS_HTTP_PORT or SELARAS_HTTP_HOST",
            )
        ]  # fmt: skip
    return [Found(what, True, f"{host}:{number} bebas", f"{host}:{number} is free")]


def _unusable(what: str, why: str) -> Found:
    return Found(what, False, "tidak dapat dipakai", f"not usable: {why}", "Periksa berkasnya", "Look at the file")


async def _answers(service: str, host: str, number: int) -> bool:
    """Does the service say at /livez that it is the one?"""
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  compared, not bound
    try:
        async with asyncio.timeout(CLOSE_SECONDS):
            reader, writer = await asyncio.open_connection(here, number)
            writer.write(f"GET /livez HTTP/1.0\r\nHost: {here}\r\n\r\n".encode())
            answer = await reader.read(4096)
            writer.close()
    except (OSError, TimeoutError):
        return False
    return f'"service":"{service}"'.encode() in answer
