"""The school's row: its lock, its registration, its live session and its last batch.

Whatever changes a school first takes the lock on this row, so its seq has no holes, and who sees n+1 also sees n.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from services.central import lives
from services.database import Transaction, from_json, to_json
from services.exchange.lineage import Life
from services.messages import Kind, LineageEntry, Mark


@dataclass(frozen=True, slots=True)
class School:
    """A school as central knows it, read under the lock. `incarnation` is the database's own present life;
    `silent_seconds` have gone by since the live session was heard of. `registered_incarnation`: the life that the
    installation was registered in; None: one from before that was kept. `mark_open_id`: of the OPEN that the mark came
    with; None: it came with a later message.
    """

    npsn: str
    nama: str
    registration_code_hash: bytes
    registration_no: int
    install_id: str | None
    site: str | None
    head_seq: int
    confirmed_seq: int
    delivered_seq: int
    lineage: list[LineageEntry]
    session: int
    session_kind: Kind | None
    session_sender: str | None
    session_open_id: str | None
    mark: Mark | None
    incarnation: str
    silent_seconds: float | None = None
    registered_incarnation: str | None = None
    mark_open_id: str | None = None

    @property
    def lives(self) -> list[Life]:
        """The lineage, as histories are compared by it."""
        return [Life(entry.incarnation, entry.head_seq) for entry in self.lineage]

    @property
    def as_of(self) -> int | None:
        """The seq that the live session, a restore, gives back; None: it goes by the head."""
        return self.confirmed_seq if self.session_kind == "restore" else None

    def is_live(self, session: int, incarnation: str, sender: str) -> bool:
        """Is this the school's current session, and its own user speaking in it?"""
        return (session, incarnation, sender) == (self.session, self.incarnation, self.session_sender)


@dataclass(frozen=True, slots=True)
class Batch:
    """The last batch a session pushed, and what its changes were answered (in order, without bodies)."""

    session: int
    batch_no: int
    content_hash: bytes
    result: list[dict[str, Any]]


async def lock(transaction: Transaction, npsn: str) -> School | None:
    """The school, locked until the transaction ends; None if central does not know it.

    Its lineage is brought up to the database's present life, which begins here if nobody has seen it yet: so nothing is
    written in a life that the lineage does not tell.
    """
    row = await transaction.row(
        f"""
        SELECT school.*, life.incarnation, life.identity = {lives.IDENTITY} AS is_this,
               extract(epoch FROM now() - session_active_at) AS silent_seconds
        FROM school LEFT JOIN incarnation AS life ON life.is_current
        WHERE npsn = :npsn FOR UPDATE OF school
        """,  # noqa: S608  a part of ours
        npsn=npsn,
    )
    if row is None:
        return None
    mark, mark_open_id = _mark(row)
    school = School(
        npsn=row.npsn,
        nama=row.nama,
        registration_code_hash=bytes(row.registration_code_hash),
        registration_no=row.registration_no,
        install_id=row.install_id,
        site=row.site,
        head_seq=row.head_seq,
        confirmed_seq=row.confirmed_seq,
        delivered_seq=row.delivered_seq,
        lineage=[LineageEntry(**entry) for entry in from_json(row.lineage)],
        session=row.session,
        session_kind=row.session_kind,
        session_sender=row.session_sender,
        session_open_id=row.session_open_id,
        mark=mark,
        incarnation=row.incarnation,
        silent_seconds=None if row.silent_seconds is None else float(row.silent_seconds),
        registered_incarnation=row.registered_incarnation,
        mark_open_id=mark_open_id,
    )
    if row.is_this is True and school.lineage[-1].incarnation == school.incarnation:
        return school
    return await _in_present_life(transaction, school)


def _mark(row: Any) -> tuple[Mark | None, str | None]:
    """The last session of this installation that sent something, and the OPEN with which it did, if it was with that.

    What came with an OPEN is kept apart: the release before knows only what stands in `mark_…`, and goes on with it.
    """
    early = from_json(row.early) if row.early else None
    if early and early["registration_no"] == row.registration_no and early["session"] > (row.mark_session or 0):
        return Mark(incarnation=early["incarnation"], session=early["session"]), early["open_id"]
    if row.mark_session is None:
        return None, None
    return Mark(incarnation=row.mark_incarnation, session=row.mark_session), None


