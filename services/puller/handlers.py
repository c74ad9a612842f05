"""What the puller takes from the broker: requests for a pull."""

from __future__ import annotations

from services import topology
from services.broker import Handlers
from services.database import Database
from services.link import Workers, take_request
from services.messages import PullRequested
from services.replica.requests import Requests
from services.wire import Event

ROLE = "operator"
"""A pull is the operator's to ask for; it never sends."""


def handlers(database: Database, requests: Requests, workers: Workers) -> Handlers:
    """The puller's handlers."""
    take = Handlers()

    @take.on(topology.PULLER_REQUESTS, PullRequested)
    async def on_pull_requested(event: Event[PullRequested]) -> None:
        """Take an operator's request for a pull."""
        await take_request(event, role=ROLE, database=database, requests=requests, workers=workers)

    return take
