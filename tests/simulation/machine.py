"""A state machine: people, sessions and all that can go wrong, on the real databases and on their images in memory."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, ClassVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from services.database import Database
from services.entities import Fields
from services.messages import FieldsChange
from tests.builders import STUDENT, TEACHER, a_lesson, a_member, a_new_student, a_registration, new_id
from tests.simulation.doubles import Plan
from tests.simulation.entities import Key
from tests.simulation.judging import REFUSED, REFUSED_HOURS
from tests.simulation.twin import Twin

Field = tuple[Key, str]

PUPIL = new_id(31)
"""Whom the operator enrols; nobody has confirmed them yet."""
ADDRESS: Field = (("peserta_didik", STUDENT), "alamat_jalan")
RELIGION: Field = (("peserta_didik", STUDENT), "agama_id")
NIK: Field = (("peserta_didik", PUPIL), "nik")
"""The school's until an officer confirms the pupil, or corrects it; so that is not done to it at every turn."""
LESSON_KEY: Key = ("pembelajaran", new_id(34))
"""A second lesson of the class, which may be deleted."""
WHOLE: dict[Key, Fields] = {
    ("peserta_didik", PUPIL): a_new_student(nik="9900010203190002", no_kk="9900010000000002"),
    ("registrasi_peserta_didik", new_id(32)): a_registration(peserta_didik_id=PUPIL, nipd="25260002"),
    ("anggota_rombel", new_id(33)): a_member(peserta_didik_id=PUPIL),
    LESSON_KEY: a_lesson(mata_pelajaran_id=400200001, nama_mata_pelajaran="Bahasa Daerah", jam_mengajar_per_minggu=2),
    ("peserta_didik", STUDENT): {"agama_id": 1},
}
"""Typed over what is there, no rule is broken."""
LESSON_FIELD: Field = (LESSON_KEY, "jam_mengajar_per_minggu")
VALUES: dict[Field, list[Any]] = {
    ADDRESS: ["Jalan Mawar No. 2", REFUSED, "Jalan A"],
    (("peserta_didik", STUDENT), "no_kk"): ["9900010000000001", "9900010000000002", None],
    (("peserta_didik", STUDENT), "nisn"): ["9000010001", "9000010002"],  # central's
    RELIGION: [1, 2, None],  # without it the gate stays shut
    NIK: ["9900010203190003", "9900010203190004"],
    (("peserta_didik", PUPIL), "alamat_jalan"): ["Jalan Mawar No. 2", REFUSED, "Jalan A"],
    (("ptk", TEACHER), "no_hp"): ["081200000001", "081200000002", None],
    LESSON_FIELD: [2, REFUSED_HOURS, 3],
}
SHARED = [field for field in VALUES if field[1] in ("alamat_jalan", "no_kk", "no_hp")]
"""Where two sides that disagree are in conflict."""
EMPTY = """
DO $$ DECLARE name text; BEGIN
    FOR name IN SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version' LOOP
        EXECUTE format('DELETE FROM %I', name);
    END LOOP;
END $$
"""
"""Of few rows this is much faster than TRUNCATE."""
numbers = st.integers(0, 11)
Hand = tuple[str, Field, int]
fields = st.sampled_from([field for field in VALUES if field != NIK])
hands: st.SearchStrategy[Hand] = st.tuples(
    st.sampled_from(
        ["types", "types", "corrects", "corrects", "both", "both", "deletes", "officer deletes", "makes whole",
         "decides mine", "decides central"]
    ),
    fields,
    numbers,
)  # fmt: skip
officers: st.SearchStrategy[Hand] = st.tuples(
    st.sampled_from(["corrects", "corrects", "corrects", "corrects", "confirms", "officer deletes"]), fields, numbers
)
CONTESTS: list[tuple[Hand, Hand]] = [
    *(
        (("types", field, mine), ("corrects", field, theirs))
        for field in [*VALUES, *SHARED, *SHARED, NIK, NIK, NIK]
        for mine, theirs in [(0, 1), (1, 0), (1, 1), (1, 2), (2, 0)]
    ),
    *[(("deletes", LESSON_FIELD, 0), ("officer deletes", LESSON_FIELD, 0))] * 16,
    *[(("deletes", LESSON_FIELD, 0), ("corrects", LESSON_FIELD, 1))] * 3,
    *[(("types", LESSON_FIELD, 1), ("officer deletes", LESSON_FIELD, 0))] * 3,
]
"""What an operator does, and an officer at the moment of the PUSH."""
happenings = st.sampled_from(
    ["nothing", "nothing", "nothing", "edit", "edit", "twice", "twice", "late", "late", "held up", "no answer",
     "crash", "crash after"]
)  # fmt: skip
"""What comes in between at one step of a session."""
plans = st.lists(happenings, max_size=16)


