"""A site gives back what central forgot when it was put back from a backup (protocol.md 6): ROLLBACK, the proof, GIVE.

A record is taken if a statement of the school that central signed proves it, and nobody has written it since the two
histories parted; under the same version, and its claims are looked into again. What is not taken and was central's own
is listed for officers.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services import topology
from services.broker import Handlers
from services.central import history, pushing, registry, schools
from services.central.descent import Live, Reply
from services.central.gauges import Counters
from services.central.registry import Key, NewVersion, Stored
from services.central.schools import Batch, School
from services.central.speaking import kinds
from services.database import Database, Transaction, columns
from services.entities import SPECS
from services.errors import MessageRefused
from services.exchange import canonical, digest
from services.exchange.canonical import NotCanonical, same
from services.exchange.digest import row_hash, row_hash_sql
from services.exchange.giving import Given, Now, judge
from services.exchange.lineage import Life, common
from services.exchange.merge import refuses_delete
from services.messages import (
    GivenRecord,
    Message,
    PageRow,
    RecordKey,
    RecordVerdict,
    SessionGive,
    SessionProof,
    SessionProven,
    SessionRefusal,
    SessionResult,
    SessionRollback,
    SessionRolledBack,
    SessionStale,
)
from services.problems import problem
from services.signing import NotProven, SigningKeys
from services.wire import Event

log = logging.getLogger(__name__)

HASH_BYTES = 32
PART_HASHES = 16_384
"""Row hashes in one part of a proof, at most."""
OPEN, ACCEPTED, DISMISSED = "open", "accepted", "dismissed"
"""What officers have made of what is listed."""


def recovering_handlers(
    handlers: Handlers,
    database: Database,
    *,
    reply: Reply,
    live: Live,
    page_bytes: int,
    counters: Counters,
    keys: Callable[[], SigningKeys],
) -> None:
    """Add the handlers of a recover. `page_bytes`: of canonical text in one answer, at most."""

    async def recovering(transaction: Transaction, event: Event[Any]) -> School | None:
        await kinds(transaction, event)
        school = await live(transaction, event)
        return school if school and school.session_kind == "recover" else None

    @handlers.on(topology.CENTRAL_REQUESTS, SessionRollback)
    async def on_session_rollback(event: Event[SessionRollback]) -> None:
        """Give records as they were where the two histories part."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            school = await recovering(transaction, event)
            if school:
                answer = await _rolled_back(transaction, school, event.data, page_bytes)
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionProof)
    async def on_session_proof(event: Event[SessionProof]) -> None:
        """Keep a part of what proves the records that are to come."""
        answer: Message = SessionStale()
        async with database.transaction() as transaction:
            school = await recovering(transaction, event)
            if school:
                answer = await _keep_proof(transaction, school, event.data, keys())
        await reply(event, answer)

    @handlers.on(topology.CENTRAL_REQUESTS, SessionGive)
    async def on_session_give(event: Event[SessionGive]) -> None:
        """Take a batch of records back, once; a verdict for every one."""
        answer: Message = SessionStale()
        taken: Taken | None = None
        async with database.transaction() as transaction:
            school = await recovering(transaction, event)
            if school:
                taken = await take(transaction, school, event)
            if taken:
                answer = SessionResult(
                    batch_no=event.data.batch_no, verdicts=taken.verdicts, head_seq=taken.school.head_seq
                )
        if taken:
            counters.given_back(taken.outcomes)
        await reply(event, answer)


# ── ROLLBACK ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _rolled_back(
    transaction: Transaction, school: School, asked: SessionRollback, page_bytes: int
) -> SessionRolledBack:
    keys = [(key.entity, key.record_id) for key in asked.records]
    found = await history.of_keys(transaction, school.npsn, keys, min(asked.as_of, school.head_seq))
    rows: list[PageRow] = []
    size = 0
    for stored in found:
        size += len((stored.text or "").encode())
        if rows and size > page_bytes:
            break
        rows.append(PageRow(stored.entity, stored.record_id, stored.version, stored.seq, stored.text))
    there = {(stored.entity, stored.record_id) for stored in found}
    return SessionRolledBack(rows=rows, absent=[RecordKey(*key) for key in dict.fromkeys(keys) if key not in there])


