"""A batch that a site pushes: judged change by change, written at once, answered again from what is stored."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any

from services.central import history, registry, schools
from services.central.identifiers import is_record_id
from services.central.registry import Key, NewVersion, Stored
from services.central.schools import Batch, School
from services.database import Transaction
from services.entities import SPECS, Fields, misfit, natural_key
from services.errors import MessageRefused
from services.exchange import canonical
from services.exchange.canonical import NotCanonical
from services.exchange.change import Change
from services.exchange.merge import Held, Merged, Refusal, Verdict, merge
from services.messages import GivenRecord, Problem, PushedChange, RecordVerdict, SessionOpen, SessionPush
from services.problems import problem
from services.rules import Context, Finding, Severity, record_findings
from services.wire import Event

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of a batch. `school` as it is after it; `again`: it had been taken before; `strange`: a change built
    on a version that central never had.
    """

    school: School
    verdicts: list[RecordVerdict]
    again: bool = False
    strange: bool = False


async def take(transaction: Transaction, school: School, event: Event[SessionPush], *, today: date) -> Taken | None:
    """Take a batch of the live session, which is locked. None: it is neither the next batch nor the last one again."""
    asked = event.data
    last = await schools.last_batch(transaction, school.npsn, school.session)
    number = last.batch_no if last else 0
    if last and asked.batch_no == number and event.content_hash == last.content_hash:
        return Taken(school, await again(transaction, school, asked.changes, last), again=True)
    if asked.batch_no != number + 1:
        return None
    return await _take(transaction, school, asked.changes, asked.batch_no, event.content_hash, today)


async def take_early(
    transaction: Transaction, school: School, event: Event[SessionOpen], changes: Sequence[PushedChange], today: date
) -> Taken:
    """Take what came with the OPEN of the live session, as its first batch."""
    return await _take(transaction, school, changes, 1, event.content_hash, today, open_id=event.id)


async def early_again(
    transaction: Transaction, school: School, event: Event[SessionOpen], changes: Sequence[PushedChange]
) -> Taken | None:
    """The same, if it was taken when this very OPEN came before; and nothing after it."""
    last = await schools.last_batch(transaction, school.npsn, school.session)
    if last is None or (last.batch_no, last.content_hash) != (1, event.content_hash):
        return None
    return Taken(school, await again(transaction, school, changes, last), again=True)


async def _take(
    transaction: Transaction,
    school: School,
    changes: Sequence[PushedChange],
    batch_no: int,
    content_hash: bytes,
    today: date,
    *,
    open_id: str | None = None,
) -> Taken:
    keys = [(change.entity, change.record_id) for change in changes]
    if len(set(keys)) != len(keys):
        raise MessageRefused("MSG-09", "changes: a record twice in one batch")
    decided = await _decide(transaction, school, changes, today)
    written = await registry.write(
        transaction,
        school,
        [d.written() for d in decided if d.merged.moved],
        by=school.site or "",
        session=school.session,
    )
    after = registry.by_key(written)
    verdicts = [d.verdict(after.get((d.change.entity, d.change.record_id))) for d in decided]
    await schools.keep_batch(
        transaction,
        school.npsn,
        school.incarnation,
        Batch(school.session, batch_no, content_hash, [kept(verdict) for verdict in verdicts]),
        open_id=open_id,
    )
    strange = any(d.merged.invariant_violated for d in decided)
    if strange:
        log.error("a change builds on a version that central never had", extra={"npsn": school.npsn})
    return Taken(replace(school, head_seq=written[-1].seq) if written else school, verdicts, strange=strange)


@dataclass(frozen=True, slots=True)
class Decided:
    """The verdict on one change, before anything is written. `held`: the record that it met."""

    change: PushedChange
    held: Stored | None
    merged: Merged[Problem]

    def written(self) -> NewVersion:
        """The record's new version, if it moved."""
        version = self.held.version if self.held else 0
        return NewVersion(self.change.entity, self.change.record_id, version, self._text())

    def verdict(self, written: Stored | None) -> RecordVerdict:
        """As it travels; `written`: the record's new version, if it moved."""
        now = written or self.held
        return RecordVerdict(
            verdict=self.merged.verdict.value,
            version=now.version if now else 0,
            seq=now.seq if now else 0,
            carries=self.merged.carries_fields,
            text=self._text() if self.merged.carries_fields else None,
            locked=list(self.merged.locked),
            conflicts=list(self.merged.conflicts),
            findings=list(self.merged.findings) or _explained(self.merged.refusal, self.change),
        )

    def _text(self) -> str | None:
        return None if self.merged.fields is None else canonical.encode(self.merged.fields)


