"""The same boot for every service: connections, consumers, workers, /livez, /readyz, /metrics, and a graceful stop.

Services start in any order: each waits for its database and its broker, and says at /readyz what it waits for.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Protocol

import uvicorn
from aio_pika.exceptions import ChannelNotFoundEntity
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from services import logs, metrics, tables, tls
from services.broker import Consumer, Handlers, Publisher, connect, user_of
from services.database import Database
from services.errors import DatabaseAway, Transient
from services.intake import Quarantine
from services.settings import ServiceSettings
from services.traffic import Traffic, sent_by

log = logging.getLogger(__name__)

Worker = Callable[[asyncio.Event], Coroutine[Any, Any, None]]
"""A loop in the background; it returns soon after the event is set."""
SWEEP_SECONDS = 1.0
CHECK_SECONDS = 5.0
ANSWER_SECONDS = 2.0
"""A server that takes longer to answer a ping is away; a connection of which nothing is heard any more never ends."""
DAY_SECONDS = 24 * 3600.0


class NotSetUp(Exception):
    """The database or the broker is there but not prepared; the message is one sentence with the command that does
    it.
    """


class Broken(Exception):
    """A loop of a service ended by an error of ours: the process stops, so that whatever started it starts it again."""


class Part(Protocol):
    """Something that starts and stops with a service."""

    async def start(self) -> None:
        """Begin."""

    async def stop(self) -> None:
        """End."""


class Service:
    """One service of this process: made by `<service>.app.build`, run by `run`."""

    def __init__(
        self,
        name: str,
        settings: ServiceSettings,
        database: Database,
        *,
        side: tables.Side,
        dead_queue: str | None = None,
    ) -> None:
        """Two broker connections, so that a blocked publisher cannot hold up acknowledgements. `side`: whose tables the
        database has.
        """
        self.name = name
        self.settings = settings
        self.database = database
        self._side = side
        self.registry = CollectorRegistry()
        self.quarantine = Quarantine(database)
        self._dead_queue = dead_queue
        self.traffic = Traffic(self.registry, service=name, site=settings.site)
        self.traffic.sends(sent_by(name))
        self._consuming = connect(settings.amqp_url, stop_seconds=settings.stop_seconds, middlewares=[self.traffic])
        self._publishing = connect(settings.amqp_url, stop_seconds=settings.stop_seconds, middlewares=[self.traffic])
        self.publisher = Publisher(
            self._publishing,
            user=user_of(settings.amqp_url),
            source=f"/{settings.site}/{name}",
            confirm_seconds=settings.confirm_seconds,
        )
        self._workers: list[Worker] = []
        self._gauges: list[Callable[[], Awaitable[None]]] = []
        self._parts: list[Part] = []
        self._preparations: list[Callable[[], Awaitable[object]]] = []
        self._consumer: Consumer | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._stopping = asyncio.Event()
        self.broken = asyncio.Event()
        self._trouble: dict[str, str] = {"start": "starting"}
        self._server: _Http | None = None
        self.http_port = 0
        metrics.build_info(self.registry, name, settings.site)
        metrics.process(self.registry)

    def serve(
        self, handlers: Handlers, *, prefetch: Mapping[str, int], limit_bytes: Mapping[str, int] | None = None
    ) -> None:
        """Take messages with these handlers; `prefetch` and `limit_bytes` as for `Consumer`."""
        self._consumer = Consumer(
            self._consuming,
            handlers,
            self.quarantine,
            prefetch=prefetch,
            limit_bytes=limit_bytes,
            dead_queue=self._dead_queue,
            trouble=lambda reason: self._say("messages", reason),
        )
        self.traffic.takes([*handlers.routes, *([self._dead_queue] if self._dead_queue else [])])
        self._workers.append(self._replay)

    def work(self, worker: Worker) -> None:
        """Run a loop beside the consumers."""
        self._workers.append(worker)

    def daily(self, job: Callable[[], Awaitable[object]]) -> None:
        """Do something at the start and once a day; a database that is away puts it off."""

        async def again(stopping: asyncio.Event) -> None:
            pause = CHECK_SECONDS
            while not await _stops(stopping, pause):
                try:
                    await job()
                    pause = DAY_SECONDS
                except Transient:
                    pause = CHECK_SECONDS

        self._workers.append(again)

    def scrape(self, refresh: Callable[[], Awaitable[None]]) -> None:
        """Call `refresh` before each scrape, to read state gauges from the database."""
        self._gauges.append(refresh)

    def prepare(self, step: Callable[[], Awaitable[object]]) -> None:
        """Do something with the database before anything is taken from the broker; one that goes away meanwhile is
        waited for, and the step is taken again. It may raise NotSetUp.
        """
        self._preparations.append(step)

    def part(self, part: Part) -> None:
        """Start and stop something else with the service (a line to central)."""
        self._parts.append(part)

    async def start(self) -> None:
        """Answer HTTP at once; then wait for the database and the broker. Raises NotSetUp."""
        with logs.about(service=self.name, site=self.settings.site):
            await self._start()

    async def _start(self) -> None:
        try:
            self._server = _Http(self._app(), self.settings.http_host, self.settings.http_port)
        except OSError as error:
            where = f"{self.settings.http_host}:{self.settings.http_port}"
            raise NotSetUp(
                f"{self.name} cannot answer on {where} ({error.strerror}): set SELARAS_HTTP_PORT."
            ) from error
        self.http_port = await self._server.start()
        log.info("answers", extra={"address": f"http://{self.settings.http_host}:{self.http_port}"})
        await self._database_ready()
        self._say("start", "waiting for the broker")
        if wrong := await tls.trouble(self.settings.amqp_url):
            raise NotSetUp(f"SELARAS_AMQP_URL: {wrong}")
        try:
            await self._publishing.start()
            for part in self._parts:
                await part.start()
            await self._consuming.start()
        except ChannelNotFoundEntity as error:
            raise NotSetUp(
                f"The broker lacks what {self.name} needs ({error}): run `selaras topology declare`."
            ) from error
        self._tasks = [asyncio.create_task(worker(self._stopping)) for worker in [*self._workers, self._watch]]
        for task in self._tasks:
            task.add_done_callback(self._ended)
        self._say("start", None)
        _spare_the_collector()
        log.info("ready")

    async def stop(self) -> None:
        """Finish what is in hand, at most `stop_seconds`, then close everything."""
        with logs.about(service=self.name, site=self.settings.site):
            await self._stop()
            log.info("stopped")

    async def _stop(self) -> None:
        self._say("start", "stopping")
        self._stopping.set()
        if self._consumer is not None:
            self._consumer.stop()
        await asyncio.gather(self._consuming.stop(), self._end_tasks(), return_exceptions=True)
        for part in [*self._parts]:
            with contextlib.suppress(Exception):
                await part.stop()
        with contextlib.suppress(Exception):
            await self._publishing.stop()
        await self.database.close()
        if self._server is not None:
            await self._server.stop()

    async def _end_tasks(self) -> None:
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=self.settings.stop_seconds)
            for task in late:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _say(self, what: str, reason: str | None) -> None:
        if reason is None:
            self._trouble.pop(what, None)
        else:
            self._trouble[what] = reason

    async def _database_ready(self) -> None:
        pause = 0.2
        while not self._stopping.is_set():
            try:
                async with self.database.transaction() as transaction:
                    found = await tables.read(transaction)
                if why := tables.misfit(self._side, found):
                    raise NotSetUp(why)
                for step in self._preparations:
                    await step()
            except DatabaseAway as error:
                self._say("start", f"waiting for the database ({error})")
            else:
                if tables.newer(self._side, found):
                    log.warning(
                        "the tables are of a newer release, on which this one may run",
                        extra={"tables": found.revision, "needed": tables.NEEDED[self._side]},
                    )
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, CHECK_SECONDS)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            log.critical("a loop broke", exc_info=task.exception())
            self.broken.set()

    async def _watch(self, stopping: asyncio.Event) -> None:
        """Keep /readyz true: the database answers, and both broker connections are up."""
        while not await _stops(stopping, CHECK_SECONDS):
            try:
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self.database.ping()
                self._say("database", None)
            except (Transient, TimeoutError) as error:
                self._say("database", str(error) or "no answer")
            up = await self._publishing.ping(ANSWER_SECONDS) and await self._consuming.ping(ANSWER_SECONDS)
            self._say("broker", None if up else "connection lost")

    async def _replay(self, stopping: asyncio.Event) -> None:
        """Run the handlers again on what a person asked to replay."""
        while not await _stops(stopping, SWEEP_SECONDS):
            with contextlib.suppress(Transient):
                if self._consumer is not None:
                    await self._consumer.replay()

    def _app(self) -> Starlette:
        async def live(_request: Request) -> Response:
            return JSONResponse({"service": self.name})

        async def ready(_request: Request) -> Response:
            return JSONResponse(
                {"service": self.name, "trouble": self._trouble}, status_code=503 if self._trouble else 200
            )

        async def scrape(_request: Request) -> Response:
            try:
                for refresh in self._gauges:
                    await refresh()
            except Transient:
                return Response("the database does not answer\n", status_code=503, media_type="text/plain")
            return Response(generate_latest(self.registry), headers={"content-type": CONTENT_TYPE_LATEST})

        return Starlette(routes=[Route("/livez", live), Route("/readyz", ready), Route("/metrics", scrape)])


def _spare_the_collector() -> None:
    """What was made so far lives as long as the process: the collector need not walk through it again and again, and a
    batch of records, some ten thousand objects, is no reason to look for garbage.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


