"""Two sides that should be equal and are not: found down to the rows, each mended by the side that can prove it.

DIFFERENT names entities; then 256 buckets of each, then the hashes of the differing buckets' records, then only those
records travel. Central's row is taken unless a statement proves the site's; what the site can prove goes to central by
`bring`, which only a syncer has. Then both sides verify again: what is not equal after that is for people.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from services.errors import CentralAway
from services.exchange import canonical
from services.exchange.absorb import Base
from services.exchange.digest import row_hash
from services.exchange.mend import Differing, Right, who_is_right
from services.link.session import Different, Failed, Session
from services.messages import (
    EntityDigest,
    Message,
    PageRow,
    SessionBodies,
    SessionBucketed,
    SessionBuckets,
    SessionHashes,
    SessionRecords,
    SessionRows,
)
from services.problems import problem
from services.replica import mending, records
from services.replica.mending import Proof
from services.signing import NotProven, unverified

log = logging.getLogger(__name__)

M = TypeVar("M", bound=Message)
MOST_REPAIRS = 5
"""Times a session mends and verifies again before it is left to people."""
MOST_HASHES = 20_000
"""Row hashes asked for at once."""
MOST_RECORDS = 500
"""Records asked for at once."""


@dataclass(frozen=True, slots=True)
class Brought:
    """What central made of rows that were brought to it: mended there, and those about which its own past is right."""

    mended: int
    kept: Sequence[str]


class Bring(Protocol):
    """Bring rows that the site can prove to central. Only a syncer has one."""

    async def __call__(self, session: Session, entity: str, record_ids: Sequence[str], proof: Proof) -> Brought:
        """The records of `entity` under these ids; none: only the proof, for what central has beside them."""


class _Moved(Exception):
    """Central's head is no longer where the roots were compared."""


async def prove(session: Session, bring: Bring | None = None) -> dict[str, Any]:
    """VERIFY, and mend what differs, until both sides are equal at the same seq; central's statement.

    Raises Failed: SYN-20 when neither side can prove a row, SYN-25 when central's was altered and there is no `bring`.
    """
    for _ in range(MOST_REPAIRS):
        try:
            return await session.verify()
        except Different as found:
            if not found.entities or found.answer.past_holds is None:
                raise  # the same rows at another seq, or an older central: nothing can be mended
            for entity in found.entities:
                session.diverged(entity)
            try:
                await _mend(session, found, bring)
            except _Moved:
                continue
    return await session.verify()


async def _mend(session: Session, found: Different, bring: Bring | None) -> None:
    proof = await proof_of(session)
    stated_seq = max(found.answer.stated_seq, proof.seq if proof else 0)
    sides: dict[Right, list[Differing]] = {side: [] for side in Right}
    for row in await _differing(session, found):
        proven = proof.of(row.entity) if proof else None
        sides[who_is_right(row, proven, past_holds=bool(found.answer.past_holds), stated_seq=stated_seq)].append(row)
    log.error(
        "rows differ from central's",
        extra={"sides": {side.value: len(rows) for side, rows in sides.items()}, "entities": found.entities},
    )
    mended = 0
    take = sides[Right.CENTRAL]
    if proof is not None and bring is not None:
        for entity, rows in _by_entity(sides[Right.SITE]).items():
            brought = await bring(session, entity, [row.record_id for row in rows if row.mine is not None], proof)
            session.mended(entity, "central", brought.mended)
            mended += brought.mended
            take = take + [row for row in rows if row.record_id in set(brought.kept)]
    for entity, rows in _by_entity(take).items():
        taken = await _take(session, entity, rows, found.here.cursor)
        session.mended(entity, "site", taken)
        mended += taken
    session.repaired += mended
    if not mended:
        raise Failed(problem("SYN-25")) if sides[Right.SITE] and bring is None else found


async def proof_of(session: Session) -> Proof | None:
    """What this site can prove: its latest statement, signed by central, and the row hashes under it."""
    async with session.replica.requests.holding(session.job) as (transaction, _):
        jws = await mending.stated(transaction, session.job.npsn)
        if jws is None:
            return None
        try:
            said = session.keys.verify(jws) if session.keys else unverified(jws)
        except NotProven:
            return None
        return await mending.proof(transaction, session.job.npsn, said, jws)


