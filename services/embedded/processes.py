"""The owner's end of the guardian's pipe: start a server, ask whether it still runs, end all of them.

Closing the pipe is the one way to end the servers; that the owner's death closes it too is the point.
"""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from services.embedded import guardian
from services.embedded.failures import StartFailed

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LC_ALL": "C.UTF-8",
    "TZ": "UTC",
}
"""All a server gets of the surroundings: a PGDATA, RABBITMQ_… or ERL_… set there is meant for another server."""
START_SECONDS = 90.0
"""How long a server may take until it answers: it takes 1 to 6 seconds, on a very busy old machine many times that."""
END_SECONDS = 60.0
"""How long the guardian may take to end everything; more than the servers' own limits together."""
POLL_SECONDS = 0.02


class Guardian:
    """The guardian of a folder's servers; leaving its `with` block ends them. May be used by several threads.

    `lock` is the descriptor of the folder's lock: the guardian holds it too, so that the folder is free only when the
    servers are gone. The servers do not inherit it.
    """

    def __init__(self, run_dir: Path, lock: int) -> None:
        self.run_dir = run_dir
        self.logs = run_dir / "log"
        self.logs.mkdir(exist_ok=True)
        self._turn = threading.Lock()
        self._closed = False
        with (self.logs / "guardian.log").open("ab") as log:
            self._process = subprocess.Popen(
                # isolated and without site-packages: it starts in 20 ms and needs nothing of ours
                [sys.executable, "-I", "-S", guardian.__file__, str(run_dir)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=[lock],
                start_new_session=True,
                text=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def log(self, name: str) -> Path:
        """Where the server `name` writes what it prints."""
        return self.logs / f"{name}.log"

    def start(
        self,
        name: str,
        command: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path,
        stop_signal: int,
        stop_seconds: float,
    ) -> None:
        """Start a server in `folder`, to be ended by `stop_signal` and, `stop_seconds` later, by SIGKILL."""
        self._ask(
            do="start",
            name=name,
            command=list(command),
            environment={**ENVIRONMENT, "SELARAS_RUN_DIR": str(self.run_dir), **environment},
            folder=str(folder),
            log=str(self.log(name)),
            stop_signal=int(stop_signal),
            stop_seconds=stop_seconds,
        )

    def exit_status(self, name: str) -> int | None:
        """The exit status of a server, or None while it runs. Negative: the signal that ended it."""
        status: int | None = self._ask(do="exit_status", name=name)["exit_status"]
        return status

    def wait_until(self, is_ready: Callable[[], bool], name: str) -> None:
        """Return when `is_ready()`. Raises StartFailed if `name` ends before, or takes longer than START_SECONDS."""
        deadline = time.monotonic() + START_SECONDS
        while not is_ready():
            if self.exit_status(name) is not None:
                raise StartFailed(f"{name} ended while it was starting: {self._last_words(name)}.")
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} did not answer within {START_SECONDS:.0f} s: {self._last_words(name)}.")
            time.sleep(POLL_SECONDS)

    def wait_for_success(self, name: str) -> None:
        """Return when the program `name` has ended well. Raises StartFailed if it has not."""
        deadline = time.monotonic() + START_SECONDS
        while (status := self.exit_status(name)) is None:
            if time.monotonic() > deadline:
                raise StartFailed(f"{name} was not done after {START_SECONDS:.0f} s: {self._last_words(name)}.")
            time.sleep(POLL_SECONDS)
        if status != 0:
            raise StartFailed(f"{name} failed: {self._last_words(name)}.")

    def close(self) -> None:
        """End the servers and the guardian; does nothing the second time.

        An interruption here (a second Ctrl-C) loses only the waiting: the guardian goes on by itself.
        """
        with self._turn:
            if self._closed:
                return
            self._closed = True
            assert self._process.stdin is not None
            with contextlib.suppress(BrokenPipeError):  # it was killed
                self._process.stdin.close()
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        guardian.end_remembered(self.run_dir)  # what is left if the guardian itself was killed

    def _ask(self, **request: Any) -> dict[str, Any]:
        with self._turn:
            if self._closed:
                raise StartFailed("The private servers were stopped while they were starting.")
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            try:
                self._process.stdin.write(json.dumps(request) + "\n")
                self._process.stdin.flush()
                line = self._process.stdout.readline()
            except BrokenPipeError:
                line = ""
        if not line:
            raise StartFailed(f"The guardian of the private servers ended: {self._last_words('guardian')}.")
        answer: dict[str, Any] = json.loads(line)
        if "error" in answer:
            raise StartFailed(f"{request['name']} could not be started: {answer['error']}.")
        return answer

    def _last_words(self, name: str) -> str:
        """The last line of a log that looks like the reason, and where to read more."""
        try:
            lines = [line.strip() for line in self.log(name).read_text(errors="replace").splitlines() if line.strip()]
        except OSError:
            lines = []
        telling = [line for line in lines if any(word in line.lower() for word in ("error", "fatal", "fail", "cannot"))]
        last = (telling or lines or ["it said nothing"])[-1]
        return f"{last[:300]} (more in {self.log(name)})"
