"""Every alert once for real: the thing is broken, the alert fires and is delivered, the thing is mended, it resolves.

A stack of its own, for what is broken here would hurt other tests. A quarter of an hour of the rules takes a second.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import aio_pika
import pytest
from pyrage.x25519 import Identity
from rich.console import Console

from scripts import alerts
from services import signing, topology
from services.central import administration, lives
from services.demo.stage import Stage
from services.demo.synthetic import jsonl, synthetic_school
from services.embedded.servers import Servers
from services.embedded.stack import GIVEN, OPERATOR, Stack, stack
from services.exchange import canonical
from services.messages import SessionCompleted, SessionFailed
from tests.conftest import ENVIRONMENT, RUN_DIR, new_npsn
from tests.e2e.conftest import School
from tests.e2e.replicas import selaras
from tests.watch.servers import CLOCK, Watch, rabbitmqctl, wait_until, watching

ELSEWHERE = ENVIRONMENT | {"SELARAS_ANSWER_SECONDS": "0.5"}
PAGE, TICKET, INFO = "page", "ticket", "info"


@pytest.fixture(scope="module")
def broken() -> Iterator[Stack]:
    """Servers and services that the tests of this file may break."""
    with pytest.MonkeyPatch.context() as environment:
        for name in GIVEN:  # the broker's limits are changed: never somebody's own
            environment.delenv(name, raising=False)
        folder = RUN_DIR.with_name(RUN_DIR.name + "-watched")
        with stack(folder, fresh=True, say=print, environment=ELSEWHERE) as running:
            yield running


@pytest.fixture(scope="module")
def servers(broken: Stack) -> Servers:
    assert broken.addresses.servers is not None
    return broken.addresses.servers


@pytest.fixture(scope="module")
def watch(broken: Stack, servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watch]:
    with watching(broken, servers, tmp_path_factory.mktemp("watch")) as found:
        yield found


@pytest.fixture(scope="module")
async def stage(broken: Stack) -> AsyncIterator[Stage]:
    found = Stage(broken, Console(quiet=True))
    yield found
    await found.close()


async def a_school(stage: Stage) -> School:
    """A small school with its baseline, in sync."""
    npsn = new_npsn()
    data = synthetic_school(7, npsn=npsn, today=date.today(), pupils=6, classes=1, teachers=3)  # noqa: DTZ011
    for pupil in data["peserta_didik"].values():
        pupil["anak_keberapa"] = 1
    await stage.register(npsn, await administration.add_school(stage.registry, npsn, jsonl(data)))
    async with stage.at(npsn) as client:
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
    return School(npsn, data)


@pytest.fixture(scope="module")
async def school(stage: Stage) -> School:
    return await a_school(stage)


async def soon(wait: Callable[..., Any], *arguments: Any, **labels: str) -> Any:
    """Wait without holding up the services' events."""
    return await asyncio.to_thread(wait, *arguments, **labels)


async def fired(watch: Watch, name: str, receiver: str, **labels: str) -> None:
    """The alert is at Alertmanager, and the webhook was told in words that are filled in."""
    await soon(watch.firing, name, **labels)
    told = await soon(watch.heard, name, "firing", **labels)
    assert told.receiver == receiver
    assert told.annotations["runbook_url"] == f"{alerts.RUNBOOKS}/{name}.md"
    for text in told.annotations.values():
        assert not any(wrong in text for wrong in ("{{", "%!", "<no value>", "<error"))


async def resolved(watch: Watch, name: str, **labels: str) -> None:
    """It is not at Alertmanager any more, and the webhook was told so."""
    await soon(watch.gone, name, **labels)
    await soon(watch.heard, name, "resolved", **labels)


async def by_hand(database: Any, sql: str, **values: Any) -> None:
    async with database.transaction() as transaction:
        await transaction.run(sql, **values)


async def restart(broken: Stack, name: str, **settings: str) -> None:
    """Stop a service and start it anew."""
    broken.kill(name)
    await asyncio.to_thread(broken.start, name, **settings)
    await asyncio.to_thread(broken.wait_ready, name)


@pytest.fixture(autouse=True)
async def quiet(watch: Watch, school: School) -> None:
    """Nothing fires when a test begins, so what fires then is what the test broke."""
    await soon(wait_until, lambda: not watch.active(), "everything is quiet", watch.names)
    watch.told.clear()


