"""What no handler could take: kept whole, with its code and cause, until a person replays or dismisses it.

A row holds the body and the sender as the broker gave them. Listings show neither. Replay marks the row; the service
that owns the queue runs its handler from the row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from services.database import Database, from_json, to_json

SCHEMA = """
CREATE TABLE quarantine (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue        text        NOT NULL,
    code         text        NOT NULL,
    cause        text        NOT NULL,
    sender       text        NOT NULL,
    routing_key  text        NOT NULL,
    properties   jsonb       NOT NULL,
    body         bytea       NOT NULL,
    arrived_at   timestamptz NOT NULL DEFAULT now(),
    replay_asked timestamptz,
    closed_at    timestamptz,
    closed_as    text
)
"""
OPEN_INDEX = "CREATE INDEX quarantine_open ON quarantine (queue) WHERE closed_at IS NULL"


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One message in quarantine. `properties`: headers, type, message_id, content_encoding, reply_to,
    correlation_id.
    """

    id: int
    queue: str
    code: str
    cause: str
    sender: str
    routing_key: str
    properties: dict[str, Any]
    body: bytes
    arrived_at: datetime
    closed_as: str | None


class Quarantine:
    """The table of messages that could not be handled."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def put(
        self,
        *,
        queue: str,
        code: str,
        cause: str,
        sender: str,
        routing_key: str,
        properties: dict[str, Any],
        body: bytes,
    ) -> int:
        """Keep a message; its id. Committed when this returns, so that the message may be acknowledged."""
        async with self._database.transaction() as transaction:
            return int(
                await transaction.value(
                    """
                    INSERT INTO quarantine (queue, code, cause, sender, routing_key, properties, body)
                    VALUES (:queue, :code, :cause, :sender, :key, CAST(:properties AS jsonb), :body) RETURNING id
                    """,
                    queue=queue,
                    code=code,
                    cause=cause,
                    sender=sender,
                    key=routing_key,
                    properties=to_json(properties),
                    body=body,
                )
            )

    async def open(self) -> list[Quarantined]:
        """All that is neither replayed nor dismissed, oldest first."""
        return await self._select("closed_at IS NULL")

    async def get(self, row_id: int) -> Quarantined | None:
        """One row, open or closed."""
        found = await self._select("id = :id", id=row_id)
        return found[0] if found else None

    async def ask_replay(self, row_id: int) -> bool:
        """Mark an open row for replay; False if there is no such open row."""
        async with self._database.transaction() as transaction:
            return (
                await transaction.run(
                    "UPDATE quarantine SET replay_asked = now() WHERE id = :id AND closed_at IS NULL", id=row_id
                )
                == 1
            )

    async def to_replay(self, queues: Sequence[str]) -> list[Quarantined]:
        """The rows of `queues` whose replay was asked for, oldest first."""
        return await self._select(
            "closed_at IS NULL AND replay_asked IS NOT NULL AND queue = ANY(:queues)", queues=list(queues)
        )

    async def close(self, row_id: int, outcome: str) -> None:
        """The row is done with: `replayed` or `dismissed`."""
        async with self._database.transaction() as transaction:
            await transaction.run(
                "UPDATE quarantine SET closed_at = now(), closed_as = :outcome WHERE id = :id",
                id=row_id,
                outcome=outcome,
            )

    async def failed_again(self, row_id: int, code: str, cause: str) -> None:
        """A replay did not help: the row stays open under its new code."""
        async with self._database.transaction() as transaction:
            await transaction.run(
                "UPDATE quarantine SET replay_asked = NULL, code = :code, cause = :cause WHERE id = :id",
                id=row_id,
                code=code,
                cause=cause,
            )

    async def counts(self) -> dict[tuple[str, str], int]:
        """Open rows per (queue, code)."""
        async with self._database.transaction() as transaction:
            rows = await transaction.rows(
                "SELECT queue, code, count(*) AS n FROM quarantine WHERE closed_at IS NULL GROUP BY queue, code"
            )
        return {(r.queue, r.code): r.n for r in rows}

    async def _select(self, where: str, **values: Any) -> list[Quarantined]:
        async with self._database.transaction() as transaction:
            rows = await transaction.rows(
                f"""
                SELECT id, queue, code, cause, sender, routing_key, properties, body, arrived_at, closed_as
                FROM quarantine WHERE {where} ORDER BY id
                """,  # noqa: S608  `where` is one of the literals above
                **values,
            )
        return [
            Quarantined(
                r.id, r.queue, r.code, r.cause, r.sender, r.routing_key, from_json(r.properties), bytes(r.body),
                r.arrived_at, r.closed_as,
            )
            for r in rows
        ]  # fmt: skip
