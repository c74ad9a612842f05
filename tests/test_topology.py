"""The whole broker: nothing is left at a default that loses messages, and nobody may do more than they need."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator

import pytest

from scripts.docs import built
from services import topology
from services.messages import SCHEMA
from services.topology import Queue, User
from services.ways import WAYS, reached

SITE = "situs"
USERS = {
    user.name: user
    for user in (
        *topology.service_users(),
        *topology.link_users(SITE),
        topology.person_user("perintah"),
        topology.officer_user("petugas"),
    )
}
WORK = [queue for queue in topology.QUEUES if queue.dead]
DEAD = [queue for queue in topology.QUEUES if not queue.dead]
OTHER_USERS_NAMES = ("lain-sync", "situs-syncX", "situsXsync", "x.situs-sync")


def may(user: User, exchange: str, key: str, what: str = "write") -> bool:
    """Do the user's patterns let them write (or read) under this key? A topic exchange without patterns is open."""
    write, read = user.topics.get(exchange, (".*", ".*"))
    pattern = (write if what == "write" else read).replace("{username}", re.escape(user.name))
    allowed = re.search(user.write if what == "write" else user.read, exchange)
    return allowed is not None and re.search(pattern, key) is not None


def patterns(user: User) -> Iterator[str]:
    """Every pattern of a user."""
    yield from (user.configure, user.write, user.read)
    for pair in user.topics.values():
        yield from pair


@pytest.mark.parametrize("queue", topology.QUEUES, ids=lambda queue: queue.name)
def test_every_queue_is_a_quorum_queue_with_limits_of_its_own(queue: Queue) -> None:
    arguments = queue.arguments
    assert arguments["x-queue-type"] == "quorum"
    assert arguments["x-delivery-limit"] > 0
    assert arguments["x-max-length-bytes"] > 0
    assert arguments["x-overflow"] == "reject-publish"


@pytest.mark.parametrize("queue", WORK, ids=lambda queue: queue.name)
def test_what_the_broker_takes_out_of_a_queue_comes_into_its_own_sides_dead_queue_at_least_once(queue: Queue) -> None:
    arguments = queue.arguments
    assert arguments["x-delivery-limit"] == topology.DELIVERY_LIMIT
    assert arguments["x-dead-letter-exchange"] == topology.DEAD
    assert arguments["x-dead-letter-strategy"] == "at-least-once"
    (target,) = [q for q in DEAD if (topology.DEAD, arguments["x-dead-letter-routing-key"]) in q.bindings]
    assert target.side == queue.side


def test_each_side_has_one_dead_queue() -> None:
    assert Counter(queue.side for queue in DEAD) == {"site": 1, "central": 1}


def test_a_schools_changes_stay_in_order_in_one_queue() -> None:
    queues = [queue for queue in topology.QUEUES if queue.name in topology.VALIDATOR_CHANGES]
    assert len(queues) == topology.CHANGE_QUEUES
    assert all(queue.single_active_consumer for queue in queues)
    assert {queue.bindings for queue in queues} == {((topology.CHANGES_HASH, topology.HASH_WEIGHT),)}
    assert not any(queue.single_active_consumer for queue in topology.QUEUES if queue not in queues)


def test_definitions_name_everything_exactly_once() -> None:
    made = topology.definitions({user.name: (user, "uji") for user in USERS.values()})
    exchanges = Counter(one["name"] for one in made["exchanges"])
    queues = Counter(one["name"] for one in made["queues"])
    bindings = Counter((b["source"], b["destination"], b["routing_key"]) for b in made["bindings"])
    assert exchanges == dict.fromkeys((e.name for e in topology.EXCHANGES), 1)
    assert queues == dict.fromkeys((q.name for q in topology.QUEUES), 1)
    assert set(bindings.values()) == {1}
    assert set(bindings) == {(e, q.name, k) for q in topology.QUEUES for e, k in q.bindings} | {
        (source, target, key) for source, target, key, _ in topology.EXCHANGE_BINDINGS
    }
    assert Counter(one["name"] for one in made["users"]) == dict.fromkeys(USERS, 1)
    assert Counter(one["user"] for one in made["permissions"]) == dict.fromkeys(USERS, 1)
    topics = Counter((one["user"], one["exchange"]) for one in made["topic_permissions"])
    assert topics == {(user.name, exchange): 1 for user in USERS.values() for exchange in user.topics}