class Exchange(RuleBasedStateMachine):
    """The moves. Every one compares both sides with their images."""

    runner: ClassVar[asyncio.Runner]
    databases: ClassVar[tuple[Database, Database]]
    seen: ClassVar[Counter[str]] = Counter()

    @initialize(few=st.sampled_from([-1, 1, 100, 100]))
    def begin(self, few: int) -> None:
        """Empty databases, a school, its baseline fetched; so many changes are few enough to go with an OPEN."""
        self.twin = self.run(self._begun())
        self.twin.few(few)

    async def _begun(self) -> Twin:
        for database in self.databases:
            async with database.transaction() as transaction:
                await transaction.run(EMPTY)
        twin = await Twin.of(*self.databases, self.seen)
        assert await twin.session("pull", Plan()) == "completed"
        return twin

    def run(self, work: Any) -> Any:
        """Until it is done."""
        return self.runner.run(work)

    @rule(done=st.lists(hands, min_size=1, max_size=5))
    def people_edit(self, done: list[Hand]) -> None:
        """Operator and officers."""
        self.run(self._edit(done))

    async def _edit(self, done: list[Hand]) -> None:
        for one in done:
            await self._hand(*one)

    async def _hand(self, what: str, field: Field, n: int) -> None:
        twin, (key, name) = self.twin, field
        values = VALUES[field]
        if what in ("types", "both"):
            await twin.operator(_upsert(key, {name: values[n % len(values)]}))
        if what in ("corrects", "both"):
            await twin.officer(key, "upsert", {name: values[(n + (what == "both")) % len(values)]})
        elif what == "deletes":
            await twin.operator(FieldsChange(entity=LESSON_KEY[0], record_id=LESSON_KEY[1], op="delete"))
        elif what == "officer deletes":
            await twin.officer(LESSON_KEY, "delete", {})
        elif what == "makes whole":
            await twin.operator(*(_upsert(key, fields) for key, fields in WHOLE.items()))
        elif what == "confirms":
            await twin.officer(("peserta_didik", PUPIL), "confirm", {})
        elif what.startswith("decides"):
            await twin.decides(what.removeprefix("decides "), n)

    @rule(
        kind=st.sampled_from(["sync", "sync", "pull"]),
        plan=plans,
        push=happenings,
        meanwhile=st.lists(hands, max_size=4),
    )
    def session_runs(self, kind: str, plan: list[str], push: str, meanwhile: list[Hand]) -> None:
        """A session, what happens at each of its steps, and who edits in between."""
        self.run(self._session(kind, plan, {"push": push}, meanwhile))

    @rule(
        done=st.lists(hands, max_size=3),
        contest=st.sampled_from(CONTESTS),
        push=st.sampled_from(
            ["edit", "edit", "edit", "nothing", "twice", "late", "held up", "no answer", "crash after"]
        ),
        verify=st.sampled_from(["nothing", "edit", "edit", "twice", "late", "no answer"]),
        meanwhile=st.lists(officers, min_size=1, max_size=2),
    )
    def school_syncs(
        self, done: list[Hand], contest: tuple[Hand, Hand], push: str, verify: str, meanwhile: list[Hand]
    ) -> None:
        """With nothing in the way of a PUSH, but for what comes up at that very moment."""
        operators, theirs = contest
        self.run(self._syncs([*done, operators], {"push": push, "verify": verify}, [theirs, *meanwhile]))

    @rule(done=st.lists(hands, min_size=1, max_size=2), open=happenings, meanwhile=st.lists(hands, max_size=1))
    def a_little_is_synced(self, done: list[Hand], open: str, meanwhile: list[Hand]) -> None:
        """After all the rest: a change or two, and what happens to the OPEN that they go with."""
        self.run(self._syncs([], {}, []))
        self.run(self._edit(done))
        self.run(self._session("sync", at={"open": open}, meanwhile=meanwhile))
        self.run(self._session("sync"))

    async def _syncs(self, done: list[Hand], at: Mapping[str, str], meanwhile: list[Hand]) -> None:
        if self.twin.here.restoring:
            await self._session("restore")
        await self._hand("makes whole", LESSON_FIELD, 0)
        await self._edit(done)
        for choice in ("mine", "central") * 6:
            await self.twin.decides(choice, 0)
        await self.twin.operator(_upsert(("peserta_didik", STUDENT), {"agama_id": 1}))
        await self._session("sync", [], at, meanwhile)

    async def _session(
        self, kind: str, plan: Sequence[str] = (), at: Mapping[str, str] | None = None, meanwhile: Sequence[Hand] = ()
    ) -> None:
        left = iter(meanwhile)

        async def hand() -> None:
            await self._edit(list(islice(left, 1)))

        ended = await self.twin.session(kind, Plan(plan, at or {}, hand))
        self.seen[f"{kind} {ended}"] += 1
        self.seen["conflicts"] += len(self.twin.here.conflicts())
        self.seen["overruled"] += len(self.twin.here.overruled)

    @precondition(lambda self: len(self.twin.backups) < 4)
    @rule()
    def central_is_backed_up(self) -> None:
        """As it is."""
        self.run(self.twin.backs_up())

    @precondition(lambda self: self.twin.backups)
    @rule(n=numbers, plan=plans, done=st.lists(hands, max_size=2), give=happenings)
    def central_is_put_back(self, n: int, plan: list[str], done: list[Hand], give: str) -> None:
        """To an older backup or the latest; and the school recovers, or not all the way."""
        self.run(self._put_back(n, plan, done, give))

    async def _put_back(self, n: int, plan: Sequence[str], done: list[Hand], give: str) -> None:
        await self.twin.puts_central_back(n)
        await self._edit(done)
        await self._session("pull")
        await self._session("recover", plan, {"give": give})

    @rule(n=numbers)
    def request_comes_again(self, n: int) -> None:
        """Late, and after its session."""
        self.run(self.twin.comes_again(n))

    @rule()
    def worker_wakes_up(self) -> None:
        """One that was killed, or stopped, in the middle of a session."""
        self.run(self.twin.wakes_up())

    @precondition(lambda self: self.twin.here.restoring or len(self.twin.here.statements) > 2)
    @rule(plan=plans, again=st.booleans())
    def school_is_restored(self, plan: list[str], again: bool) -> None:
        """To its last completed sync, by the installation that is here or by a new one; or that goes on."""
        if again and not self.twin.here.restoring:
            self.run(self.twin.registers_again())
        self.run(self._session("restore", plan))


