"""Central takes back what it had signed and has forgotten: ROLLBACK, the proof, GIVE; and what officers are shown."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from services import signing
from services.central import admission, aftermath, history, lives, recovering
from services.central.administration import Refused, add_school, new_registration_code
from services.central.registry import Stored
from services.errors import MessageRefused
from services.exchange import canonical, digest
from services.exchange.digest import row_hash
from services.messages import (
    GivenRecord,
    Kind,
    LineageEntry,
    Message,
    PageRow,
    PushedChange,
    RecordKey,
    SchoolRegister,
    SchoolRegistered,
    SessionEqual,
    SessionFetch,
    SessionGive,
    SessionGranted,
    SessionOpen,
    SessionPage,
    SessionProof,
    SessionProven,
    SessionRefusal,
    SessionResult,
    SessionRollback,
    SessionRolledBack,
    SessionStale,
    SessionVerify,
)
from services.replica.mending import Proof
from services.syncer.recover import PART_HASHES, _parts
from tests.builders import NPSN
from tests.central.backups import back_up, put_back
from tests.central.desk import (
    KEYS,
    OTHER,
    STUDENT,
    Desk,
    SessionAt,
    baseline,
    codes,
    corrects,
    delete,
    expect,
    new,
    put,
    student_id,
)
from tests.central.neighbours import backlog

OUTCOMES = "selaras_central_given_back_records_total"


@dataclass
class Site:
    """What a site in step with central remembers of it: every row, and the statement over them."""

    desk: Desk
    rows: dict[tuple[str, str], PageRow]
    said: dict[str, Any]
    jws: str
    user: str = "situs"
    lineage: list[LineageEntry] = field(default_factory=list)

    @property
    def hashes(self) -> dict[str, bytes]:
        """The row hashes under the statement."""
        found: dict[str, list[bytes]] = {}
        for (entity, one), row in sorted(self.rows.items()):
            found.setdefault(entity, []).append(row_hash(entity, one, row.version, row.text))
        return {entity: b"".join(hashes) for entity, hashes in found.items()}

    def opening(self, kind: Kind, **changed: Any) -> SessionOpen:
        """OPEN, as it says it after the restore."""
        seq = self.said["head_seq"]
        return self.desk.opening(kind, cursor=seq, **{"lineage": self.lineage, "proof": self.jws, **changed})

    async def asks(self, kind: Kind, **changed: Any) -> Message:
        """Central's answer to it."""
        user = f"{self.user}-{'pull' if kind in ('pull', 'restore') else 'sync'}"
        return await self.desk.ask(user, "open", self.opening(kind, **changed))

    async def recover(self) -> Recover:
        """A recover that is granted."""
        granted = expect(await self.asks("recover"), SessionGranted)
        return Recover(self.desk, f"{self.user}-sync", granted, site=self)

    def given(self, n: int, **changed: Any) -> GivenRecord:
        """The nth student as it is set aside."""
        row = self.rows[("peserta_didik", student_id(n))]
        return replace(GivenRecord(row.entity, row.record_id, row.version, row.text), **changed)


