"""What the syncer takes from the broker: requests for a sync, or to verify."""

from __future__ import annotations

from collections.abc import Mapping

from services import topology
from services.broker import Handlers
from services.database import Database
from services.link import Workers, take_request
from services.messages import Kind, SyncRequested, VerifyRequested
from services.wire import Event

ROLE = "principal"
"""A sync runs under the principal's role, never the operator's."""
VERIFYING_ROLE = "operator"
"""To verify sends nothing that anybody typed."""


def handlers(database: Database, workers: Mapping[Kind, Workers]) -> Handlers:
    """The syncer's handlers."""
    take = Handlers()

    @take.on(topology.SYNCER_REQUESTS, SyncRequested)
    async def on_sync_requested(event: Event[SyncRequested]) -> None:
        """Take a principal's request for a sync."""
        await take_request(event, role=ROLE, lacking="SYN-02", database=database, workers=workers["sync"])

    @take.on(topology.SYNCER_REQUESTS, VerifyRequested)
    async def on_verify_requested(event: Event[VerifyRequested]) -> None:
        """Take a request to compare the school with central."""
        await take_request(
            event,
            role=VERIFYING_ROLE,
            lacking="SYN-18",
            database=database,
            workers=workers["verify"],
        )

    return take
