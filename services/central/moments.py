"""A moment in a school's past, as people name it, and the seq that it means.

Everything is kept by seq, so a state is exact once its seq is known. A seq, a session and a receipt name one. A date
does not: clocks order nothing here. What it means is said in one place, `at`:

- *confirmed* (unless `held` is asked for): the head of the last receipt that was signed by then, or the baseline. That
  is what readers saw. A receipt that central forgot counts from its own time, once a recover has ended on its root;
- *held*: the highest seq that was written by then, whether or not any sync had confirmed it.

A database that was put back from a backup has forgotten the time between the two. A date in it can only be answered
with what was known before; that it may be so is said (`Forgotten`).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta, timezone
from typing import Any, Literal

from services.calendar import WIB
from services.central.administration import Refused
from services.database import Row, Transaction, from_json
from services.exchange import canonical
from services.exchange.lineage import Life, common
from services.problems import problem
from services.signing import NotProven, PublicKeys

LARGEST = 2**63 - 1
"""The database's largest whole number."""
LONGEST = 65_536
"""Characters of a moment: a receipt is one."""
_ZONES = {"Z": UTC, "WIB": WIB, "WITA": timezone(timedelta(hours=8)), "WIT": timezone(timedelta(hours=9))}
_SESSION = re.compile(r"(?:session|sesi):([0-9]{1,18})")
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
_TIME = re.compile(
    rf"({_DATE.pattern})[T ]([0-9]{{2}}:[0-9]{{2}}(?::[0-9]{{2}}(?:\.[0-9]{{1,6}})?)?) ?"
    r"(Z|WIB|WITA|WIT|[+-][0-9]{2}:[0-9]{2})?"
)
_JWS = re.compile(r"ey[A-Za-z0-9_-]*\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+")


@dataclass(frozen=True, slots=True)
class AtSeq:
    """A seq of the school."""

    seq: int


@dataclass(frozen=True, slots=True)
class Now:
    """As it is: what readers see (confirmed), or all there is (head)."""

    name: Literal["confirmed", "head"]


@dataclass(frozen=True, slots=True)
class AtTime:
    """All up to and with this time."""

    time: datetime


@dataclass(frozen=True, slots=True)
class OfSession:
    """What central stated in the latest session of this number."""

    session: int


@dataclass(frozen=True, slots=True)
class OfReceipt:
    """What a statement says, whatever life of central's signed it: a compact JWS."""

    jws: str


Moment = AtSeq | Now | AtTime | OfSession | OfReceipt


def parse(text: str) -> Moment:
    """A moment as it is typed: `confirmed`, `head`, a seq, `session:9`, a date, a time, or a receipt's JWS.

    A bare date is the end of that day (23.59.59 WIB), a time without a zone is WIB. Raises Refused: PUSAT-11.
    """
    if text in ("confirmed", "head"):
        return Now("confirmed" if text == "confirmed" else "head")
    if text.isascii() and text.isdecimal() and len(text) < len(str(LARGEST)):
        return AtSeq(int(text))
    if found := _SESSION.fullmatch(text):
        return OfSession(int(found[1]))
    if found_receipt := parse_receipt(text):
        return found_receipt
    try:
        if _DATE.fullmatch(text):
            return AtTime(end_of_day(date.fromisoformat(text)))
        if found := _TIME.fullmatch(text):
            return AtTime(datetime.combine(date.fromisoformat(found[1]), time.fromisoformat(found[2]), _zone(found[3])))
    except (ValueError, OverflowError):
        pass  # the 31st of February
    raise Refused(problem("PUSAT-11"))


def parse_receipt(text: str) -> Moment | None:
    """A receipt's JWS as a moment; None: it has not the form of one."""
    return OfReceipt(text) if len(text) <= LONGEST and _JWS.fullmatch(text) else None


def end_of_day(day: date) -> datetime:
    """The last instant of a day, in western Indonesian time: the cut-off of that day."""
    return datetime.combine(day, time.max, WIB)


