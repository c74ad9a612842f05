"""Central in memory: one transaction a message, decided by the real `merge`, as services/central/ does it in SQL."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.central import admission
from services.entities.schema import EntitySpec, Fields
from services.exchange import canonical, digest
from services.exchange.canonical import same_fields
from services.exchange.change import Change
from services.exchange.merge import Held, Merged, merge
from services.messages import (
    Covered,
    EntityDigest,
    Limits,
    LineageEntry,
    Mark,
    Message,
    PageRow,
    Problem,
    PushedChange,
    RecordVerdict,
    SessionBehind,
    SessionDifferent,
    SessionEqual,
    SessionFetch,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionPush,
    SessionRefusal,
    SessionResult,
    SessionStale,
    SessionVerify,
    SessionWait,
)
from tests.simulation.entities import Key
from tests.simulation.safeguards import Broken, Safeguard

LIFE = "life-1"
SITE = "situs"


@dataclass(frozen=True, slots=True)
class Version:
    """One version of one record. `session`: whose push wrote it; None: an officer, the baseline, or central itself."""

    key: Key
    version: int
    seq: int
    fields: Fields | None
    text: str | None
    row_hash: bytes
    session: int | None


@dataclass
class School:
    """What central keeps of one school.

    `log` holds every version, that of seq n at n - 1; `opened` the ids of the messages that opened sessions, alike.
    """

    npsn: str
    install_id: str
    log: list[Version] = field(default_factory=list)
    records: dict[Key, list[Version]] = field(default_factory=dict)
    confirmed_seq: int = 0
    delivered_seq: int = 0
    session: int = 0
    kind: str | None = None
    sender: str | None = None
    open_id: str | None = None
    opened: list[str] = field(default_factory=list)
    mark: Mark | None = None
    site: str = SITE
    incarnation: str = LIFE
    batch: tuple[int, int, tuple[PushedChange, ...], list[RecordVerdict]] | None = None
    statements: list[dict[str, Any]] = field(default_factory=list)

    @property
    def as_of(self) -> int | None:
        """The seq that the live session, a restore, gives back; None: it goes by the head."""
        return self.confirmed_seq if self.kind == "restore" else None

    @property
    def head_seq(self) -> int:
        """The head, as `admission` calls it."""
        return self.head

    @property
    def head(self) -> int:
        """The highest seq given out."""
        return len(self.log)

    def now(self, key: Key) -> Version | None:
        """The record's present version."""
        versions = self.records.get(key)
        return versions[-1] if versions else None

    def fields(self, key: Key) -> Fields | None:
        """The record as it is; None: a tombstone, or nothing."""
        now = self.now(key)
        return now.fields if now else None

    def held(self, key: Key) -> Held | None:
        """As `merge` wants it."""
        versions = self.records.get(key)
        if not versions:
            return None
        last_live = next((v.fields for v in reversed(versions) if v.fields is not None), None)
        return Held(versions[-1].version, versions[-1].fields, last_live)

    def state(self, seq: int) -> dict[Key, Version]:
        """Every record as it was at `seq`."""
        return {version.key: version for version in self.log[:seq]}


class Listener:
    """Who is told of what central does, after it is durable: the reference model."""

    def central_wrote(self, school: School, before: Version | None, now: Version) -> None:
        """A new version is there."""

    def central_took(self, school: School, session: int, changes: Sequence[PushedChange]) -> None:
        """A batch of the live session is about to be taken, for the first time."""

    def central_ended(self, school: School, session: int) -> None:
        """A message of a session that is no longer live was answered so."""

    def central_stated(self, school: School, statement: Mapping[str, Any]) -> None:
        """Both sides were proven equal."""