# ── the proof ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def _keep_proof(
    transaction: Transaction, school: School, asked: SessionProof, keys: SigningKeys
) -> SessionProven | SessionStale | SessionRefusal:
    """Keep the part, and with the last one say whether they prove anything. A part that comes again is kept again; one
    that leaves a gap is stale.
    """
    try:
        hashes = base64.b64decode(asked.hashes, validate=True)
        said = keys.public.verify(asked.statement)
    except (NotProven, binascii.Error, ValueError) as error:
        if isinstance(error, NotProven) and error.reason == "key":  # nothing is given before the key is there again
            return SessionRefusal(problem=problem("SYN-24", reason=error.reason))
        return SessionProven(proven=False)
    if said["npsn"] != school.npsn or len(hashes) % HASH_BYTES or len(hashes) > PART_HASHES * HASH_BYTES:
        return SessionProven(proven=False)
    kept = await _kept(transaction, school, asked.statement)
    if kept is None and asked.part == 1:
        await _begin(transaction, school, asked.statement, said)
        kept = _Kept(parts=0, is_proven=None)
    if kept is None or asked.part > kept.parts + 1:
        return SessionStale()
    if kept.is_proven is not None:  # trap: a part that comes late takes nothing back
        return SessionProven(proven=kept.is_proven if asked.last else None)
    await transaction.run(
        """
        INSERT INTO proof_part (npsn, part, entity, hashes) VALUES (:npsn, :part, :entity, :hashes)
        ON CONFLICT (npsn, part) DO UPDATE SET entity = excluded.entity, hashes = excluded.hashes
        """,
        npsn=school.npsn,
        part=asked.part,
        entity=asked.entity,
        hashes=hashes,
    )
    if not asked.last:
        return SessionProven()
    digests = await transaction.rows(
        """
        SELECT entity, sum(octet_length(hashes)) / :size AS n,
               sha256(string_agg(hashes, CAST('' AS bytea) ORDER BY part)) AS digest
        FROM proof_part WHERE npsn = :npsn GROUP BY entity
        """,
        npsn=school.npsn,
        size=HASH_BYTES,
    )
    root = digest.root({r.entity: (int(r.n), bytes(r.digest)) for r in digests}).hex()
    proven = hmac.compare_digest(root, said["root"])
    await transaction.run("UPDATE proof SET is_proven = :proven WHERE npsn = :npsn", npsn=school.npsn, proven=proven)
    return SessionProven(proven=proven)


def parted(school: School, lineage: Iterable[dict[str, object]], seq: int) -> int:
    """The seq where a statement's history, which ends at `seq`, and central's own part."""
    theirs = [Life(str(life["incarnation"]), int(str(life["head_seq"]))) for life in lineage]
    return common(theirs, seq, school.lives, school.head_seq)


@dataclass(frozen=True, slots=True)
class _Kept:
    """How far this session's proof by this statement is."""

    parts: int
    is_proven: bool | None


async def _kept(transaction: Transaction, school: School, jws: str) -> _Kept | None:
    row = await transaction.row(
        """
        SELECT is_proven, (SELECT count(*) FROM proof_part WHERE npsn = :npsn) AS parts
        FROM proof WHERE npsn = :npsn AND session = :session AND jws = :jws
        """,
        npsn=school.npsn,
        session=school.session,
        jws=jws,
    )
    return None if row is None else _Kept(row.parts, row.is_proven)


async def _begin(transaction: Transaction, school: School, jws: str, said: Mapping[str, Any]) -> None:
    await transaction.run("DELETE FROM proof_part WHERE npsn = :npsn", npsn=school.npsn)
    await transaction.run(
        """
        INSERT INTO proof (npsn, session, jws, parted) VALUES (:npsn, :session, :jws, :parted)
        ON CONFLICT (npsn) DO UPDATE SET session = excluded.session, jws = excluded.jws, parted = excluded.parted,
            is_proven = NULL
        """,
        npsn=school.npsn,
        session=school.session,
        jws=jws,
        parted=parted(school, said["lineage"], said["head_seq"]),
    )


@dataclass(frozen=True, slots=True)
class _Proof:
    """What the session has proven: row hashes by entity; where its history parts from central's; the statement."""

    hashes: dict[str, frozenset[bytes]]
    parted: int
    jws: str | None

    def of(self, entity: str) -> frozenset[bytes]:
        return self.hashes.get(entity, frozenset())


