"""The whole broker on one screen: every exchange, queue, binding and dead-letter route.

    operators ─▶ selaras.changes ─▶ selaras.changes.hash ═▶ validator.changes.0 … N-1     (order per school)
    people    ─▶ selaras.commands ─▶ validator.requests · syncer.requests · puller.requests
    services  ─▶ selaras.events ─▶ whoever listens
    sites     ─▶ selaras.central ─▶ central.requests          central ─▶ selaras.replies ─▶ reply.<random> of a site
    officers  ─▶ selaras.officers ─▶ central.officers         central ─▶ selaras.officers ─▶ whoever listens
                                     (of the past: to who asked)      ─▶ selaras.replies ─▶ listen.<random> of theirs
    the broker ─▶ selaras.dead ─▶ dead.site · dead.central    (what it took out of a queue; drained into quarantine)

A deployment loads these as definitions; `selaras topology declare` makes them on a broker of one's own; the services
only check that they are there.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

DELIVERY_LIMIT = 50
"""Deliveries before the broker dead-letters a message: every return, lost connection and drain counts as one."""
DEAD_DELIVERY_LIMIT = 1_000_000_000
"""Of the dead letters' own queues, which have no other to go to: they are drained into a table, never given up."""
MAX_QUEUE_BYTES = 8 * 1024**3
"""A queue that holds this much refuses what is published to it: publishers wait, nothing is dropped."""
CHANGE_QUEUES = 4
"""Queues that share the schools' change events; fixed at installation (changing it means draining first)."""
HASH_WEIGHT = "20"
"""Points of each queue on the hash ring: with 1 a queue of eight stayed empty for forty schools."""

CHANGES = "selaras.changes"
CHANGES_HASH = "selaras.changes.hash"
COMMANDS = "selaras.commands"
EVENTS = "selaras.events"
CENTRAL = "selaras.central"
REPLIES = "selaras.replies"
OFFICERS = "selaras.officers"
DEAD = "selaras.dead"

VALIDATOR_CHANGES = tuple(f"validator.changes.{i}" for i in range(CHANGE_QUEUES))
VALIDATOR_REQUESTS = "validator.requests"
SYNCER_REQUESTS = "syncer.requests"
PULLER_REQUESTS = "puller.requests"
CENTRAL_REQUESTS = "central.requests"
CENTRAL_OFFICERS = "central.officers"
DEAD_SITE = "dead.site"
DEAD_CENTRAL = "dead.central"

PULL_VERBS = ("open", "fetch", "verify", "buckets", "rows", "records")
"""What a site's puller may ask central: the second word of the routing key `<user>.<verb>`."""
SYNC_VERBS = (*PULL_VERBS, "push", "mend", "rollback", "give", "register")

PERSON_USER = "perintah"
"""The broker user of the command at the site; it may name the person who acts."""
OFFICER_USER = "petugas"
ADMINISTRATOR_USER = "pengelola"
"""Makes and removes the users of sites (`selaras site add`); it speaks and listens nowhere."""
SITE_TAG = "selaras-site"
"""Marks the users that `selaras site add` made: RabbitMQ gives a tag that it does not know no rights."""

Side = Literal["site", "central"]
SIDES: tuple[Side, ...] = ("site", "central")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange of one side's broker."""

    name: str
    type: Literal["topic", "direct", "x-consistent-hash"]
    side: Side


@dataclass(frozen=True, slots=True)
class Queue:
    """A durable quorum queue. `bindings`: (exchange, routing key); `dead`: where the broker puts what it takes out."""

    name: str
    side: Side
    bindings: tuple[tuple[str, str], ...]
    dead: str | None
    single_active_consumer: bool = False

    @property
    def arguments(self) -> dict[str, Any]:
        """The queue's arguments: nothing is left at a default that loses messages."""
        arguments: dict[str, Any] = {
            "x-queue-type": "quorum",
            "x-delivery-limit": DELIVERY_LIMIT if self.dead else DEAD_DELIVERY_LIMIT,
            "x-max-length-bytes": MAX_QUEUE_BYTES,
            "x-overflow": "reject-publish",
        }
        if self.dead:
            arguments |= {
                "x-dead-letter-exchange": DEAD,
                "x-dead-letter-routing-key": self.dead,
                "x-dead-letter-strategy": "at-least-once",
            }
        if self.single_active_consumer:
            arguments["x-single-active-consumer"] = True
        return arguments


