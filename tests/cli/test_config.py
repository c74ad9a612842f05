"""`selaras config check`: every setting and connection, nothing secret, and nothing changed at the other end."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import declare, signing, tables, topology
from services.cli import sources
from services.demo.stage import Stage
from services.embedded.stack import SERVICES
from tests.broker.proxy import Proxy
from tests.cli.conftest import Said, Terminal
from tests.e2e.conftest import School

CANARY = "Rahasia7"
ADMINISTRATOR = "penguji"
PATIENT = ("--seconds", "30")
"""Many commands at once on a busy machine."""


def serving(terminal: Terminal, stage: Stage, name: str, **settings: str) -> Terminal:
    """A shell with one service's settings and no others."""
    return Terminal(terminal.folder, {**stage.stack.addresses.of_service(name), **settings})


def wrong(said: Said) -> dict[str, str]:
    """What is not well, by what was tried."""
    checks = [check for part in said.json["parts"] for check in part["checks"]]
    assert all(check["next_id"] and check["next_en"] for check in checks if not check["ok"])
    return {check["what"]: check["text_en"] for check in checks if not check["ok"]}


def tried(said: Said) -> set[str]:
    """Everything that was tried."""
    return {check["what"] for part in said.json["parts"] for check in part["checks"]}


# ── all is well ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_running_system_is_well_for_each_service_and_the_command(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    services = [
        await serving(terminal, stage, name).selaras("config", "check", name, *PATIENT, "--json") for name in SERVICES
    ]
    command, told = await terminal.all("config check --seconds 30 --json", "config check --seconds 30")
    for said in (*services, command):
        assert (said.code, said.json["ok"], wrong(said)) == (0, True, {})
    for said in services:
        assert {"broker", "broker: topology", "broker: rights", "database", "database: tables", "http"} <= tried(said)
    _, syncer, puller, central = services
    for said in (syncer, puller):
        assert {"central's broker", "central's broker: rights", "keys", "keys: match"} <= tried(said)
    assert {"keys", "keys: match"} <= tried(central)
    assert {"officer's broker: rights", "central's database: tables"} <= tried(command)
    assert told.code == 0
    assert "✓ broker: tersambung sebagai perintah · connected as perintah\n" in told.out
    assert told.out.endswith("Semua baik · all is well\n")


