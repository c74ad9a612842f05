"""This release and the one before on the same broker, replica and registry: both orders, in the middle of a sync."""

from __future__ import annotations

import asyncio
import json
from functools import partial
from pathlib import Path

from services import topology
from services.demo.stage import End, Stage
from services.embedded.stack import SERVICES, Stack
from services.intake import Quarantine
from services.messages import SessionFailed, SessionRefused, ValidationCompleted, ValidationRequested
from tests.conftest import new_npsn
from tests.e2e.test_sync import are_equal
from tests.upgrade.people import a_school, completed, goes_both_ways, pending, people_at, type_in, typed_at_central
from tests.upgrade.system import System

PUPILS = 120
"""In batches of one, so many that what is done meanwhile is done in the middle."""


async def test_central_is_replaced_in_the_middle_of_a_sync_and_then_the_sites_services_one_by_one(
    system: System, npsn: str
) -> None:
    system.old(*SERVICES, SELARAS_BATCH_RECORDS="1")
    async with people_at(system) as stage, stage.at(npsn) as client:
        school = await a_school(system, stage, npsn, PUPILS)
        await type_in(stage, client, school, 2, PUPILS)
        request = await stage.ask(client, "sync", "principal")
        await stage.first_progress(client, request)
        await asyncio.to_thread(system.migrate)
        await asyncio.to_thread(system.new_topology)
        await asyncio.to_thread(system.stack.stop, "central")
        assert 0 < await pending(stage, npsn) < PUPILS, "it was not in the middle"
        await asyncio.to_thread(system.new, "central")
        end = completed(await stage.end_of(client, request))
        assert end.receipt["kind"] == "sync"
        assert await typed_at_central(stage, npsn, 2) == PUPILS
        assert await are_equal(stage, npsn)
        for value, service in enumerate(("validator", "puller", "syncer"), start=3):
            await goes_both_ways(stage, client, school, value)
            await asyncio.to_thread(system.new, service)
        assert (await goes_both_ways(stage, client, school, 9)).jws
        completed(await stage.session(client, "pull", "operator"))
        assert completed(await stage.session(client, "verify", "operator")).repaired == 0
        assert await are_equal(stage, npsn)
        assert await stage.metric("central", "selaras_central_invariant_violations_total") == 0
        assert await dead_letters(stage) == []


async def test_a_site_that_is_updated_before_central_works_on_and_only_what_central_cannot_do_yet_is_refused(
    system: System, npsn: str
) -> None:
    system.old(*SERVICES)
    async with people_at(system) as stage, stage.at(npsn) as client:
        school = await a_school(system, stage, npsn)
        await goes_both_ways(stage, client, school, 2)
        await asyncio.to_thread(system.migrate, "site")
        await system.new_topology_of_the_site()
        with system.without_keys():
            await asyncio.to_thread(system.new, "validator", "puller", "syncer")
        assert (await goes_both_ways(stage, client, school, 3)).jws == ""
        completed(await stage.session(client, "pull", "operator"))
        refused = await stage.session(client, "verify", "operator")
        assert isinstance(refused, SessionRefused), refused
        assert refused.problem.code == "MSG-09"

        await asyncio.to_thread(system.new, "syncer")  # with central's keys, and central does not sign yet
        await type_in(stage, client, school, 4)
        unsigned = await stage.session(client, "sync", "principal")
        assert isinstance(unsigned, SessionFailed), unsigned
        assert unsigned.problem.code == "SYN-24"
        assert "does not sign yet" in unsigned.problem.text_en
        assert await typed_at_central(stage, npsn, 4) == 2, "sent, and not lost"

        await asyncio.to_thread(system.migrate)
        await asyncio.to_thread(system.new_topology)
        await asyncio.to_thread(system.new, "central")
        assert (await goes_both_ways(stage, client, school, 5)).jws
        assert completed(await stage.session(client, "verify", "operator")).repaired == 0
        assert await are_equal(stage, npsn)


