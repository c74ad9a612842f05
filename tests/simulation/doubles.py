"""What session code is given: the line to central and the site's store, each the real one and its image at once.

Every step is taken by the database and by the image, with the same outcome, and leaves both the same. A plan says what
comes in between.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from services import wire
from services.errors import CentralAway
from services.messages import Message
from services.replica import recovering as real_recovering
from services.replica import restoring as real_restoring
from services.replica.requests import Job, LeaseLost
from services.replica.sessions import Gate
from tests.simulation.comparing import same, seen

if TYPE_CHECKING:
    from tests.simulation.twin import Twin

Step = Callable[[], Awaitable[Any]]


class Crash(Exception):
    """The site's process dies here."""


@dataclass
class Plan:
    """What happens at each step of a session, in order, afterwards nothing; and what at each PUSH or VERIFY, by that
    verb, for there most can go wrong. `hand`: who edits in between.
    """

    steps: Sequence[str] = ()
    at: Mapping[str, str] = field(default_factory=dict)
    hand: Callable[[], Awaitable[None]] | None = None
    taken: int = 0

    async def next(self, twin: Twin, verb: str = "") -> str:
        """What happens at this step; an edit, or a late request, has happened."""
        self.taken += 1
        what = self.at.get(verb) or next(iter(self.steps[self.taken - 1 :]), "nothing")
        if what == "edit" and self.hand is not None:
            await self.hand()
        if what == "late":
            await twin.comes_late(self.taken)
        return what


class Line:
    """A session's line to both centrals, as the plan has it."""

    def __init__(self, twin: Twin, kind: str) -> None:
        self._twin = twin
        self._kind = kind

    async def ask(self, verb: str, _npsn: str, request: Message, *, id: str | None = None) -> Message:
        """One request. Raises CentralAway, Crash."""
        twin, id = self._twin, id or wire.new_id()
        async with twin.one_at_a_time:
            what = await twin.plan.next(twin, verb)
            if what == "crash":
                raise Crash
            twin.remember(self._kind, verb, id, request)
            if what == "held up":
                raise CentralAway
            answer = await twin.ask(self._kind, verb, request, id)
            if what == "twice":
                answer = await twin.ask(self._kind, verb, request, id)
            if what in ("crash after", "no answer"):
                raise Crash if what == "crash after" else CentralAway
            return answer


class Stores:
    """Both stores, as session code uses them; `requests` too."""

    def __init__(self, twin: Twin, image: Job) -> None:
        self.twin = twin
        self.image = image
        self.requests = self

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        real, image = getattr(self.twin.replica, name), getattr(self.twin.site, name)

        async def step(job: Job, *args: Any, **kwargs: Any) -> Any:
            return await self.both(lambda: real(job, *args, **kwargs), lambda: image(self.image, *args, **kwargs))

        return step

    async def both(self, real: Step, image: Step) -> Any:
        """One step. Raises Crash, and what both raise."""
        twin = self.twin
        async with twin.one_at_a_time:
            what = await twin.plan.next(twin)
            if what == "crash":
                twin.asleep.append((real, image))
                raise Crash
            outcome = await taken_by_both(twin, real, image)
            if what == "crash after":
                raise Crash
            if isinstance(outcome, Exception):
                raise outcome
            return outcome


async def taken_by_both(twin: Twin, real: Step, image: Step) -> Any:
    """The outcome of a step, or what it raised. Raises Differs."""
    outcome = await _outcome(real)
    twin.site.open_id = outcome.foreseen.id if isinstance(outcome, Gate) and outcome.foreseen else None
    same("a step at the site", seen(outcome), seen(await _outcome(image)))
    await twin.compare_site()
    return outcome


async def _outcome(step: Step) -> Any:
    try:
        return await step()
    except (real_restoring.ListMoved, LeaseLost) as error:
        return error


class Restoring:
    """`services.replica.restoring`, of both stores."""

    ListMoved = real_restoring.ListMoved

    @staticmethod
    async def opening_cursor(stores: Stores, job: Job) -> Any:
        """Where the fetch goes on."""
        twin, image = stores.twin, stores.image
        return await stores.both(
            lambda: real_restoring.opening_cursor(twin.replica.requests, job), lambda: twin.site.opening_cursor(image)
        )

    @staticmethod
    async def begin(stores: Stores, job: Job, granted: Any) -> Any:
        """Wipe the school, or go on."""
        twin, image = stores.twin, stores.image
        return await stores.both(
            lambda: real_restoring.begin(twin.replica.requests, job, granted),
            lambda: twin.site.begin_restore(image, granted),
        )


class Recovering:
    """`services.replica.recovering`, of both stores."""

    @staticmethod
    async def begin(stores: Stores, job: Job, granted: Any) -> Any:
        """Set aside, or go on."""
        twin, image = stores.twin, stores.image
        return await stores.both(
            lambda: real_recovering.begin(twin.replica.requests, job, granted),
            lambda: twin.site.begin_recover(image, granted),
        )

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        """Its other steps, which the image calls alike."""
        real = getattr(real_recovering, name)

        async def step(stores: Stores, job: Job, *args: Any, **kwargs: Any) -> Any:
            twin, image = stores.twin, getattr(stores.twin.site, name)
            return await stores.both(
                lambda: real(twin.replica.requests, job, *args, **kwargs),
                lambda: image(stores.image, *args, **kwargs),
            )

        return step


__all__ = ["Crash", "Line", "Plan", "Recovering", "Restoring", "Step", "Stores", "taken_by_both"]