@dataclass
class Recover(SessionAt):
    """A recover, step by step."""

    site: Site | None = None

    async def rolled_back(self, *ns: int, as_of: int | None = None) -> Message:
        """ROLLBACK of these students."""
        asked = SessionRollback(
            **self.named,
            records=[RecordKey("peserta_didik", student_id(n)) for n in ns],
            as_of=self.granted.common or 0 if as_of is None else as_of,
        )
        return await self.desk.ask(self.user, "rollback", asked)

    async def part(self, number: int, entity: str, hashes: bytes, *, last: bool, jws: str | None = None) -> Message:
        """One part of the proof."""
        assert self.site is not None
        asked = SessionProof(
            **self.named,
            statement=self.site.jws if jws is None else jws,
            part=number,
            entity=entity,
            hashes=base64.b64encode(hashes).decode(),
            last=last,
        )
        return await self.desk.ask(self.user, "give", asked)

    async def proven(self, hashes: Mapping[str, bytes] | None = None, jws: str | None = None) -> bool | None:
        """The whole proof; what the last part is answered, or the first that is refused."""
        assert self.site is not None
        parts = sorted((self.site.hashes if hashes is None else hashes).items())
        for number, (entity, joined) in enumerate(parts, 1):
            answer = await self.part(number, entity, joined, last=number == len(parts), jws=jws)
            said = expect(answer, SessionProven).proven
            if said is not None:
                return said
        return None

    async def give(self, *records: GivenRecord, batch_no: int | None = None) -> Message:
        """GIVE, the next batch or that of a number."""
        if batch_no is None:
            self.batch_no += 1
        self.desk.marks = {**self.desk.marks, self.granted.incarnation: self.granted.session}
        asked = SessionGive(**self.named, batch_no=batch_no or self.batch_no, records=list(records))
        return await self.desk.ask(self.user, "give", asked)

    async def gave(self, *records: GivenRecord) -> list[tuple[str, int, bool]]:
        """GIVE; of each verdict what it says, the version, and whether it carries what central has."""
        result = expect(await self.give(*records), SessionResult)
        return [(v.verdict, v.version, v.carries) for v in result.verdicts]