class Central:
    """All schools. `invalid` gives the record rules' findings (npsn, entity, record_id, fields); to the next `busy`
    that want a session central says to wait.
    """

    def __init__(
        self,
        specs: Mapping[str, EntitySpec],
        invalid: Callable[[str, str, str, Fields], Sequence[Problem]],
        listener: Listener,
        *,
        page_records: int = 1000,
        batch_records: int = 500,
        without: frozenset[Safeguard] = frozenset(),
    ) -> None:
        self.specs = specs
        self.invalid = invalid
        self.listener = listener
        self.page_records = page_records
        self.batch_records = batch_records
        self.without = without
        self.busy = 0
        self.life = LIFE
        self.schools: dict[str, School] = {}

    # ── what changes records ─────────────────────────────────────────────────────────────────────────────────────────

    def add(self, npsn: str, install_id: str, baseline: Iterable[tuple[Key, Fields]]) -> School:
        """A school with its baseline."""
        school = self.schools[npsn] = School(npsn, install_id, incarnation=self.life)
        for key, fields in baseline:
            self.write(school, key, fields, session=None)
        school.confirmed_seq = school.head
        return school

    def register(self, npsn: str, install_id: str) -> None:
        """Another installation takes the school; the session of the one before is over, and its mark means nothing."""
        school = self.schools[npsn]
        school.install_id, school.mark = install_id, None
        school.kind = school.sender = school.open_id = None

    def write(self, school: School, key: Key, fields: Fields | None, *, session: int | None) -> Version | None:
        """A new version, if it is one."""
        before = school.now(key)
        if same_fields(fields, before.fields if before else None):
            return None
        text = None if fields is None else canonical.encode(fields)
        number = before.version + 1 if before else 1
        hashed = digest.row_hash(*key, number, text)
        now = Version(key, number, school.head + 1, fields, text, hashed, session)
        school.log.append(now)
        school.records.setdefault(key, []).append(now)
        self.listener.central_wrote(school, before, now)
        return now

    # ── a site's messages ────────────────────────────────────────────────────────────────────────────────────────────

    def receive(self, sender: str, npsn: str, message_id: str, message: Message) -> Message:
        """One message, one transaction, one answer. `sender` is the kind of session that this user may open."""
        school = self.schools[npsn]
        if isinstance(message, SessionOpen):
            return self._open(school, sender, message_id, message)
        asked: Any = message
        if not self._is_live(school, sender, asked.session):
            self.listener.central_ended(school, asked.session)
            return SessionStale()
        if isinstance(message, SessionFetch):
            if message.as_of != self._as_of(school):
                return SessionStale()
            return self._page(school, message.session, message.cursor, message.limit)
        if isinstance(message, SessionPush):
            return self._push(school, message)
        assert isinstance(message, SessionVerify)
        return self._verify(school, message)

    def _is_live(self, school: School, sender: str, session: int) -> bool:
        if Safeguard.ONE_LIVE_SESSION in self.without:
            return school.kind is not None
        return (session, sender) == (school.session, school.sender)

    def _open(self, school: School, sender: str, message_id: str, asked: SessionOpen) -> Message:
        row: Any = school  # as services.central keeps it, as far as admission asks
        again = (school.open_id, school.sender) == (message_id, sender)
        refused = None if again else self._refused(row, asked)
        if Safeguard.OLD_INSTALLATION_REFUSED not in self.without:
            refused = admission.not_the_installation(row, asked, SITE) or refused
        if refused:
            return SessionRefusal(problem=refused)
        if self.busy and not again:
            self.busy -= 1
            return SessionWait(retry_at="later", retry_seconds=1, position=1, reason="busy")
        if not again or Safeguard.SAME_GRANT in self.without:
            school.session += 1
            school.kind, school.sender, school.open_id = asked.kind, sender, message_id
            school.opened.append(message_id)
        return SessionGranted(
            session=school.session,
            incarnation=school.incarnation,
            head_seq=school.head,
            lineage=[LineageEntry(incarnation=school.incarnation, head_seq=0)],
            limits=Limits(records=self.batch_records, bytes=1024 * 1024),
            page=self._page(school, school.session, asked.cursor, self.page_records),
            mark=school.mark,
            as_of=self._as_of(school),
        )

    def _refused(self, school: Any, asked: SessionOpen) -> Problem | None:
        states = asked.statement is None or any(
            (given["session"], given["head_seq"], given["root"])
            == (asked.statement.session, asked.statement.head_seq, asked.statement.root)
            for given in school.statements
        )
        if admission.is_ahead(school, asked, states=states):
            raise Broken(f"central takes {asked} for one that is ahead of it")
        refused = admission.out_of_step(school, asked, states=states)
        return None if Safeguard.OLD_COPY_REFUSED in self.without else refused

    def _as_of(self, school: School) -> int | None:
        if school.kind == "restore" and Safeguard.RESTORED_AS_CONFIRMED in self.without:
            return school.head
        return school.as_of

    def _page(self, school: School, session: int, cursor: int, limit: int) -> SessionPage:
        as_of = self._as_of(school)
        head = school.head if as_of is None else as_of
        records = school.state(head) if head < school.head else {key: v[-1] for key, v in school.records.items()}
        own = None if school.kind == "restore" else session
        following = [v for v in records.values() if v.seq > cursor and (own is None or v.session != own)]
        following.sort(key=lambda version: version.seq)
        rows = following[: min(limit, self.page_records)]
        complete = len(rows) == len(following)
        return SessionPage(
            rows=[self._row(school, version, cursor) for version in rows],
            cursor=max(cursor, head) if complete else rows[-1].seq,
            head_seq=head,
        )

    def _row(self, school: School, shown: Version, cursor: int) -> PageRow:
        older = None
        in_doubt = school.kind != "restore"  # after the wipe, nothing is
        if in_doubt and Safeguard.COVERS_GIVEN not in self.without:
            ours = (v for v in reversed(school.records[shown.key][: shown.version - 1]) if v.session is not None)
            older = next(ours, None)
            if older and Safeguard.COVERS_OF_ANY_AGE in self.without and older.seq <= cursor:
                older = None
        return PageRow(
            entity=shown.key[0],
            record_id=shown.key[1],
            version=shown.version,
            seq=shown.seq,
            text=shown.text,
            covers=Covered(version=older.version, seq=older.seq, text=older.text) if older else None,
        )

    def _push(self, school: School, asked: SessionPush) -> Message:
        if school.kind != "sync":
            return SessionStale()
        last = school.batch if school.batch and school.batch[0] == asked.session else None
        number = last[1] if last else 0
        content = tuple(asked.changes)
        if last and asked.batch_no == number and content == last[2]:
            again = Safeguard.STORED_VERDICTS in self.without
            return self._result(school, asked, self._decided(school, asked) if again else last[3])
        if asked.batch_no != number + 1:
            return SessionStale()
        self.listener.central_took(school, asked.session, content)
        verdicts = self._decided(school, asked)
        school.batch = (asked.session, asked.batch_no, content, verdicts)
        school.mark = Mark(incarnation=school.incarnation, session=asked.session)
        return self._result(school, asked, verdicts)

    def _result(self, school: School, asked: SessionPush, verdicts: list[RecordVerdict]) -> SessionResult:
        page = self._page(school, asked.session, asked.cursor, self.page_records) if asked.last else None
        return SessionResult(batch_no=asked.batch_no, verdicts=verdicts, head_seq=school.head, page=page)

    def _decided(self, school: School, asked: SessionPush) -> list[RecordVerdict]:
        return [self._decide(school, asked.session, change) for change in asked.changes]

    def _decide(self, school: School, session: int, pushed: PushedChange) -> RecordVerdict:
        key = (pushed.entity, pushed.record_id)
        fields = {name: (old, new) for name, (old, new) in pushed.fields.items()}
        change = Change(*key, pushed.op, pushed.base_version, fields)
        merged: Merged[Problem] = merge(
            change, school.held(key), self.specs.get(key[0]), lambda record: self.invalid(school.npsn, *key, record)
        )
        if merged.invariant_violated:
            raise Broken(f"{key}: built on version {pushed.base_version}, which central never had")
        if merged.moved:
            self.write(school, key, merged.fields, session=session)
        now = school.now(key)
        return RecordVerdict(
            verdict=merged.verdict.value,
            version=now.version if now else 0,
            seq=now.seq if now else 0,
            carries=merged.carries_fields,
            text=canonical.encode(merged.fields) if merged.carries_fields and merged.fields is not None else None,
            locked=list(merged.locked),
            conflicts=list(merged.conflicts),
            findings=list(merged.findings),
        )

    # ── proof ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _verify(self, school: School, asked: SessionVerify) -> Message:
        for given in school.statements:
            if (given["session"], given["head_seq"], given["root"]) == (asked.session, asked.cursor, asked.root):
                return SessionEqual(statement=given, jws="")
        as_of = self._as_of(school)
        end = school.head if as_of is None else as_of
        if asked.cursor < end:
            return SessionBehind(head_seq=end)
        entities = digests(school.state(end).values())
        root = digest.root(entities).hex()
        if root != asked.root or asked.cursor > end:
            theirs = {name: EntityDigest(rows=n, digest=of_it.hex()) for name, (n, of_it) in entities.items()}
            return SessionDifferent(entities=theirs, root=root)
        statement = {
            "npsn": school.npsn,
            "session": asked.session,
            "incarnation": school.incarnation,
            "kind": school.kind,
            "head_seq": end,
            "root": root,
            "unsent": asked.unsent,
            "held": asked.held,
            "refused": asked.refused,
        }
        school.statements.append(statement)
        if school.kind == "sync":
            school.confirmed_seq = end
        elif school.kind == "pull":
            school.delivered_seq = end
        self.listener.central_stated(school, statement)
        return SessionEqual(statement=statement, jws="")


def digests(versions: Iterable[Version]) -> dict[str, tuple[int, bytes]]:
    """Of each entity: its number of rows, tombstones included, and the digest over their hashes."""
    hashes: dict[str, list[bytes]] = {}
    for version in sorted(versions, key=lambda version: version.key):
        hashes.setdefault(version.key[0], []).append(version.row_hash)
    return {name: (len(found), digest.entity_digest(found)) for name, found in hashes.items()}