EXCHANGES = (
    Exchange(CHANGES, "topic", "site"),
    Exchange(CHANGES_HASH, "x-consistent-hash", "site"),
    Exchange(COMMANDS, "topic", "site"),
    Exchange(EVENTS, "topic", "site"),
    Exchange(CENTRAL, "topic", "central"),
    Exchange(REPLIES, "topic", "central"),
    Exchange(OFFICERS, "topic", "central"),
    Exchange(DEAD, "direct", "site"),
    Exchange(DEAD, "direct", "central"),
)

EXCHANGE_BINDINGS: tuple[tuple[str, str, str, Side], ...] = ((CHANGES, CHANGES_HASH, "change.*", "site"),)
"""(from exchange, to exchange, routing key, side)."""

QUEUES = (
    *(Queue(name, "site", ((CHANGES_HASH, HASH_WEIGHT),), DEAD_SITE, True) for name in VALIDATOR_CHANGES),
    Queue(VALIDATOR_REQUESTS, "site", ((COMMANDS, "validate.*"),), DEAD_SITE),
    Queue(SYNCER_REQUESTS, "site", ((COMMANDS, "sync.*"), (COMMANDS, "verify.*")), DEAD_SITE),
    Queue(PULLER_REQUESTS, "site", ((COMMANDS, "pull.*"), (COMMANDS, "restore.*")), DEAD_SITE),
    Queue(DEAD_SITE, "site", ((DEAD, DEAD_SITE),), None),
    Queue(CENTRAL_REQUESTS, "central", tuple((CENTRAL, f"*.{verb}") for verb in SYNC_VERBS), DEAD_CENTRAL),
    Queue(CENTRAL_OFFICERS, "central", ((OFFICERS, "change.*"), (OFFICERS, "history.*")), DEAD_CENTRAL),
    Queue(DEAD_CENTRAL, "central", ((DEAD, DEAD_CENTRAL),), None),
)


@dataclass(frozen=True, slots=True)
class User:
    """A broker user and what it may do: three anchored patterns, and topic patterns (write, read) per exchange.

    `max_connections` bounds what one stolen or looping user can take from the others.
    """

    name: str
    configure: str = "^$"
    write: str = "^$"
    read: str = "^$"
    topics: dict[str, tuple[str, str]] = field(default_factory=dict)
    tags: str = ""
    max_connections: int = 100


def _any_of(*names: str) -> str:
    return "^(" + "|".join(name.replace(".", r"\.") for name in names) + ")$"


def service_users() -> list[User]:
    """The users of the four services: each reads its own queues and writes its own announcements, nothing else."""
    site_events = {EVENTS: ("^.*$", "^$")}
    return [
        User(
            "validator",
            write=_any_of(EVENTS),
            read=_any_of(*VALIDATOR_CHANGES, VALIDATOR_REQUESTS, DEAD_SITE),
            topics=site_events,
        ),
        User("syncer", write=_any_of(EVENTS), read=_any_of(SYNCER_REQUESTS), topics=site_events),
        User("puller", write=_any_of(EVENTS), read=_any_of(PULLER_REQUESTS), topics=site_events),
        User(
            "central",
            write=_any_of(REPLIES, OFFICERS),
            read=_any_of(CENTRAL_REQUESTS, CENTRAL_OFFICERS, DEAD_CENTRAL),
            topics={REPLIES: ("^.*$", "^$"), OFFICERS: (r"^(accepted|rejected)\..*$", "^$")},
        ),
    ]


def link_users(site: str) -> list[User]:
    """A site's two users at central's broker: the syncer's may push, the puller's may ask and read only.

    Who may write to one exchange and read another may also bind the one to the other; the second word of a reply's key
    is therefore a hex number, which is no verb: no site can have its replies sent back to central as requests.
    """
    reply = r"reply\.[0-9a-f]+"
    read_own = {REPLIES: ("^$", r"^{username}\.[0-9a-f]+$")}
    patterns = {
        f"{site}-sync": rf"^{{username}}\.({'|'.join(SYNC_VERBS)})$",
        f"{site}-pull": rf"^{{username}}\.({'|'.join(PULL_VERBS)})$",
    }
    return [
        User(
            name,
            configure=f"^{reply}$",
            write=rf"^(selaras\.central|{reply})$",
            read=rf"^(selaras\.replies|{reply})$",
            topics={CENTRAL: (pattern, "^$"), **read_own},
        )
        for name, pattern in patterns.items()
    ]


