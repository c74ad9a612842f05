"""W4: a quiet school of some 250 records; one change after the other, each until it is durable on the other side."""

from __future__ import annotations

import statistics
import time
from collections.abc import Sequence
from itertools import count

from bench.records import UNUSED, new_npsn, new_staff, rows
from bench.workloads.turns import Turns
from services.messages import FieldsChange

RECEIPT = "ours, to the receipt"


class SingleChanges:
    """One school for all runs."""

    workloads = ("W4 p50", "W4 p99")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._npsn = new_npsn()
        self._pupils: list[str] = []
        self._numbers = count()

    async def run(self) -> None:
        """So many by the floor, by bare, by ours."""
        turns, many = self._turns, self._turns.size.single
        if not self._pupils:
            school = await turns.ours.school(self._npsn, pupils=110, classes=6, teachers=8)
            self._pupils = list(school["peserta_didik"])
            self._row = rows(new_npsn(), new_staff(1, turns.ours.today))[0]
        numbers = [next(self._numbers) for _ in range(many)]
        turns.figures.records["W4 p50"] = many
        await turns.quiet()
        with turns.metered("W4 p50", "floor"):
            self._note("floor", [await self._floor(n) for n in numbers])
        with turns.metered("W4 p50", "bare"):
            self._note("bare", [await turns.bare_single((*self._row[:3], 1 + n, self._row[4])) for n in numbers])
        with turns.metered("W4 p50", "ours"):
            both = [await turns.ours.change_and_sync(self._npsn, self._change(n)) for n in numbers]
        self._note("ours", [durable for durable, _ in both])
        self._note(RECEIPT, [receipt for _, receipt in both])
        await turns.bare_is_equal(self._row[0])
        await turns.ours.is_equal(self._npsn, peserta_didik=len(self._pupils))

    async def _floor(self, number: int) -> float:
        began = time.perf_counter()
        await self._turns.floor.one((*self._row[:3], 1 + number, self._row[4]))
        return time.perf_counter() - began

    def _change(self, number: int) -> FieldsChange:
        """Never the value that is there: one that no baseline has, and each pupil's turn comes with the next."""
        turn, place = divmod(number, len(self._pupils))
        fields = {"jenis_tinggal_id": 1 + turn % 5, "rt": UNUSED + turn % 75}
        return FieldsChange(entity="peserta_didik", record_id=self._pupils[place], fields=fields)

    def _note(self, who: str, seconds: Sequence[float]) -> None:
        for workload, value in (("W4 p50", statistics.median(seconds)), ("W4 p99", p99(seconds))):
            if self._turns.wants(workload):
                self._turns.figures.add(workload, who, value)


def p99(values: Sequence[float]) -> float:
    """The value that one in a hundred exceeds."""
    return sorted(values)[max(0, round(len(values) * 0.99) - 1)]
