"""The interface as an AsyncAPI 3.0 document: every message from its model, every channel from the topology.

Of the whole system, so an operation names the party that it is of. A channel is a routing key of an exchange, or a
queue; what a queue is bound to, and its arguments, stand beside it as `x-` fields, for AsyncAPI has no place for them.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from typing import Any

from pydantic import TypeAdapter

from services import topology, wire
from services.messages import MAX_CHANGES, SCHEMA, Message, Npsn
from services.topology import Queue
from services.ways import EVENTS, REPLIES, WAYS, Way, reached

ASYNCAPI = "3.0.0"
BINDING = "0.3.0"
"""The version of AsyncAPI's AMQP bindings."""
PARAMETERS = {
    "npsn": "The school's NPSN: 8 digits, or P or K and 7 digits, or NP and 6 digits; also the event's `subject`.",
    "user": "The broker user that publishes, or whom an answer is for.",
    "process": "A hexadecimal number of the process that asked; with the user it is the request's `reply_to`.",
}
_ANYBODY = "whoever listens"
_ASKED = "who asked"

Json = dict[str, Any]


def document() -> Json:
    """The whole document, as JSON."""
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": "Selaras",
            "version": version("selaras"),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": wire.CONTENT_TYPE,
        "servers": {side: _server(side) for side in topology.SIDES},
        "channels": _channels(),
        "operations": dict(_operations()),
        "components": {
            "messages": {name: _message(name, model) for name, model in SCHEMA.items()},
            "schemas": _schemas(),
            "parameters": {name: {"description": about} for name, about in PARAMETERS.items()},
            "securitySchemes": {
                "password": {"type": "userPassword", "description": "A broker user of this party's own."}
            },
        },
    }


_ABOUT = (
    "Keeps the data of schools equal with a central registry. Every message is a CloudEvent 1.0 in structured JSON. "
    f"A public body has at most {wire.MAX_BODY_BYTES} bytes, one between a site and central (`selaras.central`, "
    f"`selaras.replies`) {wire.EXCHANGE_BODY_BYTES}, and an event at most {MAX_CHANGES} changes or decisions; the "
    f"limits count what was unpacked. A body of {wire.COMPRESS_FROM_BYTES} bytes and more may travel as one zstd "
    "frame, with the property `content_encoding` `zstd`. JSON is read more strictly than a schema can say: no "
    "duplicate keys, no NaN, no fractions (a decimal is text), no whole number beyond 2^53, no NUL, no lone "
    "surrogate, no byte-order mark, nothing behind the value. The headers of a message are AMQP's properties."
)


def _server(side: topology.Side) -> Json:
    about = {"site": "A site's RabbitMQ.", "central": "Central's RabbitMQ, which may be the site's; with TLS: amqps."}
    return {
        "host": "{host}:5672",
        "protocol": "amqp",
        "protocolVersion": "0.9.1",
        "description": about[side],
        "variables": {"host": {"default": "localhost"}},
        "security": [{"$ref": "#/components/securitySchemes/password"}],
    }


# ── channels ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _channels() -> Json:
    exchanges = {exchange.name: exchange for exchange in topology.EXCHANGES}
    keys: dict[str, Json] = {}
    for name, way in WAYS.items():
        exchange = exchanges[way.exchange]
        channel = keys.setdefault(
            _key_channel(way),
            {
                "address": _address(way.key),
                "description": f"Routing key of the exchange {way.exchange}.",
                "servers": [{"$ref": f"#/servers/{exchange.side}"}],
                "parameters": {
                    word: {"$ref": f"#/components/parameters/{word}"} for word in re.findall("<([a-z]+)>", way.key)
                },
                "messages": {},
                "bindings": {
                    "amqp": {
                        "is": "routingKey",
                        "exchange": {"name": exchange.name, "type": exchange.type, "durable": True,
                                     "autoDelete": False, "vhost": "/"},
                        "bindingVersion": BINDING,
                    }
                },
            },
        )  # fmt: skip
        channel["messages"][name] = {"$ref": f"#/components/messages/{name}"}
    return keys | {_queue_channel(queue): _queue(queue) for queue in topology.QUEUES}


