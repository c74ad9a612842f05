"""A site and central: are both sides equal, and if not where, and whose rows come back (docs/protocol.md 4)."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from services.messages.exchange import InSession, PageRow
from services.messages.parts import Byte, Count, Message, Part, Text


class SessionVerify(InSession):
    """site → central: is this what you hold? `root` in hex. `receipt`: of a recover, the signed statement of the site's
    last sync; on its very root the sync counts again.
    """

    type = "session.verify.v1"

    cursor: Count
    root: str
    unsent: Count
    held: Count
    refused: Count
    receipt: str | None = None


class SessionEqual(Message):
    """central → site: equal, and the statement that says so (a sync's is the receipt).

    `jws`: the same, signed; empty from a central of a release that did not sign yet.
    """

    type = "session.equal.v1"

    statement: dict[str, Any]
    jws: str = ""


class SessionBehind(Message):
    """central → site: there is more to fetch first."""

    type = "session.behind.v1"

    head_seq: Count


class EntityDigest(Part):
    """One entity of a school: its number of rows, tombstones included, and the digest over their hashes, in hex."""

    rows: Count
    digest: str


class SessionDifferent(Message):
    """central → site: the roots differ; what central holds of each entity, so that the site can say where.

    `past_holds`: what central holds as of `stated_seq`, the head of the last statement that it signed for the school,
    still has that statement's root. If not, a hand altered central's copy. None: central is of a release that mends
    nothing.
    """

    type = "session.different.v1"

    entities: dict[str, EntityDigest]
    root: str
    past_holds: bool | None = None
    stated_seq: Count = 0


class SessionBuckets(InSession):
    """site → central: where in these entities do we differ? By the first byte of SHA-256 of record_id."""

    type = "session.buckets.v1"

    entities: Annotated[list[Text], Field(min_length=1, max_length=200)]


class Bucket(Part):
    """The records of an entity whose record_id's SHA-256 begins with this byte: how many, and their digest in hex."""

    bucket: Byte
    rows: Count
    digest: str


class SessionBucketed(Message):
    """central → site: each entity's buckets that have records, at this head."""

    type = "session.bucketed.v1"

    head_seq: Count
    entities: dict[str, list[Bucket]]


class SessionRows(InSession):
    """site → central: which records have these buckets of an entity?"""

    type = "session.rows.v1"

    entity: Text
    buckets: Annotated[list[Byte], Field(min_length=1, max_length=256)]


class RowHash(Part):
    """One record's hash, in hex, and its seq."""

    record_id: str
    seq: int
    hash: str


class SessionHashes(Message):
    """central → site: every record of the buckets, at this head."""

    type = "session.hashes.v1"

    head_seq: Count
    rows: list[RowHash]


class SessionRecords(InSession):
    """site → central: these records of an entity, whole."""

    type = "session.records.v1"

    entity: Text
    record_ids: Annotated[list[Text], Field(min_length=1, max_length=500)]


class SessionBodies(Message):
    """central → site: the records asked for, as many as fit (at least one); `absent`: central has none under the id."""

    type = "session.bodies.v1"

    head_seq: Count
    rows: list[PageRow]
    absent: list[str]


class ProvenRow(Part):
    """A record as the site holds it: its base."""

    record_id: Text
    version: Annotated[int, Field(ge=1)]
    seq: Count
    text: str | None


class SessionMend(InSession):
    """site → central: your records of this entity were altered; these are proven by the statement that you signed.

    `hashes`: base64 of the hashes of all the entity's records under the statement, 32 bytes each, in byte order of
    record_id; with the `digests` of the other entities they make its root. `last`: what central holds beside them, as
    of the statement, may go.
    """

    type = "session.mend.v1"

    statement: str
    entity: Text
    digests: dict[str, EntityDigest]
    hashes: str
    records: Annotated[list[ProvenRow], Field(max_length=500)]
    last: bool


class SessionMended(Message):
    """central → site: what became of them. `written`: mended. `kept`: central's own past about them is right, so the
    site takes central's. `removed`: what the statement does not know. `proven` false: the proof does not hold.
    """

    type = "session.mended.v1"

    head_seq: Count
    proven: bool
    written: list[str] = []
    kept: list[str] = []
    removed: list[str] = []
