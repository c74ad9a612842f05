"""Central's own rows, where a hand altered them, mended from what a statement proves.

A row comes back from a site that holds it under a statement that central signed, under the same version and seq:
nothing moves for readers, and nothing is announced.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from services import topology
from services.broker import Handlers
from services.central import claims, descent, schools
from services.central.descent import Live, Reply
from services.central.gauges import Counters
from services.central.schools import School
from services.central.speaking import kinds
from services.database import Database, Transaction
from services.exchange import canonical, digest
from services.exchange.digest import row_hash, row_hash_sql
from services.exchange.lineage import Life, common
from services.messages import (
    Message,
    ProvenRow,
    SessionMend,
    SessionMended,
    SessionStale,
)
from services.signing import NotProven, SigningKeys
from services.wire import Event

log = logging.getLogger(__name__)

HASH_BYTES = 32


def mending_handlers(
    handlers: Handlers,
    database: Database,
    *,
    reply: Reply,
    live: Live,
    counters: Counters,
    keys: Callable[[], SigningKeys],
) -> None:
    """Add the handler of the repair."""

    @handlers.on(topology.CENTRAL_REQUESTS, SessionMend)
    async def on_session_mend(event: Event[SessionMend]) -> None:
        """Take back, from the site, rows of central's that were altered."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            await kinds(transaction, event)
            school = await live(transaction, event)
            if school:
                answer = await mend(transaction, school, event.data, keys())
        if isinstance(answer, SessionMended):
            counters.repaired(event.data.entity, len(answer.written) + len(answer.removed))
        await reply(event, answer)


async def mend(transaction: Transaction, school: School, asked: SessionMend, keys: SigningKeys) -> SessionMended:
    """Write what the statement proves and central's own past lacks; again is harmless."""
    proof = _proof(school, asked, keys)
    if proof is None:
        return SessionMended(head_seq=school.head_seq, proven=False)
    proven = [
        row
        for row in asked.records
        if row_hash(asked.entity, row.record_id, row.version, row.text) in proof.hashes
        and row.text != ""  # hashed as a tombstone is, and no record
    ]
    own = await descent.past(transaction, school, keys)
    if own.holds:  # an older statement takes nothing of it back
        return SessionMended(head_seq=school.head_seq, proven=True, kept=[row.record_id for row in proven])
    held = await _held(transaction, school.npsn, asked.entity, [row.record_id for row in proven], proof.seq)
    wrong = [row for row in proven if _altered(held.get(row.record_id), proof)]
    written = await _write(transaction, school, asked, wrong, held, proof)
    removed = await _remove(transaction, school, asked, proof) if asked.last else []
    if written or removed:
        await schools.advance(transaction, school.npsn, school.head_seq)  # what central thought of it was of other rows
        log.error("rows altered at central were mended", extra={"repaired": len(written), "removed": len(removed)})
    altered = {row.record_id for row in wrong}
    return SessionMended(
        head_seq=school.head_seq,
        proven=True,
        written=written,
        kept=[row.record_id for row in proven if row.record_id not in altered],
        removed=removed,
    )


@dataclass(frozen=True, slots=True)
class _Proof:
    """The row hashes of one entity under a statement, and the statement's head."""

    hashes: frozenset[bytes]
    rows: int
    seq: int


@dataclass(frozen=True, slots=True)
class _Held:
    """A record as central holds it now; `superseded`: there is another version of it as of the statement."""

    version: int
    seq: int
    text: str | None
    row_hash: bytes
    superseded: bool