async def a_life_with_everything(machine: Exchange) -> None:
    """What seldom comes about by chance, once in a life."""
    live, kk, hp = machine._session, (("peserta_didik", STUDENT), "no_kk"), (("ptk", TEACHER), "no_hp")
    twin = machine.twin = await machine._begun()
    twin.few(-1)
    await machine._syncs([], {"push": "twice"}, [])
    contests: list[tuple[Hand, Hand, Hand]] = [
        (("types", kk, 1), ("corrects", kk, 2), ("corrects", hp, 0)),  # both want another value
        (("types", NIK, 0), ("corrects", NIK, 1), ("corrects", hp, 1)),  # it is no longer the school's
        (("deletes", LESSON_FIELD, 0), ("officer deletes", LESSON_FIELD, 0), ("corrects", hp, 2)),
        (("types", ADDRESS, 2), ("corrects", kk, 0), ("corrects", ADDRESS, 0)),  # another field of the record
        (("types", ADDRESS, 1), ("corrects", hp, 0), ("corrects", hp, 1)),  # refused
    ]
    for typed, at_the_push, at_the_end in contests:
        await machine._syncs([typed], {"push": "edit", "verify": "edit"}, [at_the_push, at_the_end])
    await machine._edit([("types", hp, 0)])
    await live("sync", at={"push": "held up"})
    await machine._edit([("types", hp, 1)])  # typed back in doubt: nothing of it is left to send
    await live("sync")
    await machine._edit([("types", ADDRESS, 0), ("types", RELIGION, 2)])  # typed back; and what closes the gate
    await live("sync")
    await machine._edit([("makes whole", kk, 0), ("both", hp, 2)])
    await live("sync")  # in conflict
    await machine._edit([("decides mine", hp, 0)])
    await live("sync", at={"push": "held up"})
    for _ in range(2):  # first it pushes, and what comes late is an old copy's; then it does not
        for _ in range(2):
            await live("sync", at={"open": "held up"})
        await live("sync", at={"verify": "late"})
    await live("sync", ["crash"])
    await twin.wakes_up()
    await live("sync", ["crash"])
    await live("pull", ["nothing", "crash"])
    await live("pull")
    for _ in range(2):
        await twin.wakes_up()
    await twin.registers_again()
    for n in range(6):
        await twin.comes_again(n)
    await live("sync")
    await live("restore", ["nothing", "crash"])
    await live("restore")
    await machine._edit([("types", ADDRESS, 2)])
    await live("restore")  # what was listed for it has changed
    await _central_put_back(machine)
    await _small_syncs(machine)