async def test_what_either_release_publishes_either_takes_and_two_syncers_share_one_replica(
    system: System, tmp_path: Path
) -> None:
    await asyncio.to_thread(system.migrate)
    await asyncio.to_thread(system.new_topology)
    await asyncio.to_thread(system.old, "validator", "syncer", "puller")
    await asyncio.to_thread(system.new, "central")
    async with people_at(system) as stage:
        schools = [await a_school(system, stage, new_npsn()) for _ in range(4)]
        first = schools[0]

        async def published_by_both(values: tuple[int, int], taken_by: Stack) -> None:
            """The command of either release publishes a change, and the one validator that runs takes both."""
            changes = [
                first.change(n, anak_keberapa=value).model_dump(exclude={"op"}) for n, value in enumerate(values)
            ]
            older, newer = (
                ("publish", first.npsn, _file(tmp_path, f"{value}.json", change), "--json")
                for value, change in zip(values, changes, strict=True)
            )
            publishing = asyncio.to_thread(partial(system.release_before.run, *older, **stage.site))
            _, ran = await asyncio.gather(publishing, stage.run(*newer, settings=stage.site))
            assert ran.code == 0, ran.text
            assert await pending(stage, first.npsn) == 2
            assert system.taken(taken_by, "validator", "change.submitted.v1", first.npsn) == 2
            async with stage.at(first.npsn) as client:
                assert completed(await stage.session(client, "sync", "principal")).sent == 2

        await published_by_both((2, 3), system.stack)
        await asyncio.to_thread(lambda: system.new("validator", "syncer", stack=system.beside))
        await both_validators_judge(system, stage, first.npsn)
        assert await asyncio.to_thread(system.stack.stop, "validator") == 0
        await published_by_both((4, 5), system.beside)
        await two_syncers(system, stage, [school.npsn for school in schools])
        await a_request_for_the_newer_syncer_alone(system, stage, first.npsn)
        for school in schools:
            async with stage.at(school.npsn) as client:
                assert (await goes_both_ways(stage, client, school, 7)).jws


async def both_validators_judge(system: System, stage: Stage, npsn: str) -> None:
    """Requests to validate go to both, in turn."""
    async with stage.at(npsn) as client:
        for _ in range(4):
            asked = ValidationRequested()
            request = await client.publish(topology.COMMANDS, f"validate.{npsn}", asked)
            async for event in client.events(request, seconds=60):
                assert isinstance(event.data, ValidationCompleted), event
                break
    for stack in (system.stack, system.beside):
        assert system.taken(stack, "validator", "validation.requested.v1", npsn)


async def two_syncers(system: System, stage: Stage, schools: list[str]) -> None:
    """Every request is answered once, whichever of the two has it, until each has had some."""

    async def syncs(npsn: str) -> None:
        async with stage.at(npsn) as client:
            completed(await stage.session(client, "sync", "principal"))

    attempts: list[float] = []
    for _ in range(10):
        await asyncio.gather(*map(syncs, schools))
        pages = [await asyncio.to_thread(stack.metrics, "syncer") for stack in (system.stack, system.beside)]
        attempts = [count_of(page, "selaras_sync_attempts_total", 'kind="sync"') for page in pages]
        if all(attempts):
            break
    assert all(attempts), attempts
    for npsn in schools:
        assert await are_equal(stage, npsn)


async def a_request_for_the_newer_syncer_alone(system: System, stage: Stage, npsn: str) -> None:
    """The older one does not know `verify`: what comes to it waits in quarantine, and is replayed when it is gone."""
    async with stage.at(npsn) as client:
        requests = [await stage.ask(client, "verify", "operator") for _ in range(2)]
        async with asyncio.timeout(30):
            while not await dead_letters(stage):  # noqa: ASYNC110  another process writes it
                await asyncio.sleep(0.05)
        assert await asyncio.to_thread(system.stack.stop, "syncer") == 0
        ((row, queue),) = await dead_letters(stage)
        assert queue == topology.SYNCER_REQUESTS
        assert await Quarantine(stage.replica).ask_replay(row), "as `selaras dead replay` does"
        ends: dict[str, End] = {}
        async for event in client.events(None, seconds=60):
            if isinstance(event.data, End):
                ends[event.data.cause.id] = completed(event.data)
            if ends.keys() >= set(requests):
                break
        assert await dead_letters(stage) == []


def _file(folder: Path, name: str, change: dict[str, object]) -> str:
    file = folder / name
    file.write_text(json.dumps([change]))
    return str(file)


async def dead_letters(stage: Stage) -> list[tuple[int, str]]:
    """What waits in quarantine at the site: its number and its queue."""
    async with stage.replica.transaction() as transaction:
        rows = await transaction.rows("SELECT id, queue FROM quarantine WHERE closed_as IS NULL ORDER BY id")
    return [(row.id, row.queue) for row in rows]


def count_of(page: str, name: str, label: str) -> float:
    """A counter on a page of metrics; 0 for one that is not there."""
    values = [line.rsplit(" ", 1)[1] for line in page.splitlines() if line.startswith(f"{name}{{") and label in line]
    return sum(map(float, values))
