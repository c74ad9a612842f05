"""Records in and out of the replica: read by their keys, written back set by set, in the caller's transaction.

The caller holds the lock on the school's row. Nothing here decides anything: what a record becomes is the business of
`exchange.absorb`, what it means that of `rules`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from services.database import Transaction, columns, from_json, to_json
from services.entities import INTEGER_LIMIT
from services.exchange import canonical
from services.exchange.absorb import Base, Conflict, Overruled, Replicated, Sent
from services.exchange.canonical import NotCanonical
from services.messages import Problem

Key = tuple[str, str]
"""(entity, record_id)."""
School = dict[str, dict[str, dict[str, Any]]]
"""entity → record_id → fields: a school as its operators see it."""


class Shown(NamedTuple):
    """Did a record's data change with what central shows, and what were they before (text; None: no record)."""

    changed: bool
    before: str | None


EARLY_BYTES = 2048
"""Of data and base, that a record may have on an average to go with an OPEN."""
NOTHING = Replicated(Base(0, 0, None), None)
"""A record that is neither here nor, as far as this site knows, at central."""


async def read(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> dict[Key, Replicated]:
    """The records that exist under `keys`; a key without a record is absent."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return {}
    rows = await transaction.rows(
        f"""
        SELECT {_SELECTED}
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
        """,  # noqa: S608  names of columns
        npsn=npsn,
        **_arrays(wanted),
    )
    return {(row.entity, row.record_id): of_row(row) for row in rows}


async def pending(transaction: Transaction, npsn: str) -> dict[Key, Replicated]:
    """Every record whose data differ from base."""
    rows = await transaction.rows(
        f"SELECT {_SELECTED} FROM record r WHERE npsn = :npsn AND pending ORDER BY entity, record_id",  # noqa: S608
        npsn=npsn,
    )
    return {(row.entity, row.record_id): of_row(row) for row in rows}


async def sendable(transaction: Transaction, npsn: str) -> dict[Key, Replicated]:
    """Every pending record that no conflict holds, but for those whose base a hand left as none can be: what they would
    send is not known before they are mended.
    """
    rows = await transaction.rows(
        f"""
        SELECT {_SELECTED} FROM record r
        WHERE npsn = :npsn AND pending AND conflict IS NULL AND base_version BETWEEN 0 AND :limit
        ORDER BY entity, record_id
        """,  # noqa: S608
        npsn=npsn,
        limit=INTEGER_LIMIT,
    )
    found = {}
    for row in rows:
        with contextlib.suppress(NotCanonical):
            found[(row.entity, row.record_id)] = of_row(row)
    return found


async def fit_early(transaction: Transaction, npsn: str, most: int) -> bool:
    """Are the pending records few enough to go with an OPEN, and is nothing in doubt?"""
    return bool(
        await transaction.value(
            """
            SELECT count(*) <= :most AND coalesce(sum(bytes), 0) <= :bytes AND NOT coalesce(bool_or(is_sent), false)
            FROM (
                SELECT is_sent, coalesce(octet_length(data), 0) + coalesce(octet_length(base), 0) AS bytes
                FROM record WHERE npsn = :npsn AND (pending OR is_sent) LIMIT :most + 1
            ) AS first
            """,
            npsn=npsn,
            most=most,
            bytes=most * EARLY_BYTES,
        )
    )


async def mark_sent(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> None:
    """These records are being sent as they stand: from now on in doubt."""
    await transaction.run(
        """
        UPDATE record r SET is_sent = true, sent = data
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS given (entity, record_id)
        WHERE r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
        """,
        npsn=npsn,
        **_arrays(list(keys)),
    )


async def take_as_sent(transaction: Transaction, npsn: str, answered: Mapping[Key, tuple[int, int]]) -> set[Key]:
    """Central holds these records exactly as they were sent, in this (version, seq): what was sent becomes the base.

    Only those of which nobody has typed since, that no conflict holds and no refusal hangs on; which they are.
    """
    keys = list(answered)
    rows = await transaction.rows(
        """
        UPDATE record r SET base_version = given.version, base_seq = given.seq, base = r.sent,
            is_sent = false, sent = NULL
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]),
                    CAST(:seqs AS bigint[])) AS given (entity, record_id, version, seq)
        WHERE r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
          AND r.is_sent AND r.data IS NOT DISTINCT FROM r.sent AND r.base_version <= given.version
          AND r.conflict IS NULL AND r.refusal IS NULL
        RETURNING r.entity, r.record_id
        """,
        npsn=npsn,
        **_arrays(keys),
        versions=[answered[key][0] for key in keys],
        seqs=[answered[key][1] for key in keys],
    )
    return {(row.entity, row.record_id) for row in rows}


async def take_as_shown(
    transaction: Transaction, npsn: str, shown: Mapping[Key, tuple[int, int, str | None]]
) -> dict[Key, Shown]:
    """Central shows these records in this (version, seq, text): that becomes base and data of those of which the site
    has no word of its own. Which they are.
    """
    keys = list(shown)
    rows = await transaction.rows(
        """
        WITH given AS (
            SELECT * FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]),
                                 CAST(:seqs AS bigint[]), CAST(:texts AS text[]))
                AS given (entity, record_id, version, seq, text)
        ),
        untouched AS (
            SELECT given.*, r.data IS DISTINCT FROM given.text AS changed, r.data AS before
            FROM given LEFT JOIN record r
              ON r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
            WHERE r.npsn IS NULL
               OR (NOT r.pending AND NOT r.is_sent AND r.conflict IS NULL AND r.base_version <= given.version)
        ),
        written AS (
            INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data)
            SELECT :npsn, entity, record_id, version, seq, text, text FROM untouched
            ON CONFLICT (npsn, entity, record_id) DO UPDATE SET base_version = excluded.base_version,
                base_seq = excluded.base_seq, base = excluded.base, data = excluded.data, changed_at = now()
        )
        SELECT entity, record_id, changed, CASE WHEN changed THEN before END AS before FROM untouched
        """,
        npsn=npsn,
        **_arrays(keys),
        versions=[version for version, _, _ in shown.values()],
        seqs=[seq for _, seq, _ in shown.values()],
        texts=[text for _, _, text in shown.values()],
    )
    return {(row.entity, row.record_id): Shown(row.changed, row.before) for row in rows}


async def sent(transaction: Transaction, npsn: str) -> dict[Key, Replicated]:
    """Every record that was sent and not yet answered."""
    rows = await transaction.rows(
        f"SELECT {_SELECTED} FROM record r WHERE npsn = :npsn AND is_sent",  # noqa: S608
        npsn=npsn,
    )
    return {(row.entity, row.record_id): of_row(row) for row in rows}


async def in_conflict(transaction: Transaction, npsn: str) -> dict[Key, Replicated]:
    """Every record with a conflict that waits for a person, by entity and record."""
    rows = await transaction.rows(
        f"SELECT {_SELECTED} FROM record r WHERE npsn = :npsn AND conflict IS NOT NULL ORDER BY entity, record_id",  # noqa: S608
        npsn=npsn,
    )
    return {(row.entity, row.record_id): of_row(row) for row in rows}


async def write(transaction: Transaction, npsn: str, records: Mapping[Key, Replicated]) -> bool:
    """Store the records as they are; one of which nothing is left loses its row. Did a refusal go with one?"""
    kept = {key: record for key, record in records.items() if not record.gone}
    gone = [key for key in records if key not in kept]
    if kept:
        rows = [_row(key, record) for key, record in kept.items()]
        await transaction.run(_WRITE, npsn=npsn, **columns(rows, *_COLUMNS))
    if not gone:
        return False
    went = await transaction.rows(
        """
        DELETE FROM record r
        USING unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS gone (entity, record_id)
        WHERE r.npsn = :npsn AND r.entity = gone.entity AND r.record_id = gone.record_id
        RETURNING r.refusal IS NOT NULL AS refused
        """,
        npsn=npsn,
        **_arrays(gone),
    )
    return any(row.refused for row in went)


async def refused(transaction: Transaction, npsn: str, keys: Iterable[Key] | None = None) -> dict[Key, list[Problem]]:
    """Central's findings with each pending record that it refused last (of `keys`), by entity and record."""
    some = None if keys is None else _arrays(list(keys))
    rows = await transaction.rows(
        f"""
        SELECT entity, record_id, refusal FROM record
        WHERE npsn = :npsn AND pending AND refusal IS NOT NULL {"" if some is None else _AMONG}
        ORDER BY entity, record_id
        """,  # noqa: S608  a condition of ours
        npsn=npsn,
        **(some or {}),
    )
    return {(r.entity, r.record_id): [Problem.model_validate(one) for one in from_json(r.refusal)] for r in rows}