async def test_a_message_in_quarantine_is_alarmed_until_somebody_dismisses_it(
    watch: Watch, stage: Stage, broken: Stack
) -> None:
    connection = await aio_pika.connect(broken.addresses.amqp[OPERATOR])
    async with connection:
        exchange = await (await connection.channel()).get_exchange(topology.CHANGES, ensure=False)
        await exchange.publish(aio_pika.Message(b"{", user_id=OPERATOR), "change.99000010")
    await fired(watch, "DeadLettersPresent", TICKET, site="situs", reason="MSG-01")
    (row,) = (await selaras(stage, "dead", "list", "--json")).json
    assert (await selaras(stage, "dead", "dismiss", str(row["id"]))).code == 0
    await resolved(watch, "DeadLettersPresent", site="situs", reason="MSG-01")


async def test_data_that_are_not_synced_for_days_are_alarmed_until_they_are(
    watch: Watch, stage: Stage, school: School
) -> None:
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=2)])
        await by_hand(
            stage.replica, "UPDATE record SET changed_at = now() - make_interval(secs => :age) WHERE pending",
            age=float(CLOCK.seconds(3 * alerts.DAY)) + 10,
        )  # fmt: skip
        await fired(watch, "PendingRecordsTooOld", INFO, site="situs")
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
    await resolved(watch, "PendingRecordsTooOld", site="situs")


async def test_a_sync_that_failed_is_alarmed_until_one_succeeds(watch: Watch, stage: Stage, broken: Stack) -> None:
    torn = await a_school(stage)
    sql = "UPDATE record SET {} WHERE npsn = :npsn AND entity = 'ptk' AND record_id = :id"
    at = {"npsn": torn.npsn, "id": next(iter(torn.data["ptk"]))}
    async with stage.registry.transaction() as transaction:
        was = await transaction.value("SELECT text FROM record WHERE npsn = :npsn AND record_id = :id", **at)
    here, there = (canonical.encode({**canonical.decode(was), "nama": name}) for name in ("Lain Lagi", "Bukan Itu"))
    await by_hand(stage.registry, sql.format("text = :text"), text=there, **at)
    await by_hand(stage.replica, sql.format("base = :text, data = :text"), text=here, **at)
    async with stage.at(torn.npsn) as client:
        assert isinstance(await stage.session(client, "sync", "principal"), SessionFailed)
        await fired(watch, "SyncFailedOutstanding", TICKET, site="situs", kind="sync", reason="SYN-20")
        await soon(watch.firing, "SyncInvariantViolated", invariant="past_as_stated")
        await by_hand(stage.registry, sql.format("text = :text"), text=was, **at)
        await by_hand(stage.replica, sql.format("base = :text, data = :text"), text=was, **at)
        await restart(broken, "central")
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
    await resolved(watch, "SyncFailedOutstanding", site="situs", kind="sync", reason="SYN-20")


async def test_many_sessions_that_fail_for_one_cause_are_alarmed_until_it_is_gone(
    watch: Watch, stage: Stage, broken: Stack, school: School, tmp_path: Path
) -> None:
    """Central is started with keys that nobody was given: no statement of it is believed."""
    signing.new(tmp_path / "keys.json")
    schools = [school, *[await a_school(stage) for _ in range(3)]]

    async def verified(one: School, kind: type) -> None:
        async with stage.at(one.npsn) as client:
            assert isinstance(await stage.session(client, "verify", "operator"), kind)

    async def until(condition: Callable[[], object], kind: type) -> None:
        for _ in range(60):
            await asyncio.gather(*(verified(one, kind) for one in schools))
            if condition():
                return
        raise AssertionError("sixty rounds were not enough")

    await restart(broken, "central", SELARAS_SIGNING_KEYS_FILE=str(tmp_path / "keys.json"))
    await until(lambda: watch.active("SyncFailureRatioHigh", kind="verify"), SessionFailed)
    await fired(watch, "SyncFailureRatioHigh", PAGE, site="situs", kind="verify")
    await restart(broken, "central")
    await until(lambda: not watch.active("SyncFailureRatioHigh"), SessionCompleted)
    await resolved(watch, "SyncFailureRatioHigh", site="situs", kind="verify")
    await soon(watch.gone, "SyncFailedOutstanding")


