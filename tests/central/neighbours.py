"""Several schools at one central: each is pushed to and changed through central's own handlers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services.central import registry, residu
from services.central.administration import add_school
from services.database import Database
from services.entities import Fields, natural_key
from services.messages import Message, OfficerChange, PushedChange, SchoolRegister, SchoolRegistered, SessionResult
from tests.builders import TODAY, a_sekolah
from tests.central.desk import Desk, Heard, expect, line


@dataclass
class Neighbour(Desk):
    """Central as one of its schools meets it."""

    npsn: str = ""

    @classmethod
    async def at(cls, database: Database, npsn: str, lines: Sequence[str] = ()) -> Neighbour:
        """A school with this baseline beside its own record, registered at the site `situs`."""
        school = cls(database, npsn=npsn)
        itself = line("sekolah", natural_key("sekolah", npsn), a_sekolah(nama=f"SD {npsn}"))
        school.code = await add_school(database, npsn, [itself, *lines])
        answer = await school.ask("situs-sync", "register", SchoolRegister(code=school.code))
        school.install_id = expect(answer, SchoolRegistered).install_id
        return school

    async def ask(self, sender: str, verb: str, data: Message, **named: Any) -> Message:
        """A request about this school."""
        return await super().ask(sender, verb, data, **{"npsn": self.npsn, **named})

    async def officer(self, *changes: OfficerChange, **named: Any) -> Heard:
        """An officer's event about this school."""
        return await super().officer(*changes, **{"npsn": self.npsn, **named})

    async def push(self, *changes: PushedChange) -> SessionResult:
        """A session of its own with one batch; its result."""
        return await (await self.open()).pushed(*changes)

    async def put(self, entity: str, record_id: str, fields: Fields | None) -> str:
        """The school writes or deletes (None) a record; the verdict."""
        held = await self.held(entity, record_id)
        before = (held.fields if held else None) or {}
        change = PushedChange(
            entity=entity,
            record_id=record_id,
            op="put" if fields is not None else "delete",
            base_version=held.version if held else 0,
            fields={}
            if fields is None
            else {
                name: (before.get(name), fields.get(name))
                for name in {*before, *fields}
                if before.get(name) != fields.get(name)
            },
        )
        return (await self.push(change)).verdicts[0].verdict

    async def held(self, entity: str, record_id: str) -> registry.Stored | None:
        """A record as central holds it."""
        async with self.database.transaction() as transaction:
            return (await registry.read(transaction, self.npsn, [(entity, record_id)])).get((entity, record_id))

    async def residu(self) -> list[Fields]:
        """The school's residu."""
        async with self.database.transaction() as transaction:
            rows = await transaction.rows(
                "SELECT text FROM record WHERE npsn = :npsn AND entity = 'residu' ORDER BY record_id", npsn=self.npsn
            )
        return [registry.Stored("residu", "", 0, 0, row.text).fields or {} for row in rows]

    async def open_residu(self) -> dict[tuple[str, str], str | None]:
        """Of the open ones: (code, record_id of the person) to the other schools."""
        return {
            (found["kode"], found["data_id"]): found.get("sekolah_lain")
            for found in await self.residu()
            if found["keadaan"] == "terbuka"
        }

    async def states(self) -> list[str]:
        """The state of each of its residu."""
        return [found["keadaan"] for found in await self.residu()]


async def settle(database: Database, *, most: int = 200) -> int:
    """Look into follow-ups until there is none; how many residu were written."""
    written = 0
    for _ in range(most):
        done = await residu.follow_up_next(database, TODAY)
        if done is None:
            return written
        written += done.total()
    raise AssertionError("the follow-ups do not come to an end")


async def backlog(database: Database) -> int:
    """Follow-ups that are still to be looked into."""
    async with database.transaction() as transaction:
        return int(await transaction.value("SELECT count(*) FROM follow_up"))


async def claimed(database: Database) -> set[tuple[str, str, str]]:
    """(npsn, kind, record_id) of every claim."""
    async with database.transaction() as transaction:
        return {(r.npsn, r.kind, r.record_id) for r in await transaction.rows("SELECT * FROM claim")}