class _Http:
    """uvicorn inside our own loop, without its signal handlers."""

    def __init__(self, app: Any, host: str, port: int) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                log_config=None,  # its own would print exceptions whole, past `services.logs`
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=2,
            )
        )

    async def start(self) -> int:
        self._task = asyncio.create_task(self._server._serve(sockets=[self._socket]))
        while not self._server.started:
            if self._task.done():
                self._task.result()
            await asyncio.sleep(0.01)
        return int(self._socket.getsockname()[1])

    async def stop(self) -> None:
        self._server.should_exit = True
        await asyncio.wait([self._task], timeout=5)
        self._socket.close()


async def _stops(stopping: asyncio.Event, seconds: float) -> bool:
    """Wait; True as soon as the service is to stop."""
    try:
        async with asyncio.timeout(seconds):
            await stopping.wait()
    except TimeoutError:
        return False
    return True


async def run(services: Sequence[Service], on_ready: Callable[[], None] = lambda: None) -> None:
    """Run until SIGTERM or SIGINT, then stop gracefully. Raises NotSetUp, or Broken after the stop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)
    starting = asyncio.ensure_future(_start(services))
    waiting = asyncio.ensure_future(_until(stop, *(service.broken for service in services)))
    try:
        await asyncio.wait([starting, waiting], return_when=asyncio.FIRST_COMPLETED)
        if starting.done():
            await starting
            on_ready()
            await waiting
        else:
            starting.cancel()
    finally:
        waiting.cancel()
        await asyncio.gather(*(service.stop() for service in services), return_exceptions=True)
    broken = [service.name for service in services if service.broken.is_set()]
    if broken:
        raise Broken(f"{', '.join(broken)} stopped on an error of its own: see the log above.")


async def _start(services: Sequence[Service]) -> None:
    await asyncio.gather(*(service.start() for service in services))


async def _until(*events: asyncio.Event) -> None:
    """Until the first of these."""
    tasks = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