async def test_central_that_is_away_is_alarmed_with_what_waits_for_it_and_the_cause_hides_what_follows(
    watch: Watch, stage: Stage, broken: Stack, school: School
) -> None:
    await asyncio.to_thread(broken.kill, "central")
    async with stage.at(school.npsn) as client:
        for _ in range(55):
            await stage.ask(client, "sync", "principal")
    await fired(watch, "SyncBlind", PAGE, service="central", site="pusat")
    await fired(watch, "SyncPendingTooOld", TICKET, site="situs", kind="sync")
    await fired(watch, "SyncBacklogNotDraining", TICKET, site="situs", kind="sync")
    await fired(watch, "SyncNoneSucceeded", PAGE, site="situs", kind="sync")
    for hidden in ("SyncPendingTooOld", "SyncBacklogNotDraining"):
        await soon(wait_until, lambda name=hidden: watch.active(name)[0]["status"]["inhibitedBy"], f"{hidden} hidden")
    await asyncio.to_thread(broken.start, "central")
    await resolved(watch, "SyncBlind", service="central", site="pusat")
    await resolved(watch, "SyncNoneSucceeded", site="situs", kind="sync")
    await soon(watch.gone, "SyncPendingTooOld", "SyncBacklogNotDraining")


async def test_a_hole_in_centrals_seq_pages_at_once_and_until_central_was_started_anew(
    watch: Watch, stage: Stage, broken: Stack
) -> None:
    torn = await a_school(stage)
    move = "UPDATE record SET seq = {} WHERE npsn = :npsn AND seq = {}"
    await by_hand(stage.registry, move.format(0, 2), npsn=torn.npsn)
    async with stage.at(torn.npsn) as client:
        await stage.session(client, "verify", "operator")
        await fired(watch, "SyncInvariantViolated", PAGE, site="pusat", invariant="seq_without_holes")
        await by_hand(stage.registry, move.format(2, 0), npsn=torn.npsn)
        await restart(broken, "central")
        assert isinstance(await stage.session(client, "verify", "operator"), SessionCompleted)
    await resolved(watch, "SyncInvariantViolated", site="pusat", invariant="seq_without_holes")


async def test_a_backup_that_is_not_made_is_alarmed_until_one_is(
    watch: Watch, stage: Stage, broken: Stack, tmp_path: Path
) -> None:
    folder, key = tmp_path / "belum-ada", str(Identity.generate().to_public())
    settings = {"EVERY": "24", "FOLDER": str(folder), "RECIPIENTS": key}
    await restart(broken, "validator", **{f"SELARAS_BACKUP_{name}": value for name, value in settings.items()})
    await fired(watch, "BackupTooOld", TICKET, site="situs")
    folder.mkdir()
    made = await selaras(stage, "backup", "site", "--to", str(folder), "--recipient", key)
    assert made.code == 0, made
    await resolved(watch, "BackupTooOld", site="situs")
    await restart(broken, "validator")


async def test_central_put_back_is_alarmed_for_a_day_and_schools_go_on(
    watch: Watch, stage: Stage, school: School
) -> None:
    await lives.restored(stage.registry)
    await fired(watch, "CentralPutBack", TICKET, site="pusat", reason="begun")
    async with stage.at(school.npsn) as client:
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
    a_day_ago = "UPDATE incarnation SET begun_at = begun_at - CAST('25 hours' AS interval) WHERE is_current"
    await by_hand(stage.registry, a_day_ago)
    await resolved(watch, "CentralPutBack", site="pusat", reason="begun")


async def test_a_service_that_is_down_is_alarmed_with_its_site_until_it_is_up(watch: Watch, broken: Stack) -> None:
    await asyncio.to_thread(broken.kill, "validator")
    await fired(watch, "SyncBlind", PAGE, service="validator", site="situs")
    await asyncio.to_thread(broken.start, "validator")
    await resolved(watch, "SyncBlind", service="validator", site="situs")


async def test_a_broker_whose_memory_is_nearly_used_up_is_alarmed_before_it_blocks(
    watch: Watch, servers: Servers, broken: Stack
) -> None:
    (used,) = watch.query("rabbitmq_process_resident_memory_bytes")
    near = int(float(used["value"][1]) * 1.12)
    await asyncio.to_thread(rabbitmqctl, servers, "set_vm_memory_high_watermark", "absolute", str(near))
    await fired(watch, "BrokerNearBlocking", PAGE, resource="memory")
    assert watch.query("rabbitmq_alarms_memory_used_watermark == 1") == []
    await asyncio.to_thread(rabbitmqctl, servers, "set_vm_memory_high_watermark", "absolute", "1GB")
    await resolved(watch, "BrokerNearBlocking", resource="memory")


def test_each_alert_was_fired_here() -> None:
    text = Path(__file__).read_text()
    for alert in alerts.alerts():
        assert f'fired(watch, "{alert.name}"' in text
        assert f'"{alert.name}"' in text.replace(f'fired(watch, "{alert.name}"', ""), "and resolved"