async def _in_present_life(transaction: Transaction, school: School) -> School:
    """The school's lineage goes on with the present life, and what was live is not.

    A life that somebody said begins where central last stated both sides equal: a site that it had forgotten something
    of can have got no later statement.
    """
    incarnation = await lives.current(transaction)
    if school.lineage[-1].incarnation == incarnation:
        return replace(school, incarnation=incarnation)
    since = school.head_seq
    if (await lives.present(transaction)).why == lives.SAID:  # trap: something may have been written before it was said
        since = await transaction.value("SELECT max(head_seq) FROM statement WHERE npsn = :npsn", npsn=school.npsn) or 0
    lineage = [*school.lineage, LineageEntry(incarnation=incarnation, head_seq=min(since, school.head_seq))]
    await transaction.run(
        """
        UPDATE school SET lineage = CAST(:lineage AS jsonb), session_kind = NULL, session_sender = NULL,
            session_open_id = NULL, session_active_at = NULL
        WHERE npsn = :npsn
        """,
        npsn=school.npsn,
        lineage=to_json([entry.model_dump() for entry in lineage]),
    )
    return replace(
        school, incarnation=incarnation, lineage=lineage, session_kind=None, session_sender=None, session_open_id=None
    )


async def create(transaction: Transaction, npsn: str, nama: str, code_hash: bytes) -> School | None:
    """A new school without records, locked; None if it is there already."""
    added = await transaction.run(
        """
        INSERT INTO school (npsn, nama, registration_code_hash, lineage)
        SELECT :npsn, :nama, :hash, jsonb_build_array(jsonb_build_object('incarnation', incarnation, 'head_seq', 0))
        FROM incarnation WHERE is_current
        ON CONFLICT (npsn) DO NOTHING
        """,
        npsn=npsn,
        nama=nama,
        hash=code_hash,
    )
    return await lock(transaction, npsn) if added else None


async def rename(transaction: Transaction, npsn: str, nama: str) -> None:
    """The name that people see."""
    await transaction.run("UPDATE school SET nama = :nama WHERE npsn = :npsn", npsn=npsn, nama=nama)


async def confirm_baseline(transaction: Transaction, npsn: str) -> None:
    """The baseline is what downstream readers see until the first sync; it waits for no verdict of central's."""
    await transaction.run(
        "UPDATE school SET confirmed_seq = head_seq, unjudged_since = NULL WHERE npsn = :npsn", npsn=npsn
    )


async def set_code(transaction: Transaction, npsn: str, code_hash: bytes) -> bool:
    """Replace the registration code; False if central does not know the school."""
    return (
        await transaction.run(
            "UPDATE school SET registration_code_hash = :hash WHERE npsn = :npsn", npsn=npsn, hash=code_hash
        )
        == 1
    )


async def install(transaction: Transaction, npsn: str, install_id: str, site: str) -> int:
    """Make this installation the school's; the registration's number. The older one's session ends, and so does its
    mark: marks are compared within one installation.
    """
    return int(
        await transaction.value(
            """
            UPDATE school
            SET install_id = :install_id, site = :site, registration_no = registration_no + 1, registered_at = now(),
                registered_incarnation = (SELECT incarnation FROM incarnation WHERE is_current),
                session_kind = NULL, session_sender = NULL, session_open_id = NULL, session_active_at = NULL,
                mark_incarnation = NULL, mark_session = NULL
            WHERE npsn = :npsn
            RETURNING registration_no
            """,
            npsn=npsn,
            install_id=install_id,
            site=site,
        )
    )


