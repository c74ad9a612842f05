"""Bare: what the same servers do at their fastest with no promise but delivery.

A peer is a process with a database and a quorum queue of its own. It sends what is marked in its table: one select,
500 records per message, all messages under way at once, each confirmed. It takes a message with one set-based upsert,
commits, and acknowledges. Nobody judges, merges, compares or signs; nothing says when all is there but counting.

Driven by one JSON object a line on standard input, answered by one on standard output:
{"do": "hold", "rows": [...], "mark": n}   put rows into the table, marked to be sent
{"do": "send", "mark": n}                  send what is marked → {"sent": records}
{"do": "await", "records": n}              once n records in all have been taken since the last await → {"taken": n}
{"do": "sum", "npsns": [...]}              what it has of these schools → {"records": n, "hash": "…"}
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from typing import Any

import aio_pika
import asyncpg
import orjson
import uvloop
import zstandard

from bench.floor import TABLE

BATCH = 500
PREFETCH = 2
UPSERT = """
INSERT INTO bare (npsn, entity, record_id, version, data)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[], $5::text[])
ON CONFLICT (npsn, entity, record_id) DO UPDATE SET version = excluded.version, data = excluded.data
WHERE bare.version < excluded.version
"""


class Peer:
    """One side. It sends to `there` and takes from `here`."""

    def __init__(self, connection: asyncpg.Connection, taking: asyncpg.Connection, here: str, there: str) -> None:
        self._connection = connection
        self._taking = taking
        self._here = here
        self._there = there
        self._taken = 0
        self._more = asyncio.Condition()

    async def start(self, amqp_url: str) -> None:
        """Connect twice, to take and to send; declare both queues."""
        for connection in (self._connection, self._taking):
            await connection.execute(TABLE.format(name="bare"))
        await self._connection.execute("ALTER TABLE bare ADD COLUMN IF NOT EXISTS mark bigint")
        await self._connection.execute("CREATE INDEX IF NOT EXISTS bare_mark ON bare (mark) WHERE mark IS NOT NULL")
        self._broker = [await aio_pika.connect(amqp_url) for _ in range(2)]
        taking = await self._broker[0].channel()
        sending = await self._broker[1].channel(on_return_raises=True)
        await taking.set_qos(PREFETCH)
        quorum: dict[str, Any] = {"x-queue-type": "quorum"}
        queue = await taking.declare_queue(self._here, durable=True, arguments=quorum)
        await sending.declare_queue(self._there, durable=True, arguments=quorum)
        self._exchange = sending.default_exchange
        self._order = asyncio.Lock()
        await queue.consume(self._take)

    async def stop(self) -> None:
        """Close everything."""
        for broker in self._broker:
            await broker.close()
        for connection in (self._connection, self._taking):
            await connection.close()

    async def hold(self, rows: Sequence[Sequence[Any]], mark: int | None) -> None:
        """Put rows into the table; those with a `mark` are to be sent."""
        async with self._connection.transaction():
            await self._connection.executemany(
                "INSERT INTO bare VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (npsn, entity, record_id) DO UPDATE "
                "SET version = excluded.version, data = excluded.data, mark = excluded.mark",
                [(*row, mark) for row in rows],
            )

    async def send(self, mark: int, batch: int = BATCH) -> int:
        """Send what is marked; how many records, once all are confirmed."""
        rows = await self._connection.fetch(
            "SELECT npsn, entity, record_id, version, data FROM bare WHERE mark = $1 ORDER BY npsn", mark
        )
        messages = [rows[start : start + batch] for start in range(0, len(rows), batch)]
        await asyncio.gather(*(self._publish(message) for message in messages))
        return len(rows)

    async def _publish(self, rows: Sequence[asyncpg.Record]) -> None:
        body = zstandard.ZstdCompressor(level=1).compress(orjson.dumps([tuple(row) for row in rows]))
        message = aio_pika.Message(body, delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await self._exchange.publish(message, self._there, mandatory=True)

    async def _take(self, message: aio_pika.abc.AbstractIncomingMessage) -> None:
        rows = orjson.loads(zstandard.ZstdDecompressor().decompress(message.body))
        async with self._order:
            await self._taking.execute(UPSERT, *map(list, zip(*rows, strict=True)))
        await message.ack()
        async with self._more:
            self._taken += len(rows)
            self._more.notify_all()

    async def taken(self, records: int) -> int:
        """Wait until so many records have come since the last time; their number."""
        async with self._more:
            await self._more.wait_for(lambda: self._taken >= records)
            taken, self._taken = self._taken, 0
        return taken

    async def sum(self, npsns: Sequence[str]) -> dict[str, Any]:
        """How many records of these schools there are, and a hash over them all."""
        row = await self._connection.fetchrow(
            """
            SELECT count(*) AS records, md5(string_agg(concat_ws('|', npsn, entity, record_id, version, data), '|'
                                                       ORDER BY npsn, entity, record_id)) AS hash
            FROM bare WHERE npsn = ANY($1::text[])
            """,
            npsns,
        )
        return dict(row or {})


async def serve(amqp_url: str, dsn: str, here: str, there: str) -> None:
    """Do as standard input says until it ends."""
    peer = Peer(await asyncpg.connect(dsn), await asyncpg.connect(dsn), here, there)
    await peer.start(amqp_url)
    reader = asyncio.StreamReader(limit=64 * 1024 * 1024)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    _answer({"ready": True})
    with contextlib.suppress(asyncio.IncompleteReadError):
        while line := await reader.readline():
            asked = json.loads(line)
            if asked["do"] == "hold":
                await peer.hold(asked["rows"], asked["mark"])
                _answer({"held": len(asked["rows"])})
            elif asked["do"] == "send":
                _answer({"sent": await peer.send(asked["mark"], asked["batch"])})
            elif asked["do"] == "sum":
                _answer(await peer.sum(asked["npsns"]))
            else:
                _answer({"taken": await peer.taken(asked["records"])})
    await peer.stop()


def _answer(said: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:  # as the services do
        runner.run(serve(*sys.argv[1:5]))
