"""A state machine: people, sessions and all that can go wrong, on the real databases and on their images in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import create_async_engine

from services import migrations
from services.database import Database
from services.embedded.stack import Addresses
from services.entities import Fields
from services.messages import FieldsChange
from tests.builders import LESSON, STUDENT, TEACHER, a_lesson, a_member, a_new_student, a_registration, new_id
from tests.simulation.entities import Key
from tests.simulation.twin import Plan, Twin

EXAMPLES = 20
STEPS = 16

PUPILS = (STUDENT, new_id(31))
"""One of the baseline, confirmed; one whom the operator enrols."""
ENROLLED: list[tuple[Key, Fields]] = [
    (("peserta_didik", PUPILS[1]), a_new_student(nik="9900010203190002", no_kk="9900010000000002")),
    (("registrasi_peserta_didik", new_id(32)), a_registration(peserta_didik_id=PUPILS[1], nipd="25260002")),
    (("anggota_rombel", new_id(33)), a_member(peserta_didik_id=PUPILS[1])),
]
LESSON_KEY: Key = ("pembelajaran", LESSON)
VALUES: dict[Key, dict[str, list[Any]]] = {
    ("peserta_didik", STUDENT): {
        "alamat_jalan": ["Jalan A", "Jalan B"],
        "no_kk": ["9900010000000001", "9900010000000002", None],
        "nisn": ["9000010001", "9000010002"],  # central's
        "rt": [1, 2, None],
        "agama_id": [1, 2, 1, None],  # without it the gate stays shut
    },
    ("peserta_didik", PUPILS[1]): {
        "nik": ["9900010203190003", "9900010203190004"],  # the school's, until an officer confirms the pupil
        "alamat_jalan": ["Jalan A", "Jalan B"],
    },
    ("ptk", TEACHER): {"no_hp": ["081200000001", "081200000002", None], "email": ["a@contoh.id", None]},
    LESSON_KEY: {"jam_mengajar_per_minggu": [20, 22, 24]},
}
KEYS = sorted(VALUES)
numbers = st.integers(0, 23)
hands = st.tuples(
    st.sampled_from(
        ["types", "types", "corrects", "corrects", "both", "both", "deletes", "officer deletes", "puts back",
         "enrols", "confirms", "decides mine", "decides central"]
    ),
    numbers,
)  # fmt: skip
happenings = st.sampled_from(
    ["nothing", "nothing", "nothing", "edit", "edit", "twice", "twice", "no answer", "crash", "crash after"]
)
plans: st.SearchStrategy[list[str]] = st.lists(happenings, max_size=16) | st.just([])
"""What happens at each step of a session."""


class Exchange(RuleBasedStateMachine):
    """The moves. Every one compares both sides with their images."""

    runner: ClassVar[asyncio.Runner]
    databases: ClassVar[tuple[Database, Database]]
    seen: ClassVar[Counter[str]] = Counter()

    @initialize()
    def begin(self) -> None:
        """Empty databases, a school, its baseline fetched."""
        self.twin = self.run(self._begun())

    async def _begun(self) -> Twin:
        for database in self.databases:
            async with database.transaction() as transaction:
                names = await transaction.value(
                    "SELECT string_agg(quote_ident(tablename), ', ') FROM pg_tables "
                    "WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
                )
                await transaction.run(f"TRUNCATE {names}")
        twin = await Twin.of(*self.databases)
        assert await twin.session("pull", Plan()) == "completed"
        return twin

    def run(self, work: Any) -> Any:
        """Until it is done."""
        return self.runner.run(work)

    @rule(done=st.lists(hands, min_size=1, max_size=5))
    def people_edit(self, done: list[tuple[str, int]]) -> None:
        """Operator and officers."""
        self.run(self._edit(done))

    async def _edit(self, done: list[tuple[str, int]]) -> None:
        for what, n in done:
            await self._hand(what, n)

    async def _hand(self, what: str, n: int) -> None:
        twin, key = self.twin, KEYS[n % len(KEYS)]
        if what in ("types", "both"):
            await twin.operator(_upsert(key, _a_value(key, n)))
        if what in ("corrects", "both"):
            await twin.officer(key, "upsert", _a_value(key, n + 1 if what == "both" else n))
        elif what == "deletes":
            await twin.operator(FieldsChange(entity=LESSON_KEY[0], record_id=LESSON, op="delete"))
        elif what == "officer deletes":
            await twin.officer(LESSON_KEY, "delete", {})
        elif what == "puts back":
            await twin.operator(_upsert(LESSON_KEY, a_lesson()))
        elif what == "enrols":
            await twin.operator(*(_upsert(key, fields) for key, fields in ENROLLED))
        elif what == "confirms":
            await twin.officer(("peserta_didik", PUPILS[1]), "confirm", {})
        elif what.startswith("decides"):
            await twin.decides(what.removeprefix("decides "), n)

    @rule(kind=st.sampled_from(["sync", "sync", "sync", "pull"]), plan=plans, done=st.lists(hands, max_size=4))
    def session_runs(self, kind: str, plan: list[str], done: list[tuple[str, int]]) -> None:
        """A session, what happens at each of its steps, and who edits in between."""
        self.run(self._session(kind, plan, done))

    @rule(done=st.lists(hands, min_size=2, max_size=4))
    def sync_runs_through(self, done: list[tuple[str, int]]) -> None:
        """After some edits, and with nothing in its way but what a person must mend first."""
        self.run(self._mended(done))

    async def _mended(self, done: list[tuple[str, int]]) -> None:
        await self._edit(done)
        for choice in ("mine", "central") * 6:
            await self.twin.decides(choice, 0)
        await self.twin.operator(_upsert(("peserta_didik", STUDENT), {"agama_id": 1}), _upsert(LESSON_KEY, a_lesson()))
        await self._session("sync", [], [])

    async def _session(self, kind: str, plan: list[str], done: list[tuple[str, int]]) -> None:
        left = list(done)

        async def hand() -> None:
            if left:
                await self._hand(*left.pop())

        ended = await self.twin.session(kind, Plan(plan, hand))
        self.seen[f"{kind} {ended}"] += 1
        self.seen["conflicts"] += len(self.twin.here.conflicts())
        self.seen["overruled"] += len(self.twin.here.overruled)

    @rule(n=numbers)
    def request_comes_again(self, n: int) -> None:
        """Late, and after its session."""
        self.run(self.twin.comes_again(n))

    @rule(plan=plans, again=st.booleans())
    def school_is_restored(self, plan: list[str], again: bool) -> None:
        """To its last completed sync, by the installation that is here or by a new one; or that goes on."""
        if again and not self.twin.here.restoring:
            self.run(self.twin.registers_again())
        self.run(self._session("restore", plan, []))


def _a_value(key: Key, n: int) -> Fields:
    """The nth field of a record, and a value for it."""
    fields = VALUES[key]
    name = list(fields)[n // len(KEYS) % len(fields)]
    return {name: fields[name][n % len(fields[name])]}


def _upsert(key: Key, fields: Fields) -> FieldsChange:
    return FieldsChange(entity=key[0], record_id=key[1], fields=fields)


@pytest.fixture
def databases(servers: Addresses) -> Iterator[tuple[asyncio.Runner, tuple[Database, Database]]]:
    """A loop, and an empty replica and registry that are used on it alone."""
    with asyncio.Runner() as runner:
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
    await engine.dispose()
    url = make_url(servers.administrator).set(database=name).render_as_string(hide_password=False)
    await migrations.upgrade_async(side, url)
    return Database(url)


def test_the_databases_do_what_their_images_do(
    databases: tuple[asyncio.Runner, tuple[Database, Database]],
) -> None:
    Exchange.runner, Exchange.databases = databases
    run_state_machine_as_test(
        Exchange,
        settings=settings(
            max_examples=EXAMPLES,
            stateful_step_count=STEPS,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )
    print(Exchange.seen)  # noqa: T201