async def reinstate(
    transaction: Transaction, npsn: str, *, install_id: str, site: str, registration_no: int, incarnation: str
) -> None:
    """An installation that central had forgotten takes its place again, registered in that life."""
    await transaction.run(
        """
        UPDATE school
        SET install_id = :install_id, site = :site, registration_no = :number, registered_incarnation = :incarnation,
            session_kind = NULL, session_sender = NULL, session_open_id = NULL, session_active_at = NULL,
            mark_incarnation = NULL, mark_session = NULL
        WHERE npsn = :npsn
        """,
        npsn=npsn,
        install_id=install_id,
        site=site,
        number=registration_no,
        incarnation=incarnation,
    )


async def begin_session(transaction: Transaction, npsn: str, kind: Kind, sender: str, open_id: str) -> int:
    """A new live session, which ends the one before; its number."""
    return int(
        await transaction.value(
            """
            UPDATE school
            SET session = session + 1, session_kind = :kind, session_sender = :sender, session_open_id = :open_id,
                session_at = now(), session_active_at = now()
            WHERE npsn = :npsn
            RETURNING session
            """,
            npsn=npsn,
            kind=kind,
            sender=sender,
            open_id=open_id,
        )
    )


async def advance(transaction: Transaction, npsn: str, head_seq: int) -> None:
    """The head after what this transaction wrote: central's verdict on the school is about an older one now."""
    await transaction.run(
        "UPDATE school SET head_seq = :head, unjudged_since = coalesce(unjudged_since, now()) WHERE npsn = :npsn",
        npsn=npsn,
        head=head_seq,
    )


async def last_batch(transaction: Transaction, npsn: str, session: int) -> Batch | None:
    """The last batch of this very session."""
    row = await transaction.row(
        "SELECT session, batch_no, content_hash, result FROM last_batch WHERE npsn = :npsn AND session = :session",
        npsn=npsn,
        session=session,
    )
    return None if row is None else Batch(row.session, row.batch_no, row.content_hash, from_json(row.result))


async def keep_batch(
    transaction: Transaction, npsn: str, incarnation: str, batch: Batch, *, open_id: str | None = None
) -> None:
    """Remember the batch in place of the one before, and the mark: this session has sent something. `open_id`: with the
    OPEN of that id.
    """
    await transaction.run(
        """
        WITH marked AS (
            UPDATE school SET
                mark_incarnation = CASE WHEN CAST(:early AS jsonb) IS NULL THEN :incarnation ELSE mark_incarnation END,
                mark_session = CASE WHEN CAST(:early AS jsonb) IS NULL THEN :session ELSE mark_session END,
                early = coalesce(CAST(:early AS jsonb) || jsonb_build_object('registration_no', registration_no), early)
            WHERE npsn = :npsn
        )
        INSERT INTO last_batch (npsn, session, batch_no, content_hash, result)
        VALUES (:npsn, :session, :batch_no, :hash, CAST(:result AS jsonb))
        ON CONFLICT (npsn) DO UPDATE SET session = excluded.session, batch_no = excluded.batch_no,
            content_hash = excluded.content_hash, result = excluded.result
        """,
        npsn=npsn,
        incarnation=incarnation,
        session=batch.session,
        batch_no=batch.batch_no,
        early=to_json({"incarnation": incarnation, "session": batch.session, "open_id": open_id}) if open_id else None,
        hash=batch.content_hash,
        result=to_json(batch.result),
    )


async def completed(transaction: Transaction, school: School, *, as_synced: bool = False) -> None:
    """The live session was proven equal: a sync confirms the head, a pull or a verification delivers it.

    `as_synced`: a recover ended on the root of the site's last receipt, so what that confirmed is there again.
    """
    moved = {
        "restore": "",
        "sync": ", confirmed_seq = :seq, syncs = syncs + 1, last_sync_at = now()",
        "pull": ", delivered_seq = :seq, pulls = pulls + 1, last_pull_at = now()",
        "verify": ", delivered_seq = :seq",
        "recover": ", delivered_seq = :seq" + (", confirmed_seq = :seq" if as_synced else ""),
    }
    assert school.session_kind is not None
    await transaction.run(
        f"UPDATE school SET session_active_at = NULL {moved[school.session_kind]} WHERE npsn = :npsn",  # noqa: S608  one of the above
        **{"npsn": school.npsn, **({"seq": school.head_seq} if moved[school.session_kind] else {})},
    )
