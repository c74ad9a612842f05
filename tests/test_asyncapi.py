"""docs/asyncapi.json is what crosses the broker: every golden body fits it, a broken one does not, and every channel of
the topology is in it.

That the document is AsyncAPI 3.0 at all is held here by its own structure: every reference leads to something, an
operation's messages are among its channel's, a reply's among the reply channel's.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
from jsonschema import Draft7Validator

from services import topology
from services.asyncapi import document
from services.messages import SCHEMA
from services.ways import EVENTS, REPLIES, WAYS
from tests.test_messages import TYPES, golden

DOCUMENT = document()


def payload_of(name: str) -> Draft7Validator:
    """What a body of the type is checked with."""
    return Draft7Validator({**DOCUMENT, "allOf": [{"$ref": f"#/components/messages/{name}/payload"}]})


def found(reference: str) -> Any:
    """What a reference inside the document leads to. Raises KeyError."""
    value: Any = DOCUMENT
    for word in reference.removeprefix("#/").split("/"):
        value = value[word]
    return value


def references(value: Any) -> Iterator[str]:
    """Every `$ref` in a part of the document."""
    if isinstance(value, dict):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"]
        for inner in value.values():
            yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def broken(body: dict[str, Any], schema: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The body with one thing wrong, in every way that concerns its envelope and the fields of its data."""
    for name in ("specversion", "id", "source", "type", "subject", "data"):
        without = deepcopy(body)
        del without[name]
        yield f"no {name}", without
        yield f"another {name}", {**body, name: 5}
    yield "another type", {**body, "type": "change.submitted.v9"}
    yield "no NPSN", {**body, "subject": "1234567"}
    for name in schema.get("required", []):
        without = deepcopy(body)
        del without["data"][name]
        yield f"no data.{name}", without
    for name, shape in schema.get("properties", {}).items():
        if name in body["data"] and shape:
            wrong: Any = 0.5
            yield f"another data.{name}", {**body, "data": {**body["data"], name: wrong}}


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def test_every_message_type_is_in_the_document() -> None:
    assert set(DOCUMENT["components"]["messages"]) == set(SCHEMA)
    assert {name for channel in DOCUMENT["channels"].values() for name in channel["messages"]} == set(SCHEMA)
    sent = {r for o in DOCUMENT["operations"].values() if o["action"] == "send" for r in references(o["messages"])}
    taken = {r for o in DOCUMENT["operations"].values() if o["action"] == "receive" for r in references(o["messages"])}
    for operations in (sent, taken):
        assert {reference.rpartition("/")[2] for reference in operations} == set(SCHEMA)


@pytest.mark.parametrize("name", TYPES)
def test_a_golden_body_fits_its_message_and_no_other(name: str) -> None:
    body = golden(name)
    assert [error.message for error in payload_of(name).iter_errors(body)] == []
    assert not payload_of(TYPES[TYPES.index(name) - 1]).is_valid(body)


@pytest.mark.parametrize("name", TYPES)
def test_a_broken_body_does_not_fit(name: str) -> None:
    check = payload_of(name)
    schema = DOCUMENT["components"]["schemas"][SCHEMA[name].__name__]
    cases = list(broken(golden(name), schema))
    assert len(cases) >= 14
    assert [what for what, body in cases if check.is_valid(body)] == []


def test_a_misspelled_field_fits_only_where_a_message_is_open() -> None:
    for name in TYPES:
        body = golden(name)
        body["data"]["salah_ketik"] = 1
        assert payload_of(name).is_valid(body) == (SCHEMA[name].model_config["extra"] == "ignore"), name


# ── channels and operations ──────────────────────────────────────────────────────────────────────────────────────────


def test_every_exchange_and_queue_of_the_topology_is_in_the_document() -> None:
    bindings = [channel["bindings"]["amqp"] for channel in DOCUMENT["channels"].values()]
    queues = {b["queue"]["name"] for b in bindings if b["is"] == "queue"}
    assert queues == {queue.name for queue in topology.QUEUES}
    published = {b["exchange"]["name"]: b["exchange"]["type"] for b in bindings if b["is"] == "routingKey"}
    bound = {b["exchange"] for channel in DOCUMENT["channels"].values() for b in channel.get("x-bindings", [])}
    assert published.keys() | bound == {exchange.name for exchange in topology.EXCHANGES}
    assert published.items() <= {(exchange.name, exchange.type) for exchange in topology.EXCHANGES}
    keys = {
        (channel["bindings"]["amqp"]["exchange"]["name"], channel["address"])
        for channel in DOCUMENT["channels"].values()
        if channel["bindings"]["amqp"]["is"] == "routingKey"
    }
    assert keys == {(way.exchange, re.sub("<([a-z]+)>", r"{\1}", way.key)) for way in WAYS.values()}


def test_a_channels_parameters_are_those_of_its_address() -> None:
    for channel in DOCUMENT["channels"].values():
        assert set(re.findall(r"{(\w+)}", channel["address"])) == set(channel.get("parameters", {}))


def test_every_reference_leads_to_something() -> None:
    assert len([found(reference) for reference in references(DOCUMENT)]) > 500


def test_an_operations_messages_are_those_of_its_channel() -> None:
    for operation in DOCUMENT["operations"].values():
        for part in filter(None, (operation, operation.get("reply"))):
            channel = part["channel"]["$ref"]
            assert part["messages"]
            assert all(message["$ref"].startswith(f"{channel}/messages/") for message in part["messages"])


PARTIES = {
    "session.push.v1": {"syncer sends", "central receives"},
    "session.open.v1": {"syncer sends", "puller sends", "central receives"},
    "session.result.v1": {"central sends", "syncer receives"},
    "session.page.v1": {"central sends", "syncer receives", "puller receives"},
    "change.submitted.v1": {"operator sends", "validator receives"},
    "sync.started.v1": {"syncer sends", "whoever listens receives"},
}


@pytest.mark.parametrize("name", PARTIES)
def test_who_sends_and_who_receives_is_told(name: str) -> None:
    dead = {f"queue-{queue.replace('.', '-')}" for queue in (topology.DEAD_SITE, topology.DEAD_CENTRAL)}
    told = {
        f"{operation['tags'][0]['name']} {operation['action']}s"
        for operation in DOCUMENT["operations"].values()
        if any(reference.endswith(f"/{name}") for reference in references(operation["messages"]))
        and operation["channel"]["$ref"].rpartition("/")[2] not in dead
    }
    assert told == PARTIES[name]


def test_every_request_of_a_site_has_its_answers_and_every_answer_a_request() -> None:
    requests = {name for name, way in WAYS.items() if way.exchange == topology.CENTRAL}
    requests |= {"history.requested.v1"}  # an officer's, whose answer is likewise nobody else's
    answers = {name for name, way in WAYS.items() if way.exchange == topology.REPLIES}
    assert set(REPLIES) == requests
    assert {answer for some in REPLIES.values() for answer in some} == answers
    announced = {event for some in EVENTS.values() for event in some}
    nobody_asks = {name for name in SCHEMA if name.startswith("recover.")}
    assert announced == {name for name in SCHEMA if "cause" in SCHEMA[name].model_fields} - nobody_asks
    with_reply = {
        reference.rpartition("/")[2]
        for operation in DOCUMENT["operations"].values()
        if "reply" in operation and operation["action"] == "send"
        for reference in references(operation["messages"])
    }
    assert with_reply == requests


def test_the_command_prints_the_same_document() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "services.cli", "asyncapi"], capture_output=True, text=True, timeout=60, check=True
    )
    assert json.loads(done.stdout) == DOCUMENT
