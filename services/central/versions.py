"""Whether a site's release may hold a session: a protocol that both speak, and rules that are new enough for a sync.

A pull stays possible with old rules: what it brings is central's, and central judges whatever is pushed by its own.
"""

from __future__ import annotations

from importlib.metadata import version

from services.messages import OLDEST_PROTOCOL_VERSION, PROTOCOL_VERSION, Problem, SessionOpen
from services.problems import problem
from services.rules.versions import is_older


def misfit(asked: SessionOpen, rules_for_sync: str | None) -> Problem | None:
    """Why the site's release may not; it is told which one to update to. `rules_for_sync`: the oldest rule set that may
    sync, None for any.
    """
    oldest = asked.protocol_version if asked.oldest_protocol_version is None else asked.oldest_protocol_version
    if oldest > PROTOCOL_VERSION:
        return problem("SYN-23", version=f"protokol · protocol {PROTOCOL_VERSION}")
    if asked.protocol_version < OLDEST_PROTOCOL_VERSION:
        return problem("SYN-03", version=_release(f"protokol · protocol {OLDEST_PROTOCOL_VERSION}"))
    if asked.kind == "sync" and rules_for_sync is not None and is_older(asked.rules_version, rules_for_sync):
        return problem("SYN-03", version=_release(f"aturan · rules {rules_for_sync}"))
    return None


def _release(why: str) -> str:
    """Central's own release has what it asks for."""
    return f"Selaras {version('selaras')} ({why})"