async def note_refusals(
    transaction: Transaction, npsn: str, refusals: Mapping[Key, Sequence[Mapping[str, Any]] | None]
) -> int:
    """Keep central's findings with the records it refused; None takes an older refusal off. The number that changed."""
    keys = list(refusals)
    if not keys:
        return 0
    return await transaction.run(
        """
        UPDATE record r SET refusal = CASE WHEN r.pending THEN CAST(given.refusal AS jsonb) END
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:refusals AS text[]))
             AS given (entity, record_id, refusal)
        WHERE r.npsn = :npsn AND r.entity = given.entity AND r.record_id = given.record_id
          AND r.refusal IS DISTINCT FROM CASE WHEN r.pending THEN CAST(given.refusal AS jsonb) END
        """,
        npsn=npsn,
        **_arrays(keys),
        refusals=[None if (found := refusals[key]) is None else to_json(list(found)) for key in keys],
    )


async def drop_refusals(transaction: Transaction, npsn: str) -> int:
    """Take the refusal off what is not to be sent any more; the number of records."""
    return await transaction.run(
        "UPDATE record SET refusal = NULL WHERE npsn = :npsn AND refusal IS NOT NULL AND NOT pending", npsn=npsn
    )


async def log_overruled(
    transaction: Transaction,
    npsn: str,
    entries: Sequence[tuple[Key, Overruled, int]],
    *,
    how: str = "overruled",
    actor: str | None = None,
) -> None:
    """Keep both values, for ever: (record, values, central's version), how it came about, and the person who chose."""
    if not entries:
        return
    keys = [key for key, _, _ in entries]
    await transaction.run(
        """
        INSERT INTO overruled (npsn, entity, record_id, field, mine, theirs, version, how, actor)
        SELECT :npsn, entity, record_id, field, CAST(mine AS jsonb), CAST(theirs AS jsonb), version, :how, :actor
        FROM unnest(
            CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:fields AS text[]), CAST(:mine AS text[]),
            CAST(:theirs AS text[]), CAST(:versions AS bigint[])
        ) AS given (entity, record_id, field, mine, theirs, version)
        """,
        npsn=npsn,
        **_arrays(keys),
        fields=[overruled.field for _, overruled, _ in entries],
        mine=[to_json(overruled.mine) for _, overruled, _ in entries],
        theirs=[to_json(overruled.theirs) for _, overruled, _ in entries],
        versions=[version for _, _, version in entries],
        how=how,
        actor=actor,
    )


