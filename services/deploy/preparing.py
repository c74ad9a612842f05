"""Every secret of an installation in containers, made once: for each container a folder with its own and no other's."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from services import signing, topology
from services.deploy import certificates
from services.deploy.folder import GROUPS, Folder
from services.deploy.joining import Joining
from services.errors import SelarasError

Kind = Literal["all", "site"]
"""A site and central on one broker, or a site whose central is elsewhere."""
MOUNTED = "/run/secrets"
"""Where a container sees its part."""
BROKER, DATABASE = "rabbitmq", "postgres"
KEYS = "signing-keys.json"
PUBLIC_KEYS = "central-keys.json"
CENTRAL_CA = "central-ca.pem"
SUPERUSER, GRAFANA = "postgres", "grafana"
DATABASES: Mapping[Kind, tuple[topology.Side, ...]] = {"all": ("site", "central"), "site": ("site",)}


class NotJoined(SelarasError):
    """A site alone that central has not been told of."""


def prepare(root: Path, kind: Kind, *, site: str, host: str) -> None:
    """Make what is missing below `root`; `host`: the name under which others reach this broker over TLS.

    Raises NotJoined for a site alone that has nothing from central yet; all else is made all the same.
    """
    folder = Folder(root)
    joined = _joined(folder) if kind == "site" else None
    site = joined.site if joined else site
    users = topology.installation_users(site, DATABASES[kind])
    everybody = [*users, topology.administrator_user()]
    roles = [f"database:{role}" for role in (*DATABASES[kind], SUPERUSER)]
    passwords = folder.passwords([*(user.name for user in everybody), *roles, GRAFANA])
    _broker(folder, everybody, passwords, kind, host)
    _database(folder, passwords, kind)
    folder.write(GRAFANA, "admin-password", passwords[GRAFANA], mode=GROUPS)
    parts = _Parts(folder, passwords, site)
    if kind == "all":
        _central(folder, parts, site)
    elif joined:
        _remote_central(folder, parts, joined)
    else:
        parts.site("", "")
        raise NotJoined(
            "Belum bergabung ke pusat · not joined to a central yet: pass the file of `selaras site add` to `selaras "
            "deploy join` (docs/deployment.md)."
        )


def join(root: Path, text: str) -> str:
    """Keep what central handed out to this site; the site's name. Raises joining.Unusable."""
    document = Joining.read(text)
    Folder(root).write("own", "central.json", document.write())
    return document.site


def _joined(folder: Folder) -> Joining | None:
    kept = folder.read("own", "central.json")
    return Joining.read(kept.decode()) if kept else None


# ── the two servers ──────────────────────────────────────────────────────────────────────────────────────────────────


def _broker(folder: Folder, users: list[topology.User], passwords: Mapping[str, str], kind: Kind, host: str) -> None:
    """The broker's definitions, with hashes in place of passwords, and its certificate."""
    made = definitions({user.name: (user, passwords[user.name]) for user in users}, kind)
    folder.write(BROKER, "definitions.json", json.dumps(made, indent=1), mode=GROUPS)
    now = certificates.now()
    authority, key = folder.read("own", "ca.pem"), folder.read("own", "ca.key")
    if authority is None or key is None:
        authority, key = certificates.new_authority("Selaras", now)
        folder.write("own", "ca.key", key)
        folder.write("own", "ca.pem", authority)
    names = list(dict.fromkeys(["localhost", BROKER, "127.0.0.1", host]))
    shown = folder.read(BROKER, "server.pem")
    if shown is None or not certificates.still_fits(shown, authority, names, now):
        shown, server_key = certificates.new_certificate(authority, key, names, now)
        folder.write(BROKER, "server.key", server_key, mode=GROUPS)
        folder.write(BROKER, "server.pem", shown, mode=GROUPS)
    folder.write(BROKER, "ca.pem", authority, mode=GROUPS)


def definitions(users: dict[str, tuple[topology.User, str]], kind: Kind) -> dict[str, Any]:
    """Those of the topology, with hashes in place of passwords."""
    made = topology.definitions(users, sides=DATABASES[kind])
    for user in made["users"]:
        user["password_hash"] = password_hash(user.pop("password"))
        user["hashing_algorithm"] = "rabbit_password_hashing_sha256"
    return made


