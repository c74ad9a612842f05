"""What an administrator of central does on the database itself: add a school, give a new code, look at one school."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Literal

from services import wire
from services.central import history, judging, lives, registry, schools
from services.central.identifiers import code_hash, is_record_id, new_code
from services.central.registry import Key, NewVersion
from services.central.revising import fitting
from services.database import Database
from services.entities import SPECS, natural_key
from services.errors import MessageRefused, SelarasError
from services.exchange import canonical
from services.messages import Problem
from services.problems import problem

BATCH = 1000
"""Lines of a baseline that are written at once."""


class Refused(SelarasError):
    """Not done, and why; nothing was stored."""

    def __init__(self, why: Problem) -> None:
        super().__init__(f"{why.code} {why.text_en}")
        self.problem = why


@dataclass(frozen=True, slots=True)
class Description:
    """One school at one seq. `counts` are of live records; `verdict` is central's own, of its own seq."""

    npsn: str
    nama: str
    site: str | None
    registration_no: int
    seq: int
    head_seq: int
    confirmed_seq: int
    delivered_seq: int
    root: str
    counts: dict[str, int]
    verdict: judging.Verdict | None

    @property
    def pulled_not_synced(self) -> bool:
        """The school has pulled something that no sync has confirmed yet."""
        return self.delivered_seq > self.confirmed_seq


async def add_school(database: Database, npsn: str, baseline: Iterable[str | bytes], *, nama: str | None = None) -> str:
    """Register a school at central with its baseline, one JSON object {entity, record_id, fields} a line.

    Its records get the seqs 1 to n, and n is its confirmed_seq. Returns the registration code, which is kept nowhere.
    Raises Refused: PUSAT-05, or PUSAT-06 with the line.
    """
    code = new_code()
    itself: Key = ("sekolah", natural_key("sekolah", npsn))
    await lives.ensure(database)
    async with database.transaction() as transaction:
        school = await schools.create(transaction, npsn, nama or npsn, code_hash(code))
        if school is None:
            raise Refused(problem("PUSAT-05"))
        lines = _read(baseline)
        while batch := list(islice(lines, BATCH)):
            written = await registry.write(transaction, school, batch, by="baseline", session=None)
            school = replace(school, head_seq=written[-1].seq)
        sekolah = (await registry.read(transaction, npsn, [itself])).get(itself)
        named = sekolah and (sekolah.fields or {}).get("nama")
        if nama is None and isinstance(named, str):
            await schools.rename(transaction, npsn, named)
        await schools.confirm_baseline(transaction, npsn)
    return code


async def new_registration_code(database: Database, npsn: str) -> str:
    """A new code in place of the old one; the present installation stays. Raises Refused: PUSAT-04."""
    code = new_code()
    async with database.transaction() as transaction:
        if not await schools.set_code(transaction, npsn, code_hash(code)):
            raise Refused(problem("PUSAT-04"))
    return code


async def describe(
    database: Database, npsn: str, as_of: Literal["confirmed", "head"] | int = "confirmed"
) -> Description:
    """A school as of its last completed sync (what downstream readers see), its head, or a seq.

    Raises Refused: PUSAT-04.
    """
    async with database.transaction() as transaction:
        school = await schools.lock(transaction, npsn)
        if school is None:
            raise Refused(problem("PUSAT-04"))
        named = {"confirmed": school.confirmed_seq, "head": school.head_seq}
        seq = as_of if isinstance(as_of, int) else named[as_of]
        roots = await history.roots_as_of(transaction, npsn, seq)
        verdict = await judging.stored(transaction, npsn)
    return Description(
        npsn=npsn,
        nama=school.nama,
        site=school.site,
        registration_no=school.registration_no,
        seq=seq,
        head_seq=school.head_seq,
        confirmed_seq=school.confirmed_seq,
        delivered_seq=school.delivered_seq,
        root=roots.root,
        counts=roots.counts,
        verdict=verdict,
    )


def _read(baseline: Iterable[str | bytes]) -> Iterator[NewVersion]:
    """The records of a baseline, each checked as it comes. Raises Refused: PUSAT-06."""
    seen: dict[Key, int] = {}
    for number, line in enumerate(baseline, 1):
        body = line.encode() if isinstance(line, str) else line
        if not body.strip():
            continue
        try:
            record = _record(body)
        except _Unreadable as error:
            raise Refused(problem("PUSAT-06", line=str(number), reason=str(error))) from error
        key = (record.entity, record.record_id)
        if key in seen:
            raise Refused(problem("PUSAT-06", line=str(number), reason=f"record_id = baris/line {seen[key]}"))
        seen[key] = number
        yield record


class _Unreadable(Exception):
    """Why a line is no record."""


def _record(body: bytes) -> NewVersion:
    try:
        line = wire.parse(body.strip())
    except MessageRefused as error:
        raise _Unreadable(error.detail) from error
    if not isinstance(line, dict) or set(line) != {"entity", "record_id", "fields"}:
        raise _Unreadable("{entity, record_id, fields}")
    spec = SPECS.get(line["entity"]) if isinstance(line["entity"], str) else None
    if spec is None:
        raise _Unreadable("entity")
    if not isinstance(line["record_id"], str) or not is_record_id(line["record_id"]):
        raise _Unreadable("record_id")
    if not isinstance(line["fields"], dict):
        raise _Unreadable("fields")
    values, problems = fitting(spec, line["fields"])
    if problems:
        raise _Unreadable(f"{problems[0].code} {problems[0].field or ''}".strip())
    return NewVersion(spec.name, line["record_id"], 0, canonical.encode(values))
