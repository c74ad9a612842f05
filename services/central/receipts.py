"""Statements: central's word that a site and central were equal at one seq. A sync's statement is its receipt.

Each is signed, and names the hash of the school's statement before it.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

from services import wire
from services.central.registry import Roots
from services.central.schools import School
from services.database import Database, Transaction
from services.exchange import canonical
from services.messages import SessionVerify, Stated
from services.signing import SigningKeys


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement and the same signed; `jws` is empty if a release stated it that did not sign yet."""

    body: dict[str, Any]
    jws: str


async def find(transaction: Transaction, school: School, asked: SessionVerify) -> Statement | None:
    """The statement that this session was given for this very question, if it asks again."""
    row = await transaction.row(
        """
        SELECT body, jws FROM statement
        WHERE npsn = :npsn AND incarnation = :incarnation AND session = :session AND head_seq = :seq AND root = :root
        """,
        npsn=school.npsn,
        incarnation=school.incarnation,
        session=school.session,
        seq=asked.cursor,
        root=asked.root,
    )
    return None if row is None else Statement(canonical.decode(row.body), row.jws)


async def latest_signed(transaction: Transaction, npsn: str) -> Statement | None:
    """The school's last statement that was signed, as it is stored."""
    row = await transaction.row(
        "SELECT body, jws FROM statement WHERE npsn = :npsn AND jws <> '' ORDER BY ordinal DESC LIMIT 1", npsn=npsn
    )
    return None if row is None else Statement(canonical.decode(row.body), row.jws)


async def some_signed(database: Database) -> str | None:
    """Any signed statement: the keys of all of them are to stay in the key set."""
    async with database.transaction() as transaction:
        found = await transaction.value("SELECT jws FROM statement WHERE jws <> '' LIMIT 1")
    return None if found is None else str(found)


async def holds(transaction: Transaction, npsn: str, said: Stated | None) -> bool:
    """Does central hold the statement that a site names? (True for a site that has none.)"""
    if said is None:
        return True
    return bool(
        await transaction.value(
            """
            SELECT 1 FROM statement
            WHERE npsn = :npsn AND incarnation = :incarnation AND session = :session AND head_seq = :seq
              AND root = :root
            """,
            npsn=npsn,
            incarnation=said.incarnation,
            session=said.session,
            seq=said.head_seq,
            root=said.root,
        )
    )


async def contradicted(transaction: Transaction, school: School, seq: int, root: str) -> bool:
    """Was another root signed for this very seq, in central's present life?"""
    return bool(
        await transaction.value(
            """
            SELECT 1 FROM statement
            WHERE npsn = :npsn AND incarnation = :incarnation AND head_seq = :seq AND root <> :root AND jws <> ''
            LIMIT 1
            """,
            npsn=school.npsn,
            incarnation=school.incarnation,
            seq=seq,
            root=root,
        )
    )


async def issue(
    transaction: Transaction,
    school: School,
    seq: int,
    roots: Roots,
    asked: SessionVerify,
    keys: SigningKeys,
    *,
    rules_version: str,
    receipt: dict[str, Any] | None,
) -> Statement:
    """State that both sides are equal at `seq` (the head, but for a restore), and keep the statement. `receipt`: the
    one that a recover has ended on.
    """
    last = await transaction.row(
        "SELECT ordinal, body FROM statement WHERE npsn = :npsn ORDER BY ordinal DESC LIMIT 1", npsn=school.npsn
    )
    statement: dict[str, Any] = {
        "npsn": school.npsn,
        "install_id": school.install_id,
        "registration_no": school.registration_no,
        "site": school.site or "",
        "session": school.session,
        "incarnation": school.incarnation,
        "kind": school.session_kind,
        "lineage": [entry.model_dump() for entry in school.lineage],
        "head_seq": seq,
        "root": roots.root,
        "counts": roots.counts,
        "unsent": asked.unsent,
        "held": asked.held,
        "refused": asked.refused,
        "rules_version": rules_version,
        "time": wire.now_text(),
    }
    if last is not None:
        statement["previous"] = hashlib.sha256(last.body.encode()).hexdigest()
    text = canonical.encode(statement)
    signed = Statement(statement, keys.sign(text))
    await transaction.run(
        """
        INSERT INTO statement (npsn, incarnation, session, head_seq, kind, root, body, jws, ordinal, confirmed_at)
        VALUES (:npsn, :incarnation, :session, :seq, :kind, :root, :body, :jws, :ordinal, :confirmed_at)
        """,
        npsn=school.npsn,
        incarnation=school.incarnation,
        session=school.session,
        seq=seq,
        kind=school.session_kind,
        root=roots.root,
        body=text,
        jws=signed.jws,
        ordinal=1 if last is None else last.ordinal + 1,
        confirmed_at=(statement if school.session_kind == "sync" else receipt or {}).get("time"),
    )
    return signed
