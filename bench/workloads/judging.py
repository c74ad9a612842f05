"""V: a school of 5,000 records is judged; then one change of it is stored and judged, and another published."""

from __future__ import annotations

from bench.records import UNUSED, new_npsn
from bench.workloads.turns import Turns
from services.messages import FieldsChange
from services.replica import changes, judging

PUBLISHED = "ours, published"


class Judging:
    """One school for all runs. Both are done in this process, by the validator's own code on the replica; what it takes
    until a published change is answered is shown beside.
    """

    workloads = ("V all", "V one change")

    def __init__(self, turns: Turns) -> None:
        self._turns = turns
        self._npsn = new_npsn()
        self._pupils: list[str] = []
        self._records = 0
        self._runs = 0

    async def run(self) -> None:
        """The whole school, then changes of one pupil."""
        turns, pupils = self._turns, self._turns.size.judged_pupils
        self._runs += 1
        if not self._pupils:
            classes = max(1, pupils // 26)
            school = await turns.ours.school(self._npsn, pupils=pupils, classes=classes, teachers=classes + 3)
            self._pupils, self._records = list(school["peserta_didik"]), sum(map(len, school.values()))
        turns.figures.records |= {"V all": self._records, "V one change": 1}
        async with turns.ours.stage.replica.transaction() as transaction:
            await turns.timed(
                "V all", "ours", lambda: judging.judge(transaction, self._npsn, turns.ours.today), as_validator=True
            )
        first, stored, published = (self._change(3 * self._runs + n) for n in range(3))
        await self._store(first)  # a validator's connections have prepared their statements long since
        await turns.timed("V one change", "ours", lambda: self._store(stored), as_validator=True)
        await turns.timed("V one change", PUBLISHED, lambda: turns.ours.publish(self._npsn, [published]))
        await turns.ours.has_pending(self._npsn, 1)

    def _change(self, number: int) -> FieldsChange:
        """Of one pupil, to a value of its own."""
        return FieldsChange(entity="peserta_didik", record_id=self._pupils[0], fields={"rt": UNUSED + number})

    async def _store(self, change: FieldsChange) -> None:
        """What the validator does with an event, but for taking and answering it."""
        async with self._turns.ours.stage.replica.transaction() as transaction:
            await changes.lock(transaction, self._npsn)
            taken = await changes.take_in(transaction, self._npsn, [change], self._turns.ours.today, "bench")
        assert len(taken.stored) == 1