def _proof(school: School, asked: SessionMend, keys: SigningKeys) -> _Proof | None:
    """What the site's proof proves: signed by central, about this school, of a history that central still has."""
    try:
        said = keys.public.verify(asked.statement)
        hashes = base64.b64decode(asked.hashes, validate=True)
        digests = {name: (one.rows, bytes.fromhex(one.digest)) for name, one in asked.digests.items()}
    except (NotProven, binascii.Error, ValueError):
        return None
    if said["npsn"] != school.npsn or len(hashes) % HASH_BYTES:
        return None
    rows = len(hashes) // HASH_BYTES
    digests[asked.entity] = (rows, hashlib.sha256(hashes).digest())
    if digest.root(digests).hex() != said["root"]:
        return None
    seq = int(said["head_seq"])
    theirs = [Life(life["incarnation"], life["head_seq"]) for life in said["lineage"]]
    ours = [Life(life.incarnation, life.head_seq) for life in school.lineage]
    if common(theirs, seq, ours, school.head_seq) != seq:
        return None
    return _Proof(frozenset(hashes[n : n + HASH_BYTES] for n in range(0, len(hashes), HASH_BYTES)), rows, seq)


def _altered(held: _Held | None, proof: _Proof) -> bool:
    """Is central's own past about a proven record wrong? What it superseded since the statement is its own word."""
    if held is None:
        return True
    return held.row_hash not in proof.hashes and not (held.seq > proof.seq and held.superseded)


async def _held(
    transaction: Transaction, npsn: str, entity: str, record_ids: Sequence[str], seq: int
) -> dict[str, _Held]:
    rows = await transaction.rows(
        """
        SELECT r.record_id, r.version, r.seq, r.text, r.row_hash,
               EXISTS (
                   SELECT 1 FROM history h
                   WHERE h.npsn = r.npsn AND h.entity = r.entity AND h.record_id = r.record_id
                     AND h.seq <= :seq AND h.superseded_seq > :seq
               ) AS superseded
        FROM record r WHERE r.npsn = :npsn AND r.entity = :entity AND r.record_id = ANY(:ids)
        """,
        npsn=npsn,
        entity=entity,
        ids=list(record_ids),
        seq=seq,
    )
    return {r.record_id: _Held(r.version, r.seq, r.text, bytes(r.row_hash), r.superseded) for r in rows}


async def _write(
    transaction: Transaction,
    school: School,
    asked: SessionMend,
    rows: Sequence[ProvenRow],
    held: dict[str, _Held],
    proof: _Proof,
) -> list[str]:
    """Write these rows in place of what is there; a row's seq is central's own where the statement covers it, else the
    site's, if it is free. The ids of those written.
    """
    seqs = {}
    for row in rows:
        own = held.get(row.record_id)
        seqs[row.record_id] = own.seq if own and 0 < own.seq <= proof.seq else row.seq
    taken = await _taken(transaction, school.npsn, asked.entity, seqs)
    fit = list(
        {
            seqs[row.record_id]: row
            for row in rows
            if 0 < seqs[row.record_id] <= proof.seq and row.record_id not in taken
        }.values()
    )
    if not fit:
        return []
    was = [held.get(row.record_id) for row in fit]
    await _log(transaction, school, asked.entity, [
        (row.record_id, own, row.version, seqs[row.record_id], row.text) for row, own in zip(fit, was, strict=True)
    ])  # fmt: skip
    await transaction.run(
        """
        INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by)
        SELECT :npsn, :entity, given.*, :by
        FROM unnest(CAST(:ids AS text[]), CAST(:versions AS bigint[]), CAST(:seqs AS bigint[]), CAST(:texts AS text[]))
            AS given
        ON CONFLICT (npsn, entity, record_id) DO UPDATE
            SET version = excluded.version, seq = excluded.seq, text = excluded.text
        """,
        npsn=school.npsn,
        entity=asked.entity,
        by=school.site or "",
        ids=[row.record_id for row in fit],
        versions=[row.version for row in fit],
        seqs=[seqs[row.record_id] for row in fit],
        texts=[row.text for row in fit],
    )
    await claims.keep(transaction, school.npsn, [
        claims.Moved(asked.entity, row.record_id, _readable(own.text if own else None), row.text)
        for row, own in zip(fit, was, strict=True)
    ])  # fmt: skip
    return [row.record_id for row in fit]