async def _proof(transaction: Transaction, school: School, entities: Iterable[str]) -> _Proof:
    row = await transaction.row(
        "SELECT jws, parted FROM proof WHERE npsn = :npsn AND session = :session AND is_proven",
        npsn=school.npsn,
        session=school.session,
    )
    if row is None:
        return _Proof({}, 0, None)
    parts = await transaction.rows(
        "SELECT entity, hashes FROM proof_part WHERE npsn = :npsn AND entity = ANY(:entities)",
        npsn=school.npsn,
        entities=sorted(set(entities)),
    )
    found: dict[str, set[bytes]] = {}
    for part in parts:
        joined = bytes(part.hashes)
        found.setdefault(part.entity, set()).update(
            joined[n : n + HASH_BYTES] for n in range(0, len(joined), HASH_BYTES)
        )
    return _Proof({entity: frozenset(hashes) for entity, hashes in found.items()}, row.parted, row.jws)


# ── GIVE ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch; `outcomes` of those that were not answered before: (entity, outcome)."""

    school: School
    verdicts: list[RecordVerdict]
    outcomes: list[tuple[str, Given]]


async def take(transaction: Transaction, school: School, event: Event[SessionGive]) -> Taken | None:
    """Take a batch of the live recover, which is locked. None: it is neither the next batch nor the last one again."""
    asked = event.data
    last = await schools.last_batch(transaction, school.npsn, school.session)
    number = last.batch_no if last else 0
    if last and asked.batch_no == number and event.content_hash == last.content_hash:
        return Taken(school, await pushing.again(transaction, school, asked.records, last), [])
    if asked.batch_no != number + 1:
        return None
    keys = [(given.entity, given.record_id) for given in asked.records]
    if len(set(keys)) != len(keys):
        raise MessageRefused("MSG-09", "records: a record twice in one batch")
    proof = await _proof(transaction, school, (entity for entity, _ in keys))
    now = await registry.read(transaction, school.npsn, keys)
    held = await _held(transaction, school.npsn, asked.records)
    judged = [
        _judged(given, now.get(key), held.get(key), proof) for key, given in zip(keys, asked.records, strict=True)
    ]
    written = await registry.write(
        transaction,
        school,
        [
            NewVersion(given.entity, given.record_id, given.version - 1, given.text)
            for given, outcome in zip(asked.records, judged, strict=True)
            if outcome is Given.TAKEN
        ],
        by=school.site or "",
        session=school.session,
    )
    after = registry.by_key(written)
    answers = []
    for key, outcome in zip(keys, judged, strict=True):
        stored = after.get(key) if outcome is Given.TAKEN else held.get(key) if outcome is Given.SAME else now.get(key)
        answers.append(_verdict(outcome, stored))
    await _note(transaction, school, zip(asked.records, judged, strict=True), now, after, proof)
    await schools.keep_batch(
        transaction,
        school.npsn,
        school.incarnation,
        Batch(school.session, asked.batch_no, event.content_hash, [pushing.kept(answer) for answer in answers]),
    )
    counted = [(entity, outcome) for (entity, _), outcome in zip(keys, judged, strict=True)]
    log.info("records were given back", extra={"npsn": school.npsn, "repaired": len(written)})
    return Taken(replace(school, head_seq=written[-1].seq) if written else school, answers, counted)


def _judged(given: GivenRecord, now: Stored | None, held: Stored | None, proof: _Proof) -> Given:
    if given.text == "":
        return Given.UNPROVEN  # hashed as a tombstone is, and no record
    return judge(
        row_hash(given.entity, given.record_id, given.version, given.text),
        given.version,
        None if now is None else Now(now.version, now.seq),
        held=held is not None,
        proven=proof.of(given.entity),
        parted=proof.parted,
    )


def _verdict(outcome: Given, stored: Stored | None) -> RecordVerdict:
    version, seq = (stored.version, stored.seq) if stored else (0, 0)
    if outcome in (Given.SAME, Given.TAKEN):
        return RecordVerdict(verdict="applied", version=version, seq=seq)
    return RecordVerdict(
        verdict="unchanged", version=version, seq=seq, carries=True, text=stored.text if stored else None
    )


