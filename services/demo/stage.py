"""What the demo's story stands on: the running system, a person's line to it, and what can be read back from it.

Nothing here knows what should come out: it asks the broker, the replica, the registry, the command and /metrics.
"""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from services import topology
from services.central import administration, registry
from services.cli.client import Client, at_central, at_site
from services.database import Database
from services.embedded.stack import Stack
from services.link import Channel
from services.messages import (
    Actor,
    ChangeAccepted,
    ChangeRejected,
    ChangeSubmitted,
    ConflictDecided,
    DecidedConflict,
    FieldsChange,
    Kind,
    OfficerChange,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    OfficerChangeSubmitted,
    PullRequested,
    SchoolRegister,
    SchoolRegistered,
    SessionCompleted,
    SessionFailed,
    SessionProgressed,
    SessionRefused,
    SyncRequested,
    VerifyRequested,
)
from services.replica import conflicts, records, registration
from services.replica.conflicts import Logged
from services.replica.status import Status, status

PATIENCE_SECONDS = 60.0
FILES = "berkas"
"""The folder of the files that the story's people make, in the run folder."""
End = SessionCompleted | SessionRefused | SessionFailed


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    text: str


class Stage:
    """The system under the story, and the table of what was seen."""

    def __init__(self, stack: Stack, console: Console) -> None:
        self.stack = stack
        self.console = console
        self.replica = Database(stack.addresses.site_database, pool=2)
        self.registry = Database(stack.addresses.central_database, pool=2)
        self.folder = stack.run_dir / FILES
        self._seen: list[tuple[str, str, bool]] = []
        self._step = ""

    async def close(self) -> None:
        """Close what the stage itself opened."""
        await self.replica.close()
        await self.registry.close()

    async def free_npsn(self, first: int, count: int) -> list[str]:
        """NPSN that central does not know yet: the servers may be one's own, and the demo run before."""
        free: list[str] = []
        while len(free) < count:
            try:
                await self.centre(str(first))
            except administration.Refused:
                free.append(str(first))
            first += 1
        return free

    # ── telling ──────────────────────────────────────────────────────────────────────────────────────────────────────

    def step(self, indonesian: str, english: str) -> None:
        """Begin a step of the story."""
        self._step = f"{indonesian} · {english}"
        self.console.print(f"\n[bold cyan]▌ {indonesian}[/]  [dim]{english}[/]", soft_wrap=True)

    def say(self, text: str) -> None:
        """A line of the story."""
        self.console.print(f"  {text}", soft_wrap=True)

    def check(self, what: str, holds: bool) -> None:
        """Something that was seen, and whether it is as it should be."""
        self._seen.append((self._step, what, holds))
        self.console.print(f"  {'[green]✓[/]' if holds else '[bold red]✗[/]'} {escape(what)}", soft_wrap=True)

    def summary(self) -> bool:
        """The table of what happened, a line for each step; True if all of it is as it should be."""
        self.console.print("\n[bold]Yang terjadi · what happened[/]", soft_wrap=True)
        for step in dict.fromkeys(step for step, _, _ in self._seen):
            seen = [(what, holds) for one, what, holds in self._seen if one == step]
            good = sum(holds for _, holds in seen)
            mark = "[green]✓[/]" if good == len(seen) else "[bold red]✗[/]"
            self.say(f"{mark} {good}/{len(seen)}  {step}")
            for what, holds in seen:
                if not holds:
                    self.say(f"       [red]{escape(what)}[/]")
        return bool(self._seen) and all(holds for _, _, holds in self._seen)

    # ── doing, as people do it ───────────────────────────────────────────────────────────────────────────────────────

    @asynccontextmanager
    async def at(self, npsn: str) -> AsyncIterator[Client]:
        """A line to the site, hearing the school's events."""
        async with at_site(self.stack.addresses.of_site_command()["SELARAS_AMQP_URL"], npsn) as client:
            yield client

    async def register(self, npsn: str, code: str) -> None:
        """`selaras register`: the code against an install_id, and the school's row."""
        central = Channel(self.stack.addresses.of_site_command()["SELARAS_CENTRAL_AMQP_URL"], source="/demo")
        await central.start()
        try:
            answer = await central.ask("register", npsn, SchoolRegister(code=code))
        finally:
            await central.stop()
        if not isinstance(answer, SchoolRegistered):
            raise RuntimeError(f"central answered the registration with {answer.type}")  # noqa: TRY004
        await registration.register(
            self.replica,
            npsn,
            nama=answer.nama,
            install_id=answer.install_id,
            registration_no=answer.registration_no,
        )

    async def publish(self, client: Client, changes: Sequence[FieldsChange]) -> tuple[int, list[str]]:
        """The operator publishes changes; how many were stored, and the codes of those that were rejected."""
        submitted = ChangeSubmitted(actor=Actor(id="operator", role="operator"), changes=list(changes))
        return await self._answered(client, submitted, len(changes))

    async def decide(self, client: Client, decisions: Sequence[DecidedConflict]) -> tuple[int, list[str]]:
        """The operator decides conflicts; how many decisions were stored, and the codes of the others."""
        decided = ConflictDecided(actor=Actor(id="operator", role="operator"), decisions=list(decisions))
        return await self._answered(client, decided, len(decisions))

    async def _answered(
        self, client: Client, message: ChangeSubmitted | ConflictDecided, count: int
    ) -> tuple[int, list[str]]:
        event_id = await client.publish(topology.CHANGES, f"change.{client.npsn}", message)
        stored, codes = 0, []
        async for event in client.events(event_id, seconds=PATIENCE_SECONDS):
            if isinstance(event.data, ChangeAccepted):
                stored += len(event.data.changes)
            elif isinstance(event.data, ChangeRejected):
                codes += [why.code for why in event.data.problems]
                codes += [rejected.problems[0].code for rejected in event.data.changes]
            if stored + len(codes) >= count:
                break
        return stored, codes

    async def ask(self, client: Client, kind: Kind, role: str) -> str:
        """Somebody asks for a sync or a pull; the request's id."""
        actor = Actor.model_validate({"id": role, "role": role})
        request = {"sync": SyncRequested, "pull": PullRequested, "verify": VerifyRequested}[kind](actor=actor)
        return await client.publish(topology.COMMANDS, f"{kind}.{client.npsn}", request)

    async def end_of(self, client: Client, request_id: str) -> End:
        """How the session ends."""
        async for event in client.events(request_id, seconds=PATIENCE_SECONDS):
            if isinstance(event.data, End):
                return event.data
        raise AssertionError("the events end by an exception")

    async def first_progress(self, client: Client, request_id: str) -> SessionProgressed:
        """The first sign that records of the session have been sent and answered."""
        async for event in client.events(request_id, seconds=PATIENCE_SECONDS):
            if isinstance(event.data, SessionProgressed) and event.data.sent:
                return event.data
        raise AssertionError("the events end by an exception")

    async def session(self, client: Client, kind: Kind, role: str) -> End:
        """Ask, and wait for the end."""
        return await self.end_of(client, await self.ask(client, kind, role))

    async def officer(
        self, npsn: str, changes: Sequence[OfficerChange]
    ) -> OfficerChangeAccepted | OfficerChangeRejected:
        """An officer of central changes records."""
        async with at_central(self.stack.addresses.of_officer_command()["SELARAS_OFFICER_AMQP_URL"], npsn) as client:
            event_id = await client.publish(
                topology.OFFICERS,
                f"change.{npsn}",
                OfficerChangeSubmitted(actor=Actor(id="petugas", role="officer"), changes=list(changes)),
            )
            async for event in client.events(event_id, seconds=PATIENCE_SECONDS):
                if isinstance(event.data, OfficerChangeAccepted | OfficerChangeRejected):
                    return event.data
        raise AssertionError("the events end by an exception")

    @property
    def site(self) -> Mapping[str, str]:
        """What the command is told at the site."""
        return self.stack.addresses.of_site_command()

    async def run(self, *words: str, settings: Mapping[str, str] | None = None, into: str | None = None) -> Ran:
        """Run `selaras` as a person types it, in the demo's folder, told `settings` and nothing else; show both.

        `into`: the file that takes what it prints.
        """
        self.say(f"[bold]$ selaras {escape(' '.join(words))}{f' > {into}' if into else ''}[/]")
        bare = {name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")}
        bare.pop("COLUMNS", None)  # a line of its output is as long as it is
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "services.cli", *words),
            cwd=self.folder,
            env={**bare, **(settings or {}), "PYTHONUTF8": "1"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE if into else asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                out, err = await process.communicate()
        finally:
            with suppress(ProcessLookupError):  # it has ended
                process.kill()
        if into:
            (self.folder / into).write_bytes(out)
        text = (err if into else out).decode()
        for line in text.splitlines():
            self.say(f"  [dim]{escape(line.rstrip())}[/]")
        assert process.returncode is not None
        return Ran(process.returncode, text)

    # ── reading back ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def here(self, npsn: str) -> Status:
        """The school as the replica has it."""
        found = await status(self.replica, npsn)
        if found is None:
            raise RuntimeError(f"{npsn} is not in the replica")
        return found

    async def centre(self, npsn: str, as_of: Any = "head") -> administration.Description:
        """The school as the registry has it."""
        return await administration.describe(self.registry, npsn, as_of)

    async def central_record(self, npsn: str, entity: str, record_id: str) -> registry.Stored:
        """One record as central holds it."""
        async with self.registry.transaction() as transaction:
            return (await registry.read(transaction, npsn, [(entity, record_id)]))[(entity, record_id)]

    async def site_record(self, npsn: str, entity: str, record_id: str) -> dict[str, Any] | None:
        """One record as the operator sees it."""
        async with self.replica.transaction() as transaction:
            found = (await records.read(transaction, npsn, [(entity, record_id)]))[(entity, record_id)]
        return None if found.data is None else dict(found.data)

    async def rows(self, npsn: str) -> list[tuple[Any, ...]]:
        """Every row of the school in the replica: its key, what central holds, and what the operator sees."""
        async with self.replica.transaction() as transaction:
            found = await transaction.rows(
                """
                SELECT entity, record_id, base_version, base_seq, base, data, pending FROM record WHERE npsn = :npsn
                ORDER BY entity, record_id
                """,
                npsn=npsn,
            )
        return [tuple(row) for row in found]

    async def conflict_log(self, npsn: str) -> list[Logged]:
        """The conflicts of the school that have ended, with both values of each."""
        async with self.replica.transaction() as transaction:
            return await conflicts.log(transaction, npsn)

    async def equal(self, npsn: str) -> None:
        """Check that both sides hold the same, by the roots each computes from its own rows."""
        here, centre = await self.here(npsn), await self.centre(npsn)
        self.check(
            f"kedua sisi sama · both sides equal: seq {here.cursor} = {centre.head_seq}, "
            f"root {here.root[:16]}… = {centre.root[:16]}…",
            (here.cursor, here.root) == (centre.head_seq, centre.root),
        )

    async def metric(self, service: str, name: str, **labels: str) -> float:
        """A value from a service's /metrics; 0 for a series that is not there."""
        text = await asyncio.to_thread(self.stack.metrics, service)
        total = 0.0
        for line in text.splitlines():
            match = re.fullmatch(rf"{name}\{{(.*)\}} (\S+)", line)
            if match and all(f'{key}="{value}"' in match[1] for key, value in labels.items()):
                total += float(match[2])
        return total