async def synced(desk: Desk, *changes: PushedChange) -> Site:
    """A sync that pushed this, and what the site then has."""
    session = await desk.open("sync")
    if changes:
        await session.pushed(*changes)
    equal = expect(await session.verify(), SessionEqual)
    async with desk.database.transaction() as transaction:
        rows = await history.as_of(transaction, NPSN, equal.statement["head_seq"])
    held = {(r.entity, r.record_id): PageRow(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}
    return Site(desk, held, equal.statement, equal.jws, lineage=list(desk.lineage))


async def forgotten(desk: Desk, *changes: PushedChange) -> Site:
    """A sync that central has forgotten, for it was put back from a backup of before."""
    await synced(desk)
    await back_up(desk.database)
    site = await synced(desk, *changes)
    await put_back(desk.database)
    return site


async def noted(desk: Desk) -> list[tuple[str, str, str | None, bool]]:
    """(record, outcome, state, is it proven) of what was given back and not the same."""
    async with desk.database.transaction() as transaction:
        rows = await transaction.rows("SELECT record_id, outcome, state, is_proven FROM given_back ORDER BY id")
    return [(r.record_id, r.outcome, r.state, r.is_proven) for r in rows]


def counted(desk: Desk, outcome: str, entity: str = "peserta_didik") -> float:
    """How many records central counted."""
    return desk.metrics.get_sample_value(OUTCOMES, {"site": "pusat", "entity": entity, "outcome": outcome}) or 0


# ── OPEN ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_a_site_that_has_seen_what_central_forgot_recovers_first_and_only_its_syncer_may(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    kinds: tuple[Kind, ...] = ("sync", "pull", "verify")
    for kind in kinds:
        assert codes([expect(await site.asks(kind), SessionRefusal).problem]) == ["SYN-14"]
    expect(await site.asks("restore"), SessionGranted)
    with pytest.raises(MessageRefused, match="MSG-05"):
        await desk.ask("situs-pull", "open", site.opening("recover"))
    granted = expect(await site.asks("recover"), SessionGranted)
    assert granted.common == 4
    assert (granted.page.rows, granted.page.cursor) == ([], 5)
    assert [life.head_seq for life in granted.lineage] == [0, 4]


async def test_a_site_that_has_seen_nothing_of_what_is_forgotten_goes_on(desk: Desk) -> None:
    site = await synced(desk)
    await back_up(desk.database)
    await desk.officer(corrects(1, 1, nama="Lain"))  # nobody fetched it
    await put_back(desk.database)
    granted = expect(await site.asks("sync"), SessionGranted)
    assert granted.common == 4


# ── messages in their place ──────────────────────────────────────────────────────────────────────────────────────────


async def test_the_messages_of_a_recover_are_stale_in_a_session_of_another_kind(desk: Desk) -> None:
    site = await synced(desk, put(1, 1, rt=(None, 5)))
    granted = expect(await site.asks("sync", highest_seq=5), SessionGranted)
    sync = Recover(desk, "situs-sync", granted, site=site)
    expect(await sync.rolled_back(1), SessionStale)
    expect(await sync.part(1, "peserta_didik", b"", last=True), SessionStale)
    expect(await sync.give(site.given(1)), SessionStale)
    recover = await site.recover()
    expect(await recover.push(put(2, 1, rt=(None, 5))), SessionStale)
    assert (await desk.head()).head_seq == 5


async def test_a_puller_may_send_nothing_of_a_recover(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    recover = await site.recover()
    recover.user = "situs-pull"
    for asking in (recover.rolled_back(1), recover.part(1, "ptk", b"", last=True), recover.give(site.given(1))):
        with pytest.raises(MessageRefused, match="MSG-05"):
            await asking


async def test_a_recover_that_another_session_has_replaced_is_stale(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    before, _ = await site.recover(), await site.recover()
    expect(await before.rolled_back(1), SessionStale)
    expect(await before.part(1, "ptk", b"", last=True), SessionStale)
    expect(await before.give(site.given(1)), SessionStale)


async def test_a_recover_ends_with_the_life_it_was_granted_in(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    before = await site.recover()
    await put_back(desk.database)
    expect(await before.give(site.given(1)), SessionStale)
    again = await site.recover()
    assert again.granted.incarnation != before.granted.incarnation


# ── ROLLBACK ─────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_records_are_given_as_they_were_where_the_histories_part(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)), new(9), delete(3, 1))
    await desk.officer(corrects(2, 1, nama="Sesudah Pulih"))
    recover = await site.recover()
    answer = expect(await recover.rolled_back(1, 2, 3, 9), SessionRolledBack)
    text = canonical.encode(STUDENT)
    assert sorted((r.record_id, r.version, r.seq, r.text) for r in answer.rows) == [
        (student_id(n), 1, n + 1, text) for n in (1, 2, 3)
    ]
    assert answer.absent == [RecordKey("peserta_didik", student_id(9))]


async def test_those_that_do_not_fit_are_asked_for_again(desk: Desk) -> None:
    site = await forgotten(desk, *(put(n, 1, rt=(None, 5)) for n in (1, 2, 3)))
    desk.rewire(page_bytes=100)
    recover, left = await site.recover(), [1, 2, 3]
    while left:
        answer = expect(await recover.rolled_back(*left), SessionRolledBack)
        assert (len(answer.rows), answer.absent) == (1, [])
        left = [n for n in left if student_id(n) != answer.rows[0].record_id]


# ── the proof ────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_the_hashes_under_a_statement_of_centrals_prove_and_nothing_else_does(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    hashes = site.hashes
    assert await (await site.recover()).proven() is True
    forged = {**hashes, "peserta_didik": bytes(32) + hashes["peserta_didik"][32:]}
    assert await (await site.recover()).proven(forged) is False
    fewer = {entity: joined for entity, joined in hashes.items() if entity != "sekolah"}
    assert await (await site.recover()).proven(fewer) is False
    assert await (await site.recover()).proven(jws=site.jws[:-8] + "AAAAAAAA") is False
    assert await (await site.recover()).proven({"peserta_didik": hashes["peserta_didik"][:-1]}) is False
    recover = await site.recover()
    not_base64 = SessionProof(**recover.named, statement=site.jws, part=1, entity="ptk", hashes="?", last=True)
    assert expect(await desk.ask(recover.user, "give", not_base64), SessionProven).proven is False


async def test_a_statement_about_another_school_proves_nothing(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    other = KEYS.sign(canonical.encode({**site.said, "npsn": OTHER}))
    recover = await site.recover()
    assert await recover.proven(jws=other) is False
    assert await recover.gave(site.given(1)) == [("unchanged", 1, True)]
    assert await noted(desk) == [(student_id(1), "unproven", None, False)]


async def test_a_proof_comes_in_parts_which_may_come_again_and_leave_no_gap(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    recover, of = await site.recover(), site.hashes
    students = of["peserta_didik"]
    cuts = [("peserta_didik", students[:32]), ("peserta_didik", students[32:]), ("sekolah", of["sekolah"])]
    expect(await recover.part(2, *cuts[1], last=False), SessionStale)
    for number in (1, 1, 2, 1):
        said = expect(await recover.part(number, *cuts[number - 1], last=False), SessionProven)
        assert said.proven is None
    expect(await recover.part(4, *cuts[2], last=True), SessionStale)
    for _ in range(2):
        assert expect(await recover.part(3, *cuts[2], last=True), SessionProven).proven is True
    assert expect(await recover.part(1, "peserta_didik", bytes(32), last=False), SessionProven).proven is None
    assert await recover.gave(site.given(1)) == [("applied", 2, False)], "a part that comes late takes nothing back"


async def test_a_proof_is_of_one_session(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    assert await (await site.recover()).proven() is True
    assert await (await site.recover()).gave(site.given(1)) == [("unchanged", 1, True)]


async def test_a_large_school_is_proven_in_parts_of_so_many_hashes(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    own = site.given(1)
    own_hash = row_hash(own.entity, own.record_id, own.version, own.text)
    many = b"".join(sorted(hashlib.sha256(str(n).encode()).digest() for n in range(2 * PART_HASHES))) + own_hash
    hashes = {"peserta_didik": many, "sekolah": site.hashes["sekolah"]}
    digests = {name: (len(joined) // 32, hashlib.sha256(joined).digest()) for name, joined in hashes.items()}
    jws = KEYS.sign(canonical.encode({**site.said, "root": digest.root(digests).hex()}))
    parts = list(_parts(Proof(jws, site.said, hashes)))
    assert [(entity, len(joined) // 32) for entity, joined in parts] == [
        ("peserta_didik", PART_HASHES), ("peserta_didik", PART_HASHES), ("peserta_didik", 1), ("sekolah", 1),
    ]  # fmt: skip
    assert recovering.PART_HASHES == PART_HASHES
    recover = await site.recover()
    too_many = expect(await recover.part(1, "peserta_didik", many, last=False, jws=jws), SessionProven)
    assert too_many.proven is False
    for number, (entity, joined) in enumerate(parts, 1):
        said = expect(await recover.part(number, entity, joined, last=number == len(parts), jws=jws), SessionProven)
    assert said.proven is True
    assert await recover.gave(own) == [("applied", 2, False)]


# ── GIVE ─────────────────────────────────────────────────────────────────────────────────────────────────────────────


async def test_what_is_proven_is_taken_under_the_same_version_once(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)), new(9), delete(3, 1))
    recover = await site.recover()
    assert await recover.proven() is True
    batch = [site.given(n) for n in (1, 9, 3, 2)]
    first = expect(await recover.give(*batch), SessionResult)
    assert [(v.verdict, v.version, v.carries) for v in first.verdicts] == [
        ("applied", 2, False), ("applied", 1, False), ("applied", 2, False), ("applied", 1, False),
    ]  # fmt: skip
    assert first.head_seq == 7
    assert expect(await recover.give(*batch, batch_no=1), SessionResult) == first, "the same batch again"
    expect(await recover.give(site.given(1), batch_no=1), SessionStale)
    expect(await recover.give(site.given(1), batch_no=3), SessionStale)
    assert (await desk.head()).head_seq == 7
    for n in (1, 9, 3):
        held, was = await desk.student(n), site.given(n)
        assert held is not None
        assert (held.version, held.text) == (was.version, was.text)
    assert await recover.gave(site.given(1)) == [("applied", 2, False)], "it has it by now"
    assert [(outcome, state) for _, outcome, state, _ in await noted(desk)] == [("taken", None)] * 3
    assert (counted(desk, "taken"), counted(desk, "same"), counted(desk, "unproven")) == (3, 2, 0)
    mark = (await desk.head()).mark
    assert mark is not None
    assert (mark.incarnation, mark.session) == (recover.granted.incarnation, recover.granted.session)


async def test_claims_of_what_comes_back_are_looked_into_again(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, nik=(STUDENT["nik"], "9901010101100777")))
    before = await backlog(desk.database)
    recover = await site.recover()
    await recover.proven()
    assert await recover.gave(site.given(1)) == [("applied", 2, False)]
    assert await backlog(desk.database) > before


async def test_what_an_officer_wrote_since_is_not_undone_and_what_was_centrals_is_listed(desk: Desk) -> None:
    await synced(desk)
    await back_up(desk.database)
    await desk.officer(corrects(1, 1, nisn="9900000001"), corrects(2, 1, nisn="9900000002"))
    site = await synced(desk, put(3, 1, rt=(None, 5)))
    await put_back(desk.database)
    await desk.officer(corrects(1, 1, nisn="9900000099"), corrects(3, 1, nama="Sesudah Pulih"))
    recover = await site.recover()
    await recover.proven()
    assert await recover.gave(*map(site.given, (1, 2, 3))) == [
        ("unchanged", 2, True), ("applied", 2, False), ("unchanged", 2, True),
    ]  # fmt: skip
    held = await desk.student(1)
    assert held is not None
    assert (held.fields or {})["nisn"] == "9900000099"
    assert await noted(desk) == [
        (student_id(1), "moved", "open", True),
        (student_id(2), "taken", None, True),
        (student_id(3), "moved", None, True),
    ]


async def test_what_no_statement_proves_is_not_taken_and_listed_if_only_central_may_say_it(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)), put(2, 1, rt=(None, 6)))
    recover = await site.recover()
    await recover.proven()
    false = canonical.encode({**STUDENT, "nisn": "9900000042"})
    foreign = GivenRecord("entitas_lain", "x", 1, "{}")
    assert await recover.gave(site.given(1, text=false), site.given(2, version=7), foreign) == [
        ("unchanged", 1, True), ("unchanged", 1, True), ("unchanged", 0, True),
    ]  # fmt: skip
    assert await noted(desk) == [
        (student_id(1), "unproven", "open", False),
        (student_id(2), "unproven", None, False),
        ("x", "unproven", "open", False),
    ]
    sample = desk.metrics.get_sample_value(OUTCOMES, {"site": "pusat", "entity": "unknown", "outcome": "unproven"})
    assert sample == 1, "a sender's own name is no label"


async def test_an_empty_text_is_no_record_although_it_is_hashed_as_a_tombstone(desk: Desk) -> None:
    site = await forgotten(desk, delete(3, 1))
    recover = await site.recover()
    assert await recover.proven() is True
    assert await recover.gave(site.given(3, text="")) == [("unchanged", 1, True)]
    assert (await desk.head()).head_seq == 4
    assert await recover.gave(site.given(3)) == [("applied", 2, False)]


async def test_a_record_twice_in_one_batch_is_no_batch(desk: Desk) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    recover = await site.recover()
    await recover.proven()
    with pytest.raises(MessageRefused, match="MSG-09"):
        await recover.give(site.given(1), site.given(1), batch_no=1)
    assert (await desk.head()).head_seq == 4
    assert await recover.gave(site.given(1)) == [("applied", 2, False)], "nothing of it was taken"


# ── VERIFY ───────────────────────────────────────────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("with_receipt", [True, False])
async def test_a_recover_that_ends_on_the_root_of_the_last_receipt_confirms_it(desk: Desk, with_receipt: bool) -> None:
    site = await forgotten(desk, put(1, 1, rt=(None, 5)))
    recover = await site.recover()
    await recover.proven()
    await recover.give(site.given(1))
    page = expect(await desk.ask(recover.user, "fetch", SessionFetch(**recover.named, cursor=4, limit=9)), SessionPage)
    assert page.rows == [], "it wrote that itself"
    asked = SessionVerify(
        **recover.named, cursor=5, root=await desk.root(), unsent=0, held=0, refused=0,
        receipt=site.jws if with_receipt else None,
    )  # fmt: skip
    equal = expect(await desk.ask(recover.user, "verify", asked), SessionEqual)
    assert (equal.statement["kind"], equal.statement["root"]) == ("recover", site.said["root"])
    head = await desk.head()
    assert (head.confirmed_seq, head.delivered_seq) == (5 if with_receipt else 4, 5)
    KEYS.public.verify(site.jws)


# ── an installation that is forgotten ────────────────────────────────────────────────────────────────────────────────


async def reinstalled(desk: Desk) -> tuple[Site, Site]:
    """The older installation and the newer one, which central, put back, has forgotten."""
    older = await synced(desk)
    await back_up(desk.database)
    first = desk.install_id
    code = await new_registration_code(desk.database, NPSN)
    desk.install_id = expect(
        await desk.ask("lain-sync", "register", SchoolRegister(code=code)), SchoolRegistered
    ).install_id
    session = await desk.open("sync", site="lain")
    await session.pushed(put(1, 1, rt=(None, 5)))
    equal = expect(await session.verify(), SessionEqual)
    async with desk.database.transaction() as transaction:
        rows = await history.as_of(transaction, NPSN, 5)
    held = {(r.entity, r.record_id): PageRow(r.entity, r.record_id, r.version, r.seq, r.text) for r in rows}
    newer = Site(desk, held, equal.statement, equal.jws, user="lain", lineage=list(desk.lineage))
    await put_back(desk.database)
    desk.install_id = first
    return older, newer


async def test_a_forgotten_installation_takes_its_place_by_its_statement_and_fences_the_older_one(desk: Desk) -> None:
    older, newer = await reinstalled(desk)
    granted = expect(await older.asks("sync", marks={}), SessionGranted)
    desk.lineage = granted.lineage
    meanwhile = SessionAt(desk, "situs-sync", granted)
    await meanwhile.pushed(put(2, 1, rt=(None, 9)))
    said = {"install_id": newer.said["install_id"], "marks": {}}
    assert codes([expect(await newer.asks("sync", **{**said, "proof": None}), SessionRefusal).problem]) == ["SYN-06"]
    forged = newer.jws[:-8] + "AAAAAAAA"
    assert codes([expect(await newer.asks("sync", **{**said, "proof": forged}), SessionRefusal).problem]) == ["SYN-06"]
    assert codes([expect(await newer.asks("sync", **said), SessionRefusal).problem]) == ["SYN-14"]
    assert codes([expect(await older.asks("sync"), SessionRefusal).problem]) == ["SYN-06"]
    expect(await meanwhile.push(put(2, 2, rt=(9, 8))), SessionStale)
    head = await desk.head()
    assert (head.install_id, head.site, head.registration_no) == (said["install_id"], "lain", 2)
    (listed,) = await aftermath.listed(desk.database)
    assert (listed.why, listed.record_id, listed.version) == ("written", student_id(2), 2)
    assert await aftermath.decide(desk.database, NPSN, [], aftermath.ACCEPTED, by="petugas")  # type: ignore[arg-type]
    held = await desk.student(2)
    assert held is not None
    assert held.version == 2, "seen by an officer: nothing is written"


async def test_the_older_statement_or_one_registered_since_takes_nothing(desk: Desk) -> None:
    older, newer = await reinstalled(desk)
    code = await new_registration_code(desk.database, NPSN)
    third = expect(await desk.ask("situs-sync", "register", SchoolRegister(code=code)), SchoolRegistered)
    assert third.registration_no == 2
    said = {"install_id": newer.said["install_id"], "marks": {}}
    assert codes([expect(await newer.asks("sync", **said), SessionRefusal).problem]) == ["SYN-06"]
    assert codes([expect(await older.asks("sync"), SessionRefusal).problem]) == ["SYN-06"]


async def test_a_school_that_is_added_again_knows_its_installation_by_its_statement(desk: Desk) -> None:
    site = await synced(desk, put(1, 1, rt=(None, 5)))
    async with desk.database.transaction() as transaction:  # a backup of before the school was there
        for table in ("school", "record", "history", "statement", "last_batch", "claim", "follow_up"):
            await transaction.run(f"DELETE FROM {table} WHERE npsn = :npsn", npsn=NPSN)
    await lives.restored(desk.database)
    assert codes([expect(await site.asks("sync"), SessionRefusal).problem]) == ["SYN-11"]
    await add_school(desk.database, NPSN, baseline(2))
    assert codes([expect(await site.asks("sync", proof=None), SessionRefusal).problem]) == ["SYN-11"]
    assert codes([expect(await site.asks("sync"), SessionRefusal).problem]) == ["SYN-14"]
    recover = await site.recover()
    assert recover.granted.common == 0
    assert await recover.proven() is True
    assert await recover.gave(*map(site.given, (1, 2, 3))) == [
        ("unchanged", 1, True), ("applied", 1, False), ("applied", 1, False),
    ]  # fmt: skip


# ── what officers are shown ──────────────────────────────────────────────────────────────────────────────────────────


async def listed_one(desk: Desk) -> Site:
    """Two students' numbers are listed: moved, for an officer has written since."""
    await synced(desk)
    await back_up(desk.database)
    await desk.officer(corrects(1, 1, nisn="9900000001"), corrects(2, 1, nisn="9900000002"))
    site = await synced(desk)
    await put_back(desk.database)
    await desk.officer(corrects(1, 1, nama="Sesudah Pulih"), corrects(2, 1, nama="Juga Sesudah"))
    recover = await site.recover()
    await recover.proven()
    assert [v for v, *_ in await recover.gave(site.given(1), site.given(2))] == ["unchanged"] * 2
    return site


async def test_officers_see_both_values_and_accept_or_dismiss_each(desk: Desk) -> None:
    await listed_one(desk)
    one, two = await aftermath.listed(desk.database, NPSN)
    assert (one.why, one.is_proven, one.state) == ("moved", True, "open")
    assert one.now is not None
    assert ((one.fields or {})["nisn"], (one.now.fields or {}).get("nisn")) == ("9900000001", STUDENT.get("nisn"))
    with pytest.raises(Refused, match="PUSAT-07"):
        await aftermath.decide(desk.database, NPSN, [one.id, 999999], "accepted", by="petugas")
    with pytest.raises(Refused, match="PUSAT-04"):
        await aftermath.decide(desk.database, OTHER, [], "accepted", by="petugas")
    assert await aftermath.listed(desk.database) == [one, two], "all or none"
    await aftermath.decide(desk.database, NPSN, [one.id], "accepted", by="petugas")
    await aftermath.decide(desk.database, NPSN, [two.id], "dismissed", by="petugas")
    first, second = await desk.student(1), await desk.student(2)
    assert first is not None
    assert second is not None
    assert ((first.fields or {})["nisn"], (first.fields or {})["nama"]) == ("9900000001", "Sesudah Pulih")
    assert (first.version, second.version) == (3, 2)
    assert (second.fields or {}).get("nisn") == STUDENT.get("nisn")
    assert await aftermath.listed(desk.database) == []
    decided = await aftermath.listed(desk.database, every=True)
    assert [(d.id, d.state) for d in decided] == [(one.id, "accepted"), (two.id, "dismissed")]
    with pytest.raises(Refused, match="PUSAT-07"):
        await aftermath.decide(desk.database, NPSN, [one.id], "dismissed", by="petugas")


def test_accepting_writes_nothing_over_what_was_written_since() -> None:
    def stored(**fields: Any) -> Stored:
        return Stored("peserta_didik", "x", 3, 30, canonical.encode({"terverifikasi": True, **fields}))

    lost, begun = {"nama": "Lama", "nik": "1", "terverifikasi": True}, stored(nama="Lama", nik="0")
    now = stored(nama="Baru", nik="0")
    one = aftermath.Listed(
        NPSN, 1, "peserta_didik", "x", 2, canonical.encode(lost), "moved", True, "open", datetime.now(UTC), now, begun
    )
    change = aftermath.accepted(one)
    assert (change.op, change.version) == ("upsert", 3)
    assert {name: value for name, value in change.fields.items() if name in ("nama", "nik")} == {"nik": "1"}


async def test_the_report_tells_what_came_back_and_who_was_not_seen(desk: Desk) -> None:
    assert (await aftermath.report(desk.database)).lives == 1
    site = await listed_one(desk)
    report = await aftermath.report(desk.database)
    assert (report.lives, report.life.why, report.seen) == (2, "said", 0)
    assert [one.npsn for one in report.unseen] == [NPSN], "no statement of this life yet"
    recover = await site.recover()
    expect(await recover.verify(), SessionEqual)
    report = await aftermath.report(desk.database)
    assert (report.seen, report.unseen_count) == (1, 0)
    (one,) = report.schools
    assert (one.taken, one.moved, one.unproven, one.older, one.listed) == (0, 2, 0, 0, 2)
    assert (await aftermath.decide(desk.database, NPSN, [], "dismissed", by="petugas"))[0].state == "open"
    assert (await aftermath.report(desk.database)).schools[0].listed == 0


async def test_what_was_written_before_somebody_said_it_parts_the_histories_all_the_same(desk: Desk) -> None:
    site = await synced(desk)
    await desk.officer(corrects(1, 1, nama="Sebelum Dinyatakan"))
    await lives.restored(desk.database)
    head = await desk.head()
    assert (head.lineage[-1].head_seq, head.head_seq) == (site.said["head_seq"], site.said["head_seq"] + 1)


async def test_a_receipt_in_another_sites_hands_takes_no_place(desk: Desk) -> None:
    school = await desk.head()
    said = {
        "npsn": NPSN, "install_id": "i", "incarnation": "ended", "registration_no": school.registration_no + 1,
        "lineage": [{"incarnation": school.registered_incarnation, "head_seq": 0}], "site": "situs",
    }  # fmt: skip
    asked = desk.opening(install_id="i")
    assert admission.takes_its_place(school, asked, "situs", said)
    assert not admission.takes_its_place(school, asked, "lain", said)
    assert not admission.takes_its_place(school, asked, "situs", {**said, "site": None})


async def test_a_proof_by_a_key_that_central_lacks_stops_the_recover_before_anything_is_given(
    desk: Desk, tmp_path: Path
) -> None:
    signing.new(tmp_path / "lain.json")
    other = signing.SigningKeys.read(tmp_path / "lain.json")
    site = await forgotten(desk)
    granted = (await site.recover()).granted
    proof = SessionProof(
        session=granted.session, incarnation=granted.incarnation, statement=other.sign(canonical.encode(site.said)),
        part=1, entity="peserta_didik", hashes="", last=True,
    )  # fmt: skip
    assert codes([expect(await desk.ask("situs-sync", "give", proof), SessionRefusal).problem]) == ["SYN-24"]
