"""The work that is measured, each part by floor, bare and ours in turn: seconds for 10,000 records and the like.

W1  10,000 new records of one school reach central
W2  500 changed here and 500 others there become equal
W3  central changes 10,000, one pull
W4  one change until it is durable on the other side, p50 and p99 of 200
W5  100 schools with 100 changes each, at once
W6  operators publish 10,000 changes: 500 in an event, and one in an event
V   the validator judges a school of 5,000 records: all of it, and after one change
"""

from __future__ import annotations

import asyncio
import json
import statistics
import sys
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from bench import measure
from bench.floor import Floor, Row
from bench.ours import Ours
from bench.records import ENTITY, new_npsn, new_staff, rows
from services import calendar
from services.entities import Fields
from services.messages import FieldsChange
from services.replica import judging, records


@dataclass(frozen=True)
class Size:
    """How much of each."""

    records: int = 10_000
    both_ways: int = 500
    single: int = 200
    schools: int = 100
    per_school: int = 100
    judged_pupils: int = 1550


SMALL = Size(records=600, both_ways=50, single=10, schools=5, per_school=20, judged_pupils=60)
"""To see that it works."""


@dataclass
class Figures:
    """Seconds by (workload, who), one of each run; processor seconds and peak bytes by process, of ours."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    processor: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    peak_bytes: dict[str, int] = field(default_factory=dict)
    records: dict[str, int] = field(default_factory=dict)

    def add(self, workload: str, who: str, seconds: float) -> None:
        """One more run's figure."""
        self.seconds.setdefault((workload, who), []).append(seconds)

    def median(self, workload: str, who: str) -> float | None:
        """The median of the runs."""
        found = self.seconds.get((workload, who))
        return statistics.median(found) if found else None


@dataclass
class Pair:
    """The two peers of bare."""

    site: asyncio.subprocess.Process
    central: asyncio.subprocess.Process

    @classmethod
    async def start(cls, amqp_url: str, site_dsn: str, central_dsn: str) -> Pair:
        """Start both processes and wait until they listen."""
        queues = ("bench.site", "bench.central")
        peers = [
            await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "bench.bare", amqp_url, dsn, here, there),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
            for dsn, here, there in ((site_dsn, *queues), (central_dsn, *reversed(queues)))
        ]
        pair = cls(*peers)
        for peer in peers:
            await _answer(peer)
        return pair

    async def stop(self) -> None:
        """They end with their input."""
        for peer in (self.site, self.central):
            assert peer.stdin is not None
            peer.stdin.close()
            await peer.wait()


async def do(peer: asyncio.subprocess.Process, **asked: Any) -> dict[str, Any]:
    """Have a peer of bare do something; what it says when it is done."""
    assert peer.stdin is not None
    peer.stdin.write(json.dumps(asked).encode() + b"\n")
    return await _answer(peer)


async def _answer(peer: asyncio.subprocess.Process) -> dict[str, Any]:
    assert peer.stdout is not None
    line = await peer.stdout.readline()
    if not line:
        raise RuntimeError("a peer of bare has ended: see what it wrote")
    answer: dict[str, Any] = json.loads(line)
    return answer