async def _small_syncs(machine: Exchange) -> None:
    """Everything goes with the OPEN, which is taken, or not, or not heard of."""
    twin, live, kk, hp = (
        machine.twin,
        machine._session,
        (("peserta_didik", STUDENT), "no_kk"),
        (("ptk", TEACHER), "no_hp"),
    )
    twin.few(100)
    await machine._syncs([("types", kk, 0)], {}, [])  # three records: more than a batch takes
    await machine._edit([("types", kk, 1)])
    await live("sync")
    await live("sync")  # nothing to send
    for happens in ("twice", "no answer", "held up", "crash after"):
        await machine._edit([("types", hp, 0), ("types", hp, 1 if happens == "held up" else 2)])
        await live("sync", at={"open": happens})
        await machine._edit([("types", kk, 0), ("types", kk, 2)])  # while that is in doubt
        await live("sync")
    await machine._edit([("types", ADDRESS, 1)])  # central refuses it: not the root that was foreseen
    await live("sync")
    await machine._edit([("types", ADDRESS, 2), ("corrects", hp, 1)])
    await live("sync")  # central has something new: it goes twice
    await machine._edit([("types", kk, 0)])
    await live("sync", at={"open": "edit"}, meanwhile=[("types", kk, 1)])  # typed over
    await live("sync", at={"open": "crash after"})
    await twin.registers_again()
    await live("restore")
    await machine._edit([("types", kk, 2)])
    await live("sync")


async def _central_put_back(machine: Exchange) -> None:
    """Central forgets what it had signed, twice, and officers write meanwhile."""
    twin, live, kk, hp = (
        machine.twin,
        machine._session,
        (("peserta_didik", STUDENT), "no_kk"),
        (("ptk", TEACHER), "no_hp"),
    )
    await machine._syncs([], {}, [])
    await twin.backs_up()
    await machine._syncs([("types", kk, 0)], {}, [])
    await twin.backs_up()
    await machine._syncs([("types", ADDRESS, 2), ("types", hp, 1), ("deletes", LESSON_FIELD, 0)], {}, [])
    await twin.puts_central_back(0)
    await machine._edit([("corrects", hp, 2), ("types", kk, 1)])
    await live("pull")
    await live("sync")  # the recover is asked for, and comes first
    await live("recover", ["nothing"] * 5 + ["crash"])
    await twin.wakes_up()
    await live("recover", at={"give": "twice"})
    await twin.puts_central_back(1)
    await live("pull")
    await live("recover", ["nothing"] * 8 + ["crash after"])
    await machine._edit([("corrects", ADDRESS, 0)])
    await live("recover")
    await machine._syncs([], {}, [])


def _upsert(key: Key, fields: Fields) -> FieldsChange:
    return FieldsChange(entity=key[0], record_id=key[1], fields=fields)