def test_what_definitions_name_is_durable_and_on_one_virtual_host() -> None:
    made = topology.definitions({user.name: (user, "uji") for user in USERS.values()}, vhost="sekolah")
    assert made["vhosts"] == [{"name": "sekolah"}]
    for kind in ("exchanges", "queues"):
        assert all(one["durable"] and not one["auto_delete"] for one in made[kind])
    for kind in ("exchanges", "queues", "bindings", "permissions", "topic_permissions"):
        assert {one["vhost"] for one in made[kind]} == {"sekolah"}


def test_a_binding_joins_what_is_there_on_its_own_side() -> None:
    sides = {(exchange.name, exchange.side) for exchange in topology.EXCHANGES}
    for queue in topology.QUEUES:
        assert all((exchange, queue.side) in sides for exchange, _ in queue.bindings)
    for source, target, _, side in topology.EXCHANGE_BINDINGS:
        assert {(source, side), (target, side)} <= sides


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_every_pattern_of_a_user_is_anchored(user: User) -> None:
    for pattern in patterns(user):
        assert pattern.startswith("^")
        assert pattern.endswith("$")
        inside = re.sub(r"\[[^]]*\]|\\.", "", pattern[1:-1])
        assert "^" not in inside
        assert "$" not in inside
        assert "|" not in re.sub(r"\([^()]*\)", "", inside), "an alternative outside brackets is anchored on one side"
        re.compile(pattern.replace("{username}", "x"))


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_a_user_is_no_administrator_and_makes_nothing_but_a_queue_of_its_own(user: User) -> None:
    assert user.tags == ""
    exchanges = [exchange.name for exchange in topology.EXCHANGES]
    for name in (*exchanges, *(queue.name for queue in topology.QUEUES), "amq.topic", "amq.default", "lain"):
        assert not re.search(user.configure, name)


@pytest.mark.parametrize("user", USERS.values(), ids=USERS)
def test_a_topic_exchange_that_a_user_may_use_is_open_to_it_by_pattern_only(user: User) -> None:
    for exchange in topology.EXCHANGES:
        used = re.search(user.write, exchange.name) or re.search(user.read, exchange.name)
        if exchange.type == "topic" and used:
            assert exchange.name in user.topics


def test_a_queue_is_read_by_the_service_that_owns_it_and_nobody_else() -> None:
    readers = {
        queue.name: {user.name for user in USERS.values() if re.search(user.read, queue.name)}
        for queue in topology.QUEUES
    }
    assert readers == {queue.name: {owner(queue)} for queue in topology.QUEUES}


def owner(queue: Queue) -> str:
    """The service that a queue is named after; what a side's broker took out is drained by the side's keeper."""
    first = queue.name.partition(".")[0]
    return {"site": "validator", "central": "central"}[queue.side] if first == "dead" else first


def test_only_a_sites_syncer_may_push_and_a_puller_may_ask_but_never_send() -> None:
    sync, pull = USERS[f"{SITE}-sync"], USERS[f"{SITE}-pull"]
    for verb in ("open", "fetch", "verify", "buckets", "rows", "records"):
        assert may(sync, topology.CENTRAL, f"{sync.name}.{verb}")
        assert may(pull, topology.CENTRAL, f"{pull.name}.{verb}")
    for verb in ("push", "mend", "register"):
        assert may(sync, topology.CENTRAL, f"{sync.name}.{verb}")
        assert not may(pull, topology.CENTRAL, f"{pull.name}.{verb}")
    asking = {user.name for user in USERS.values() if re.search(user.write, topology.CENTRAL)}
    assert asking == {sync.name, pull.name}


