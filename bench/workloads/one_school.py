"""One large school: W6 in 500s, W1, W3 and W2, each from where the one before left both sides."""

from __future__ import annotations

from bench.records import ENTITY, new_npsn, new_staff, rows
from bench.workloads.turns import Turns
from services.entities import Fields
from services.messages import FieldsChange

TEACHERS = 2
"""Of its baseline."""


class OneSchool:
    """A new school each run."""

    workloads = ("W6 in 500s", "W1", "W3", "W2")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns

    async def run(self) -> None:
        """In this order."""
        turns, size = self._turns, self._turns.size
        npsn, twin = new_npsn(), new_npsn()  # the twin is bare's
        staff = new_staff(size.records, turns.ours.today)
        await self._new_records(npsn, twin, staff)
        await self._are_equal(npsn, twin)
        if turns.wants("W3", "W2"):
            there: dict[str, Fields] = {one: {**fields, "jenis_ptk_id": 3} for one, fields in staff.items()}
            await self._central_changes_all(npsn, twin, there)
            await self._are_equal(npsn, twin)
        if turns.wants("W2"):
            await self._both_ways(npsn, twin, there)
            await self._are_equal(npsn, twin)

    async def _are_equal(self, npsn: str, twin: str) -> None:
        """Both sides of ours, and both peers of bare. Raises WentWrong."""
        await self._turns.bare_is_equal(twin)
        await self._turns.ours.is_equal(npsn, **{ENTITY: self._turns.size.records + TEACHERS})

    async def _new_records(self, npsn: str, twin: str, staff: dict[str, Fields]) -> None:
        turns = self._turns
        turns.figures.records |= {"W1": len(staff), "W6 in 500s": len(staff)}
        new = rows(npsn, staff)
        await turns.timed("W1", "floor", lambda: turns.floor.insert(new))
        await turns.bare("W1", turns.pair.site, turns.pair.central, rows(twin, staff))
        await turns.ours.school(npsn, pupils=2, classes=1, teachers=TEACHERS)
        changes = [FieldsChange(entity=ENTITY, record_id=one, fields=fields) for one, fields in staff.items()]
        await turns.timed("W6 in 500s", "ours", lambda: turns.ours.publish(npsn, changes))
        await turns.timed("W1", "ours", lambda: turns.ours.sync(npsn))

    async def _central_changes_all(self, npsn: str, twin: str, there: dict[str, Fields]) -> None:
        turns = self._turns
        turns.figures.records["W3"] = len(there)
        changed = rows(npsn, there, 2)
        await turns.timed("W3", "floor", lambda: turns.floor.merge(changed))
        await turns.bare("W3", turns.pair.central, turns.pair.site, rows(twin, there, 2))
        await turns.ours.officer(npsn, {one: {"jenis_ptk_id": 3} for one in there}, 1)
        await turns.timed("W3", "ours", lambda: turns.ours.pull(npsn))

    async def _both_ways(self, npsn: str, twin: str, there: dict[str, Fields]) -> None:
        turns, each = self._turns, self._turns.size.both_ways
        turns.figures.records["W2"] = 2 * each
        ids = list(there)
        mine, theirs = ids[:each], ids[each : 2 * each]
        of_mine: dict[str, Fields] = {one: {**there[one], "rt": 77} for one in mine}
        of_theirs: dict[str, Fields] = {one: {**there[one], "jenis_ptk_id": 4} for one in theirs}
        merged = rows(npsn, of_mine | of_theirs, 3)
        await turns.timed("W2", "floor", lambda: turns.floor.merge(merged))
        await turns.bare_both_ways("W2", rows(twin, of_mine, 3), rows(twin, of_theirs, 3))
        await turns.ours.officer(npsn, {one: {"jenis_ptk_id": 4} for one in theirs}, 2)
        await turns.ours.publish(npsn, [FieldsChange(entity=ENTITY, record_id=one, fields={"rt": 77}) for one in mine])
        await turns.timed("W2", "ours", lambda: turns.ours.sync(npsn))