async def _taken(transaction: Transaction, npsn: str, entity: str, seqs: dict[str, int]) -> set[str]:
    """The records whose seq belongs to another one, or to another version."""
    rows = await transaction.rows(
        """
        SELECT given.record_id
        FROM unnest(CAST(:ids AS text[]), CAST(:seqs AS bigint[])) AS given (record_id, seq)
        WHERE EXISTS (SELECT 1 FROM history h WHERE h.npsn = :npsn AND h.seq = given.seq)
           OR EXISTS (
               SELECT 1 FROM record r
               WHERE r.npsn = :npsn AND r.seq = given.seq AND (r.entity <> :entity OR r.record_id <> given.record_id)
           )
        """,
        npsn=npsn,
        entity=entity,
        ids=list(seqs),
        seqs=list(seqs.values()),
    )
    return {r.record_id for r in rows}


async def _remove(transaction: Transaction, school: School, asked: SessionMend, proof: _Proof) -> list[str]:
    """Where every proven record is here again, what stands beside them as of the statement was put there by a hand."""
    rows = await transaction.rows(
        f"""
        SELECT record_id, version, seq, text, row_hash, is_present FROM (
            SELECT record_id, version, seq, text, row_hash, true AS is_present FROM record
            WHERE npsn = :npsn AND entity = :entity AND seq <= :seq
            UNION ALL
            SELECT record_id, version, seq, text, {row_hash_sql(version="version", text="text")}, false FROM history
            WHERE npsn = :npsn AND entity = :entity AND seq <= :seq AND superseded_seq > :seq
        ) AS state
        """,  # noqa: S608  an expression of ours
        npsn=school.npsn,
        entity=asked.entity,
        seq=proof.seq,
    )
    if sum(bytes(r.row_hash) in proof.hashes for r in rows) != proof.rows:
        return []
    surplus = [r for r in rows if r.is_present and bytes(r.row_hash) not in proof.hashes]
    if not surplus:
        return []
    found = [
        (r.record_id, _Held(r.version, r.seq, r.text, bytes(r.row_hash), False), None, None, None) for r in surplus
    ]
    await _log(transaction, school, asked.entity, found)
    await transaction.run(
        "DELETE FROM record WHERE npsn = :npsn AND entity = :entity AND record_id = ANY(:ids)",
        npsn=school.npsn,
        entity=asked.entity,
        ids=[r.record_id for r in surplus],
    )
    await claims.keep(transaction, school.npsn, [
        claims.Moved(asked.entity, r.record_id, _readable(r.text), None) for r in surplus
    ])  # fmt: skip
    return [r.record_id for r in surplus]


def _readable(text: str | None) -> str | None:
    """A text as a hand left it; None: it is no record, and so claims no number."""
    return text if text is not None and canonical.is_canonical(text) else None


async def _log(
    transaction: Transaction,
    school: School,
    entity: str,
    rows: Iterable[tuple[str, _Held | None, int | None, int | None, str | None]],
) -> None:
    """Keep both values of each row: (record_id, as it was found, version, seq and text as they are proven)."""
    listed = list(rows)
    await transaction.run(
        """
        INSERT INTO repair
            (npsn, entity, record_id, session, found_version, found_seq, found_text, version, seq, text)
        SELECT :npsn, :entity, record_id, :session, found_version, found_seq, found_text, version, seq, text
        FROM unnest(
            CAST(:ids AS text[]), CAST(:found_versions AS bigint[]), CAST(:found_seqs AS bigint[]),
            CAST(:found_texts AS text[]), CAST(:versions AS bigint[]), CAST(:seqs AS bigint[]), CAST(:texts AS text[])
        ) AS given (record_id, found_version, found_seq, found_text, version, seq, text)
        """,
        npsn=school.npsn,
        entity=entity,
        session=school.session,
        ids=[record_id for record_id, *_ in listed],
        found_versions=[held and held.version for _, held, *_ in listed],
        found_seqs=[held and held.seq for _, held, *_ in listed],
        found_texts=[held and held.text for _, held, *_ in listed],
        versions=[version for _, _, version, _, _ in listed],
        seqs=[seq for _, _, _, seq, _ in listed],
        texts=[text for *_, text in listed],
    )
