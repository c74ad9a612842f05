"""Many schools at once: W6 singly, and W5."""

from __future__ import annotations

import asyncio

from bench.records import UNUSED, new_npsn, new_staff, rows
from bench.workloads.turns import Turns
from services.messages import FieldsChange


class ManySchools:
    """The same schools in all runs, each with as many pupils as are changed."""

    workloads = ("W6 singly", "W5")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._pupils: dict[str, list[str]] = {}
        self._runs = 0

    async def run(self) -> None:
        """The floor and bare; then everybody publishes; then everybody syncs."""
        turns, size = self._turns, self._turns.size
        self._runs += 1
        for _ in range(size.schools - len(self._pupils)):
            npsn = new_npsn()
            school = await turns.ours.school(npsn, pupils=size.per_school, classes=6, teachers=8)
            self._pupils[npsn] = list(school["peserta_didik"])
        if turns.wants("W5"):
            await self._floor_and_bare()
        await self._publish()
        turns.figures.records["W5"] = size.schools * size.per_school
        await turns.timed("W5", "ours", lambda: asyncio.gather(*(turns.ours.sync(npsn) for npsn in self._pupils)))
        for npsn, pupils in self._pupils.items():
            await turns.ours.is_equal(npsn, peserta_didik=len(pupils))

    async def _floor_and_bare(self) -> None:
        turns, size = self._turns, self._turns.size
        staff = new_staff(size.per_school, turns.ours.today)
        held = [row for npsn in self._pupils for row in rows(npsn, staff, self._runs)]

        async def floor() -> None:
            for start in range(0, len(held), size.per_school):
                await turns.floor.merge(held[start : start + size.per_school])

        await turns.timed("W5", "floor", floor)
        await turns.bare("W5", turns.pair.site, turns.pair.central, held, batch=size.per_school)
        await turns.bare_is_equal(*self._pupils)

    async def _publish(self) -> None:
        """`single_events` changes by themselves, the others by school."""
        turns, size = self._turns, self._turns.size
        singly = min(size.per_school, size.single_events // size.schools) if turns.wants("W6 singly") else 0
        turns.figures.records["W6 singly"] = singly * size.schools
        changes = {
            npsn: [
                FieldsChange(entity="peserta_didik", record_id=one, fields={"rt": UNUSED + self._runs})
                for one in pupils
            ]
            for npsn, pupils in self._pupils.items()
        }
        if singly:
            await turns.timed(
                "W6 singly",
                "ours",
                lambda: asyncio.gather(
                    *(turns.ours.publish(npsn, some[:singly], size=1) for npsn, some in changes.items())
                ),
            )
        await asyncio.gather(*(turns.ours.publish(npsn, some[singly:]) for npsn, some in changes.items()))
