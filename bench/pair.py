"""The two peers of bare, a process each, told what to do over their standard input."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.floor import Row

QUEUES = ("bench.site", "bench.central")
_ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class Peer:
    """One of them. What each line asks and answers: bench/bare.py."""

    process: asyncio.subprocess.Process

    async def hold(self, rows: Sequence[Row], mark: int | None) -> None:
        """Put rows into its table, marked to be sent."""
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            await self._do(do="hold", rows=rows[start : start + _ROWS_AT_ONCE], mark=mark)

    async def send(self, mark: int, batch: int = 500) -> int:
        """Send what is marked; how many records."""
        return int((await self._do(do="send", mark=mark, batch=batch))["sent"])

    async def taken(self, records: int) -> int:
        """Wait until so many records have come since the last time."""
        return int((await self._do(do="await", records=records))["taken"])

    async def sum(self, npsns: Sequence[str]) -> tuple[int, str]:
        """How many records of these schools it has, and a hash over them."""
        answer = await self._do(do="sum", npsns=list(npsns))
        return int(answer["records"]), str(answer["hash"])

    async def _do(self, **asked: Any) -> dict[str, Any]:
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps(asked).encode() + b"\n")
        return await self.answer()

    async def answer(self) -> dict[str, Any]:
        """The next line that it says."""
        assert self.process.stdout is not None
        line = await self.process.stdout.readline()
        if not line:
            raise RuntimeError("a peer of bare has ended: see what it wrote")
        answer: dict[str, Any] = json.loads(line)
        return answer


@dataclass(frozen=True)
class Pair:
    """Both."""

    site: Peer
    central: Peer

    @classmethod
    async def start(cls, amqp_url: str, site_dsn: str, central_dsn: str) -> Pair:
        """Start both processes and wait until they listen."""
        return cls(
            await start_peer(amqp_url, site_dsn, *QUEUES),
            await start_peer(amqp_url, central_dsn, *reversed(QUEUES)),
        )

    async def stop(self) -> None:
        """They end with their input."""
        for peer in (self.site, self.central):
            assert peer.process.stdin is not None
            peer.process.stdin.close()
            await peer.process.wait()


async def start_peer(amqp_url: str, dsn: str, here: str, there: str) -> Peer:
    """A peer that takes from the queue `here` and sends to `there`, listening."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "bench.bare", amqp_url, dsn, here, there),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    peer = Peer(process)
    await peer.answer()
    return peer