async def _decide(
    transaction: Transaction, school: School, changes: Sequence[PushedChange], today: date
) -> list[Decided]:
    """Every change against what central holds, read at once."""
    itself: Key = ("sekolah", natural_key("sekolah", school.npsn))
    keys = [(change.entity, change.record_id) for change in changes]
    stored = await registry.read(transaction, school.npsn, {*keys, itself})
    buried = [key for key in keys if key in stored and stored[key].text is None]
    live_before = await history.last_live(transaction, school.npsn, buried)
    sekolah = _fields(stored.get(itself))
    bentuk = (sekolah or {}).get("bentuk_pendidikan_id")
    context = Context(school.npsn, today, bentuk if isinstance(bentuk, int) else None)
    decided = []
    for key, change in zip(keys, changes, strict=True):
        record = stored.get(key)
        before = live_before.get(key)
        try:
            held = Held(record.version, record.fields, before.fields if before else None) if record else None
            legible = record is None or record.possible
        except NotCanonical:
            legible = False
        decided.append(
            Decided(change, record, _merge(change, held, context)) if legible else Decided(change, None, _ILLEGIBLE)
        )
    return decided


def _fields(stored: Stored | None) -> Fields | None:
    with contextlib.suppress(NotCanonical):
        return stored.fields if stored else None
    return None


_ILLEGIBLE: Merged[Problem] = Merged(Verdict.REFUSED, None, findings=(problem("UBAH-15"),))
"""Nothing is merged with what a hand left: the session goes on to its proof, which mends the record."""


def _merge(change: PushedChange, held: Held | None, context: Context) -> Merged[Problem]:
    """One change's verdict; what no gate would have let through is refused first."""
    unfit = _unfit(change)
    if unfit:
        return Merged(
            Verdict.REFUSED,
            held.fields if held else None,
            carries_fields=change.base_version != (held.version if held else 0),
            findings=tuple(unfit),
        )
    pushed = Change(change.entity, change.record_id, change.op, change.base_version, change.fields)
    return merge(pushed, held, SPECS.get(change.entity), _invalid(change, context))


def _invalid(change: PushedChange, context: Context) -> Callable[[Fields], Sequence[Problem]]:
    def findings(fields: Fields) -> list[Problem]:
        found = record_findings(change.entity, change.record_id, fields, context)
        return [as_problem(finding) for finding in found if finding.severity is Severity.INVALID]

    return findings


def as_problem(finding: Finding) -> Problem:
    """A rule's finding as it travels."""
    return Problem(
        code=finding.rule,
        field=finding.field,
        text_id=finding.text("id"),
        text_en=finding.text("en"),
        next_id=finding.todo("id"),
        next_en=finding.todo("en"),
    )


def _unfit(change: PushedChange) -> list[Problem]:
    """What the site's own validator refuses at once, so that a bypassed one gains nothing."""
    if not is_record_id(change.record_id):
        return [problem("UBAH-10")]
    spec = SPECS.get(change.entity)
    found = []
    for name, (_, new) in change.fields.items():
        known = spec.fields.get(name) if spec else None
        if (
            known is not None
            and type(new) is known.type
            and (known.max_length is None or len(str(new)) <= known.max_length)
        ):
            continue  # nearly always; no text or number that has no canonical form comes through `wire`
        try:
            canonical.encode({name: new})
        except NotCanonical as error:
            found.append(problem("UBAH-03", field=name[:60], expected=error.reason))
            continue
        wrong = misfit(known, new) if known else None
        if wrong:
            found.append(problem("UBAH-03", field=name, expected=wrong.expected))
    return found


def _explained(refusal: Refusal | None, change: PushedChange) -> list[Problem]:
    if refusal is None:
        return []
    spec = SPECS.get(change.entity)
    return [
        problem(
            refusal.value,
            entity=spec.label if spec else change.entity[:60],
            **({"channel": spec.channel} if spec else {}),
        )
    ]


def kept(verdict: RecordVerdict) -> dict[str, Any]:
    """A verdict as `again` reads it: all but the body."""
    return {
        "verdict": verdict.verdict,
        "version": verdict.version,
        "seq": verdict.seq,
        "carries": verdict.carries,
        "locked": verdict.locked,
        "conflicts": verdict.conflicts,
        "findings": [finding.model_dump() for finding in verdict.findings],
    }


async def again(
    transaction: Transaction, school: School, changes: Sequence[PushedChange | GivenRecord], last: Batch
) -> list[RecordVerdict]:
    """The stored verdicts, with the bodies read back at the versions that they were about."""
    versions = [
        (change.entity, change.record_id, kept["version"])
        for change, kept in zip(changes, last.result, strict=True)
        if kept["carries"]
    ]
    texts = await history.texts(transaction, school.npsn, versions)

    def rebuilt(change: PushedChange | GivenRecord, kept: dict[str, Any]) -> RecordVerdict:
        text = texts.get((change.entity, change.record_id, kept["version"])) if kept["carries"] else None
        findings = [Problem.model_validate(finding) for finding in kept["findings"]]
        return RecordVerdict(**{**kept, "text": text, "findings": findings})

    return [rebuilt(change, kept) for change, kept in zip(changes, last.result, strict=True)]
