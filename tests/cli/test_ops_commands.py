"""What ops type: dead, topology, migrate, serve, sample."""

from __future__ import annotations

import asyncio
import json
import signal

import aio_pika

from services import declare, topology
from services.demo.stage import Stage
from services.intake import Quarantine
from tests.broker.desk import Desk, until
from tests.cli.conftest import Terminal
from tests.e2e.conftest import School

ADMINISTRATOR = "penguji"
NIK = "9900011234567890"


async def undecodable(stage: Stage, npsn: str) -> int:
    """A message that is no JSON, published as any client would; its id in quarantine."""
    desk = Desk(stage, npsn, [])
    last = await desk.latest()
    await desk.send(b"\xff" + NIK.encode())
    for line in desk.lines.values():
        await line.close()
    return (await desk.kept(last)).id


async def test_a_dead_message_is_listed_shown_replayed_and_dismissed(
    terminal: Terminal, stage: Stage, school: School
) -> None:
    dead = await undecodable(stage, school.npsn)
    listed, as_json, central, shown, whole = await terminal.all(
        "dead list",
        "dead list --json",
        "dead list --side central --json",
        f"dead show {dead}",
        f"dead show {dead} --body --json",
    )
    assert [said.code for said in (listed, as_json, central, shown, whole)] == [0, 0, 0, 0, 0]
    (row,) = (line for line in listed.out.splitlines() if line.split()[0] == str(dead))
    assert "MSG-01" in row
    assert [r["code"] for r in as_json.json if r["id"] == dead] == ["MSG-01"]
    assert isinstance(central.json, list)
    assert f"change.{school.npsn}" in shown.out
    assert NIK not in listed.out + as_json.out + shown.out, "a body is shown only to those who ask for it"
    assert NIK in whole.json["body"]
    assert whole.json["bytes"] == 1 + len(NIK)

    replayed = await terminal.selaras("dead", "replay", str(dead), "--json")
    assert (replayed.code, replayed.json) == (0, {"id": dead, "replay_asked": True})

    async def tried_again() -> bool | None:
        async with stage.replica.transaction() as transaction:
            asked = await transaction.value("SELECT replay_asked FROM quarantine WHERE id = :id", id=dead)
        return True if asked is None else None

    await until(tried_again)
    dismissed = await terminal.selaras("dead", "dismiss", str(dead))
    assert (dismissed.code, dismissed.out) == (0, f"{dead}: ditutup · dismissed\n")
    closed = await Quarantine(stage.replica).get(dead)
    assert closed is not None
    assert closed.closed_as == "dismissed"


async def test_what_is_not_in_quarantine_is_said_to_be_missing(terminal: Terminal) -> None:
    for said in await terminal.all("dead show 999999999", "dead dismiss 999999999 --json"):
        assert (said.code, said.out) == (3, "")
        assert "999999999 in quarantine." in said.err


async def test_the_topology_is_shown_as_a_broker_takes_it(terminal: Terminal) -> None:
    told, as_json = await terminal.all("topology show", "topology show --json")
    assert (told.code, as_json.code) == (0, 0)
    assert {queue["name"] for queue in as_json.json["queues"]} == {queue.name for queue in topology.QUEUES}
    assert all(queue.name in told.out for queue in topology.QUEUES)


async def test_what_the_broker_lacks_is_named_and_declared(terminal: Terminal, stage: Stage) -> None:
    administrator = stage.stack.addresses.amqp[ADMINISTRATOR]
    await asyncio.to_thread(stage.stack.stop, "puller")
    try:
        async with await aio_pika.connect(administrator) as connection:
            await (await connection.channel()).queue_delete(topology.PULLER_REQUESTS)
        lacking, not_allowed = await terminal.all("topology check --json", "topology declare")
        assert (lacking.code, lacking.json) == (5, {"missing": [topology.PULLER_REQUESTS]})
        assert lacking.err == f"The broker lacks {topology.PULLER_REQUESTS}: run `selaras topology declare`.\n"
        assert (not_allowed.code, not_allowed.out) == (5, "")
        assert not_allowed.err.startswith("The broker refuses: ACCESS_REFUSED")
        declared = await terminal.told(SELARAS_AMQP_URL=administrator).selaras("topology", "declare", "--json")
        assert (declared.code, declared.json["queues"]) == (0, len(topology.QUEUES))
    finally:
        await declare.declare(administrator)
    checked = await terminal.selaras("topology", "check")
    assert (checked.code, checked.out) == (0, "tidak ada yang kurang · nothing is missing\n")


async def test_migrating_again_changes_nothing(terminal: Terminal, stage: Stage, school: School) -> None:
    before = await stage.here(school.npsn)
    both, one = await terminal.all("migrate --json", "migrate site")
    assert (both.code, both.json) == (0, {"migrated": ["site", "central"]})
    assert (one.code, one.out) == (0, "site: tabelnya sesuai rilis ini · its tables are those of this release\n")
    assert await stage.here(school.npsn) == before


async def test_a_sample_is_the_same_for_the_same_seed_and_has_nobody_real(terminal: Terminal) -> None:
    first, again = await terminal.all("sample 99000010 --pupils 7 --seed 3", "sample 99000010 --seed 3 --pupils 7")
    assert (first.code, first.out) == (0, again.out)
    records = [json.loads(line) for line in first.out.splitlines()]
    pupils = [record["fields"] for record in records if record["entity"] == "peserta_didik"]
    assert len(pupils) == 7
    assert all(pupil["nik"].startswith("99") for pupil in pupils)


async def test_a_service_runs_until_it_is_stopped(terminal: Terminal, stage: Stage) -> None:
    addresses = stage.stack.addresses
    settings = {"SELARAS_HTTP_PORT": "0", **addresses.of_service("central")}
    process = await terminal.told(**settings).begin("serve", "central")
    assert process.stderr is not None
    async with asyncio.timeout(30):
        while '"message":"ready","service":"central"' not in (await process.stderr.readline()).decode():
            assert process.returncode is None
    process.send_signal(signal.SIGTERM)
    assert (await terminal.end(process)).code == 0