def _zone(text: str | None) -> timezone:
    if text is None:
        return WIB
    return _ZONES.get(text) or timezone(datetime.fromisoformat(f"2000-01-01T00:00{text}").utcoffset() or timedelta())


@dataclass(frozen=True, slots=True)
class Forgotten:
    """The date lies in a time that central may have forgotten: it was put back to a backup, of which all that is known
    of this school is that it is not older than `known_until`, and went on at `until`.
    """

    known_until: datetime | None
    until: datetime
    incarnation: str
    why: str


@dataclass(frozen=True, slots=True)
class By:
    """The statement that names the state: its session, life, kind, and the time that was signed with it.

    `confirmed_at`: since when it is confirmed, if it is: the same, or of a recover that of the receipt that it ended
    on.
    """

    session: int
    incarnation: str
    kind: str
    time: str
    root: str
    confirmed_at: str | None = None


@dataclass(frozen=True, slots=True)
class Past:
    """A school as far as its past goes. `added_at`: when its baseline came."""

    npsn: str
    nama: str
    added_at: datetime
    head_seq: int
    confirmed_seq: int
    lives: list[Life]


Meaning = Literal["seq", "confirmed", "head", "held", "statement"]


@dataclass(frozen=True, slots=True)
class Point:
    """A moment of one school: its seq, what the moment meant, by which statement, and what may be missing. `time`: the
    moment was one. A time without a statement is that of the baseline, if what was confirmed is asked for.

    `back_from`: the moment is a receipt of a life that has ended, whose state stands at `seq` again; the two histories
    part after this one.
    """

    school: Past
    seq: int
    meaning: Meaning
    by: By | None = None
    time: datetime | None = None
    forgotten: Forgotten | None = None
    back_from: int | None = None


async def past(transaction: Transaction, npsn: str) -> Past:
    """The school, not locked. Raises Refused: PUSAT-04."""
    row = await transaction.row(
        "SELECT npsn, nama, added_at, head_seq, confirmed_seq, lineage FROM school WHERE npsn = :npsn", npsn=npsn
    )
    if row is None:
        raise Refused(problem("PUSAT-04"))
    return _past(row)


def _past(row: Row) -> Past:
    lives = [Life(life["incarnation"], life["head_seq"]) for life in from_json(row.lineage)]
    return Past(row.npsn, row.nama, row.added_at, row.head_seq, row.confirmed_seq, lives)


async def locate(
    transaction: Transaction,
    npsn: str,
    moment: Moment,
    *,
    held: bool = False,
    keys: Callable[[], PublicKeys],
) -> Point:
    """The seq of a school that a moment means. `held`: of a date, all that was there instead of what was confirmed.

    Raises Refused: PUSAT-04 no such school, PUSAT-12 no such seq, PUSAT-13 before the school was there, PUSAT-14 not
    yet, PUSAT-15 a receipt that proves nothing or another school's, PUSAT-16 one whose state is not there any more,
    PUSAT-17 no statement of that session.
    """
    match moment:
        case AtTime(when):
            points = await at(transaction, [npsn], when, held=held)
            if not points:
                raise Refused(problem("PUSAT-13", since=clock((await past(transaction, npsn)).added_at)))
            return points[0]
        case OfReceipt(jws):
            return await _of_receipt(transaction, npsn, proven(jws, npsn, keys()))
        case OfSession(session):
            return await _of_session(transaction, npsn, session)
    school = await past(transaction, npsn)
    if isinstance(moment, Now):
        return Point(school, school.head_seq if moment.name == "head" else school.confirmed_seq, moment.name)
    if not 0 < moment.seq <= school.head_seq:
        raise Refused(problem("PUSAT-12", seq=str(moment.seq), head=str(school.head_seq)))
    return Point(school, moment.seq, "seq")


