"""How every message travels: who publishes it, who takes it, over which exchange, with which key, and what answers it.

For the pages of the docs and for AsyncAPI; the services themselves do not read it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from services import topology
from services.messages import SCHEMA


@dataclass(frozen=True, slots=True)
class Way:
    """How a message travels: who publishes it, who takes it, the exchange and the routing key."""

    sender: str
    taker: str
    exchange: str
    key: str


_OPERATOR = "operator"
_EVENTS = "whoever listens"
_SESSION_STAGES = ("started", "progressed", "completed", "refused", "failed")
_ANSWERS = (
    "school.registered.v1", "session.granted.v1", "session.wait.v1", "session.refused.v1", "session.page.v1",
    "session.result.v1", "session.equal.v1", "session.behind.v1", "session.different.v1", "session.stale.v1",
    "session.bucketed.v1", "session.hashes.v1", "session.bodies.v1", "session.mended.v1",
    "session.rolledback.v1", "session.proven.v1", "history.answered.v1", "history.refused.v1",
)  # fmt: skip

WAYS: Mapping[str, Way] = {
    "change.submitted.v1": Way(_OPERATOR, "validator", topology.CHANGES, "change.<npsn>"),
    "conflict.decided.v1": Way(_OPERATOR, "validator", topology.CHANGES, "change.<npsn>"),
    "change.accepted.v1": Way("validator", _EVENTS, topology.EVENTS, "accepted.<npsn>"),
    "change.rejected.v1": Way("validator", _EVENTS, topology.EVENTS, "rejected.<npsn>"),
    "validation.requested.v1": Way("anyone at the site", "validator", topology.COMMANDS, "validate.<npsn>"),
    "validation.completed.v1": Way("validator", _EVENTS, topology.EVENTS, "validated.<npsn>"),
    "sync.requested.v1": Way("principal", "syncer", topology.COMMANDS, "sync.<npsn>"),
    "pull.requested.v1": Way(_OPERATOR, "puller", topology.COMMANDS, "pull.<npsn>"),
    "restore.requested.v1": Way(_OPERATOR, "puller", topology.COMMANDS, "restore.<npsn>"),
    **{f"sync.{s}.v1": Way("syncer", _EVENTS, topology.EVENTS, f"sync.{s}.<npsn>") for s in _SESSION_STAGES},
    **{f"pull.{s}.v1": Way("puller", _EVENTS, topology.EVENTS, f"pull.{s}.<npsn>") for s in _SESSION_STAGES},
    **{f"restore.{s}.v1": Way("puller", _EVENTS, topology.EVENTS, f"restore.{s}.<npsn>") for s in _SESSION_STAGES},
    "verify.requested.v1": Way(_OPERATOR, "syncer", topology.COMMANDS, "verify.<npsn>"),
    **{f"verify.{s}.v1": Way("syncer", _EVENTS, topology.EVENTS, f"verify.{s}.<npsn>") for s in _SESSION_STAGES},
    **{f"recover.{s}.v1": Way("syncer", _EVENTS, topology.EVENTS, f"recover.{s}.<npsn>") for s in _SESSION_STAGES},
    "school.register.v1": Way("command", "central", topology.CENTRAL, "<user>.register"),
    "session.open.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.open"),
    "session.fetch.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.fetch"),
    "session.push.v1": Way("syncer", "central", topology.CENTRAL, "<user>.push"),
    "session.verify.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.verify"),
    "session.buckets.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.buckets"),
    "session.rows.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.rows"),
    "session.records.v1": Way("syncer, puller", "central", topology.CENTRAL, "<user>.records"),
    "session.mend.v1": Way("syncer", "central", topology.CENTRAL, "<user>.mend"),
    "session.rollback.v1": Way("syncer", "central", topology.CENTRAL, "<user>.rollback"),
    "session.proof.v1": Way("syncer", "central", topology.CENTRAL, "<user>.give"),
    "session.give.v1": Way("syncer", "central", topology.CENTRAL, "<user>.give"),
    **{answer: Way("central", "who asked", topology.REPLIES, "<user>.<process>") for answer in _ANSWERS},
    "officer.change.submitted.v1": Way("officer", "central", topology.OFFICERS, "change.<npsn>"),
    "officer.change.accepted.v1": Way("central", _EVENTS, topology.OFFICERS, "accepted.<npsn>"),
    "officer.change.rejected.v1": Way("central", _EVENTS, topology.OFFICERS, "rejected.<npsn>"),
    "history.requested.v1": Way("officer", "central", topology.OFFICERS, "history.<npsn>"),
}
"""The way of every message; a test holds it against the topology and the services' handlers."""

_STALE, _REFUSED = "session.stale.v1", "session.refused.v1"

REPLIES: Mapping[str, tuple[str, ...]] = {
    "school.register.v1": ("school.registered.v1", _REFUSED),
    "session.open.v1": ("session.granted.v1", "session.wait.v1", _REFUSED),
    "session.fetch.v1": ("session.page.v1", _STALE, _REFUSED),
    "session.push.v1": ("session.result.v1", _STALE, _REFUSED),
    "session.verify.v1": ("session.equal.v1", "session.behind.v1", "session.different.v1", _STALE, _REFUSED),
    "session.buckets.v1": ("session.bucketed.v1", _STALE, _REFUSED),
    "session.rows.v1": ("session.hashes.v1", _STALE, _REFUSED),
    "session.records.v1": ("session.bodies.v1", _STALE, _REFUSED),
    "session.mend.v1": ("session.mended.v1", _STALE, _REFUSED),
    "session.rollback.v1": ("session.rolledback.v1", _STALE, _REFUSED),
    "session.proof.v1": ("session.proven.v1", _STALE, _REFUSED),
    "session.give.v1": ("session.result.v1", _STALE, _REFUSED),
    "history.requested.v1": ("history.answered.v1", "history.refused.v1"),
}
"""What central may answer a request with, to its `reply_to`; refused is what it could not read."""

EVENTS: Mapping[str, tuple[str, ...]] = {
    "change.submitted.v1": ("change.accepted.v1", "change.rejected.v1"),
    "conflict.decided.v1": ("change.accepted.v1", "change.rejected.v1"),
    "validation.requested.v1": ("validation.completed.v1", "change.rejected.v1"),
    "officer.change.submitted.v1": ("officer.change.accepted.v1", "officer.change.rejected.v1"),
    **{
        f"{kind}.requested.v1": tuple(f"{kind}.{stage}.v1" for stage in _SESSION_STAGES)
        for kind in ("sync", "pull", "restore", "verify")
    },
}
"""What is announced about a request: each names it as its `cause`. A recover nobody asks for, so it stands at none."""


def reached(way: Way) -> list[str]:
    """The queues that a message on this way comes into."""
    key = re.sub("<[a-z]+>", "x", way.key)
    found = [q.name for q in topology.QUEUES if any(_matches(way.exchange, key, *bound) for bound in q.bindings)]
    for source, target, pattern, _ in topology.EXCHANGE_BINDINGS:
        if _matches(way.exchange, key, source, pattern):
            found += [q.name for q in topology.QUEUES if any(exchange == target for exchange, _ in q.bindings)]
    return found


def _matches(exchange: str, key: str, bound: str, pattern: str) -> bool:
    words = [r"[^.]+" if word == "*" else re.escape(word) for word in pattern.split(".")]
    return exchange == bound and re.fullmatch(r"\.".join(words), key) is not None


def _check() -> None:
    missing = SCHEMA.keys() ^ WAYS.keys()
    if missing:
        raise ValueError(f"a message without a way, or a way without a message: {', '.join(sorted(missing))}")


_check()