@pytest.mark.parametrize("name", [f"{SITE}-sync", f"{SITE}-pull"])
def test_a_site_speaks_in_its_own_name_and_hears_its_own_replies_only(name: str) -> None:
    user = USERS[name]
    assert may(user, topology.REPLIES, f"{name}.0a1b2c", "read")
    assert not may(user, topology.REPLIES, f"{name}.0a1b2c")
    for other in OTHER_USERS_NAMES:
        for verb in topology.SYNC_VERBS:
            assert not may(user, topology.CENTRAL, f"{other}.{verb}")
        assert not may(user, topology.REPLIES, f"{other}.0a1b2c", "read")
    for key in ("#", "*.#", f"{name}.#", f"*.{'0a1b2c'}", f"{name}.*"):
        assert not may(user, topology.REPLIES, key, "read")


def test_an_officer_alone_hears_what_it_asked_of_the_past() -> None:
    officer, other = topology.officer_user("petugas"), topology.officer_user("petugas.lain")
    assert may(officer, topology.REPLIES, "petugas.0a1b2c", "read")
    for key in ("#", "*.#", "petugas.#", "petugas.*", "*.0a1b2c", "petugas.lain.0a1b2c", "situs-sync.0a1b2c"):
        assert not may(officer, topology.REPLIES, key, "read")
    assert not may(other, topology.REPLIES, "petugas.0a1b2c", "read")
    assert not may(officer, topology.REPLIES, "petugas.0a1b2c")
    assert all(not may(officer, topology.OFFICERS, f"{word}.0a1b2c", "read") for word in ("history", "answered"))


def test_a_person_speaks_of_changes_and_commands_and_an_officer_of_central_changes_only() -> None:
    person, officer = USERS["perintah"], USERS["petugas"]
    assert may(person, topology.CHANGES, "change.99000001")
    assert not may(person, topology.CHANGES, "anything.99000001")
    assert all(may(person, topology.COMMANDS, f"{verb}.99000001") for verb in ("sync", "pull", "validate"))
    assert not may(person, topology.EVENTS, "accepted.99000001")
    assert may(officer, topology.OFFICERS, "change.99000001")
    assert not may(officer, topology.OFFICERS, "accepted.99000001")
    assert not may(officer, topology.OFFICERS, "change.99000001", "read")
    assert may(officer, topology.OFFICERS, "history.99000001")
    assert not may(officer, topology.OFFICERS, "history.99000001", "read")
    assert not re.search(officer.write, topology.REPLIES)
    for user, others in ((person, topology.OFFICERS), (officer, topology.CHANGES), (officer, topology.COMMANDS)):
        assert not re.search(user.write, others)


def test_every_message_that_is_asked_comes_into_a_queue_whose_service_takes_it() -> None:
    taken: dict[str, set[tuple[str, str]]] = {}
    for service in built().values():
        assert service._consumer is not None
        for queue, handlers in service._consumer._handlers.routes.items():
            for name in handlers:
                taken.setdefault(name, set()).add((service.name, queue))
    assert taken == {name: {(way.taker, queue) for queue in reached(way)} for name, way in WAYS.items() if reached(way)}
    queues = {queue for places in taken.values() for _, queue in places}
    assert queues == {queue.name for queue in WORK}


def test_a_handler_is_named_after_its_message() -> None:
    for service in built().values():
        assert service._consumer is not None
        for handlers in service._consumer._handlers.routes.values():
            for name, handler in handlers.items():
                stem = re.sub(r"\.v\d+$", "", name)
                assert getattr(handler, "__name__", "") == f"on_{stem.replace('.', '_')}"
                model = SCHEMA[name]
                assert model.__name__ == "".join(word.capitalize() for word in stem.split("."))
