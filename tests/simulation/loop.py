"""An event loop without time, sockets or threads: it runs what is ready, in the order in which it became so, and stops.

So what the session code does between two awaits of the simulation is the same in every run.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from contextvars import Context
from typing import Any


class Loop(asyncio.AbstractEventLoop):
    """What asyncio's futures and tasks need of a loop. `trouble`: the first exception that nobody else took."""

    def __init__(self) -> None:
        self._ready: deque[asyncio.Handle] = deque()
        self.trouble: BaseException | None = None

    def run_until_idle(self) -> None:
        """Run until everything waits for a future that somebody outside will resolve. Raises what nobody took."""
        asyncio.events._set_running_loop(self)
        try:
            while self._ready:
                handle = self._ready.popleft()
                if not handle.cancelled():
                    handle._run()
        finally:
            asyncio.events._set_running_loop(None)
        if self.trouble is not None:
            trouble, self.trouble = self.trouble, None
            raise trouble

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        """After what is ready already."""
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def create_future(self) -> asyncio.Future[Any]:
        """A future of this loop."""
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self, coro: Coroutine[Any, Any, Any], *, name: str | None = None, context: Context | None = None
    ) -> asyncio.Task[Any]:
        """A task of this loop; it starts at the next `run_until_idle`."""
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def is_running(self) -> bool:
        """Always, as far as its tasks can see."""
        return True

    def get_debug(self) -> bool:
        """Never: it would cost more than the simulation itself."""
        return False

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """A fault of the simulation, or a broken promise noticed where nobody awaits."""
        self.trouble = self.trouble or context.get("exception") or RuntimeError(context["message"])
