"""A real Prometheus and Alertmanager over a running stack, with the shipped files: only addresses and times differ."""

from __future__ import annotations

import json
import re
import subprocess
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from scripts import alerts
from services.embedded.servers import Servers
from services.embedded.stack import Stack, free_port
from tests.watch.tools import installed

DEPLOY = Path(__file__).parents[2] / "deploy"
CLOCK = alerts.Clock(scale=1 / 900, shortest=5.0)
"""A quarter of an hour takes a second; what is counted over a time, five seconds at least."""
SCRAPE, EVALUATE = "1s", "250ms"
PATIENCE_SECONDS = 40.0


@dataclass(frozen=True)
class Told:
    """One alert of a notification, as the webhook got it."""

    receiver: str
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]

    @property
    def name(self) -> str:
        return self.labels["alertname"]


@dataclass
class Watch:
    """What watches, and what it told."""

    prometheus: str
    alertmanager: str
    told: list[Told] = field(default_factory=list)

    def query(self, expr: str) -> list[dict[str, Any]]:
        """An instant query: the samples."""
        answer = _json(f"{self.prometheus}/api/v1/query?{urllib.parse.urlencode({'query': expr})}")
        found: list[dict[str, Any]] = answer["data"]["result"]
        return found

    def targets(self) -> dict[str, str]:
        """Job → health."""
        found = _json(f"{self.prometheus}/api/v1/targets")["data"]["activeTargets"]
        return {target["labels"]["job"]: target["health"] for target in found}

    def active(self, name: str | None = None, **labels: str) -> list[dict[str, Any]]:
        """The alerts at Alertmanager, suppressed ones too."""
        wanted = labels | ({"alertname": name} if name else {})
        return [
            alert for alert in _json(f"{self.alertmanager}/api/v2/alerts") if wanted.items() <= alert["labels"].items()
        ]

    def names(self) -> list[dict[str, str]]:
        """What is at Alertmanager, by its labels."""
        return [alert["labels"] for alert in self.active()]

    def firing(self, name: str, **labels: str) -> dict[str, Any]:
        """Wait until the alert is at Alertmanager."""
        wait_until(lambda: self.active(name, **labels), f"{name} firing", self.names)
        return self.active(name, **labels)[0]

    def heard(self, name: str, status: str, **labels: str) -> Told:
        """Wait until the webhook was told."""

        def found() -> list[Told]:
            return [t for t in self.told if (t.name, t.status) == (name, status) and labels.items() <= t.labels.items()]

        wait_until(found, f"{name} told as {status}")
        return found()[-1]

    def gone(self, *names: str, **labels: str) -> None:
        """Wait until none of the alerts is at Alertmanager any more."""
        wait_until(
            lambda: not any(self.active(name, **labels) for name in names), f"{', '.join(names)} resolved", self.names
        )


def wait_until(holds: Callable[[], object], what: str, beside: Callable[[], object] = lambda: "") -> None:
    """Poll, with a bound; `beside` is told where it was not enough."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, f"not within {PATIENCE_SECONDS:.0f} s: {what} {beside()}"
        time.sleep(0.1)


@contextmanager
def watching(stack: Stack, servers: Servers, folder: Path) -> Iterator[Watch]:
    """Prometheus, Alertmanager and a webhook, until the block ends; every target is up when it begins."""
    installed()
    folder.mkdir(parents=True, exist_ok=True)
    ports = free_port(), free_port()
    watch = Watch(f"http://127.0.0.1:{ports[0]}", f"http://127.0.0.1:{ports[1]}")
    with _webhook(watch) as webhook:
        _configure(folder, stack, servers, alertmanager_port=ports[1], webhook=webhook)
        commands = [
            [
                "/usr/bin/prometheus", f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb",
                f"--web.listen-address=127.0.0.1:{ports[0]}", "--query.lookback-delta=5s",
            ],
            [
                "/usr/bin/prometheus-alertmanager", f"--config.file={folder}/alertmanager.yml",
                f"--storage.path={folder}/nflog", f"--web.listen-address=127.0.0.1:{ports[1]}",
                "--cluster.listen-address=",
            ],
        ]  # fmt: skip
        running = []
        try:
            for command in commands:
                log = (folder / f"{Path(command[0]).name}.log").open("wb")
                with log:
                    running.append(subprocess.Popen(command, stdout=log, stderr=log))
            wait_until(lambda: _ready(watch), "every target is up")
            yield watch
        finally:
            for process in running:
                process.kill()
                process.wait()


def _configure(folder: Path, stack: Stack, servers: Servers, *, alertmanager_port: int, webhook: str) -> None:
    """The shipped files, with this machine's addresses and short times."""
    alerts.write(folder / "rules", CLOCK, interval=EVALUATE)
    text = (DEPLOY / "prometheus" / "prometheus.yml").read_text()
    places = {**stack.ports, "rabbitmq": servers.metrics_port}
    text, n = re.subn(
        r"dns_sd_configs: \[\{ names: \[(\w+)\], .*",
        lambda found: f'static_configs: [{{ targets: ["127.0.0.1:{places[found[1]]}"] }}]',
        text,
    )
    assert n == len(places) + 1
    text = text.replace("alertmanager:9093", f"127.0.0.1:{alertmanager_port}")
    text = text.replace("scrape_interval: 15s", f"scrape_interval: {SCRAPE}")
    text = text.replace("evaluation_interval: 15s", f"evaluation_interval: {EVALUATE}")
    (folder / "prometheus.yml").write_text(text)
    text = (DEPLOY / "alertmanager" / "alertmanager.webhook.yml").read_text()
    text = text.replace("url_file: /etc/alertmanager/secrets/webhook_url", f"url: {webhook}")
    text = re.sub(r"(group_wait|group_interval): \w+", r"\1: 200ms", text)
    (folder / "alertmanager.yml").write_text(text)


def _ready(watch: Watch) -> bool:
    try:
        _json(f"{watch.alertmanager}/api/v2/status")
        health = watch.targets()
    except OSError:
        return False
    return len(health) == 6 and set(health.values()) == {"up"}


@contextmanager
def _webhook(watch: Watch) -> Iterator[str]:
    """Who is told; the address."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            watch.told.extend(
                Told(body["receiver"], one["status"], one["labels"], one["annotations"]) for one in body["alerts"]
            )
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def _json(url: str) -> Any:
    with urllib.request.urlopen(url, timeout=10) as answer:  # noqa: S310  loopback
        return json.loads(answer.read())


def rabbitmqctl(servers: Servers, *arguments: str) -> None:
    """As a person at the broker's machine would."""
    home = servers.run_dir / "rabbitmq"
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(home), "LC_ALL": "C.UTF-8",
        "ERL_EPMD_PORT": str(servers.epmd_port), "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": "selaras@localhost", "RABBITMQ_CONF_ENV_FILE": str(home / "none"),
    }  # fmt: skip
    done = subprocess.run(
        ["/usr/lib/rabbitmq/bin/rabbitmqctl", *arguments],
        env=environment, cwd=home, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
