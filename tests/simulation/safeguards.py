"""The safeguards of the exchange that the simulation can do without, one at a time: each must be missed."""

from __future__ import annotations

from enum import StrEnum


class Broken(AssertionError):
    """A promise of the protocol was not kept."""


class Safeguard(StrEnum):
    """Named as docs/protocol.md has them; those marked trap there are all here."""

    FETCH_FIRST = "FETCH before PUSH"
    CLEAR_DOUBT = "the page that completes the first FETCH clears the doubt"
    DOUBT_STAYS_TILL_COMPLETE = "an earlier page of the first FETCH does not clear it"
    SENT_BEFORE_PUSH = "sent is durable before the first push"
    COVERS_GIVEN = "a page shows what a later hand hides"
    COVERS_OF_ANY_AGE = "however old its seq"
    COVERS_TAKEN = "a site that has the record in doubt takes it in first"
    ONE_LIVE_SESSION = "granting a session ends the one before"
    NEW_ID = "every attempt opens under a new id"
    SAME_GRANT = "an OPEN that comes again gets the same grant"
    STORED_VERDICTS = "the same batch again gets the stored verdicts"
    LEASE_CHECKED = "each transaction checks the lease"
    CURSOR_WITH_RECORDS = "cursor and records move together"
    OLD_COPY_REFUSED = "an old copy is known by its marks"
    MARK_WITH_THE_GATE = "the mark is written before the first push"
    OLD_INSTALLATION_REFUSED = "an older installation is fenced"
    RESTORED_AS_CONFIRMED = "a restore reads the state as of the last completed sync"
    EARLY_IF_NOTHING_NEW = "what comes with an OPEN is taken only if the site has heard everything"
    EARLY_IF_NOT_LATE = "and only if no session began since it was sent"
    TRIED_KNOWN = "an OPEN that went unheard is known again by its id"
    TRIED_UNTIL_HEARD = "while one is unheard, nothing goes with another"
    LIST_IS_WHOLE = "only what was listed is wiped"
    CLAIMS_READ_AGAIN = "claims are read again under the schools' locks"
    LIFE_CHECKED = "a message of another life is stale"
    RECOVERS_FIRST = "what central has forgotten comes back before anything else"
    SET_ASIDE_AT_ONCE = "all that may be forgotten is set aside in one transaction"
    KEPT_FROM_EARLIER = "what an unfinished recover has set aside stays"
    REWINDS_THE_CURSOR = "after ROLLBACK the cursor goes back to what both histories share"
    GIVEN_IF_PROVEN = "only what a statement proves is taken back"
    GIVEN_IF_UNMOVED = "what was written since the histories parted is not undone"
    CONFLICT_WHOEVER_OWNS = "what was set aside and changed since is a conflict whoever owns it"

    CENTRAL_TOOK_OURS = "central took ours"
    TYPED_BACK_IN_DOUBT = "typed back in doubt"
    DELETED_IN_DOUBT = "deleted in doubt"
    ONLY_OURS_MOVED_IT = "only ours moved it"


IN_ABSORB = (
    Safeguard.CENTRAL_TOOK_OURS,
    Safeguard.TYPED_BACK_IN_DOUBT,
    Safeguard.DELETED_IN_DOUBT,
    Safeguard.ONLY_OURS_MOVED_IT,
)
"""These are lines of `services.exchange.absorb`, marked trap there and taken out of its text."""