async def touch(transaction: Transaction, npsn: str) -> int:
    """An operator changed data or a conflict mark of the school: its new revision.

    A verdict about an older one is outdated.
    """
    return int(
        await transaction.value(
            """
            UPDATE school SET revision = revision + 1, typed_revision = revision + 1
            WHERE npsn = :npsn RETURNING revision
            """,
            npsn=npsn,
        )
    )


async def live(transaction: Transaction, npsn: str) -> School:
    """The whole school as its operators see it: what the rules judge."""
    rows = await transaction.rows(
        "SELECT entity, record_id, data FROM record WHERE npsn = :npsn AND data IS NOT NULL ORDER BY entity, record_id",
        npsn=npsn,
    )
    school: School = {}
    for row in rows:
        school.setdefault(row.entity, {})[row.record_id] = canonical.decode(row.data)
    return school


async def present(transaction: Transaction, npsn: str, keys: Iterable[Key]) -> set[Key]:
    """Which of `keys` name a record that is there (not deleted) in the operators' view."""
    wanted = list(dict.fromkeys(keys))
    if not wanted:
        return set()
    rows = await transaction.rows(
        """
        SELECT r.entity, r.record_id
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])) AS wanted (entity, record_id)
        JOIN record r ON r.npsn = :npsn AND r.entity = wanted.entity AND r.record_id = wanted.record_id
        WHERE r.data IS NOT NULL
        """,
        npsn=npsn,
        **_arrays(wanted),
    )
    return {(row.entity, row.record_id) for row in rows}


