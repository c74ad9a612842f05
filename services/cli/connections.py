"""A broker and a database tried, as one user: what it finds, and nothing that it changes.

What a broker user may do is asked with requests that the broker must refuse: a subscription with a priority that is no
number, a message that expires at no time. RabbitMQ looks first whether the user may do it, and refuses with 403
if not; else with 406, before anything is subscribed or published.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import aio_pika
from aio_pika.abc import AbstractConnection
from aiormq.exceptions import ChannelAccessRefused, ChannelPreconditionFailed
from pamqp.commands import Basic

from services import declare, tables, topology
from services.broker import user_of
from services.cli.probes import CLOSE_SECONDS, LOOK, Found
from services.database import Database

DECLARE = ("Jalankan `selaras topology declare`", "Run `selaras topology declare`")


@dataclass(frozen=True, slots=True)
class Needs:
    """What a user must be able to do at a broker: the queues it reads, (exchange, routing key) that it writes."""

    sides: tuple[topology.Side, ...]
    reads: Sequence[str] = ()
    writes: Sequence[tuple[str, str]] = ()


# ── a broker ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def broker(what: str, url: str, needs: Needs) -> list[Found]:
    """Log in as the address's user; what the topology lacks; whether the user may read and write what it needs."""
    connection = await aio_pika.connect(url)
    try:
        user = user_of(url)
        found = [Found(what, True, f"tersambung sebagai {user}", f"connected as {user}")]
        lacking = await declare.missing_on(connection, needs.sides)
        named = ", ".join(lacking)
        found.append(
            Found(f"{what}: topology", False, f"tidak ada: {named}", f"missing: {named}", *DECLARE)
            if lacking
            else Found(f"{what}: topology", True, "lengkap", "complete")
        )
        refused = [queue for queue in needs.reads if queue not in lacking and not await _may_read(connection, queue)]
        refused += [
            f"{exchange} ({key})"
            for exchange, key in needs.writes
            if exchange not in lacking and not await _may_write(connection, exchange, key)
        ]
        found.append(_rights(what, user, refused))
    finally:
        with suppress(Exception):
            await asyncio.wait_for(connection.close(), CLOSE_SECONDS)
    return found


def _rights(what: str, user: str, refused: list[str]) -> Found:
    if not refused:
        return Found(f"{what}: rights", True, "boleh membaca dan menulis yang perlu", "may read and write what it must")
    named = ", ".join(refused)
    return Found(
        f"{what}: rights",
        False,
        f"{user} tidak boleh memakai {named}",
        f"{user} may not use {named}",
        "Periksa apakah ini pengguna layanan itu, dan izinnya (services/topology.py)",
        "Look whether this is that service's user, and at its permissions (services/topology.py)",
    )


async def _may_read(connection: AbstractConnection, queue: str) -> bool:
    channel = await (await connection.channel()).get_underlay_channel()
    try:
        await channel.basic_consume(queue, _unheard, arguments={"x-priority": "no number"})
    except ChannelAccessRefused:
        return False
    except ChannelPreconditionFailed:
        return True
    raise RuntimeError("the broker took a subscription that it must refuse")


async def _may_write(connection: AbstractConnection, exchange: str, key: str) -> bool:
    channel = await (await connection.channel()).get_underlay_channel()
    never = Basic.Properties(expiration="no number")
    try:
        await channel.basic_publish(b"", exchange=exchange, routing_key=key, properties=never)
    except ChannelAccessRefused:
        return False
    except ChannelPreconditionFailed:
        return True
    raise RuntimeError("the broker took a message that it must refuse")


async def _unheard(_message: object) -> None:
    """Nothing is ever delivered to it."""


# ── a database ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def database(what: str, url: str, side: topology.Side) -> list[Found]:
    """Log in; UTF-8; whether the tables are those of this release."""
    reached = Database(url, pool=1, name="config check")
    try:
        async with reached.transaction() as transaction:
            await transaction.run("SET TRANSACTION READ ONLY")
            encoding = await transaction.value("SHOW server_encoding")
            user = await transaction.value("SELECT current_user")
            there = await tables.read(transaction)
            is_centrals = await transaction.value("SELECT to_regclass('incarnation') IS NOT NULL")
    finally:
        with suppress(Exception):
            await asyncio.wait_for(reached.close(), CLOSE_SECONDS)
    found = [Found(what, True, f"tersambung sebagai {user}", f"connected as {user}")]
    if encoding != "UTF8":
        make = "CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0"
        found.append(
            Found(
                f"{what}: encoding", False, f"{encoding}, bukan UTF-8", f"{encoding}, not UTF-8",
                f"Buat basis data baru: {make}", f"Make a new database: {make}",
            )
        )  # fmt: skip
    if there.revision is not None and is_centrals != (side == "central"):
        other = ("pusat", "central's") if is_centrals else ("situs", "a site's")
        found.append(Found(f"{what}: tables", False, f"milik {other[0]}", f"they are {other[1]}", *LOOK))
        return found
    return [*found, _revision(f"{what}: tables", side, there)]


def _revision(what: str, side: topology.Side, there: tables.Tables) -> Found:
    needed, revision = tables.NEEDED[side], there.revision
    migrate = (f"Jalankan `selaras migrate {side}`", f"Run `selaras migrate {side}`")
    if revision is None:
        return Found(what, False, "belum ada", "none yet", *migrate)
    if revision < needed:
        return Found(
            what, False, f"{revision}, rilis ini perlu {needed}", f"{revision}, but this needs {needed}", *migrate
        )  # fmt: skip
    if tables.misfit(side, there):
        return Found(
            what, False, f"{revision}, dari rilis yang lebih baru", f"{revision}, of a newer release",
            "Pasang rilis itu di sini juga", "Install that release here too",
        )  # fmt: skip
    if tables.newer(side, there):
        return Found(what, True, f"{revision}, lebih baru dan cocok", f"{revision}, newer, and they fit this release")
    return Found(what, True, f"sesuai rilis ini ({revision})", f"those of this release ({revision})")
