"""`selaras config check`: every setting as a service or the command would read it, and every connection tried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic_settings import BaseSettings

from services import topology
from services.broker import user_of
from services.cli import connections, probes, show, sources
from services.cli.arguments import AsJson
from services.cli.connections import Needs
from services.cli.outcomes import NOT_SET_UP, Stop
from services.cli.probes import Found, Probe
from services.cli.settings import CommandSettings
from services.cli.sources import Setting

app = typer.Typer(help="The settings, and what they lead to.", no_args_is_help=True)

SERVICES = ("validator", "syncer", "puller", "central")
COMMAND = "command"
NOBODY = "00000000"
"""A school of no site, for routing keys that are asked about."""


class Part(StrEnum):
    """What can be checked."""

    VALIDATOR = "validator"
    SYNCER = "syncer"
    PULLER = "puller"
    CENTRAL = "central"
    COMMAND = "command"
    ALL = "all"


@app.callback()
def _group() -> None:
    """The settings, and what they lead to."""


@dataclass(frozen=True, slots=True)
class Report:
    """One part: its settings, and what its connections said."""

    name: str
    settings: list[Setting]
    found: list[Found]

    @property
    def ok(self) -> bool:
        """Is all well?"""
        return all(one.trouble is None for one in self.settings) and all(one.ok for one in self.found)


@app.command("check")
def check(
    parts: Annotated[
        list[Part] | None,
        typer.Argument(metavar="[PART]...", help="validator, syncer, puller, central, command, all; else the command"),
    ] = None,
    seconds: Annotated[
        float, typer.Option("--seconds", min=0.1, max=60, help="How long each connection may take")
    ] = probes.LIMIT_SECONDS,
    json: AsJson = False,
) -> None:
    """Every setting with its source, secrets hidden, and every connection tried; nothing is changed anywhere."""
    every: Sequence[str] = (*SERVICES, COMMAND)
    named = [part.value for part in parts or ()] or [COMMAND]
    asked = every if "all" in named else list(dict.fromkeys(named))
    models = {name: _model(name) for name in (*SERVICES, COMMAND)}
    reports = asyncio.run(_reports(asked, models, seconds))
    unknown = sources.unknown(list(models.values()))
    if json:
        told = [{"name": r.name, "ok": r.ok, "settings": r.settings, "checks": r.found} for r in reports]
        show.as_json({"ok": all(r.ok for r in reports), "parts": [_plain(one) for one in told], "unknown": unknown})
    else:
        for report in reports:
            _show(report)
        for name in unknown:
            show.line(f"? {name}: tidak ada pengaturan bernama itu · no setting has that name")
        troubles = sum(_troubles(report) for report in reports)
        if not troubles:
            show.line("Semua baik · all is well")
        else:
            show.line(f"{troubles} perlu diperbaiki · to be mended")
    if not all(report.ok for report in reports):
        raise Stop("", NOT_SET_UP)


def _model(name: str) -> type[BaseSettings]:
    if name == COMMAND:
        return CommandSettings
    model: type[BaseSettings] = import_module(f"services.{name}.app").Settings
    return model


async def _reports(asked: Sequence[str], models: Mapping[str, type[BaseSettings]], seconds: float) -> list[Report]:
    """All parts at once: the whole takes as long as its slowest connection."""
    read = {name: sources.read(models[name]) for name in asked}
    together = [name for name in asked if name in SERVICES]  # each has a port of its own, as `selaras serve all` does

    async def report(name: str) -> Report:
        settings, values = read[name]
        shift = together.index(name) if name in together and len(together) == len(SERVICES) else 0
        tries = [probes.within(what, probe, seconds) for what, probe in _probes(name, values, shift)]
        if name == "central" and (file := values.get("signing_keys_file")):
            tries += [
                probes.within("keys", partial(probes.pair, f"keys: {other}", file, pinned), seconds)
                for other in ("syncer", "puller")
                if other in read and (pinned := read[other][1].get("central_keys_file"))
            ]
        found = [one for some in await asyncio.gather(*tries) for one in some]
        if name == COMMAND and all(one.value is None and one.trouble is None for one in settings):
            found.append(
                Found(
                    "settings", False, "tidak ada satu alamat pun", "no address at all",
                    "Isi SELARAS_…, atau jalankan `make up`", "Set SELARAS_…, or run `make up`",
                )
            )  # fmt: skip
        return Report(name, settings, found)

    return list(await asyncio.gather(*map(report, asked)))


# ── what each part connects to ───────────────────────────────────────────────────────────────────────────────────────


def _probes(name: str, values: Mapping[str, Any], shift: int) -> Iterator[tuple[str, Probe]]:
    """Every connection of a part, as far as its settings can be used."""
    if name == COMMAND:
        yield from _of_command(values)
        return
    if url := values.get("amqp_url"):
        yield "broker", partial(connections.broker, "broker", url, _needs(name))
    side: topology.Side = "central" if name == "central" else "site"
    replica = values.get(f"{side}_database_url")
    if replica:
        yield "database", partial(connections.database, "database", replica, side)
    if name in ("syncer", "puller"):
        if central := values.get("central_amqp_url") or values.get("amqp_url"):
            needs = _link_needs(user_of(central), topology.SYNC_VERBS if name == "syncer" else topology.PULL_VERBS)
            yield "central's broker", partial(connections.broker, "central's broker", central, needs)
        if "central_keys_file" in values:
            yield "keys", partial(probes.public_keys, "keys", values["central_keys_file"], replica)
    if name == "central" and (file := values.get("signing_keys_file")):
        yield "keys", partial(probes.signing_keys, "keys", Path(file), replica)
    if values.get("backup_every") and (folder := values.get("backup_folder")):
        yield "backups", partial(probes.backups, "backups", Path(folder))
    if {"http_host", "http_port"} <= values.keys():
        number = int(values["http_port"])
        yield "http", partial(probes.port, "http", name, values["http_host"], number + shift if number else 0)


def _of_command(values: Mapping[str, Any]) -> Iterator[tuple[str, Probe]]:
    if url := values.get("amqp_url"):
        asked = [(topology.COMMANDS, f"{verb}.{NOBODY}") for verb in ("sync", "pull", "restore", "verify", "validate")]
        needs = Needs(("site",), writes=[(topology.CHANGES, f"change.{NOBODY}"), *asked])
        yield "broker", partial(connections.broker, "broker", url, needs)
    if url := values.get("site_database_url"):
        yield "database", partial(connections.database, "database", url, "site")
    if url := values.get("central_amqp_url"):
        needs = _link_needs(user_of(url), topology.SYNC_VERBS)
        yield "central's broker", partial(connections.broker, "central's broker", url, needs)
    if url := values.get("officer_amqp_url"):
        needs = Needs(("central",), writes=[(topology.OFFICERS, f"{what}.{NOBODY}") for what in ("change", "history")])
        yield "officer's broker", partial(connections.broker, "officer's broker", url, needs)
    if url := values.get("central_database_url"):
        yield "central's database", partial(connections.database, "central's database", url, "central")


def _needs(service: str) -> Needs:
    """What a service does at its own broker."""
    side: topology.Side = "central" if service == "central" else "site"
    own = {
        "validator": [*topology.VALIDATOR_CHANGES, topology.VALIDATOR_REQUESTS, topology.DEAD_SITE],
        "syncer": [topology.SYNCER_REQUESTS],
        "puller": [topology.PULLER_REQUESTS],
        "central": [topology.CENTRAL_REQUESTS, topology.CENTRAL_OFFICERS, topology.DEAD_CENTRAL],
    }
    announces = {
        "validator": [(topology.EVENTS, f"accepted.{NOBODY}")],
        "syncer": [(topology.EVENTS, f"sync.completed.{NOBODY}")],
        "puller": [(topology.EVENTS, f"pull.completed.{NOBODY}")],
        "central": [(topology.REPLIES, "nobody.0"), (topology.OFFICERS, f"accepted.{NOBODY}")],
    }
    return Needs((side,), own[service], announces[service])


def _link_needs(user: str, verbs: Sequence[str]) -> Needs:
    return Needs(("central",), writes=[(topology.CENTRAL, f"{user}.{verb}") for verb in verbs])


# ── shown ────────────────────────────────────────────────────────────────────────────────────────────────────────────


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    return {**told, "settings": [asdict(s) for s in told["settings"]], "checks": [asdict(f) for f in told["checks"]]}


def _troubles(report: Report) -> int:
    return sum(one.trouble is not None for one in report.settings) + sum(not one.ok for one in report.found)


def _show(report: Report) -> None:
    show.table(
        report.name,
        ("pengaturan · setting", "nilai · value", "dari · from"),
        [(one.name, one.value, _SOURCES.get(one.source, one.source)) for one in report.settings],
    )
    for one in report.settings:
        if one.trouble:
            show.line(f"✗ {one.name}: {one.trouble}")
    for found in report.found:
        show.line(f"{'✓' if found.ok else '✗'} {found.what}: {found.text_id} · {found.text_en}")
        if found.next_id:
            show.line(f"   → {found.next_id} · {found.next_en}")
    show.line("")


_SOURCES = {"environment": "lingkungan · environment", "default": "bawaan · default"}