async def _held(transaction: Transaction, npsn: str, given: Sequence[GivenRecord]) -> dict[Key, Stored]:
    """Of these very versions, those that central has, now or superseded."""
    rows = await transaction.rows(
        f"""
        SELECT v.entity, v.record_id, v.version, v.seq, v.text
        FROM unnest(CAST(:entities AS text[]), CAST(:ids AS text[]), CAST(:versions AS bigint[]),
                    CAST(:hashes AS bytea[])) AS given (entity, record_id, version, row_hash)
        JOIN (
            SELECT entity, record_id, version, seq, text, row_hash FROM record WHERE npsn = :npsn
            UNION ALL
            SELECT entity, record_id, version, seq, text, {row_hash_sql(version="version", text="text")}
            FROM history WHERE npsn = :npsn
        ) AS v USING (entity, record_id, version, row_hash)
        """,  # noqa: S608  a part of ours
        npsn=npsn,
        entities=[one.entity for one in given],
        ids=[one.record_id for one in given],
        versions=[one.version for one in given],
        hashes=[row_hash(one.entity, one.record_id, one.version, one.text) for one in given],
    )
    return {(r.entity, r.record_id): Stored(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}


async def _note(
    transaction: Transaction,
    school: School,
    judged: Iterable[tuple[GivenRecord, Given]],
    now: dict[Key, Stored],
    written: Mapping[Key, Stored],
    proof: _Proof,
) -> None:
    """Keep what came back, and list for officers what did not and was central's own."""
    rows = []
    for given, outcome in judged:
        if outcome is Given.SAME:
            continue
        key = (given.entity, given.record_id)
        stored = now.get(key)
        is_proven = row_hash(*key, given.version, given.text) in proof.of(given.entity)
        listed = outcome is not Given.TAKEN and was_centrals(given.entity, given.text, stored)
        rows.append(
            {
                "entity": given.entity,
                "record_id": given.record_id,
                "version": given.version,
                "text": None if outcome is Given.TAKEN else given.text,
                "outcome": outcome.value,
                "seq": written[key].seq if key in written else None,
                "is_proven": is_proven,
                "jws": proof.jws if is_proven and listed else None,
                "state": OPEN if listed else None,
            }
        )
    await transaction.run(
        """
        INSERT INTO given_back
            (npsn, incarnation, session, entity, record_id, version, text, outcome, seq, is_proven, jws, state)
        SELECT :npsn, :incarnation, :session, given.*
        FROM unnest(CAST(:entity AS text[]), CAST(:record_id AS text[]), CAST(:version AS bigint[]),
                    CAST(:text AS text[]), CAST(:outcome AS text[]), CAST(:seq AS bigint[]),
                    CAST(:is_proven AS boolean[]), CAST(:jws AS text[]), CAST(:state AS text[])) AS given
        ON CONFLICT DO NOTHING
        """,
        npsn=school.npsn,
        incarnation=school.incarnation,
        session=school.session,
        **columns(rows, "entity", "record_id", "version", "text", "outcome", "seq", "is_proven", "jws", "state"),
    )


def was_centrals(entity: str, text: str | None, now: Stored | None) -> bool:
    """Does a record that central does not take back say something that only central may say, and that it does not say
    now? What the school may say, it sends again.
    """
    spec = SPECS.get(entity)
    if spec is None:
        return True
    try:
        fields = None if text is None else canonical.decode(text)
        present = now.fields if now else None
    except NotCanonical:
        return True
    if fields is None:  # deleted: the school may do that again, or may not
        return present is not None and refuses_delete(spec, present) is not None
    if spec.central:
        return fields != present
    return any(
        spec.is_central(name, fields) and not same(value, (present or {}).get(name)) for name, value in fields.items()
    )


async def list_older(transaction: Transaction, school: School, since: int) -> int:
    """An installation has taken its place again: what the one before pushed since seq `since` is listed; how many."""
    return await transaction.run(
        """
        INSERT INTO given_back (npsn, incarnation, session, entity, record_id, version, outcome, seq, is_proven, state)
        SELECT :npsn, :incarnation, written_session, entity, record_id, version, 'written', seq, false, 'open'
        FROM (
            SELECT entity, record_id, version, seq, written_session FROM record WHERE npsn = :npsn AND seq > :since
            UNION ALL
            SELECT entity, record_id, version, seq, written_session FROM history WHERE npsn = :npsn AND seq > :since
        ) AS every
        WHERE written_session IS NOT NULL
        ON CONFLICT DO NOTHING
        """,
        npsn=school.npsn,
        incarnation=school.incarnation,
        since=since,
    )