async def count_pending(transaction: Transaction, npsn: str) -> int:
    """Records whose data differ from base: what central has not got yet."""
    return int(await transaction.value("SELECT count(*) FROM record WHERE npsn = :npsn AND pending", npsn=npsn))


_AMONG = "AND (entity, record_id) IN (SELECT * FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[])))"
_SELECTED = "r.entity, r.record_id, r.base_version, r.base_seq, r.base, r.data, r.is_sent, r.sent, r.conflict"
_COLUMNS = ("entity", "record_id", "base_version", "base_seq", "base", "data", "is_sent", "sent", "conflict")

_WRITE = """
INSERT INTO record (npsn, entity, record_id, base_version, base_seq, base, data, is_sent, sent, conflict)
SELECT :npsn, entity, record_id, base_version, base_seq, base, data, is_sent, sent, CAST(conflict AS jsonb)
FROM unnest(
    CAST(:entity AS text[]), CAST(:record_id AS text[]), CAST(:base_version AS bigint[]), CAST(:base_seq AS bigint[]),
    CAST(:base AS text[]), CAST(:data AS text[]), CAST(:is_sent AS boolean[]), CAST(:sent AS text[]),
    CAST(:conflict AS text[])
) AS given (entity, record_id, base_version, base_seq, base, data, is_sent, sent, conflict)
ON CONFLICT (npsn, entity, record_id) DO UPDATE SET
    base_version = excluded.base_version,
    base_seq     = excluded.base_seq,
    base         = excluded.base,
    data         = excluded.data,
    is_sent      = excluded.is_sent,
    sent         = excluded.sent,
    conflict     = excluded.conflict,
    changed_at   = CASE WHEN record.pending THEN record.changed_at ELSE now() END  -- since when something waits
"""


def _arrays(keys: Sequence[Key]) -> dict[str, list[str]]:
    return {"entities": [entity for entity, _ in keys], "ids": [record_id for _, record_id in keys]}


def _text(fields: dict[str, Any] | None) -> str | None:
    return None if fields is None else canonical.encode(fields)


def _fields(text: str | None) -> dict[str, Any] | None:
    return None if text is None else canonical.decode(text)


def of_row(row: Any) -> Replicated:
    """A row of the table. Raises NotCanonical for a text that a hand made unreadable."""
    mark = from_json(row.conflict)
    return Replicated(
        base=Base(row.base_version, row.base_seq, _fields(row.base)),
        data=_fields(row.data),
        sent=Sent(_fields(row.sent)) if row.is_sent else None,
        conflict=None if mark is None else Conflict(frozenset(mark["fields"]), mark["ancestor"]),
    )


def _row(key: Key, record: Replicated) -> dict[str, Any]:
    mark = record.conflict
    return {
        "entity": key[0],
        "record_id": key[1],
        "base_version": record.base.version,
        "base_seq": record.base.seq,
        "base": _text(record.base.fields),
        "data": _text(record.data),
        "is_sent": record.sent is not None,
        "sent": None if record.sent is None else _text(record.sent.fields),
        "conflict": None if mark is None else to_json({"fields": sorted(mark.fields), "ancestor": mark.ancestor}),
    }
