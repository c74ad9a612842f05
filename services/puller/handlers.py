"""What the puller takes from the broker: requests for a pull or a restore."""

from __future__ import annotations

from collections.abc import Mapping

from services import topology
from services.broker import Handlers
from services.database import Database
from services.link import Workers, take_request
from services.messages import Kind, PullRequested, RestoreRequested
from services.wire import Event

ROLE = "operator"
"""Pulls and reinstallations are the operator's to ask for: neither sends, and what a reinstallation takes away is the
operator's own unsent work.
"""


def handlers(database: Database, workers: Mapping[Kind, Workers]) -> Handlers:
    """The puller's handlers."""
    take = Handlers()

    @take.on(topology.PULLER_REQUESTS, PullRequested)
    async def on_pull_requested(event: Event[PullRequested]) -> None:
        """Take an operator's request for a pull."""
        await take_request(event, role=ROLE, lacking="SYN-18", database=database, workers=workers["pull"])

    @take.on(topology.PULLER_REQUESTS, RestoreRequested)
    async def on_restore_requested(event: Event[RestoreRequested]) -> None:
        """Take an operator's request to give up what is here and bring back the last completed sync."""
        await take_request(
            event,
            role=ROLE,
            lacking="SYN-18",
            database=database,
            workers=workers["restore"],
        )

    return take
