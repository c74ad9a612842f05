"""A site checks its own promises where a session writes: each check is counted, and what breaks one is seen."""

from __future__ import annotations

from collections import Counter

import pytest

from services.database import Database
from services.messages import RecordVerdict
from services.metrics import INVARIANTS
from services.replica import registration
from services.replica.requests import Job, Requests
from services.replica.sessions import Completion, Replica
from tests.builders import TODAY
from tests.replica.conftest import NPSN
from tests.replica.test_sessions import A_STATEMENT, FIRST_LIFE, a_page, a_wish, baseline, type_in


@pytest.fixture
def told() -> Counter[tuple[str, bool]]:
    """What the checks said: (invariant, does it hold) → how often."""
    return Counter()


@pytest.fixture
async def replica(site_database: Database, told: Counter[tuple[str, bool]]) -> Replica:
    """A registered school without records."""

    def checked(invariant: str, holds: bool) -> None:
        told[invariant, holds] += 1

    await registration.register(site_database, NPSN, nama="SD Uji", install_id="i", registration_no=1)
    return Replica(Requests(site_database, lease_seconds=60), lambda: TODAY, checked)


async def a_job(replica: Replica, kind: str) -> Job:
    await replica.requests.ask(a_wish(f"event-{kind}", kind))
    job = await replica.requests.take(kind, "worker")
    assert job is not None
    return job


async def finish(replica: Replica, job: Job) -> None:
    await replica.complete(job, Completion(outcome="completed", statement=A_STATEMENT, jws="e30.e30.", data={}))


async def a_pushed_change(replica: Replica, job: Job, *, gated: bool) -> None:
    """One change typed and answered by central; `gated`: after the gate had marked it."""
    school = await baseline(replica, job)
    student = next(iter(school["peserta_didik"]))
    await type_in(replica, job, "peserta_didik", student, anak_keberapa=3)
    changes = (await replica.gate(job, incarnation=FIRST_LIFE, session=4)).changes
    if not gated:
        async with replica.requests.holding(job) as (transaction, _):
            await transaction.run("UPDATE record SET is_sent = false, sent = NULL WHERE npsn = :npsn", npsn=NPSN)
    await replica.absorb_verdicts(job, changes, [RecordVerdict(verdict="applied", version=2, seq=50)], head_seq=50)


async def test_an_ordinary_pull_and_sync_make_every_check_and_break_none(
    replica: Replica, told: Counter[tuple[str, bool]]
) -> None:
    pull = await a_job(replica, "pull")
    await baseline(replica, pull)
    await finish(replica, pull)
    sync = await a_job(replica, "sync")
    await a_pushed_change(replica, sync, gated=True)
    await finish(replica, sync)
    assert {name for name, holds in told if holds} == set(INVARIANTS)
    assert not [name for name, holds in told if not holds]


async def test_a_cursor_that_goes_back_is_seen(replica: Replica, told: Counter[tuple[str, bool]]) -> None:
    job = await a_job(replica, "pull")
    await baseline(replica, job)
    await replica.absorb_page(job, a_page(), clear_doubt=False)
    assert told["cursor_never_goes_back", False] == 1


async def test_a_change_that_was_pushed_without_the_gates_mark_is_seen(
    replica: Replica, told: Counter[tuple[str, bool]]
) -> None:
    await a_pushed_change(replica, await a_job(replica, "sync"), gated=False)
    assert told["pushed_as_gated", False] == 1


async def test_a_pull_that_leaves_something_marked_as_sent_is_seen(
    replica: Replica, told: Counter[tuple[str, bool]]
) -> None:
    job = await a_job(replica, "pull")
    school = await baseline(replica, job)
    await type_in(replica, job, "peserta_didik", next(iter(school["peserta_didik"])), anak_keberapa=3)
    await replica.gate(job, incarnation=FIRST_LIFE, session=4)
    await finish(replica, job)
    assert told["pull_marks_nothing_sent", False] == 1
