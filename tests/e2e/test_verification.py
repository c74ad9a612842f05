"""`selaras verify`, `selaras audit` and `selaras officer audit` on a site of three schools of its own."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from services.central import administration
from services.demo.stage import Stage
from services.demo.synthetic import jsonl, synthetic_school
from services.embedded.stack import Stack, stack
from services.exchange import canonical
from services.messages import (
    OfficerChange,
    OfficerChangeAccepted,
    SessionCompleted,
    SessionRefused,
    VerifyRequested,
)
from tests.conftest import ENVIRONMENT
from tests.e2e.conftest import School
from tests.e2e.test_proof import public_keys, selaras
from tests.e2e.test_repair import CENTRAL, FALSE, SITE, by_hand, state

FIRST = 96000001
_COLUMNS = """
SELECT attname FROM pg_attribute
WHERE attrelid = CAST(:table AS regclass) AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
"""


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """A system of its own, so that an audit sees these schools and no others."""
    folder = Path(tmp_path_factory.mktemp("audit")) / "run"
    with stack(folder, fresh=True, say=print, environment=ENVIRONMENT) as running:
        yield running


@pytest.fixture(scope="module")
async def site(alone: Stack) -> AsyncIterator[Stage]:
    """The same, as people meet it."""
    stage = Stage(alone, Console(quiet=True))
    yield stage
    await stage.close()


@pytest.fixture(scope="module")
async def schools(site: Stage) -> list[School]:
    """Three, each with its baseline."""
    made = []
    for number in range(3):
        npsn = str(FIRST + number)
        data = synthetic_school(number, npsn=npsn, today=date.today(), pupils=12, classes=1, teachers=3)  # noqa: DTZ011
        await site.register(npsn, await administration.add_school(site.registry, npsn, jsonl(data)))
        async with site.at(npsn) as client:
            assert isinstance(await site.session(client, "pull", "operator"), SessionCompleted)
        made.append(School(npsn, data))
    return made


async def audited(site: Stage) -> tuple[int, dict[str, Any]]:
    done = await asyncio.to_thread(selaras, site, "audit", "--rate", "50", "--json")
    return done.returncode, {row["npsn"]: row for row in json.loads(done.stdout)}


async def officer_audited(site: Stage, *more: str) -> tuple[int, dict[str, list[Any]]]:
    keys = str(public_keys(site))
    done = await asyncio.to_thread(selaras, site, "officer", "audit", "--keys", keys, "--rate", "50", "--json", *more)
    return done.returncode, {row["npsn"]: row["troubles"] for row in json.loads(done.stdout)}


async def test_an_audit_of_schools_that_are_equal_says_so(site: Stage, schools: list[School]) -> None:
    code, found = await audited(site)
    assert code == 0
    assert {npsn: (row["result"], row["repaired"]) for npsn, row in found.items()} == {
        one.npsn: ("equal", 0) for one in schools
    }
    assert await officer_audited(site, "--every") == (0, {one.npsn: [] for one in schools})


async def test_a_verification_mends_both_sides_fetches_and_pushes_nothing(site: Stage, schools: list[School]) -> None:
    school = schools[0]
    stored = await site.central_record(school.npsn, "peserta_didik", school.pupils[5])
    async with site.at(school.npsn) as client:
        await site.publish(client, [school.change(4, anak_keberapa=7)])
        change = OfficerChange(
            entity="peserta_didik", record_id=school.pupils[5], version=stored.version, fields={"nisn": "9001234567"}
        )
        assert isinstance(await site.officer(school.npsn, [change]), OfficerChangeAccepted)
        await by_hand(
            site.replica, SITE["its text and what is shown"], npsn=school.npsn, id=school.pupils[0], text=FALSE
        )
        await by_hand(site.registry, CENTRAL["its text"], npsn=school.npsn, id=school.pupils[1], text=FALSE)
        head = (await site.centre(school.npsn)).head_seq
        end = await site.session(client, "verify", "operator")
    assert isinstance(end, SessionCompleted)
    assert (end.kind, end.repaired, end.received, end.sent, end.unsent) == ("verify", 2, 1, 0, 1)
    here, there = await state(site, school)
    assert here == there
    centre = await site.centre(school.npsn)
    assert (centre.head_seq, centre.confirmed_seq) == (head, head - 1), "only a sync is read downstream"
    assert (await site.here(school.npsn)).pending == 1
    done = await asyncio.to_thread(selaras, site, "verify", school.npsn)
    assert done.returncode == 0
    assert here in done.stdout


async def test_a_verification_needs_the_operators_role_and_a_school_that_is_here(
    site: Stage, schools: list[School]
) -> None:
    for npsn, role, code in ((schools[0].npsn, "officer", "SYN-18"), ("96000009", "operator", "SYN-11")):
        async with site.at(npsn) as client:
            end = await site.session(client, "verify", role)
        assert isinstance(end, SessionRefused)
        assert end.problem.code == code


async def test_a_blocked_school_can_be_verified(site: Stage, schools: list[School]) -> None:
    async with site.at(schools[2].npsn) as client:
        await site.publish(client, [schools[2].change(0, agama_id=None)])
        assert isinstance(await site.session(client, "sync", "principal"), SessionRefused)
        assert isinstance(await site.session(client, "verify", "operator"), SessionCompleted)
        await site.publish(client, [schools[2].change(0, agama_id=1)])


async def test_an_audit_names_the_schools_in_which_something_was_mended_or_cannot_be(
    site: Stage, schools: list[School]
) -> None:
    mended, torn = schools[1], schools[2]
    await by_hand(site.registry, CENTRAL["its text"], npsn=mended.npsn, id=mended.pupils[1], text=FALSE)
    assert (await officer_audited(site))[1][mended.npsn] != []
    await by_hand(site.registry, CENTRAL["its text"], npsn=torn.npsn, id=torn.pupils[1], text=FALSE)
    other = canonical.encode({"nama": "Lain Lagi"})
    async with site.replica.transaction() as transaction:
        row = await transaction.row(
            "SELECT base FROM record WHERE npsn = :npsn AND record_id = :id", npsn=torn.npsn, id=torn.pupils[1]
        )
    assert row is not None
    await by_hand(site.replica, SITE["its text and what is shown"], npsn=torn.npsn, id=torn.pupils[1], text=other)
    code, found = await audited(site)
    assert code == 1
    assert (found[mended.npsn]["result"], found[mended.npsn]["repaired"]) == ("equal", 1)
    assert (found[torn.npsn]["result"], found[torn.npsn]["code"]) == ("failed", "SYN-20")
    code, troubles = await officer_audited(site)
    assert code == 1
    assert troubles[mended.npsn] == [], "mended"
    assert [what for what, _ in troubles[torn.npsn]] == ["past"]
    await by_hand(site.registry, CENTRAL["its text"], npsn=torn.npsn, id=torn.pupils[1], text=row.base)
    async with site.at(torn.npsn) as client:
        assert isinstance(await site.session(client, "verify", "operator"), SessionCompleted)
    assert (await audited(site))[0] == 0


@pytest.mark.parametrize(
    ("hand", "trouble"),
    [
        ("UPDATE statement SET jws = jws || 'A' WHERE npsn = :npsn", "signature"),
        ("UPDATE statement SET body = replace(body, 'unsent', 'unsend') WHERE npsn = :npsn", "content"),
        (
            "DELETE FROM statement s WHERE npsn = :npsn AND ordinal = 1"
            " AND EXISTS (SELECT 1 FROM statement t WHERE t.npsn = s.npsn AND t.ordinal = 2)",
            "chain",
        ),
        ("DELETE FROM record WHERE npsn = :npsn AND seq = 3", "seq"),
        ("UPDATE record SET text = '{}' WHERE npsn = :npsn AND seq = 3", "past"),
    ],
)
async def test_an_officers_audit_finds_what_a_hand_did_to_the_past(
    site: Stage, schools: list[School], hand: str, trouble: str
) -> None:
    npsn = schools[1].npsn
    tables = ("statement", "record")
    async with site.registry.transaction() as transaction:
        for table in tables:
            await transaction.run(f"CREATE TABLE kept_{table} AS SELECT * FROM {table} WHERE npsn = '{npsn}'")
    try:
        await by_hand(site.registry, hand, npsn=npsn)
        code, found = await officer_audited(site)
        assert code == 1
        assert trouble in [what for what, _ in found[npsn]]
        assert all(not troubles for other, troubles in found.items() if other != npsn)
    finally:
        async with site.registry.transaction() as transaction:
            for table in tables:
                names = await transaction.rows(_COLUMNS, table=table)
                columns = ", ".join(r.attname for r in names)
                await transaction.run(f"DELETE FROM {table} WHERE npsn = :npsn", npsn=npsn)
                await transaction.run(f"INSERT INTO {table} ({columns}) SELECT {columns} FROM kept_{table}")
                await transaction.run(f"DROP TABLE kept_{table}")


async def test_a_request_to_verify_is_answered_once(site: Stage, schools: list[School]) -> None:
    async with site.at(schools[0].npsn) as client:
        for _ in range(2):
            event_id = await client.publish(
                "selaras.commands", f"verify.{client.npsn}", VerifyRequested(), id="verifikasi-yang-sama"
            )
            end = await site.end_of(client, event_id)
            assert isinstance(end, SessionCompleted)
    async with site.replica.transaction() as transaction:
        rows = await transaction.value(
            "SELECT count(*) FROM session WHERE npsn = :npsn AND event_id = 'verifikasi-yang-sama'", npsn=client.npsn
        )
    assert rows == 1
