"""VERIFY: are both sides equal at the same seq? If they are, central says so and signs it (docs/protocol.md 4)."""

from __future__ import annotations

import hmac
import logging
from typing import Any

from services.central import descent, history, receipts, registry, schools
from services.central.gauges import Counters
from services.central.registry import Roots
from services.central.schools import School
from services.database import Transaction
from services.messages import EntityDigest, Message, SessionBehind, SessionDifferent, SessionEqual, SessionVerify
from services.rules import RULES_VERSION
from services.signing import NotProven, SigningKeys

log = logging.getLogger(__name__)


async def verify(
    transaction: Transaction, school: School, asked: SessionVerify, counters: Counters, keys: SigningKeys
) -> Message:
    """The answer to VERIFY of the live session, which is locked; a repeated one gets the same statement."""
    given = await receipts.find(transaction, school, asked)
    if given:
        return SessionEqual(statement=given.body, jws=given.jws)
    seq = school.head_seq if school.as_of is None else school.as_of
    if asked.cursor < seq:
        return SessionBehind(head_seq=seq)
    if school.as_of is None:
        roots = await registry.roots(transaction, school.npsn)
    else:
        roots = await history.roots_as_of(transaction, school.npsn, seq)
    counters.checked("seq_without_holes", await registry.without_holes(transaction, school))
    if not hmac.compare_digest(roots.root, asked.root) or asked.cursor > seq:
        counters.compared()
        counters.differed()
        own = await descent.past(transaction, school, keys)
        counters.checked("past_as_stated", own.holds)
        return SessionDifferent(
            entities={name: EntityDigest(rows=n, digest=digest.hex()) for name, (n, digest) in roots.entities.items()},
            root=roots.root,
            past_holds=own.holds,
            stated_seq=own.seq,
        )
    return await _state(transaction, school, seq, roots, asked, counters, keys)


async def verify_early(
    transaction: Transaction,
    school: School,
    asked: SessionVerify,
    counters: Counters,
    keys: SigningKeys,
    *,
    again: bool,
) -> SessionEqual | None:
    """The same of what came early: central has taken it, and the site has yet to. None: the site is to take it, and to
    ask; it did not foresee what came of it, and that is no difference. `again`: only what was stated before.
    """
    given = await receipts.find(transaction, school, asked)
    if given:
        return SessionEqual(statement=given.body, jws=given.jws)
    if again or asked.cursor != school.head_seq:
        return None
    roots = await registry.roots(transaction, school.npsn)
    if not hmac.compare_digest(roots.root, asked.root):
        return None
    counters.checked("seq_without_holes", await registry.without_holes(transaction, school))
    return await _state(transaction, school, school.head_seq, roots, asked, counters, keys)


async def _state(
    transaction: Transaction,
    school: School,
    seq: int,
    roots: Roots,
    asked: SessionVerify,
    counters: Counters,
    keys: SigningKeys,
) -> SessionEqual:
    """Both sides are equal at `seq`: a statement that says so, kept and signed."""
    counters.compared()
    as_stated = await _as_stated(transaction, school, seq, roots.root, keys)
    counters.checked("past_as_stated", as_stated)
    if not as_stated:
        log.error("both sides are equal, and not what was signed before", extra={"npsn": school.npsn})
    receipt = _as_synced(school, asked, roots.root, keys)
    statement = await receipts.issue(
        transaction, school, seq, roots, asked, keys, rules_version=RULES_VERSION, receipt=receipt
    )
    await schools.completed(transaction, school, as_synced=receipt is not None)
    return SessionEqual(statement=statement.body, jws=statement.jws)


def _as_synced(school: School, asked: SessionVerify, root: str, keys: SigningKeys) -> dict[str, Any] | None:
    """What the site's last receipt says, if a recover ended on its very root."""
    if school.session_kind != "recover" or asked.receipt is None:
        return None
    try:
        said = keys.public.verify(asked.receipt)
    except NotProven:
        return None
    return said if (said["npsn"], said["kind"], said["root"]) == (school.npsn, "sync", root) else None


async def _as_stated(transaction: Transaction, school: School, seq: int, root: str, keys: SigningKeys) -> bool:
    """Is what central is about to sign of a piece with what it signed before? Two sides may be equal and yet altered:
    over a row that a hand had altered somebody wrote, or a restore took it.
    """
    if await receipts.contradicted(transaction, school, seq, root):
        return False
    last = await receipts.latest_signed(transaction, school.npsn)
    if last is None or last.body["head_seq"] == seq:
        return True  # nothing was written since: what was just compared is what it says
    return (await descent.past(transaction, school, keys)).holds
