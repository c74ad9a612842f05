"""The real PostgreSQL code of both sides does what its image in memory does, which the simulation has tried so long."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import database, migrations
from services.central import pushing
from services.database import Database, Statement
from services.embedded.stack import Addresses
from tests.simulation.comparing import Differs
from tests.simulation.judging import findings_at_central
from tests.simulation.machine import Exchange, a_life_with_everything

EXAMPLES = 30
STEPS = 30

Databases = tuple[asyncio.Runner, tuple[Database, Database]]


@pytest.fixture(scope="module")
def databases(servers: Addresses) -> Iterator[Databases]:
    """A loop, and an empty replica and registry that are used on it alone. Central's release has one more rule."""
    with asyncio.Runner() as runner, pytest.MonkeyPatch.context() as patch:
        patch.setattr(pushing, "record_findings", findings_at_central)
        pair = runner.run(_made(servers, "site")), runner.run(_made(servers, "central"))
        yield runner, pair
        for database in pair:
            runner.run(database.close())


async def _made(servers: Addresses, side: migrations.Side) -> Database:
    name = f"selaras_twin_{side}"
    engine = create_async_engine(servers.administrator, isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.execute(text(f"DROP DATABASE IF EXISTS {name}"))
        await connection.execute(text(f"CREATE DATABASE {name}"))
        await connection.execute(text(f"ALTER DATABASE {name} SET synchronous_commit = off"))
    await engine.dispose()
    url = make_url(servers.administrator).set(database=name).render_as_string(hide_password=False)
    await migrations.upgrade_async(side, url)
    return Database(url)


def test_the_databases_do_what_their_images_do(databases: Databases) -> None:
    seen = _lives(databases)
    missed = [what for what in OFTEN if not seen[what]]
    assert not missed, f"the machine goes past what it is to try: {seen}"


def test_they_do_so_in_what_seldom_comes_about(databases: Databases) -> None:
    seen = _a_life_with_everything(databases)
    missed = [what for what in (*OFTEN, *SELDOM) if not seen[what]]
    assert not missed, f"the life lacks something: {seen}"


OFTEN = (
    "applied", "covered", "several pages", "conflicts", "session.stale.v1", "sync completed", "sync crashed",
    "pull completed", "pull crashed", "sync CentralAway", "restore completed", "changes taken early", "equal early",
)  # fmt: skip
SELDOM = (
    "merged", "unchanged", "conflict", "refused", "locked", "overruled", "session.behind.v1", "SYN-05", "SYN-06",
    "woke up: LeaseLost", "woke up: went on", "restore crashed", "sync Stale", "sync refused SYN-01",
    "sync refused SYN-12", "restore refused SYN-16", "sync must wait for the restore",
    "central put back", "pull must recover first", "sync must wait for the recover", "recover crashed",
    "recover completed",
)  # fmt: skip
"""What must come about at least once: answers of central, verdicts, ends of sessions, the state of the site."""

MUTANTS = {
    "the first FETCH clears no doubt": ("AND is_sent", "AND is_sent AND false"),
    "no mark is written with the gate": ("marks = CAST(:marks AS jsonb), gated", "marks = marks, gated"),
    "what never came stays tried": (
        "marks = CAST(:marks AS jsonb), revision = revision + :went",
        "revision = revision + :went",
    ),
    "what came with an OPEN moves no mark": (
        "registration_no', registration_no), early)",
        "registration_no', 0), early)",
    ),
    "every page settles": ("settled = CASE WHEN :complete", "settled = CASE WHEN true OR :complete"),
    "a page hides what a later hand covered": ("AND written_session IS NOT NULL", "AND written_session < 0"),
    "a page has what this session wrote": ("DISTINCT FROM :session", "DISTINCT FROM 0 * CAST(:session AS bigint)"),
    "history forgets whose push it was": ("r.written_by, r.written_session,", "r.written_by, NULL,"),
    "the state as of a seq has too much": ("superseded_seq > :seq", "superseded_seq >= :seq"),
    "the second batch is not known again": ("= excluded.content_hash", "= last_batch.content_hash"),
    "a new installation keeps the mark": ("mark_incarnation = NULL, mark_session = NULL", "nama = nama"),
    "what is not pending keeps its refusal": ("refusal IS NOT NULL AND NOT pending", "false"),
    "a page is put over what was typed": ("(NOT r.pending AND NOT r.is_sent AND", "(NOT r.is_sent AND"),
    "a recover leaves the cursor where it was": ("cursor = least(settled, :common)", "cursor = cursor"),
    "a recover sets too little aside": ("AND base_seq > :common", "AND base_seq > :common + 1"),
    "what was answered is given again": ("is_given = true", "is_given = false"),
    "what is held counts as unsent": ("(WHERE pending AND conflict IS NULL) AS unsent", "(WHERE pending) AS unsent"),
}
"""Of a statement in services/replica/ or services/central/, what it says, and what it might as easily have said."""


@pytest.mark.parametrize(("right", "wrong"), MUTANTS.values(), ids=MUTANTS.keys())
def test_a_statement_that_does_something_else_is_found(
    right: str, wrong: str, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    altered = []

    def altering(sql: str) -> Statement:
        if right in sql:
            altered.append(sql)
        return numbered(sql.replace(right, wrong))

    numbered = database.numbered
    monkeypatch.setattr(database, "numbered", altering)
    with pytest.raises(Differs):
        _a_life_with_everything(databases)
    assert altered


def _on(databases: Databases) -> type[Exchange]:
    """The machine, on them."""

    class OnThese(Exchange):
        seen: ClassVar[Counter[str]] = Counter()

    OnThese.runner, OnThese.databases = databases
    return OnThese


def _a_life_with_everything(databases: Databases) -> Counter[str]:
    """What came about. Raises Differs."""
    machine = _on(databases)()
    machine.run(a_life_with_everything(machine))
    return machine.seen


def _lives(databases: Databases) -> Counter[str]:
    """Run the machine; what came about. Raises Differs."""
    machine = _on(databases)
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            phases=[Phase.generate],  # to shrink an example takes minutes
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.seen