async def _differing(session: Session, found: Different) -> list[Differing]:
    """Every record on which the two sides differ."""
    cursor = found.here.cursor
    entities = list(found.entities)
    there = await _ask(session, "buckets", SessionBuckets(**session.named, entities=entities), SessionBucketed, cursor)
    async with session.replica.requests.holding(session.job) as (transaction, _):
        here = await mending.buckets(transaction, session.job.npsn, entities)
    rows: list[Differing] = []
    for entity in entities:
        theirs = {b.bucket: EntityDigest(rows=b.rows, digest=b.digest) for b in there.entities.get(entity, [])}
        for buckets in _portions(here.get(entity, {}), theirs):
            rows += await _differing_in(session, entity, buckets, cursor)
    return rows


async def _differing_in(session: Session, entity: str, buckets: Sequence[int], cursor: int) -> list[Differing]:
    asked = SessionRows(**session.named, entity=entity, buckets=list(buckets))
    answer = await _ask(session, "rows", asked, SessionHashes, cursor)
    async with session.replica.requests.holding(session.job) as (transaction, _):
        mine = await mending.hashes_of(transaction, session.job.npsn, entity, buckets)
    theirs = {row.record_id: (bytes.fromhex(row.hash), row.seq) for row in answer.rows}
    return [
        Differing(entity, record_id, mine.get(record_id), *theirs.get(record_id, (None, 0)))
        for record_id in sorted(mine.keys() | theirs.keys())
        if mine.get(record_id) != theirs.get(record_id, (None, 0))[0]
    ]


def _portions(mine: Mapping[int, EntityDigest], theirs: Mapping[int, EntityDigest]) -> Iterator[list[int]]:
    """The differing buckets, as many at once as hold MOST_HASHES records."""
    portion: list[int] = []
    size = 0
    for bucket in sorted(mine.keys() | theirs.keys()):
        if mine.get(bucket) == theirs.get(bucket):
            continue
        weight = max(side[bucket].rows for side in (mine, theirs) if bucket in side)
        if portion and size + weight > MOST_HASHES:
            yield portion
            portion, size = [], 0
        portion.append(bucket)
        size += weight
    if portion:
        yield portion


async def _take(session: Session, entity: str, rows: Sequence[Differing], cursor: int) -> int:
    """Make these rows central's; how many were."""
    left = {row.record_id: row.theirs for row in rows}
    taken = 0
    while left:
        asked = list(left)[:MOST_RECORDS]
        request = SessionRecords(**session.named, entity=entity, record_ids=asked)
        answer = await _ask(session, "records", request, SessionBodies, cursor)
        bases = {row.record_id: _base(entity, row, left.get(row.record_id)) for row in answer.rows}
        bases |= {one: Base(0, 0, None) if left.get(one, b"") is None else None for one in answer.absent}
        fit = {(entity, record_id): base for record_id, base in bases.items() if base is not None and record_id in left}
        async with session.replica.requests.holding(session.job) as (transaction, _):
            if await mending.take(transaction, session.job.npsn, fit, session=session.number):
                await records.touch(transaction, session.job.npsn)
        taken += len(fit)
        if not bases:
            raise CentralAway("answered RECORDS with nothing")
        left = {record_id: hashed for record_id, hashed in left.items() if record_id not in bases}
    return taken


def _base(entity: str, row: PageRow, hashed: bytes | None) -> Base | None:
    """A record as it came, if it is the very one that was compared and can be a record at all."""
    if row_hash(entity, row.record_id, row.version, row.text) != hashed or row.version < 1 or row.seq < 0:
        return None
    if row.text is None:
        return Base(row.version, row.seq, None)
    return Base(row.version, row.seq, canonical.decode(row.text)) if canonical.is_canonical(row.text) else None


def _by_entity(rows: Sequence[Differing]) -> dict[str, list[Differing]]:
    found: dict[str, list[Differing]] = {}
    for row in rows:
        found.setdefault(row.entity, []).append(row)
    return found


async def _ask(session: Session, verb: str, request: Message, kind: type[M], cursor: int) -> M:
    """Ask, in a session that is live; the answer must be about the very state that was compared."""
    answer = await session.ask(verb, request)
    if not isinstance(answer, kind):
        raise CentralAway(f"answered {verb.upper()} with {answer.type}")
    if answer.head_seq != cursor:  # type: ignore[attr-defined]
        raise _Moved
    return answer