def _queue(queue: Queue) -> Json:
    return {
        "address": queue.name,
        "description": "A quorum queue."
        if queue.dead
        else "What the broker took out of this side's queues; a service drains it into quarantine.",
        "servers": [{"$ref": f"#/servers/{queue.side}"}],
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in sorted(_held(queue))},
        "bindings": {
            "amqp": {
                "is": "queue",
                "queue": {"name": queue.name, "durable": True, "exclusive": False, "autoDelete": False, "vhost": "/"},
                "bindingVersion": BINDING,
            }
        },
        "x-arguments": queue.arguments,
        "x-bindings": [{"exchange": exchange, "routingKey": key} for exchange, key in queue.bindings],
    }


def _held(queue: Queue) -> set[str]:
    """The messages that come into a queue; into a dead-letter queue, what came into those that lead to it."""
    if queue.dead is None:
        return {name for other in topology.QUEUES if other.dead == queue.name for name in _held(other)}
    return {name for name, way in WAYS.items() if queue.name in reached(way)}


def _address(key: str) -> str:
    return key.replace("<", "{").replace(">", "}")


def _key_channel(way: Way) -> str:
    words = [word for word in way.key.split(".") if not word.startswith("<")]
    return "-".join([way.exchange.removeprefix("selaras."), *words])


def _queue_channel(queue: Queue) -> str:
    return "queue-" + queue.name.replace(".", "-")


# ── operations ───────────────────────────────────────────────────────────────────────────────────────────────────────


def _operations() -> Iterator[tuple[str, Json]]:
    """Of each party: what it sends to a channel, and what it receives from one."""
    sends: dict[tuple[str, str], list[str]] = {}
    receives: dict[tuple[str, str], list[str]] = {}
    for name, way in WAYS.items():
        for sender in _parties(name, way.sender):
            sends.setdefault((sender, _key_channel(way)), []).append(name)
        queues = [queue for queue in topology.QUEUES if queue.name in reached(way)]
        channels = [_queue_channel(queue) for queue in queues] or [_key_channel(way)]
        for taker in _parties(name, way.taker):
            for channel in channels:
                receives.setdefault((taker, channel), []).append(name)
    for (party, channel), names in sends.items():
        yield f"{_word(party)}-sends-{channel}", _operation("send", party, channel, names)
    for (party, channel), names in receives.items():
        yield f"{_word(party)}-receives-{channel}", _operation("receive", party, channel, names)
    for queue in topology.QUEUES:
        if queue.dead is None:
            party = "central" if queue.side == "central" else "validator"
            channel = _queue_channel(queue)
            yield f"{party}-receives-{channel}", _operation("receive", party, channel, sorted(_held(queue)))


def _operation(action: str, party: str, channel: str, names: list[str]) -> Json:
    made: Json = {
        "action": action,
        "channel": {"$ref": f"#/channels/{channel}"},
        "title": f"{party} {action}s {', '.join(names)}" if len(names) < 4 else f"{party} {action}s",
        "tags": [{"name": party}],
        "messages": [{"$ref": f"#/channels/{channel}/messages/{name}"} for name in names],
        "bindings": {
            "amqp": {"deliveryMode": 2, "mandatory": not _announced(names), "bindingVersion": BINDING}
            if action == "send"
            else {"ack": channel.startswith("queue-"), "bindingVersion": BINDING}
        },
    }
    answers = dict.fromkeys(answer for name in names for answer in REPLIES.get(name, ()))
    if answers:
        made["reply"] = {
            "address": {"location": "$message.header#/reply_to"},
            "channel": {"$ref": "#/channels/replies"},
            "messages": [{"$ref": f"#/channels/replies/messages/{answer}"} for answer in answers],
        }
    events = dict.fromkeys(event for name in names for event in EVENTS.get(name, ()))
    if events:
        made["x-announced"] = [{"$ref": f"#/components/messages/{event}"} for event in events]
    return made


def _announced(names: list[str]) -> bool:
    """Announcements have any number of listeners, none included."""
    return all(WAYS[name].taker == _ANYBODY for name in names)


def _parties(name: str, said: str) -> list[str]:
    if said == _ASKED:
        askers = [WAYS[request].sender for request, answers in REPLIES.items() if name in answers]
        return list(dict.fromkeys(party for asker in askers for party in asker.split(", ")))
    return said.split(", ")


