"""What an event was answered: the same event again gets the same answer, the same id with other content is refused.

The key is (npsn, source, id). Answers are kept 90 days; at a site each names the school's revision after it, so that
those about what a restore takes away can be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from services.database import Database, Transaction, from_json, to_json
from services.errors import MessageRefused

KEPT_DAYS = 90

SCHEMA = """
CREATE TABLE answer (
    npsn         text        NOT NULL,
    source       text        NOT NULL,
    id           text        NOT NULL,
    content_hash bytea       NOT NULL,
    answer       jsonb       NOT NULL,
    answered_at  timestamptz NOT NULL DEFAULT now(),
    revision     bigint,
    PRIMARY KEY (npsn, source, id)
)
"""


@dataclass(frozen=True, slots=True)
class Answered:
    """The stored answer: a list of [type, data] in the order they were announced."""

    messages: list[tuple[str, dict[str, Any]]]


class Answers:
    """The table of answers; every call is inside the transaction that does the work."""

    @staticmethod
    async def find(
        transaction: Transaction, npsn: str, source: str, event_id: str, content_hash: bytes
    ) -> Answered | None:
        """The answer given before; None if the event is new. Raises MessageRefused MSG-08 for other content."""
        row = await transaction.row(
            "SELECT content_hash, answer FROM answer WHERE npsn = :npsn AND source = :source AND id = :id",
            npsn=npsn,
            source=source,
            id=event_id,
        )
        if row is None:
            return None
        if bytes(row.content_hash) != content_hash:
            raise MessageRefused("MSG-08")
        return Answered([(message[0], message[1]) for message in from_json(row.answer)])

    @staticmethod
    async def keep(
        transaction: Transaction,
        npsn: str,
        source: str,
        event_id: str,
        content_hash: bytes,
        messages: list[tuple[str, dict[str, Any]]],
        revision: int | None = None,
    ) -> None:
        """Remember the answer. `revision`: of the school after it."""
        await transaction.run(
            """
            INSERT INTO answer (npsn, source, id, content_hash, answer, revision)
            VALUES (:npsn, :source, :id, :hash, CAST(:answer AS jsonb), :revision)
            """,
            npsn=npsn,
            source=source,
            id=event_id,
            hash=content_hash,
            answer=to_json(messages),
            revision=revision,
        )

    @staticmethod
    async def forget_after(transaction: Transaction, npsn: str, revision: int) -> None:
        """Drop a school's answers that were given above a revision: what they are about is gone."""
        await transaction.run(
            "DELETE FROM answer WHERE npsn = :npsn AND revision > :revision", npsn=npsn, revision=revision
        )

    @staticmethod
    async def forget_old(database: Database) -> int:
        """Drop what is older than KEPT_DAYS; the number dropped."""
        async with database.transaction() as transaction:
            return await transaction.run(
                "DELETE FROM answer WHERE answered_at < now() - make_interval(days => :days)", days=KEPT_DAYS
            )