async def present(transaction: Transaction, npsns: Sequence[str], moment: Now) -> list[Point]:
    """These schools as they are, in order of npsn."""
    rows = await transaction.rows(
        """
        SELECT npsn, nama, added_at, head_seq, confirmed_seq, lineage FROM school
        WHERE npsn = ANY(CAST(:npsns AS text[])) ORDER BY npsn
        """,
        npsns=list(npsns),
    )
    schools = [_past(row) for row in rows]
    is_head = moment.name == "head"
    return [Point(one, one.head_seq if is_head else one.confirmed_seq, moment.name) for one in schools]


# ── a statement ──────────────────────────────────────────────────────────────────────────────────────────────────────


def proven(jws: str, npsn: str | None, keys: PublicKeys) -> dict[str, Any]:
    """What a receipt says that central signed, about this school. Raises Refused: PUSAT-15."""
    try:
        said = keys.verify(jws)
    except NotProven as error:
        raise Refused(problem("PUSAT-15", detail=error.reason)) from error
    if npsn is not None and said["npsn"] != npsn:
        raise Refused(problem("PUSAT-15", detail=str(said["npsn"])))
    return said


def shared(school: Past, said: Mapping[str, Any]) -> int:
    """The seq up to which a statement's history, which ends at its own, and central's present one are the same."""
    theirs = [Life(str(life["incarnation"]), int(life["head_seq"])) for life in said["lineage"]]
    return common(theirs, int(said["head_seq"]), school.lives, school.head_seq)


async def restated(transaction: Transaction, npsn: str, root: str) -> int | None:
    """The seq at which central stated this very root (again), in what is its history now."""
    found = await transaction.value(
        "SELECT head_seq FROM statement WHERE npsn = :npsn AND root = :root ORDER BY ordinal DESC LIMIT 1",
        npsn=npsn,
        root=root,
    )
    return None if found is None else int(found)


async def stated_at(transaction: Transaction, npsn: str, seq: int) -> By | None:
    """The last statement about the state at this very seq."""
    row = await transaction.row(
        """
        SELECT session, incarnation, kind, head_seq, root, body FROM statement
        WHERE npsn = :npsn AND head_seq = :seq ORDER BY ordinal DESC LIMIT 1
        """,
        npsn=npsn,
        seq=seq,
    )
    return None if row is None else _by(row, signed_time(row.body))


async def _of_receipt(transaction: Transaction, npsn: str, said: Mapping[str, Any]) -> Point:
    school = await past(transaction, npsn)
    by = by_statement(said)
    parted = shared(school, said)
    if parted == said["head_seq"]:
        return Point(school, parted, "statement", by)
    seq = await restated(transaction, npsn, by.root)
    if seq is None:
        raise Refused(problem("PUSAT-16", seq=str(parted)))
    return Point(school, seq, "statement", by, back_from=parted)


def by_statement(said: Mapping[str, Any]) -> By:
    """A statement, by what it says."""
    return By(said["session"], said["incarnation"], said["kind"], said["time"], said["root"])


async def _of_session(transaction: Transaction, npsn: str, session: int) -> Point:
    school = await past(transaction, npsn)
    row = await transaction.row(
        """
        SELECT session, incarnation, kind, head_seq, root, body FROM statement
        WHERE npsn = :npsn AND session = :session ORDER BY ordinal DESC LIMIT 1
        """,
        npsn=npsn,
        session=session,
    )
    if row is None:
        raise Refused(problem("PUSAT-17", session=str(session)))
    return Point(school, row.head_seq, "statement", _by(row, signed_time(row.body)))


def _by(row: Row, said_at: str) -> By:
    return By(row.session, row.incarnation, row.kind, said_at, row.root)


def signed_time(body: str) -> str:
    """The time that a statement says, as `_SAID_AT` reads it; empty for a text that a hand made no statement."""
    try:
        return str(canonical.decode(body).get("time", ""))
    except canonical.NotCanonical:
        return ""


# ── a time ───────────────────────────────────────────────────────────────────────────────────────────────────────────

_SAID_AT = """(substring(body FROM '"time":"([^"]*)"') COLLATE "C")"""
"""The time that was signed, UTC to the millisecond: texts of one length, which sort as they count, and which no hand
can make unreadable as it can a timestamp's.
"""
_CONFIRMED_AT = f"""coalesce(confirmed_at COLLATE "C", CASE WHEN kind = 'sync' THEN {_SAID_AT} END)"""


