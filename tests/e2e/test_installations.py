"""A replica put back from an old copy, a reinstallation, a second installation: over the running system."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from services import topology
from services.central import administration
from services.cli.client import Client
from services.demo.stage import Stage
from services.link import Channel
from services.messages import (
    Actor,
    ChangeAccepted,
    ChangeSubmitted,
    Kind,
    Message,
    RestoreRequested,
    SchoolRegister,
    SchoolRegistered,
    SessionCompleted,
    SessionFailed,
    SessionRefused,
)
from tests.e2e.conftest import School
from tests.e2e.replicas import copy_aside, put_back, selaras
from tests.e2e.test_sync import are_equal, officer_corrects

OPERATOR = Actor(id="operator", role="operator")


async def sync_one(stage: Stage, school: School, number: int, **fields: object) -> SessionCompleted:
    """Publish one change and sync it."""
    async with stage.at(school.npsn) as client:
        assert await stage.publish(client, [school.change(number, **fields)]) == (1, [])
        end = await stage.session(client, "sync", "principal")
    assert isinstance(end, SessionCompleted), end
    return end


async def code(stage: Stage, school: School, kind: Kind, role: str) -> str | None:
    """The code that a session is refused with; None if it completes."""
    async with stage.at(school.npsn) as client:
        end = await stage.session(client, kind, role)
    return None if isinstance(end, SessionCompleted) else end.problem.code


async def restored(stage: Stage, school: School, revision: int | None = None) -> Message:
    """Ask for a restore with the present revision, or another; how it ended."""
    wanted = (await stage.here(school.npsn)).revision if revision is None else revision
    async with stage.at(school.npsn) as client:
        request = RestoreRequested(actor=OPERATOR, revision=wanted)
        return await stage.end_of(client, await client.publish(topology.COMMANDS, f"restore.{school.npsn}", request))


async def value_here(stage: Stage, school: School, number: int, field: str) -> object:
    """A field as the operator sees it."""
    async with stage.replica.transaction() as transaction:
        return await transaction.value(
            "SELECT CAST(data AS jsonb) ->> :field FROM record WHERE npsn = :npsn AND record_id = :id",
            npsn=school.npsn,
            field=field,
            id=school.pupils[number],
        )


# ── old copies ───────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_replica_put_back_from_an_old_copy_is_refused_and_reinstalled(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    old = await copy_aside(stage, school.npsn)
    await sync_one(stage, school, 0, anak_keberapa=3)
    await sync_one(stage, school, 1, anak_keberapa=4)
    head = (await stage.centre(school.npsn)).head_seq
    await put_back(stage, school.npsn, old)
    assert await value_here(stage, school, 0, "anak_keberapa") == "2"
    assert await code(stage, school, "sync", "principal") == "SYN-05"
    assert await code(stage, school, "pull", "operator") == "SYN-05"
    assert (await stage.centre(school.npsn)).head_seq == head
    assert isinstance(await restored(stage, school), SessionCompleted)
    assert await value_here(stage, school, 0, "anak_keberapa") == "3"
    assert await are_equal(stage, school.npsn)
    await sync_one(stage, school, 2, anak_keberapa=5)
    assert await are_equal(stage, school.npsn)


async def test_a_copy_from_before_a_pull_only_is_no_old_copy(stage: Stage, school: School) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    old = await copy_aside(stage, school.npsn)
    await officer_corrects(stage, school, 1, nama="Nama Dari Pusat")
    assert await code(stage, school, "pull", "operator") is None
    await put_back(stage, school.npsn, old)
    assert await code(stage, school, "sync", "principal") is None
    assert await are_equal(stage, school.npsn)


async def test_a_central_that_forgot_without_saying_so_stops_the_school(stage: Stage, school: School) -> None:
    before = await stage.metric("central", "selaras_central_invariant_violations_total", invariant="nothing_forgotten")
    await sync_one(stage, school, 0, anak_keberapa=2)
    async with stage.registry.transaction() as transaction:
        await transaction.run("DELETE FROM statement WHERE npsn = :npsn AND kind = 'sync'", npsn=school.npsn)
    assert await code(stage, school, "sync", "principal") == "SYN-15"
    assert await code(stage, school, "pull", "operator") == "SYN-15"
    after = await stage.metric("central", "selaras_central_invariant_violations_total", invariant="nothing_forgotten")
    assert after == before + 2


# ── reinstall ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_reinstallation_returns_exactly_the_last_completed_sync(stage: Stage, school: School) -> None:
    receipt = (await sync_one(stage, school, 0, anak_keberapa=2)).receipt
    await officer_corrects(stage, school, 1, nama="Nama Dari Pusat")
    async with stage.at(school.npsn) as client:
        assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        await stage.publish(client, [school.change(2, agama_id=None), school.change(0, anak_keberapa=9)])
    assert (await stage.here(school.npsn)).invalid == 1
    before = await stage.metric("puller", "selaras_sync_completed_total", kind="restore", outcome="completed")
    end = await restored(stage, school)
    assert isinstance(end, SessionCompleted)
    assert (end.kind, end.outcome, end.sent, end.receipt["kind"]) == ("restore", "completed", 0, "restore")
    for _ in range(100):  # counted when the broker has confirmed the announcement
        after = await stage.metric("puller", "selaras_sync_completed_total", kind="restore", outcome="completed")
        if after > before:
            break
        await asyncio.sleep(0.05)
    assert after > before
    here = await stage.here(school.npsn)
    assert (here.cursor, here.root) == (receipt["head_seq"], receipt["root"])
    assert (here.pending, here.invalid, here.restoring_since, here.judged) == (0, 0, None, True)
    assert await value_here(stage, school, 0, "anak_keberapa") == "2"
    assert await value_here(stage, school, 1, "nama") != "Nama Dari Pusat", "what was only pulled comes with a pull"
    assert (await stage.centre(school.npsn)).confirmed_seq == receipt["head_seq"]
    assert await code(stage, school, "sync", "principal") is None
    assert await value_here(stage, school, 1, "nama") == "Nama Dari Pusat"
    assert await are_equal(stage, school.npsn)


async def test_a_school_that_never_synced_returns_to_its_baseline(stage: Stage, school: School) -> None:
    baseline = await stage.here(school.npsn)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
    assert isinstance(await restored(stage, school), SessionCompleted)
    here = await stage.here(school.npsn)
    assert (here.cursor, here.root, here.pending) == (baseline.cursor, baseline.root, 0)


async def test_nothing_is_wiped_if_the_school_changed_since_it_was_listed(stage: Stage, school: School) -> None:
    listed = (await stage.here(school.npsn)).revision
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=9)])
    end = await restored(stage, school, listed)
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-16"
    here = await stage.here(school.npsn)
    assert (here.pending, here.restoring_since) == (1, None)
    assert await code(stage, school, "sync", "principal") is None


async def test_only_an_operator_may_ask_for_a_restore(stage: Stage, school: School) -> None:
    async with stage.at(school.npsn) as client:
        request = RestoreRequested(actor=Actor(id="kepala sekolah", role="principal"), revision=1)
        end = await stage.end_of(client, await client.publish(topology.COMMANDS, f"restore.{school.npsn}", request))
    assert isinstance(end, SessionRefused)
    assert end.problem.code == "SYN-18"


async def accepted(client: Client, event_id: str) -> ChangeAccepted:
    async for event in client.events(event_id, seconds=60):
        if isinstance(event.data, ChangeAccepted):
            return event.data
    raise AssertionError("the events end by an exception")


async def test_the_same_event_again_is_stored_again_after_a_restore_unless_a_sync_had_sent_it(
    stage: Stage, school: School
) -> None:
    async with stage.at(school.npsn) as client:

        async def submit(id: str, **fields: object) -> ChangeAccepted:
            changes = ChangeSubmitted(actor=OPERATOR, changes=[school.change(0, **fields)])
            return await accepted(
                client,
                await client.publish(topology.CHANGES, f"change.{school.npsn}", changes, id=f"{id}-{school.npsn}"),
            )

        sent = await submit("sent", anak_keberapa=2)
        assert isinstance(await stage.session(client, "sync", "principal"), SessionCompleted)
        await submit("lost", anak_keberapa=3)
        assert isinstance(await restored(stage, school), SessionCompleted)
        assert await value_here(stage, school, 0, "anak_keberapa") == "2"
        assert await submit("sent", anak_keberapa=2) == sent, "it was answered, and is answered the same"
        await submit("lost", anak_keberapa=3)
    assert await value_here(stage, school, 0, "anak_keberapa") == "3"
    assert (await stage.here(school.npsn)).pending == 1


# ── what waits for a restore ─────────────────────────────────────────────────────────────────────────────────────────


async def test_while_a_school_is_restored_its_changes_are_parked_in_order_and_its_sync_waits(
    stage: Stage, school: School
) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    stage.stack.stop("puller")
    async with stage.replica.transaction() as transaction:  # as a puller that was killed after the wipe leaves it
        await transaction.run("UPDATE school SET restoring_since = now() WHERE npsn = :npsn", npsn=school.npsn)
    async with stage.at(school.npsn) as client:
        request = RestoreRequested(actor=OPERATOR, revision=(await stage.here(school.npsn)).revision)
        restore = await client.publish(topology.COMMANDS, f"restore.{school.npsn}", request)
        ids = [
            await client.publish(
                topology.CHANGES,
                f"change.{school.npsn}",
                ChangeSubmitted(actor=OPERATOR, changes=[school.change(0, anak_keberapa=n)]),
            )
            for n in (4, 5, 6)
        ]
        sync = await stage.ask(client, "sync", "principal")
        for _ in range(600):
            if (await stage.here(school.npsn)).parked == 3:
                break
            await asyncio.sleep(0.02)
        here = await stage.here(school.npsn)
        assert (here.parked, here.pending) == (3, 0)
        assert here.restoring_since is not None
        assert await stage.metric("syncer", "selaras_sync_pending", kind="sync", state="queued") >= 1
        await asyncio.to_thread(stage.stack.start, "puller")
        answered = []
        ended: dict[str, object] = {}
        async for event in client.events(None, seconds=60):
            if isinstance(event.data, ChangeAccepted):
                answered.append(event.data.cause.id)
            elif isinstance(event.data, SessionCompleted | SessionRefused | SessionFailed):
                ended[event.data.cause.id] = event.data
            if len(answered) == 3 and {restore, sync} <= ended.keys():
                break
    assert answered == ids
    assert isinstance(ended[restore], SessionCompleted)
    assert isinstance(ended[sync], SessionCompleted)
    assert await value_here(stage, school, 0, "anak_keberapa") == "6"
    assert (await stage.here(school.npsn)).parked == 0


async def test_a_restore_survives_a_puller_killed_in_its_middle(stage: Stage, school: School) -> None:
    receipt = (await sync_one(stage, school, 0, anak_keberapa=2)).receipt
    revision = (await stage.here(school.npsn)).revision
    async with stage.at(school.npsn) as client:
        request = await client.publish(
            topology.COMMANDS, f"restore.{school.npsn}", RestoreRequested(actor=OPERATOR, revision=revision)
        )
        async for event in client.events(request, seconds=60):
            if getattr(event.data, "received", 0):
                break
        stage.stack.kill("puller")
        here = await stage.here(school.npsn)
        assert here.restoring_since is not None
        assert here.root != receipt["root"]
        await asyncio.to_thread(stage.stack.start, "puller")
        end = await stage.end_of(client, request)
    assert isinstance(end, SessionCompleted)
    here = await stage.here(school.npsn)
    assert (here.cursor, here.root, here.restoring_since) == (receipt["head_seq"], receipt["root"], None)


# ── the command ──────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_command_lists_what_would_be_lost_and_wipes_only_with_consent(
    stage: Stage, school: School, tmp_path: Path
) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=3), school.change(1, kode_pos="40111")])
    listed = await selaras(stage, "reinstall", school.npsn, "--json")
    assert listed.code == 3
    assert {(c["record_id"], *c["fields"]) for c in listed.json["unsent"]} == {
        (school.pupils[0], "anak_keberapa"),
        (school.pupils[1], "kode_pos"),
    }
    assert (await stage.here(school.npsn)).pending == 2
    file = tmp_path / "belum-terkirim.jsonl"
    done = await selaras(stage, "reinstall", school.npsn, "--export", str(file), "--yes")
    assert done.code == 0, done.err
    assert school.pupils[1] in done.out
    assert file.stat().st_mode & 0o777 == 0o600
    assert (await stage.here(school.npsn)).pending == 0
    again = await selaras(stage, "export", school.npsn, "--unsent", str(file))
    assert again.code == 2, "a file that is there is not overwritten"
    published = await selaras(stage, "publish", school.npsn, str(file))
    assert published.code == 0, published.err
    assert (await stage.here(school.npsn)).pending == 2
    assert await code(stage, school, "sync", "principal") is None
    assert await value_here(stage, school, 1, "kode_pos") == "40111"


# ── fencing ──────────────────────────────────────────────────────────────────────────────────────────────────────────


async def registered_elsewhere(stage: Stage, school: School) -> str:
    """A new code, and another computer of the site that takes it; the code."""
    given = await administration.new_registration_code(stage.registry, school.npsn)
    central = Channel(stage.stack.addresses.of_site_command()["SELARAS_CENTRAL_AMQP_URL"], source="/lain")
    await central.start()
    try:
        assert isinstance(await central.ask("register", school.npsn, SchoolRegister(code=given)), SchoolRegistered)
    finally:
        await central.stop()
    return given


async def test_an_older_installation_is_fenced_and_its_unsent_edits_can_be_brought_over(
    stage: Stage, school: School, tmp_path: Path
) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    async with stage.at(school.npsn) as client:
        typed = [school.change(0, anak_keberapa=7), school.change(1, kode_pos="40111")]
        assert await stage.publish(client, typed) == (2, [])
    given = await registered_elsewhere(stage, school)
    quarantined = await stage.metric("central", "selaras_dead_letters")
    assert await code(stage, school, "sync", "principal") == "SYN-06"
    assert await code(stage, school, "pull", "operator") == "SYN-06"
    assert await stage.metric("central", "selaras_dead_letters") == quarantined
    file = tmp_path / "belum-terkirim.jsonl"
    exported = await selaras(stage, "export", school.npsn, "--unsent", str(file), "--json")
    assert (exported.code, exported.json["changes"]) == (0, 2), exported.err
    assert {json.loads(line)["record_id"] for line in file.read_text().splitlines()} == set(school.pupils[:2])

    wrong = await selaras(stage, "register", school.npsn, "--code", "SALAH", "--yes", "--json")
    assert (wrong.code, wrong.json["code"]) == (3, "SYN-04")
    refused = await selaras(stage, "register", school.npsn, "--code", given)
    assert refused.code == 3, "what would be lost is listed, and consent asked for"
    assert (await stage.here(school.npsn)).pending == 2
    done = await selaras(stage, "register", school.npsn, "--code", given, "--yes")
    assert done.code == 0, done.out + done.err
    here = await stage.here(school.npsn)
    assert (here.pending, here.restoring_since) == (0, None)
    published = await selaras(stage, "publish", school.npsn, str(file))
    assert published.code == 0, published.out + published.err
    assert await code(stage, school, "sync", "principal") is None
    there = await stage.central_record(school.npsn, "peserta_didik", school.pupils[0])
    assert (there.fields or {})["anak_keberapa"] == 7
    assert await are_equal(stage, school.npsn)


async def test_a_replica_that_is_registered_anew_sends_nothing_before_it_is_restored(
    stage: Stage, school: School
) -> None:
    await sync_one(stage, school, 0, anak_keberapa=2)
    async with stage.at(school.npsn) as client:
        await stage.publish(client, [school.change(0, anak_keberapa=7)])
    given = await administration.new_registration_code(stage.registry, school.npsn)
    head = (await stage.centre(school.npsn)).head_seq
    stage.stack.stop("puller")
    done = await selaras(stage, "register", school.npsn, "--code", given, "--yes", "--wait", "6")
    assert done.code == 4, "the restore is asked for, and nobody takes it yet"
    async with stage.at(school.npsn) as client:
        sync = await stage.ask(client, "sync", "principal")
        assert (await stage.here(school.npsn)).restoring_since is not None
        await asyncio.to_thread(stage.stack.start, "puller")
        assert isinstance(await stage.end_of(client, sync), SessionCompleted)
    assert (await stage.centre(school.npsn)).head_seq == head
    assert await value_here(stage, school, 0, "anak_keberapa") == "2"


@pytest.mark.parametrize("kind", ["sync", "pull"])
async def test_a_school_that_moved_to_another_site_is_refused_by_code(stage: Stage, school: School, kind: Kind) -> None:
    async with stage.registry.transaction() as transaction:
        await transaction.run("UPDATE school SET site = 'lain' WHERE npsn = :npsn", npsn=school.npsn)
    assert await code(stage, school, kind, "principal" if kind == "sync" else "operator") == "SYN-06"