def password_hash(password: str) -> str:
    """RabbitMQ's: four bytes of salt, then SHA-256 over salt and password. The passwords are long and random, so the
    salt may come from them: the same file is made again.
    """
    salt = hashlib.sha256(b"salt " + password.encode()).digest()[:4]
    return base64.b64encode(salt + hashlib.sha256(salt + password.encode()).digest()).decode()


def _database(folder: Folder, passwords: Mapping[str, str], kind: Kind) -> None:
    for role in (*DATABASES[kind], SUPERUSER):
        folder.write(DATABASE, f"{role}.password", passwords[f"database:{role}"], mode=GROUPS)


# ── the services and the commands ────────────────────────────────────────────────────────────────────────────────────


class _Parts:
    """Writes settings as files, for the names that `services.settings` reads."""

    def __init__(self, folder: Folder, passwords: Mapping[str, str], site: str) -> None:
        self._folder = folder
        self._passwords = passwords
        self._site = site

    def amqp(self, user: str) -> str:
        """The broker's address inside the containers' own network."""
        return f"amqp://{user}:{quote(self._passwords[user], safe='')}@{BROKER}:5672/"

    def database(self, side: topology.Side) -> str:
        """The database of one side, as the role that owns it."""
        password = quote(self._passwords[f"database:{side}"], safe="")
        return f"postgresql+asyncpg://{side}:{password}@{DATABASE}:5432/{side}"

    def settings(self, part: str, **values: str) -> None:
        """One container's settings."""
        for name, value in values.items():
            self._folder.write(part, f"selaras_{name}", value)

    def site(self, sync_url: str, pull_url: str) -> None:
        """All of a site: its services, its command, and what makes its tables."""
        database = self.database("site")
        own = {"site_database_url": database, "site": self._site}
        self.settings("validator", amqp_url=self.amqp("validator"), **own)
        self.settings("syncer", amqp_url=self.amqp("syncer"), central_amqp_url=sync_url, **own)
        self.settings("puller", amqp_url=self.amqp("puller"), central_amqp_url=pull_url, **own)
        person = self.amqp(topology.PERSON_USER)
        self.settings("command", amqp_url=person, site_database_url=database, central_amqp_url=sync_url)
        self.settings("migrate", site_database_url=database)


def _central(folder: Folder, parts: _Parts, site: str) -> None:
    """Central, its keys, and a site beside it."""
    keys = folder.part("central") / KEYS
    if not keys.exists():
        signing.new(keys)
    public = signing.public_document(keys)
    for part in ("syncer", "puller", "central-command"):
        folder.write(part, PUBLIC_KEYS, public)
    parts.site(parts.amqp(f"{site}-sync"), parts.amqp(f"{site}-pull"))
    database = parts.database("central")
    parts.settings("central", amqp_url=parts.amqp("central"), central_database_url=database)
    parts.settings("migrate", central_database_url=database)
    administrator = parts.amqp(topology.ADMINISTRATOR_USER).replace("amqp://", "http://").replace(":5672/", ":15672/")
    parts.settings(
        "central-command",
        officer_amqp_url=parts.amqp(topology.OFFICER_USER),
        central_database_url=database,
        management_url=administrator,
    )
    folder.write("central-command", "ca.pem", folder.read("own", "ca.pem") or b"")


def _remote_central(folder: Folder, parts: _Parts, joined: Joining) -> None:
    """A site alone: central's broker over TLS, checked with the CA that central handed out."""
    for part in ("syncer", "puller", "command"):
        folder.write(part, CENTRAL_CA, joined.central_ca)
        folder.write(part, PUBLIC_KEYS, json.dumps(joined.central_keys, indent=2) + "\n")
    parts.site(_checked(joined.sync_url), _checked(joined.pull_url))


def _checked(url: str) -> str:
    """The address with the file of the CA that the certificate must be signed by."""
    return urlsplit(url)._replace(query=f"cafile={MOUNTED}/{CENTRAL_CA}").geturl()