def person_user(name: str) -> User:
    """A user who publishes changes and commands of a site and listens to its events (the console, the command)."""
    listen = r"listen\.[0-9a-f]+"
    return User(
        name,
        configure=f"^{listen}$",
        write=rf"^(selaras\.changes|selaras\.commands|{listen})$",
        read=rf"^(selaras\.events|{listen})$",
        topics={
            CHANGES: (r"^change\..*$", "^$"),
            COMMANDS: (r"^(sync|pull|restore|verify|validate)\..*$", "^$"),
            EVENTS: ("^$", "^.*$"),
        },
    )


def officer_user(name: str) -> User:
    """A user who publishes officers' changes and questions at central, and listens to the answers: to those about
    changes as everybody does, to those about the past, which hold people's data, where it alone may.
    """
    listen = r"listen\.[0-9a-f]+"
    return User(
        name,
        configure=f"^{listen}$",
        write=rf"^(selaras\.officers|{listen})$",
        read=rf"^(selaras\.officers|selaras\.replies|{listen})$",
        topics={
            OFFICERS: (r"^(change|history)\..*$", r"^(accepted|rejected)\..*$"),
            REPLIES: ("^$", r"^{username}\.[0-9a-f]+$"),
        },
    )


def administrator_user(name: str = ADMINISTRATOR_USER) -> User:
    """A user of the management interface alone: no exchange, no queue."""
    return User(name, tags="administrator", max_connections=0)


def installation_users(site: str, sides: tuple[Side, ...] = SIDES) -> list[User]:
    """Every broker user of an installation: of a site and central on one broker, or of one side alone."""
    services = [user for user in service_users() if ("central" if user.name == "central" else "site") in sides]
    of_site = [person_user(PERSON_USER)] if "site" in sides else []
    of_central = [officer_user(OFFICER_USER)] if "central" in sides else []
    both = link_users(site) if set(sides) == set(SIDES) else []
    return [*services, *both, *of_site, *of_central]


def definitions(
    users: dict[str, tuple[User, str]], *, vhost: str = "/", sides: tuple[Side, ...] = SIDES
) -> dict[str, Any]:
    """RabbitMQ's definitions document: the topology of both sides on one broker, or of one, and `users` (name → user,
    password).
    """
    queues = [queue for queue in QUEUES if queue.side in sides]
    return {
        "vhosts": [{"name": vhost}],
        "users": [
            {"name": u.name, "password": password, "tags": u.tags, "limits": {"max-connections": u.max_connections}}
            for u, password in users.values()
        ],
        "permissions": [
            {"user": u.name, "vhost": vhost, "configure": u.configure, "write": u.write, "read": u.read}
            for u, _ in users.values()
        ],
        "topic_permissions": [
            {"user": u.name, "vhost": vhost, "exchange": exchange, "write": write, "read": read}
            for u, _ in users.values()
            for exchange, (write, read) in u.topics.items()
        ],
        "exchanges": [
            {"name": name, "vhost": vhost, "type": kind, "durable": True, "auto_delete": False, "internal": False,
             "arguments": {}}
            for name, kind in dict.fromkeys((e.name, e.type) for e in EXCHANGES if e.side in sides)
        ],
        "queues": [
            {"name": q.name, "vhost": vhost, "durable": True, "auto_delete": False, "arguments": q.arguments}
            for q in queues
        ],
        "bindings": [
            {"source": exchange, "vhost": vhost, "destination": q.name, "destination_type": "queue",
             "routing_key": key, "arguments": {}}
            for q in queues
            for exchange, key in q.bindings
        ]
        + [
            {"source": source, "vhost": vhost, "destination": target, "destination_type": "exchange",
             "routing_key": key, "arguments": {}}
            for source, target, key, side in EXCHANGE_BINDINGS
            if side in sides
        ],
    }  # fmt: skip