def _word(party: str) -> str:
    return {_ANYBODY: "listener", "anyone at the site": "anyone"}.get(party, party)


# ── messages ─────────────────────────────────────────────────────────────────────────────────────────────────────────


def _message(name: str, model: type[Message]) -> Json:
    way = WAYS[name]
    is_answer, is_exchanged = way.exchange == topology.REPLIES, way.exchange in (topology.CENTRAL, topology.REPLIES)
    properties = "Request" if name in REPLIES else "Answer" if is_answer else "Published"
    made: Json = {
        "name": name,
        "title": model.__name__,
        "summary": " ".join((inspect.getdoc(model) or "").split()),
        "contentType": wire.CONTENT_TYPE,
        "headers": {"$ref": f"#/components/schemas/{properties}Properties"},
        "payload": {
            "allOf": [
                {"$ref": "#/components/schemas/CloudEvent"},
                {
                    "type": "object",
                    "properties": {
                        "type": {"const": name},
                        "data": {"$ref": f"#/components/schemas/{model.__name__}"},
                    },
                },
            ]
        },
        "tags": [{"name": way.exchange}],
        "x-limit-bytes": wire.EXCHANGE_BODY_BYTES if is_exchanged else wire.MAX_BODY_BYTES,
    }
    if properties != "Published":
        made["correlationId"] = {"location": "$message.header#/correlation_id"}
    return made


def _envelope() -> Json:
    text = {"type": "string", "minLength": 1, "maxLength": 200}
    return {
        "type": "object",
        "required": ["specversion", "id", "source", "type", "subject", "data"],
        "properties": {
            "specversion": {"const": "1.0"},
            "id": {**text, "description": "The same id from the same source is the same event."},
            "source": text,
            "type": text,
            "subject": {"$ref": "#/components/schemas/Npsn"},
            "time": {"description": "RFC 3339, UTC; information only: nothing is ordered by it."},
            "datacontenttype": {"description": "application/json"},
            "data": {"type": "object"},
        },
    }


def _properties() -> Json:
    """AMQP's properties: of what is published, of a request to central, of central's answer."""
    published: Json = {
        "content_type": {"const": wire.CONTENT_TYPE},
        "content_encoding": {"enum": ["zstd"], "description": "Absent: the body is plain JSON."},
        "message_id": {"type": "string", "description": "The event's id."},
        "user_id": {"type": "string", "description": "The publisher's broker user; the broker checks it."},
        "delivery_mode": {"const": 2},
    }
    correlated = {"correlation_id": {"type": "string", "description": "An answer carries that of its request."}}
    asked = {"reply_to": {"type": "string", "description": "The answer's routing key: <user>.<process>."}}

    def of(required: list[str], *parts: Json) -> Json:
        together = {name: value for part in parts for name, value in part.items()}
        return {"type": "object", "required": required, "properties": together}

    return {
        "PublishedProperties": of(["user_id"], published),
        "RequestProperties": of(["user_id", "reply_to"], published, asked, correlated),
        "AnswerProperties": of(["user_id"], published, correlated),
    }


def _schemas() -> Json:
    """The data of every message, and the parts that they are made of, each once."""
    made: Json = {"CloudEvent": _envelope(), "Npsn": TypeAdapter(Npsn).json_schema(), **_properties()}
    for model in SCHEMA.values():
        schema = model.model_json_schema(ref_template="#/components/schemas/{model}")
        for name, part in schema.pop("$defs", {}).items():
            _put(made, name, part)
        if "$ref" not in schema:  # else it is among those, for it names itself
            _put(made, model.__name__, schema)
    return dict(sorted(made.items()))


def _put(made: Json, name: str, schema: Mapping[str, Any]) -> None:
    known = dict(schema)
    known.pop("title", None)
    if "description" in known:
        known["description"] = " ".join(known["description"].split())
    known["properties"] = {
        field: {word: value for word, value in shape.items() if word != "title"}  # pydantic's, made from the name
        for field, shape in schema.get("properties", {}).items()
    }
    if made.setdefault(name, known) != known:
        raise ValueError(f"two schemas of the name {name}")