async def test_a_check_takes_nothing_from_a_queue_and_sends_nothing(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    queue, others = topology.PULLER_REQUESTS, f"listen.{0xC0FFEE:x}"
    await asyncio.to_thread(stage.stack.stop, "puller")
    async with await aio_pika.connect(stage.stack.addresses.amqp[ADMINISTRATOR]) as connection:
        channel = await connection.channel()
        heard = await channel.declare_queue(others, exclusive=True)
        for exchange in (topology.EVENTS, topology.COMMANDS, topology.CENTRAL, topology.CHANGES):
            await heard.bind(exchange, "#")
        commands = await channel.get_exchange(topology.COMMANDS, ensure=False)
        await commands.publish(aio_pika.Message(b"x", delivery_mode=2), f"pull.{school.npsn}")
        first = await heard.get(no_ack=True)
        assert first.body == b"x"
        shell = serving(terminal, stage, "puller")
        said, command = await asyncio.gather(
            shell.selaras("config", "check", "puller", *PATIENT), terminal.selaras("config", "check", *PATIENT)
        )
        assert (said.code, command.code) == (0, 0)
        standing = await channel.declare_queue(queue, passive=True)
        assert (standing.declaration_result.message_count, standing.declaration_result.consumer_count) == (1, 0)
        assert await heard.get(fail=False) is None, "nobody heard of it"
        message = await standing.get(no_ack=True)
        assert (message.body, message.redelivered) == (b"x", False)
        assert message.headers.get("x-delivery-count", 0) == 0


# ── what is wrong ────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_another_services_user_is_told_what_it_may_not_do(terminal: Terminal, stage: Stage) -> None:
    amqp = stage.stack.addresses.amqp
    shell = serving(
        terminal, stage, "syncer", SELARAS_AMQP_URL=amqp["puller"], SELARAS_CENTRAL_AMQP_URL=amqp["situs-pull"]
    )
    said = await shell.selaras("config", "check", "syncer", *PATIENT, "--json")
    assert said.code == 5
    assert wrong(said) == {
        "broker: rights": "puller may not use syncer.requests",
        "central's broker: rights": "situs-pull may not use "
        + ", ".join(
            f"{topology.CENTRAL} (situs-pull.{verb})" for verb in topology.SYNC_VERBS if verb not in topology.PULL_VERBS
        ),
    }


async def test_wrong_passwords_names_and_places_are_each_told(terminal: Terminal, stage: Stage) -> None:
    addresses = stage.stack.addresses
    shell = serving(
        terminal,
        stage,
        "syncer",
        SELARAS_AMQP_URL=addresses.amqp["syncer"].replace("syncer:", f"syncer:{CANARY}"),
        SELARAS_CENTRAL_AMQP_URL=f"amqp://situs-sync:{CANARY}@127.0.0.1:1/",
        SELARAS_SITE_DATABASE_URL=addresses.central_database,
        SELARAS_CENTRAL_KEYS_FILE="/tidak/ada",
        SELARAS_AMPQ_URL=f"amqp://x:{CANARY}@127.0.0.1/",
    )
    said, told = await shell.all("config check syncer --seconds 30 --json", "config check syncer --seconds 30")
    assert (said.code, told.code) == (5, 5)
    assert wrong(said) == {
        "broker": "refuses this user or password",
        "central's broker": "nothing listens there",
        "database: tables": "they are central's",
        "keys": "not usable: /tidak/ada: No such file or directory",
    }
    assert said.json["unknown"] == ["SELARAS_AMPQ_URL"]
    assert "✗ broker: menolak pengguna atau sandi ini · refuses this user or password\n   → " in told.out
    assert CANARY not in said.out + said.err + told.out + told.err

    database = addresses.site_database.replace("site:", f"site:{CANARY}")
    vhost = addresses.amqp["validator"].rstrip("/") + "/nowhere"
    shell = serving(terminal, stage, "validator", SELARAS_SITE_DATABASE_URL=database, SELARAS_AMQP_URL=vhost)
    said = await shell.selaras("config", "check", "validator", *PATIENT, "--json")
    assert wrong(said)["database"] == "refuses this user or password"
    assert "vhost" in wrong(said)["broker"]
    assert CANARY not in said.out


async def test_what_the_broker_lacks_is_told(terminal: Terminal, stage: Stage) -> None:
    administrator = stage.stack.addresses.amqp[ADMINISTRATOR]
    await asyncio.to_thread(stage.stack.stop, "puller")
    try:
        async with await aio_pika.connect(administrator) as connection:
            await (await connection.channel()).queue_delete(topology.PULLER_REQUESTS)
        said = await serving(terminal, stage, "puller").selaras("config", "check", "puller", *PATIENT, "--json")
        assert (said.code, wrong(said)) == (5, {"broker: topology": f"missing: {topology.PULLER_REQUESTS}"})
    finally:
        await declare.declare(administrator)


@pytest.fixture
async def empty(stage: Stage) -> AsyncIterator[str]:
    """A database without tables, and not in UTF-8; its address."""
    name = "selaras_config_empty"
    administrator = stage.stack.addresses.administrator
    engine = create_async_engine(administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        await connection.execute(
            text(f"CREATE DATABASE {name} ENCODING 'LATIN1' LOCALE_PROVIDER libc LOCALE 'C' TEMPLATE template0")
        )
    yield make_url(administrator).set(database=name).render_as_string(hide_password=False)
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE {name} WITH (FORCE)"))
    await engine.dispose()


async def test_tables_of_no_or_another_release_and_another_encoding_are_told(
    terminal: Terminal, stage: Stage, empty: str
) -> None:
    shell = serving(terminal, stage, "validator", SELARAS_SITE_DATABASE_URL=empty)

    async def told() -> dict[str, str]:
        said = await shell.selaras("config", "check", "validator", *PATIENT, "--json")
        assert said.code == 5
        return wrong(said)

    assert await told() == {"database: encoding": "LATIN1, not UTF-8", "database: tables": "none yet"}
    engine = create_async_engine(empty)
    async with engine.begin() as connection:
        await connection.execute(text("CREATE TABLE alembic_version (version_num text)"))
        await connection.execute(text("INSERT INTO alembic_version VALUES ('0001')"))
    assert (await told())["database: tables"].startswith("0001, but this needs ")
    async with engine.begin() as connection:
        await connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    assert (await told())["database: tables"] == "9999, of a newer release"
    async with engine.begin() as connection:
        await connection.execute(text(tables.note(tables.NEEDED["site"])))
    await engine.dispose()
    assert "database: tables" not in await told(), "a newer release says that this one may run on them"


async def test_an_address_that_swallows_everything_is_given_up_in_time(terminal: Terminal, stage: Stage) -> None:
    addresses = stage.stack.addresses
    hops = [Proxy(addresses.amqp["validator"]), Proxy(addresses.site_database)]
    for hop in hops:
        await hop.start()
        hop.silence()
    try:
        shell = serving(
            terminal, stage, "validator", SELARAS_AMQP_URL=hops[0].url, SELARAS_SITE_DATABASE_URL=hops[1].url
        )
        began = time.monotonic()
        said = await shell.selaras("config", "check", "validator", "--seconds", "0.5", "--json")
        assert time.monotonic() - began < 20, "half a second, and the start of the command"
    finally:
        for hop in hops:
            await hop.stop()
    assert (said.code, wrong(said)) == (5, dict.fromkeys(("broker", "database"), "does not answer within 0.5 s"))


async def test_a_port_that_is_taken_is_told_but_not_to_the_service_that_has_it(
    terminal: Terminal, stage: Stage
) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = serving(terminal, stage, "validator", SELARAS_HTTP_PORT=str(other.getsockname()[1]))
        said = await taken.selaras("config", "check", "validator", *PATIENT, "--json")
    assert said.code == 5
    assert wrong(said)["http"].endswith("cannot be used (Address already in use)")
    own = serving(terminal, stage, "validator", SELARAS_HTTP_PORT=str(stage.stack.ports["validator"]))
    said = await own.selaras("config", "check", "validator", *PATIENT, "--json")
    assert (said.code, wrong(said)) == (0, {})


async def test_keys_that_do_not_fit_are_told_and_never_shown(
    terminal: Terminal, stage: Stage, school: School, tmp_path: Path
) -> None:
    other, public = tmp_path / "lain.json", tmp_path / "lain.public.json"
    signing.new(other)
    public.write_text(signing.public_document(other))
    both = {**stage.stack.addresses.of_service("syncer"), **stage.stack.addresses.of_service("central")}
    shell = Terminal(tmp_path, {**both, "SELARAS_CENTRAL_KEYS_FILE": str(public)})
    said = await shell.selaras("config", "check", "syncer", "central", *PATIENT, "--json")
    mismatched = wrong(said)
    assert said.code == 5
    assert mismatched["keys: match"] == "not the keys that the newest statement was signed with"
    assert mismatched["keys: syncer"] == "the active key is not among the public ones"

    other.chmod(0o644)
    loose = Terminal(tmp_path, {**both, "SELARAS_SIGNING_KEYS_FILE": str(other)})
    told = await loose.selaras("config", "check", "central")
    assert told.code == 5
    assert "can be read by everybody" in told.out
    secret = stage.stack.addresses.keys
    assert secret is not None
    for line in secret.private.read_text().split('"') + other.read_text().split('"'):
        assert len(line) < 40 or line in (signing.SigningKeys.read(secret.private).active,) or line not in said.out


# ── settings and where they come from ────────────────────────────────────────────────────────────────────────────────


def settings_of(said: Said) -> dict[str, dict[str, Any]]:
    """Every setting by its name."""
    return {one["name"]: one for part in said.json["parts"] for one in part["settings"]}


async def test_a_setting_says_where_it_comes_from_and_the_environment_wins(terminal: Terminal) -> None:
    (terminal.folder / ".run").mkdir()
    url = f"amqp://berkas:{CANARY}@127.0.0.1:1/"
    (terminal.folder / ".run" / "up.env").write_text(f"SELARAS_AMQP_URL={url}\nSELARAS_OFFICER_AMQP_URL={url}\n")
    shell = Terminal(terminal.folder, {"SELARAS_OFFICER_AMQP_URL": f"amqp://luar:{CANARY}@127.0.0.1:1/"})
    said = await shell.selaras("config", "check", "--json")
    found = settings_of(said)
    assert found["SELARAS_AMQP_URL"] == {
        "name": "SELARAS_AMQP_URL", "value": "amqp://berkas:***@127.0.0.1:1/", "source": ".run/up.env", "trouble": None
    }  # fmt: skip
    assert (found["SELARAS_OFFICER_AMQP_URL"]["value"], found["SELARAS_OFFICER_AMQP_URL"]["source"]) == (
        "amqp://luar:***@127.0.0.1:1/",
        "environment",
    )
    assert (found["SELARAS_SITE_DATABASE_URL"]["value"], found["SELARAS_SITE_DATABASE_URL"]["source"]) == (
        None,
        "default",
    )
    assert CANARY not in said.out


async def test_a_setting_that_cannot_be_used_is_named_and_never_quoted(terminal: Terminal) -> None:
    shell = Terminal(
        terminal.folder,
        {
            "SELARAS_HTTP_PORT": CANARY,
            "SELARAS_AMQP_URL": f"amqp://validator:{CANARY}/x@127.0.0.1/",
            "SELARAS_CENTRAL_DATABASE_URL": CANARY,
            "SELARAS_CENTRAL_AMQP_URL": f"http://x:{CANARY}@127.0.0.1/",
        },
    )
    said, told, nothing = await asyncio.gather(
        shell.selaras("config", "check", "all", "--json"),
        shell.selaras("config", "check", "all"),
        shell.lacking(*shell.settings).selaras("config", "check"),
    )
    assert (said.code, told.code, nothing.code) == (5, 5, 5)
    found = settings_of(said)
    assert found["SELARAS_HTTP_PORT"]["trouble"].startswith("tidak dapat dipakai · is not usable: Input should be")
    assert "amqp://user:password@host/" in found["SELARAS_AMQP_URL"]["trouble"]
    assert "amqp://user:password@host/" in found["SELARAS_CENTRAL_AMQP_URL"]["trouble"]
    assert found["SELARAS_SIGNING_KEYS_FILE"]["trouble"] == "belum diisi · is not set"
    assert "postgresql+asyncpg://" in found["SELARAS_CENTRAL_DATABASE_URL"]["trouble"]
    assert "✗ SELARAS_HTTP_PORT: " in told.out
    assert CANARY not in said.out + said.err + told.out + told.err
    assert "no address at all" in nothing.out


ADDRESSES = {
    "amqp://u:rahasia@h/": "amqp://u:***@h/",
    "amqps://u:ra%2Fhasia@h:5671/v?cafile=/x/ca.pem&password=rahasia": "amqps://u:***@h:5671/v?cafile=/x/ca.pem&password=***",
    "postgresql+asyncpg://u:rahasia@[::1]:5432/d": "postgresql+asyncpg://u:***@[::1]:5432/d",
    "amqp://h/": "amqp://h/",
    "amqp://u:ra/hasia@h/": None,
    "amqp://u:1/rahasia@h/": None,
    "amqp://u:1?rahasia@h/": None,
    "amqp://u:1#rahasia@h/": None,
    "amqp://u:rahasia": None,
    "u:rahasia@h": None,
    "rahasia": None,
    "amqp://[rahasia": None,
}


@pytest.mark.parametrize("value", ADDRESSES)
def test_an_address_is_shown_without_its_password_or_not_at_all(value: str) -> None:
    assert sources.address(value) == ADDRESSES[value]
    assert "hasia" not in (sources.address(value) or "")