async def at(transaction: Transaction, npsns: Sequence[str], when: datetime, *, held: bool) -> list[Point]:
    """Of these schools, in order of npsn, what `when` means of each that was there. Raises Refused: PUSAT-14."""
    now, life = await _clock(transaction, when)
    if when > now:
        raise Refused(problem("PUSAT-14", now=clock(now)))
    rows = await transaction.rows(
        f"""
        SELECT s.npsn, s.nama, s.added_at, s.head_seq, s.confirmed_seq, s.lineage,
               said.session, said.incarnation, said.kind, said.seq AS said_seq, said.root, said.at AS said_at,
               said.confirmed_at,
               written.seq AS written_seq, trace.at AS known_until
        FROM unnest(CAST(:npsns AS text[])) AS wanted (npsn)
        JOIN school s USING (npsn)
        LEFT JOIN LATERAL (
            SELECT session, incarnation, kind, head_seq AS seq, root, {_SAID_AT} AS at, {_CONFIRMED_AT} AS confirmed_at
            FROM statement
            WHERE NOT :held AND npsn = s.npsn AND {_CONFIRMED_AT} <= :said_by
            ORDER BY ordinal DESC LIMIT 1
        ) AS said ON true
        LEFT JOIN LATERAL (
            SELECT max(seq) AS seq FROM (
                SELECT seq FROM record
                WHERE npsn = s.npsn AND written_at <= CASE WHEN :held THEN :when ELSE s.added_at END
                UNION ALL
                SELECT seq FROM history
                WHERE npsn = s.npsn AND written_at <= CASE WHEN :held THEN :when ELSE s.added_at END
            ) AS every WHERE said.seq IS NULL
        ) AS written ON true
        LEFT JOIN LATERAL (
            SELECT max(at) AS at FROM (
                SELECT written_at AS at FROM record WHERE npsn = s.npsn
                UNION ALL SELECT written_at FROM history WHERE npsn = s.npsn
                UNION ALL SELECT at FROM statement WHERE npsn = s.npsn
            ) AS every WHERE at < CAST(:begun AS timestamptz)
        ) AS trace ON CAST(:begun AS timestamptz) IS NOT NULL
        WHERE s.added_at <= :when
        ORDER BY s.npsn
        """,  # noqa: S608  an expression of ours
        npsns=list(npsns),
        held=held,
        when=when,
        said_by=when.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        begun=life and life.begun_at,
    )
    return [_point(row, when, life, held=held) for row in rows]


def _point(row: Row, when: datetime, life: Row | None, *, held: bool) -> Point:
    by = None if row.said_seq is None else replace(_by(row, row.said_at), confirmed_at=row.confirmed_at)
    seq = row.written_seq if row.said_seq is None else row.said_seq
    known = row.known_until
    forgotten = None
    is_back = by is not None and by.kind == "recover"  # with it the school's last receipt of the life before
    if life is not None and (known is None or known < when) and not is_back:
        forgotten = Forgotten(known, life.begun_at, life.incarnation, life.why or "")
    return Point(_past(row), seq or 0, "held" if held else "confirmed", by, when, forgotten)


async def _clock(transaction: Transaction, when: datetime) -> tuple[datetime, Row | None]:
    """The time by the database's clock; and the life that it began first after `when`, in place of another."""
    now = await transaction.value("SELECT now()")
    life = await transaction.row(
        """
        SELECT incarnation, begun_at, why FROM incarnation
        WHERE begun_at > :when AND begun_at > (SELECT min(begun_at) FROM incarnation)
        ORDER BY begun_at LIMIT 1
        """,
        when=when,
    )
    return now, life


def clock(when: datetime) -> str:
    """A time as central's people read it: western Indonesian, to the second."""
    return f"{when.astimezone(WIB):%Y-%m-%d %H:%M:%S} WIB"
