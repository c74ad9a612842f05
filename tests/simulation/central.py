"""Central in memory: one transaction a message, decided by the real `merge`, as services/central/ does it in SQL."""

from __future__ import annotations

import base64
import copy
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from services.central import admission
from services.entities.schema import EntitySpec, Fields
from services.exchange import canonical, digest
from services.exchange.canonical import same_fields
from services.exchange.change import Change
from services.exchange.giving import Given, Now, judge
from services.exchange.lineage import Life, common
from services.exchange.marks import heard
from services.exchange.merge import Held, Merged, merge
from services.messages import (
    Covered,
    EntityDigest,
    GivenRecord,
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
    SessionGive,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionProof,
    SessionProven,
    SessionPush,
    SessionRefusal,
    SessionResult,
    SessionRollback,
    SessionRolledBack,
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
    """One version of one record. `session`: whose push wrote it; None: an officer, the baseline, or central itself.
    `recovered`: it was given back after a restore. `by`: the installation whose push it was.
    """

    key: Key
    version: int
    seq: int
    fields: Fields | None
    text: str | None
    row_hash: bytes
    session: int | None
    recovered: bool = False
    by: str | None = None


@dataclass
class Proof:
    """What a recover's session shows: the statement, and row hashes by entity as far as they have come."""

    session: int
    jws: str
    parted: int
    parts: list[tuple[str, bytes]] = field(default_factory=list)
    proven: bool = False

    def hashes(self, entity: str) -> frozenset[bytes]:
        """Of one entity, once all of it is proven."""
        joined = b"".join(part for name, part in self.parts if name == entity) if self.proven else b""
        return frozenset(joined[n : n + 32] for n in range(0, len(joined), 32))


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
    mark_open_id: str | None = None
    site: str = SITE
    lives: list[Life] = field(default_factory=list)
    batch: tuple[int, int, tuple[Any, ...], list[RecordVerdict]] | None = None
    statements: list[dict[str, Any]] = field(default_factory=list)
    registration_no: int = 1
    registered_incarnation: str | None = None
    proof: Proof | None = None
    listed: list[tuple[Key, int, Fields | None]] = field(default_factory=list)

    @property
    def incarnation(self) -> str:
        """Central's present life."""
        return self.lives[-1].incarnation

    @property
    def lineage(self) -> list[LineageEntry]:
        """As it is granted."""
        return [LineageEntry(incarnation=life.incarnation, head_seq=life.head_seq) for life in self.lives]

    def copy(self) -> School:
        """As a backup has it. Versions and statements are never changed in place."""
        shallow = copy.copy(self)
        for name in ("log", "opened", "lives", "statements", "listed"):
            setattr(shallow, name, [*getattr(self, name)])
        shallow.records = {key: [*versions] for key, versions in self.records.items()}
        return shallow

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

    def central_takes_early(self, school: School, session: int, id: str) -> None:
        """What came with this OPEN is about to be taken, nothing maybe, once."""

    def central_ended(self, school: School, session: int) -> None:
        """A message of a session that is no longer live was answered so."""

    def central_took_back(self, school: School, session: int) -> None:
        """A batch of a recover was taken."""

    def central_knows_again(self, school: School, install_id: str) -> None:
        """An installation that central had forgotten takes its place."""

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
        rollback_records: int | None = None,
        without: frozenset[Safeguard] = frozenset(),
    ) -> None:
        self.specs = specs
        self.invalid = invalid
        self.listener = listener
        self.page_records = page_records
        self.rollback_records = rollback_records or page_records  # the real one goes by bytes alone
        self.batch_records = batch_records
        self.without = without
        self.busy = 0
        self.life = LIFE
        self.lives = 1
        self.schools: dict[str, School] = {}
        self.signed: dict[str, dict[str, Any]] = {}
        """All that was ever signed, whatever central has forgotten: nobody can forge it."""

    # ── what changes records ─────────────────────────────────────────────────────────────────────────────────────────

    def add(self, npsn: str, install_id: str, baseline: Iterable[tuple[Key, Fields]]) -> School:
        """A school with its baseline."""
        school = self.schools[npsn] = School(npsn, install_id, lives=[Life(self.life, 0)])
        for key, fields in baseline:
            self.write(school, key, fields, session=None)
        school.confirmed_seq = school.head
        return school

    def register(self, npsn: str, install_id: str) -> None:
        """Another installation takes the school; the session of the one before is over, and its mark means nothing."""
        school = self.schools[npsn]
        school.install_id, school.mark, school.mark_open_id = install_id, None, None
        school.registration_no += 1
        school.registered_incarnation = self.life
        school.kind = school.sender = school.open_id = None

    def back_up(self) -> dict[str, School]:
        """Everything as it is."""
        return {npsn: school.copy() for npsn, school in self.schools.items()}

    def put_back(self, backup: Mapping[str, School], life: str | None = None, *, said: bool = False) -> None:
        """The database is what it was at the backup; a new life begins. What it signed since it has forgotten.

        `said`: it was not found but said, so that it begins where both sides were last stated equal.
        """
        self.lives += 1
        self.life = life or f"life-{self.lives}"
        for npsn, kept in backup.items():
            school = self.schools[npsn] = kept.copy()
            stated = max((statement["head_seq"] for statement in school.statements), default=0)
            school.lives.append(Life(self.life, stated if said else school.head))
            school.kind = school.sender = school.open_id = None

    def write(
        self, school: School, key: Key, fields: Fields | None, *, session: int | None, version: int | None = None
    ) -> Version | None:
        """A new version, if it is one. `version`: it is given back under that one."""
        before = school.now(key)
        if version is None and same_fields(fields, before.fields if before else None):
            return None
        text = None if fields is None else canonical.encode(fields)
        number = version or (before.version + 1 if before else 1)
        hashed = digest.row_hash(*key, number, text)
        now = Version(key, number, school.head + 1, fields, text, hashed, session, recovered=version is not None)
        now = replace(now, by=school.install_id if session is not None else None)
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
        if not self._is_live(school, sender, asked):
            if asked.incarnation == school.incarnation:
                self.listener.central_ended(school, asked.session)
            return SessionStale()
        if isinstance(message, SessionFetch):
            if message.as_of != self._as_of(school):
                return SessionStale()
            return self._page(school, message.session, message.cursor, message.limit)
        if isinstance(message, SessionPush):
            return self._push(school, message)
        if isinstance(message, SessionRollback | SessionProof | SessionGive):
            return self._recover(school, message) if school.kind == "recover" else SessionStale()
        assert isinstance(message, SessionVerify)
        return self._verify(school, message)

    def _is_live(self, school: School, sender: str, asked: Any) -> bool:
        if asked.incarnation != school.incarnation and Safeguard.LIFE_CHECKED not in self.without:
            return False
        if Safeguard.ONE_LIVE_SESSION in self.without:
            return school.kind is not None
        return bool((asked.session, sender) == (school.session, school.sender))

    def _open(self, school: School, sender: str, message_id: str, asked: SessionOpen) -> Message:
        row: Any = school  # as services.central keeps it, as far as admission asks
        again = (school.open_id, school.sender) == (message_id, sender)
        if admission.not_the_installation(row, asked, SITE) and asked.proof and asked.proof in self.signed:
            said = self.signed[asked.proof]
            if admission.takes_its_place(row, asked, SITE, said):
                self.listener.central_knows_again(school, asked.install_id)
                school.install_id, school.registration_no = asked.install_id, said["registration_no"]
                school.registered_incarnation, school.mark = said["incarnation"], None
                school.mark_open_id = None
                school.kind = school.sender = school.open_id = None
        refused = None if again else self._refused(row, asked)
        if Safeguard.OLD_INSTALLATION_REFUSED not in self.without:
            refused = admission.not_the_installation(row, asked, SITE) or refused
        if refused:
            return SessionRefusal(problem=refused)
        if self.busy and not again:
            self.busy -= 1
            return SessionWait(retry_at="later", retry_seconds=1, position=1, reason="busy")
        takes_early = not again and self._takes_early(row, asked)
        if not again or Safeguard.SAME_GRANT in self.without:
            school.session += 1
            school.kind, school.sender, school.open_id = asked.kind, sender, message_id
            school.opened.append(message_id)
        mark, took = school.mark, school.mark_open_id
        early = self._early(school, asked, message_id, again=again) if takes_early or (again and asked.early) else {}
        return SessionGranted(
            **early,
            session=school.session,
            incarnation=school.incarnation,
            head_seq=school.head,
            lineage=school.lineage,
            limits=Limits(records=self.batch_records, bytes=1024 * 1024),
            page=SessionPage(rows=[], cursor=asked.cursor, head_seq=school.head)
            if asked.kind == "recover"
            else self._page(school, school.session, asked.cursor, self.page_records),
            mark=mark,
            as_of=self._as_of(school),
            common=admission.shared(row, asked),
            tried_taken=None if asked.tried is None else asked.tried == (message_id if early.get("result") else took),
        )

    def _takes_early(self, school: Any, asked: SessionOpen) -> bool:
        as_if = asked
        if Safeguard.EARLY_IF_NOTHING_NEW in self.without:
            as_if = as_if.model_copy(update={"cursor": school.head_seq, "lineage": school.lineage})
        if Safeguard.EARLY_IF_NOT_LATE in self.without and asked.early is not None:
            as_if = as_if.model_copy(update={"early": asked.early.model_copy(update={"after": school.session})})
        return admission.takes_early(school, as_if, self.batch_records)

    def _early(self, school: School, asked: SessionOpen, message_id: str, *, again: bool) -> dict[str, Any]:
        early, verdicts = asked.early, list[RecordVerdict]()
        assert early is not None
        content = tuple(early.changes)
        if again and content:
            batch = school.batch
            if batch is None or batch[:3] != (school.session, 1, content):
                return {}
            verdicts = batch[3]
            if Safeguard.STORED_VERDICTS in self.without:
                verdicts = self._decided(school, school.session, content)
        elif not again:
            self.listener.central_takes_early(school, school.session, message_id)
            if content:
                verdicts = self._take(school, school.session, 1, content)
                school.mark_open_id = message_id
        verify = early.claim(school.session, school.incarnation, asked.cursor, verdicts)
        answer = self._stated(school, verify) if again else self._verify(school, verify)
        return {
            "result": SessionResult(batch_no=1, verdicts=verdicts, head_seq=school.head) if content else None,
            "equal": answer if isinstance(answer, SessionEqual) else None,
        }

    def _refused(self, school: Any, asked: SessionOpen) -> Problem | None:
        states = asked.statement is None or any(
            (given["session"], given["head_seq"], given["root"])
            == (asked.statement.session, asked.statement.head_seq, asked.statement.root)
            for given in school.statements
        )
        if admission.is_ahead(school, asked, states=states):
            raise Broken(f"central takes {asked} for one that is ahead of it")
        if Safeguard.TRIED_KNOWN in self.without:
            asked = asked.model_copy(update={"marks": heard(asked.marks)})
        refused = admission.out_of_step(school, asked, states=states)
        left_out = {"SYN-05": Safeguard.OLD_COPY_REFUSED, "SYN-14": Safeguard.RECOVERS_FIRST}
        return None if refused and left_out[refused.code] in self.without else refused

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
            before = [v for v in school.records[shown.key] if v.version < shown.version]
            ours = (v for v in reversed(before) if v.session is not None)
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
            return self._result(school, asked, self._decided(school, asked.session, content) if again else last[3])
        if asked.batch_no != number + 1:
            return SessionStale()
        return self._result(school, asked, self._take(school, asked.session, asked.batch_no, content))

    def _take(
        self, school: School, session: int, batch_no: int, content: tuple[PushedChange, ...]
    ) -> list[RecordVerdict]:
        self.listener.central_took(school, session, content)
        verdicts = self._decided(school, session, content)
        school.batch = (session, batch_no, content, verdicts)
        school.mark, school.mark_open_id = Mark(incarnation=school.incarnation, session=session), None
        return verdicts

    def _result(self, school: School, asked: SessionPush, verdicts: list[RecordVerdict]) -> SessionResult:
        page = self._page(school, asked.session, asked.cursor, self.page_records) if asked.last else None
        return SessionResult(batch_no=asked.batch_no, verdicts=verdicts, head_seq=school.head, page=page)

    def _decided(self, school: School, session: int, content: Iterable[PushedChange]) -> list[RecordVerdict]:
        return [self._decide(school, session, change) for change in content]

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

    # ── a recover ────────────────────────────────────────────────────────────────────────────────────────────────────

    def _recover(self, school: School, asked: SessionRollback | SessionProof | SessionGive) -> Message:
        if isinstance(asked, SessionRollback):
            return self._roll_back(school, asked)
        if isinstance(asked, SessionProof):
            return self._keep_proof(school, asked)
        last = school.batch if school.batch and school.batch[0] == asked.session else None
        number, content = (last[1] if last else 0), tuple(asked.records)
        if last and asked.batch_no == number and content == last[2]:
            verdicts = last[3]
        elif asked.batch_no == number + 1:
            verdicts = [self._given(school, asked.session, given) for given in asked.records]
            school.batch = (asked.session, asked.batch_no, content, verdicts)
            school.mark, school.mark_open_id = Mark(incarnation=school.incarnation, session=asked.session), None
            self.listener.central_took_back(school, asked.session)
        else:
            return SessionStale()
        return SessionResult(batch_no=asked.batch_no, verdicts=verdicts, head_seq=school.head)

    def _roll_back(self, school: School, asked: SessionRollback) -> Message:
        state = school.state(min(asked.as_of, school.head))
        found = [state.get((key.entity, key.record_id)) for key in asked.records]
        rows = [PageRow(*v.key, v.version, v.seq, v.text) for v in found if v][: self.rollback_records]
        absent = [key for key, v in zip(asked.records, found, strict=True) if v is None]
        return SessionRolledBack(rows=rows, absent=absent)

    def _keep_proof(self, school: School, asked: SessionProof) -> Message:
        said = self.signed.get(asked.statement)
        if said is None or said["npsn"] != school.npsn:
            return SessionProven(proven=False)
        proof = school.proof
        if proof is None or (proof.session, proof.jws) != (asked.session, asked.statement):
            if asked.part != 1:
                return SessionStale()
            theirs = [Life(**life) for life in said["lineage"]]
            parted = common(theirs, said["head_seq"], school.lives, school.head)
            proof = school.proof = Proof(asked.session, asked.statement, parted)
        if asked.part > len(proof.parts) + 1:
            return SessionStale()
        if proof.proven:
            return SessionProven(proven=True if asked.last else None)
        part = (asked.entity, base64.b64decode(asked.hashes))
        proof.parts = [*proof.parts[: asked.part - 1], part]
        if not asked.last:
            return SessionProven()
        entities = {name: b"".join(one for entity, one in proof.parts if entity == name) for name, _ in proof.parts}
        digests = {name: (len(one) // 32, digest.entity_digest([one])) for name, one in entities.items()}
        proof.proven = digest.root(digests).hex() == said["root"]
        return SessionProven(proven=proof.proven)

    def _given(self, school: School, session: int, given: GivenRecord) -> RecordVerdict:
        key = (given.entity, given.record_id)
        hashed = digest.row_hash(*key, given.version, given.text)
        held = next((v for v in school.records.get(key, ()) if v.row_hash == hashed), None)
        now, proof = school.now(key), school.proof
        proof = proof if proof and proof.session == session else None
        parted = proof.parted if proof and Safeguard.GIVEN_IF_UNMOVED not in self.without else school.head
        outcome = judge(
            hashed,
            given.version,
            Now(now.version, now.seq) if now else None,
            held=held is not None,
            proven={hashed} if Safeguard.GIVEN_IF_PROVEN in self.without else proof.hashes(key[0]) if proof else (),
            parted=parted,
        )
        fields = None if given.text is None else canonical.decode(given.text)
        if outcome is Given.TAKEN:
            self.write(school, key, fields, session=session, version=given.version)
            held = school.now(key)
        if outcome in (Given.TAKEN, Given.SAME):
            assert held is not None
            return RecordVerdict(verdict="applied", version=held.version, seq=held.seq)
        school.listed.append((key, given.version, fields))
        return RecordVerdict(
            verdict="unchanged", version=now.version if now else 0, seq=now.seq if now else 0, carries=True,
            text=now.text if now else None,
        )  # fmt: skip

    # ── proof ────────────────────────────────────────────────────────────────────────────────────────────────────────

    def _stated(self, school: School, asked: SessionVerify) -> Message | None:
        for given in school.statements:
            if (given["session"], given["head_seq"], given["root"]) == (asked.session, asked.cursor, asked.root):
                return SessionEqual(statement=given, jws=given["jws"])
        return None

    def _verify(self, school: School, asked: SessionVerify) -> Message:
        if given := self._stated(school, asked):
            return given
        as_of = self._as_of(school)
        end = school.head if as_of is None else as_of
        if asked.cursor < end:
            return SessionBehind(head_seq=end)
        entities = digests(school.state(end).values())
        root = digest.root(entities).hex()
        if root != asked.root or asked.cursor > end:
            theirs = {name: EntityDigest(rows=n, digest=of_it.hex()) for name, (n, of_it) in entities.items()}
            return SessionDifferent(entities=theirs, root=root)
        statement: dict[str, Any] = {
            "npsn": school.npsn,
            "install_id": school.install_id,
            "registration_no": school.registration_no,
            "site": SITE,
            "lineage": [life._asdict() for life in school.lives],
            "jws": f"jws-{len(self.signed) + 1}",
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
        self.signed[statement["jws"]] = statement
        receipt = self.signed.get(asked.receipt or "", {}) if school.kind == "recover" else {}
        if school.kind == "sync" or (receipt.get("kind"), receipt.get("root")) == ("sync", root):
            school.confirmed_seq = end
        if school.kind in ("pull", "recover"):
            school.delivered_seq = end
        self.listener.central_stated(school, statement)
        return SessionEqual(statement=statement, jws=statement["jws"])


def digests(versions: Iterable[Version]) -> dict[str, tuple[int, bytes]]:
    """Of each entity: its number of rows, tombstones included, and the digest over their hashes."""
    hashes: dict[str, list[bytes]] = {}
    for version in sorted(versions, key=lambda version: version.key):
        hashes.setdefault(version.key[0], []).append(version.row_hash)
    return {name: (len(found), digest.entity_digest(found)) for name, found in hashes.items()}