class Bench:
    """One run after another over the same servers."""

    def __init__(self, ours: Ours, floor: Floor, pair: Pair, size: Size, pids: Mapping[str, int]) -> None:
        self.ours = ours
        self.floor = floor
        self.pair = pair
        self.size = size
        self.pids = dict(pids)
        self.figures = Figures()
        self._marks = 0
        self._quiet: str | None = None
        self._many: list[str] = []
        self._of_many: dict[str, list[FieldsChange]] = {}
        self._runs = 0

    async def run(self) -> None:
        """Every workload once, by each of the three."""
        self._runs += 1
        await self._one_school()
        await self._single_changes()
        await self._many_schools()
        await self._judging()

    # ── one large school: W6 in 500s, W1, W3, W2 ─────────────────────────────────────────────────────────────────────

    async def _one_school(self) -> None:
        size = self.size
        npsn, twin = new_npsn(), new_npsn()
        staff = new_staff(size.records, self.ours.today)
        ids = list(staff)
        self.figures.records |= {
            "W1": size.records, "W2": 2 * size.both_ways, "W3": size.records, "W5": size.schools * size.per_school,
        }  # fmt: skip
        await self._timed("W1", "floor", lambda: self.floor.insert(rows(npsn, staff)))
        await self._bare("W1", self.pair.site, self.pair.central, rows(twin, staff))
        await self.ours.school(npsn, pupils=2, classes=1, teachers=2)
        changes = [FieldsChange(entity=ENTITY, record_id=one, fields=fields) for one, fields in staff.items()]
        await self._timed("W6, 500 in an event", "ours", lambda: self.ours.publish(npsn, changes))
        await self._timed("W1", "ours", lambda: self.ours.sync(npsn))

        there: dict[str, Fields] = {one: {**fields, "jenis_ptk_id": 3} for one, fields in staff.items()}
        await self._timed("W3", "floor", lambda: self.floor.merge(rows(npsn, there, 2)))
        await self._bare("W3", self.pair.central, self.pair.site, rows(twin, there, 2))
        await self.ours.officer(npsn, {one: {"jenis_ptk_id": 3} for one in staff}, 1)
        await self._timed("W3", "ours", lambda: self.ours.pull(npsn))

        mine, theirs = ids[: size.both_ways], ids[size.both_ways : 2 * size.both_ways]
        here_rows = rows(npsn, {one: {**there[one], "rt": 77} for one in mine}, 3)
        there_rows = rows(npsn, {one: {**there[one], "jenis_ptk_id": 4} for one in theirs}, 3)
        await self._timed("W2", "floor", lambda: self.floor.merge(here_rows + there_rows))
        await self._both_ways([(twin, *row[1:]) for row in here_rows], [(twin, *row[1:]) for row in there_rows])
        await self.ours.officer(npsn, {one: {"jenis_ptk_id": 4} for one in theirs}, 2)
        await self.ours.publish(npsn, [_changed(one, rt=77) for one in mine])
        await self._timed("W2", "ours", lambda: self.ours.sync(npsn))

    async def _bare(
        self, workload: str, sender: Any, taker: Any, held: list[Row], *, batch: int = 500, who: str = "bare"
    ) -> None:
        self._marks += 1
        for start in range(0, len(held), 2000):
            await do(sender, do="hold", rows=held[start : start + 2000], mark=self._marks)

        async def sent() -> None:
            await asyncio.gather(
                do(sender, do="send", mark=self._marks, batch=batch), do(taker, do="await", records=len(held))
            )

        await self._timed(workload, who, sent)

    async def _both_ways(self, here: list[Row], there: list[Row]) -> None:
        self._marks += 1
        site, central = self.pair.site, self.pair.central
        for peer, held in ((site, here), (central, there)):
            await do(peer, do="hold", rows=held, mark=self._marks)

        async def one(peer: Any, coming: int) -> None:
            await do(peer, do="send", mark=self._marks, batch=500)
            await do(peer, do="await", records=coming)

        async def both() -> None:
            await asyncio.gather(one(site, len(there)), one(central, len(here)))

        await self._timed("W2", "bare", both)

    # ── W4 ───────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _single_changes(self) -> None:
        if self._quiet is None:
            self._quiet = new_npsn()
            self._pupils = list(
                (await self.ours.school(self._quiet, pupils=110, classes=6, teachers=8))["peserta_didik"]
            )
        times: dict[str, list[float]] = {"floor": [], "bare": [], "ours": [], "ours, receipt": []}
        staff = rows(new_npsn(), new_staff(1, self.ours.today))[0]
        for n in range(self.size.single):
            row = (*staff[:3], self._runs * 1000 + n, staff[4])
            times["floor"].append(await _seconds(lambda row=row: self.floor.one(row)))  # type: ignore[misc]
            self._marks += 1
            await do(self.pair.site, do="hold", rows=[row], mark=self._marks)
            times["bare"].append(await _seconds(self._one_bare))
            change = FieldsChange(
                entity="peserta_didik",
                record_id=self._pupils[n % len(self._pupils)],
                fields={"jenis_tinggal_id": 1 + (self._runs + n // len(self._pupils)) % 5, "rt": 1 + n % 90},
            )
            durable, receipt = await self.ours.change_and_sync(self._quiet, change, self.ours.stage.registry)
            times["ours"].append(durable)
            times["ours, receipt"].append(receipt)
        for who, found in times.items():
            self.figures.add("W4 p50", who, statistics.median(found))
            self.figures.add("W4 p99", who, sorted(found)[max(0, round(len(found) * 0.99) - 1)])

    async def _one_bare(self) -> None:
        await asyncio.gather(
            do(self.pair.site, do="send", mark=self._marks, batch=500), do(self.pair.central, do="await", records=1)
        )

    # ── W5, and W6 one in an event ───────────────────────────────────────────────────────────────────────────────────

    async def _many_schools(self) -> None:
        size = self.size
        if not self._many:
            for _ in range(size.schools):
                npsn = new_npsn()
                school = await self.ours.school(npsn, pupils=size.per_school, classes=6, teachers=8)
                self._many.append(npsn)
                self._of_many[npsn] = [_changed(one, entity="peserta_didik") for one in school["peserta_didik"]]
        value = 10 + self._runs
        staff = new_staff(size.per_school, self.ours.today)
        held = [row for npsn in self._many for row in rows(npsn, staff, self._runs)]

        async def floor() -> None:
            for start in range(0, len(held), size.per_school):
                await self.floor.merge(held[start : start + size.per_school])

        await self._timed("W5", "floor", floor)
        await self._bare("W5", self.pair.site, self.pair.central, held, batch=size.per_school)
        singly = f"W6, 1 in an event ({size.schools} schools)"

        def changes(npsn: str, **fields: Any) -> list[FieldsChange]:
            return [one.model_copy(update={"fields": fields}) for one in self._of_many[npsn]]

        async def publish() -> None:
            await asyncio.gather(*(self.ours.publish(npsn, changes(npsn, rt=value), size=1) for npsn in self._many))

        await self._timed(singly, "ours", publish)

        async def sync() -> None:
            await asyncio.gather(*(self.ours.sync(npsn) for npsn in self._many))

        await self._timed("W5", "ours", sync)

    # ── V ────────────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _judging(self) -> None:
        """In this process, by the validator's own code on the replica."""
        replica, today = self.ours.stage.replica, calendar.today()
        npsn = new_npsn()
        classes = max(1, self.size.judged_pupils // 26)
        school = await self.ours.school(npsn, pupils=self.size.judged_pupils, classes=classes, teachers=classes + 3)
        async with replica.transaction() as transaction:
            await self._timed("V, all of it", "ours", lambda: judging.judge(transaction, npsn, today))
        self.figures.records["V"] = sum(map(len, school.values()))
        pupil = next(iter(school["peserta_didik"]))
        await self._timed("V, after one change", "ours", lambda: self.ours.publish(npsn, [_changed(pupil, rt=88)]))
        async with replica.transaction() as transaction:
            assert await records.count_pending(transaction, npsn) == 1

    async def _timed(self, workload: str, who: str, work: Callable[[], Awaitable[Any]]) -> None:
        before = measure.now(self.pids)
        seconds = await _seconds(work)
        self.figures.add(workload, who, seconds)
        self.figures.processor.setdefault((workload, who), []).append(measure.spent(before, self.pids))
        for name in ("validator", "syncer", "puller", "central"):
            peak = measure.peak_bytes(self.pids[name])
            self.figures.peak_bytes[name] = max(self.figures.peak_bytes.get(name, 0), peak)


async def _seconds(work: Callable[[], Awaitable[Any]]) -> float:
    began = time.perf_counter()
    await work()
    return time.perf_counter() - began


def _changed(record_id: str, *, entity: str = ENTITY, **fields: Any) -> FieldsChange:
    return FieldsChange(entity=entity, record_id=record_id, fields=fields)
