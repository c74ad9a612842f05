"""Central believes a site's row only under a statement that it signed, and only where its own past is wrong."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest

from services.central import administration, claims, descent, history, receipts
from services.central.auditing import audit
from services.errors import MessageRefused
from services.exchange import canonical
from services.exchange.digest import bucket, row_hash
from services.messages import (
    EntityDigest,
    ProvenRow,
    SessionBodies,
    SessionBucketed,
    SessionBuckets,
    SessionDifferent,
    SessionEqual,
    SessionGranted,
    SessionHashes,
    SessionMend,
    SessionMended,
    SessionRecords,
    SessionRows,
    SessionStale,
)
from services.signing import SigningKeys
from tests.builders import NPSN, new_id
from tests.central.desk import (
    KEYS,
    OTHER,
    STUDENT,
    Desk,
    SessionAt,
    baseline,
    corrects,
    delete,
    expect,
    put,
    student_id,
)
from tests.central.neighbours import backlog, claimed

FALSE = '{"nama":"Diubah Tangan"}'


async def by_hand(desk: Desk, sql: str, **values: Any) -> None:
    async with desk.database.transaction() as transaction:
        assert await transaction.run(sql, npsn=NPSN, **values) > 0


async def altered(desk: Desk, n: int = 1, change: str = "text = :text") -> None:
    await by_hand(
        desk, f"UPDATE record SET {change} WHERE npsn = :npsn AND record_id = :id AND :text <> ''",
        id=student_id(n), text=FALSE,
    )  # fmt: skip


async def proof_of(desk: Desk, session: SessionAt, *ns: int, **changed: Any) -> SessionMend:
    """What a site in step with central brings, of these students, under a statement that it is given now."""
    answer = expect(await session.verify(), SessionEqual)
    async with desk.database.transaction() as transaction:
        rows = await history.as_of(transaction, NPSN, answer.statement["head_seq"])
    hashes: dict[str, list[bytes]] = {}
    for r in sorted(rows, key=lambda r: (r.entity, r.record_id)):
        hashes.setdefault(r.entity, []).append(row_hash(r.entity, r.record_id, r.version, r.text))
    ids = {student_id(n) for n in ns}
    others = {
        name: EntityDigest(rows=len(found), digest=hashlib.sha256(b"".join(found)).hexdigest())
        for name, found in hashes.items()
        if name != "peserta_didik"
    }
    mend = SessionMend(
        **session.named,
        statement=answer.jws,
        entity="peserta_didik",
        digests=others,
        hashes=base64.b64encode(b"".join(hashes["peserta_didik"])).decode(),
        records=[
            ProvenRow(record_id=r.record_id, version=r.version, seq=r.seq, text=r.text)
            for r in rows
            if r.record_id in ids
        ],
        last=True,
    )
    return mend.model_copy(update=changed)


async def mended(session: SessionAt, asked: SessionMend) -> SessionMended:
    return expect(await session.desk.ask(session.user, "mend", asked), SessionMended)


async def test_where_two_sides_differ_is_found_down_to_the_record(desk: Desk) -> None:
    session = await desk.open()
    asked = SessionBuckets(**session.named, entities=["peserta_didik", "tiada"])
    found = expect(await desk.ask(session.user, "buckets", asked), SessionBucketed)
    assert found.head_seq == 4
    assert set(found.entities) == {"peserta_didik"}
    assert sum(b.rows for b in found.entities["peserta_didik"]) == 3
    there = bucket(student_id(1))
    rows = SessionRows(**session.named, entity="peserta_didik", buckets=[there])
    listed = expect(await desk.ask(session.user, "rows", rows), SessionHashes).rows
    (first,) = (row for row in listed if row.record_id == student_id(1))
    text = canonical.encode(STUDENT)
    assert bytes.fromhex(first.hash) == row_hash("peserta_didik", student_id(1), 1, text)
    digest = hashlib.sha256(b"".join(bytes.fromhex(row.hash) for row in listed)).hexdigest()
    assert [b.digest for b in found.entities["peserta_didik"] if b.bucket == there] == [digest]
    wanted = SessionRecords(**session.named, entity="peserta_didik", record_ids=[student_id(1), student_id(9)])
    bodies = expect(await desk.ask(session.user, "records", wanted), SessionBodies)
    assert [(row.record_id, row.version, row.text) for row in bodies.rows] == [(student_id(1), 1, text)]
    assert bodies.absent == [student_id(9)]


async def test_records_that_do_not_fit_one_answer_are_asked_for_again(desk: Desk) -> None:
    desk.rewire(page_bytes=100)
    session = await desk.open()
    left = [student_id(n) for n in (1, 2, 3)]
    for _ in range(3):
        wanted = SessionRecords(**session.named, entity="peserta_didik", record_ids=left)
        bodies = expect(await desk.ask(session.user, "records", wanted), SessionBodies)
        assert (len(bodies.rows), bodies.absent) == (1, [])
        left = [one for one in left if one != bodies.rows[0].record_id]
    assert left == []


async def test_a_puller_may_look_but_not_mend(desk: Desk) -> None:
    pull = await desk.open("pull")
    expect(
        await desk.ask(pull.user, "buckets", SessionBuckets(**pull.named, entities=["peserta_didik"])), SessionBucketed
    )
    asked = await proof_of(desk, pull, 1)
    with pytest.raises(MessageRefused, match="MSG-05"):
        await desk.ask(pull.user, "mend", asked)


async def test_an_altered_row_is_written_back_under_its_version_and_seq(desk: Desk) -> None:
    session = await desk.open()
    before, root = await desk.student(1), await desk.root()
    asked = await proof_of(desk, session, 1, 2, 3)
    await altered(desk)
    session = await desk.open()
    asked = asked.model_copy(update=session.named)
    different = expect(await session.verify(root=root), SessionDifferent)
    assert (different.past_holds, different.stated_seq) == (False, 4)
    answer = await mended(session, asked)
    assert (answer.proven, answer.written, answer.removed) == (True, [student_id(1)], [])
    assert sorted(answer.kept) == [student_id(2), student_id(3)]
    assert (await desk.student(1), await desk.root()) == (before, root)
    assert (await desk.head()).head_seq == 4
    again = await mended(session, asked)
    assert (again.written, len(again.kept)) == ([], 3)
    labels = {"site": "pusat", "entity": "peserta_didik"}
    assert desk.metrics.get_sample_value("selaras_central_repaired_records_total", labels) == 1


async def test_a_past_that_holds_is_said_and_nothing_of_it_is_overwritten(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    assert expect(await session.verify(root="00" * 32), SessionDifferent).past_holds
    assert (await mended(session, asked)).kept == [student_id(1)]


async def test_what_central_wrote_since_the_statement_is_kept(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    await desk.officer(corrects(1, 1, nisn="9001234567"))
    now = await desk.student(1)
    await by_hand(
        desk, "UPDATE history SET text = :text WHERE npsn = :npsn AND record_id = :id", id=student_id(1), text=FALSE
    )
    assert (await mended(session, asked)).kept == [student_id(1)]
    assert await desk.student(1) == now


async def test_a_record_that_is_gone_or_has_lost_its_seq_comes_back_at_its_own(desk: Desk) -> None:
    session = await desk.open()
    before = [await desk.student(n) for n in (1, 2)]
    asked = await proof_of(desk, session, 1, 2)
    await by_hand(desk, "DELETE FROM record WHERE npsn = :npsn AND record_id = :id", id=student_id(1))
    await altered(desk, 2, "text = :text, seq = 77")
    assert sorted((await mended(session, asked)).written) == [student_id(1), student_id(2)]
    assert [await desk.student(n) for n in (1, 2)] == before


async def test_mended_rows_claim_their_numbers_again_and_central_judges_the_school_anew(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1, 2)
    before = await claimed(desk.database)
    assert (NPSN, "nik", student_id(1)) in before
    await by_hand(desk, "DELETE FROM claim WHERE npsn = :npsn")
    await by_hand(desk, "UPDATE school SET unjudged_since = NULL WHERE npsn = :npsn")
    await by_hand(desk, "DELETE FROM record WHERE npsn = :npsn AND record_id = :id", id=student_id(1))
    await by_hand(desk, "UPDATE record SET text = 'no record' WHERE npsn = :npsn AND record_id = :id", id=student_id(2))
    assert sorted((await mended(session, asked)).written) == [student_id(1), student_id(2)]
    assert {claim for claim in before if claim[2] in (student_id(1), student_id(2))} <= await claimed(desk.database)
    assert await backlog(desk.database) > 0
    async with desk.database.transaction() as transaction:
        assert await transaction.value("SELECT unjudged_since FROM school WHERE npsn = :npsn", npsn=NPSN) is not None


async def test_what_a_put_in_row_claimed_is_free_when_the_row_has_gone(desk: Desk) -> None:
    session = await desk.open()
    asked = (await proof_of(desk, session)).model_copy(update={"records": []})
    before = await claimed(desk.database)
    stranger = new_id(77)
    fields = {**STUDENT, "nik": "9900010203190077"}
    async with desk.database.transaction() as transaction:
        await claims.keep(transaction, NPSN, [claims.Moved("peserta_didik", stranger, None, canonical.encode(fields))])
    await by_hand(
        desk,
        "INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by)"
        " VALUES (:npsn, 'peserta_didik', :id, 1, 0, :text, 'siapa')",
        id=stranger, text=canonical.encode(fields),
    )  # fmt: skip
    assert await claimed(desk.database) == before | {(NPSN, "nik", stranger)}
    assert (await mended(session, asked)).removed == [stranger]
    assert await claimed(desk.database) == before


async def test_a_seq_that_belongs_to_another_record_is_not_given_twice(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1, 2)
    await by_hand(desk, "DELETE FROM record WHERE npsn = :npsn AND record_id = :id", id=student_id(1))
    other = (await desk.student(2)) or pytest.fail("there is a second student")
    rows = [row.model_copy(update={"seq": other.seq}) for row in asked.records if row.record_id == student_id(1)]
    answer = await mended(session, asked.model_copy(update={"records": rows}))
    assert (answer.written, answer.kept) == ([], [])
    assert await desk.student(2) == other


async def test_a_row_that_no_statement_knows_goes_only_when_all_that_it_knows_are_there(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1, 2, 3)
    stranger = "00000000-0000-4000-8000-000000000001"
    await by_hand(
        desk,
        "INSERT INTO record (npsn, entity, record_id, version, seq, text, written_by)"
        " VALUES (:npsn, 'peserta_didik', :id, 1, 0, :text, 'siapa')",
        id=stranger, text=FALSE,
    )  # fmt: skip
    await altered(desk)
    only_the_proof = asked.model_copy(update={"records": []})
    assert (await mended(session, only_the_proof)).removed == []
    assert (await mended(session, asked.model_copy(update={"last": False}))).removed == []
    assert (await mended(session, only_the_proof)).removed == [stranger]


@pytest.mark.parametrize(
    "wrong",
    [
        {"statement": ""},
        {"statement": "e30.e30.e30"},
        {"entity": "ptk"},
        {"digests": {}},
        {"hashes": ""},
        {"hashes": "AAAA"},
        {"hashes": "*"},
        {"hashes": base64.b64encode(b"x" * 96).decode()},
        {"digests": {"sekolah": EntityDigest(rows=1, digest="zz")}},
    ],
)
async def test_a_proof_that_does_not_make_a_signed_root_proves_nothing(desk: Desk, wrong: dict[str, Any]) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    await altered(desk)
    before = await desk.student(1)
    answer = await mended(session, asked.model_copy(update=wrong))
    assert (answer.proven, answer.written) == (False, [])
    assert await desk.student(1) == before


async def test_a_statement_of_another_school_or_of_another_signer_proves_nothing(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    said = KEYS.public.verify(asked.statement)
    await altered(desk)
    stranger = SigningKeys([_key()])
    for token in (
        KEYS.sign(canonical.encode({**said, "npsn": OTHER})),
        stranger.sign(canonical.encode(said)),
        KEYS.sign(canonical.encode({**said, "head_seq": 99})),
        KEYS.sign(canonical.encode({**said, "lineage": [{"incarnation": "lain", "head_seq": 0}]})),
    ):
        assert not (await mended(session, asked.model_copy(update={"statement": token}))).proven


async def test_a_row_that_the_statement_does_not_know_is_not_written(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    await altered(desk)
    forged = [row.model_copy(update={"text": '{"nama":"Lain"}'}) for row in asked.records]
    answer = await mended(session, asked.model_copy(update={"records": forged}))
    assert (answer.proven, answer.written, answer.kept) == (True, [], [])


async def test_an_ended_session_mends_nothing(desk: Desk) -> None:
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    await desk.open()
    await altered(desk)
    expect(await desk.ask(session.user, "mend", asked), SessionStale)


async def test_a_statement_that_a_hand_altered_at_central_does_not_vouch_for_its_past(desk: Desk) -> None:
    session = await desk.open()
    await proof_of(desk, session, 1)
    await altered(desk)
    async with desk.database.transaction() as transaction:
        school = await desk.head()
        last = await receipts.latest_signed(transaction, NPSN)
        assert last is not None
        forged = SigningKeys([_key()]).sign(canonical.encode({**last.body, "root": await desk.root()}))
        await transaction.run("UPDATE statement SET jws = :jws WHERE npsn = :npsn", npsn=NPSN, jws=forged)
        assert not (await descent.past(transaction, school, KEYS)).holds


async def test_the_past_holds_through_pushes_deletes_and_officers(desk: Desk) -> None:
    session = await desk.open()
    await session.verified()
    await session.pushed(put(1, 1, rt=(None, 7)))
    await desk.officer(corrects(2, 1, nisn="9001234567"))
    async with desk.database.transaction() as transaction:
        assert await descent.past(transaction, await desk.head(), KEYS) == descent.Past(True, 4)
    await administration.add_school(desk.database, OTHER, baseline(1, OTHER))
    async with desk.database.transaction() as transaction:
        assert await descent.past(transaction, await desk.head(OTHER), KEYS) == descent.Past(True, 0)


async def test_statements_from_before_central_signed_prove_nothing_and_hinder_nothing(desk: Desk) -> None:
    first = await desk.open()
    await first.verified()
    await by_hand(desk, "UPDATE statement SET jws = '' WHERE npsn = :npsn")
    async with desk.database.transaction() as transaction:
        assert await descent.past(transaction, await desk.head(), KEYS) == descent.Past(True, 0)
    found = await audit(desk.database, NPSN, KEYS.public, every=True)
    assert (found.unsigned, found.troubles) == (1, ())
    again = expect(await first.verify(), SessionEqual)
    assert again.jws == "", "the same question gets the same statement"
    later = await desk.open()
    await later.verified()
    found = await audit(desk.database, NPSN, KEYS.public, every=True)
    assert (found.statements, found.unsigned, found.troubles) == (2, 1, ()), (
        "the first signed one names the hash of the one before"
    )
    await by_hand(desk, "UPDATE statement SET body = replace(body, '99', '98') WHERE npsn = :npsn AND jws = ''")
    assert [trouble for trouble, _ in (await audit(desk.database, NPSN, KEYS.public)).troubles] == ["chain"]


async def test_an_older_statement_takes_nothing_back_of_a_past_that_holds(desk: Desk) -> None:
    session = await desk.open()
    older = await proof_of(desk, session, 1)
    await desk.officer(corrects(1, 1, nisn="9001234567"))
    session = await desk.open()
    await session.verified()
    now = await desk.student(1)
    await by_hand(desk, "DELETE FROM history WHERE npsn = :npsn")
    assert (await mended(session, older.model_copy(update=session.named))).kept == [student_id(1)]
    assert await desk.student(1) == now


async def test_an_empty_text_does_not_pass_for_a_tombstone(desk: Desk) -> None:
    await (await desk.open()).pushed(delete(1, 1))
    session = await desk.open()
    asked = await proof_of(desk, session, 1)
    assert [row.text for row in asked.records] == [None]
    await altered(desk)
    session = await desk.open()
    asked = asked.model_copy(update=session.named)
    forged = [row.model_copy(update={"text": ""}) for row in asked.records]
    assert (await mended(session, asked.model_copy(update={"records": forged}))).written == []
    assert (await mended(session, asked)).written == [student_id(1)]


async def test_what_was_written_over_an_altered_row_is_counted_when_both_sides_are_equal(desk: Desk) -> None:
    await (await desk.open()).verified()
    await altered(desk)
    await desk.officer(corrects(1, 1, nisn="9001234567"))
    assert _violations(desk) == 0
    await (await desk.open()).verified()
    assert _violations(desk) == 1, "nobody can say what the row was; that it was altered must not pass unseen"
    await (await desk.open()).verified()
    assert _violations(desk) == 1


async def test_a_restore_of_rows_that_a_hand_altered_is_counted(desk: Desk) -> None:
    receipt = await (await desk.open()).verified()
    await altered(desk)
    restore = await restoring(desk)
    assert (await restore.verified())["root"] != receipt["root"]
    assert _violations(desk) == 1


async def test_a_restore_from_an_altered_history_is_counted(desk: Desk) -> None:
    await (await desk.open()).verified()
    await desk.officer(corrects(1, 1, nisn="9001234567"))
    await (await desk.open("pull")).verified()
    await by_hand(desk, "UPDATE history SET text = :text WHERE npsn = :npsn", text=FALSE)
    async with desk.database.transaction() as transaction:
        root = (await history.roots_as_of(transaction, NPSN, 4)).root
    expect(await (await restoring(desk)).verify(cursor=4, root=root), SessionEqual)
    assert _violations(desk) == 1


def _violations(desk: Desk) -> float | None:
    labels = {"site": "pusat", "invariant": "past_as_stated"}
    return desk.metrics.get_sample_value("selaras_central_invariant_violations_total", labels)


async def restoring(desk: Desk) -> SessionAt:
    """A restore, which a puller opens."""
    answer = await desk.ask("situs-pull", "open", desk.opening("restore"))
    return SessionAt(desk, "situs-pull", expect(answer, SessionGranted))


def _key() -> Any:
    from joserfc.jwk import OKPKey

    return OKPKey.generate_key("Ed25519", {"use": "sig", "alg": "Ed25519"}, private=True, auto_kid=True)
