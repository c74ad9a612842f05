"""What crosses the broker, counted by FastStream's Prometheus middleware under labels that schools cannot multiply.

The middleware labels a message with exchange and routing key, and a key names the school: one histogram per school.
Here a label is one of the closed set `DESTINATIONS`, or `other`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, get_args

from faststream.message import StreamMessage
from faststream.prometheus import ConsumeAttrs, MetricsSettingsProvider, PrometheusMiddleware
from faststream.prometheus.middleware import BasePrometheusMiddleware
from faststream.prometheus.types import ProcessingStatus, PublishingStatus
from faststream.rabbit.response import RabbitPublishCommand
from prometheus_client import CollectorRegistry

from services import topology
from services.messages import Kind

OTHER: Final = "other"
SYSTEM: Final = "rabbitmq"
_STAGES = ("started", "progressed", "completed", "refused", "failed")
_WILD = frozenset("*#")


def _named(exchange: str, key: str) -> str:
    """`selaras.central.open` for a binding of `selaras.central` by `*.open`."""
    return ".".join([exchange, *(word for word in key.split(".") if word not in _WILD)])


_TAKEN: Final = {
    queue.name: tuple(
        _named(*(("selaras.changes", "change.*") if exchange == topology.CHANGES_HASH else (exchange, key)))
        for exchange, key in queue.bindings
    )
    for queue in topology.QUEUES
}
"""Queue → what its messages are labelled with."""
DESTINATIONS: Final = frozenset(
    {
        *(exchange.name for exchange in topology.EXCHANGES),
        *(name for names in _TAKEN.values() for name in names),
        *(f"{topology.EVENTS}.{kind}.{stage}" for kind in get_args(Kind) for stage in _STAGES),
        *(f"{topology.EVENTS}.{what}" for what in ("accepted", "rejected", "validated")),
        *(f"{topology.OFFICERS}.{what}" for what in ("accepted", "rejected")),
    }
)
"""Every value that the labels `destination` and `handler` have, beside `other`."""
_LONGEST_KEY = 3


def destination(exchange: str, routing_key: str) -> str:
    """The label of a message: its exchange, and of its key the words that name no school, user or process."""
    if exchange not in DESTINATIONS:
        return OTHER
    words = routing_key.split(".", _LONGEST_KEY)[:_LONGEST_KEY]
    for some in (words[:2], words[:1], words[1:2]):  # sync.completed.<npsn> · change.<npsn> · <user>.open
        name = ".".join([exchange, *some])
        if name in DESTINATIONS:
            return name
    return exchange


class _Settings(MetricsSettingsProvider[Any, RabbitPublishCommand]):
    """How FastStream's middleware is told what a message is."""

    messaging_system = SYSTEM

    def get_consume_attrs_from_message(self, msg: StreamMessage[Any]) -> ConsumeAttrs:
        raw = msg.raw_message
        return {
            "destination_name": destination(raw.exchange or "", raw.routing_key or ""),
            "message_size": len(msg.body),
            "messages_count": 1,
        }

    def get_publish_destination_name_from_cmd(self, cmd: RabbitPublishCommand) -> str:
        return destination(cmd.exchange.name or "", cmd.destination)


class _Cut(Exception):
    """A publish was cancelled: by its time limit, or by a connection that died under it."""

    def __init__(self, cancelled: asyncio.CancelledError) -> None:
        super().__init__()
        self.cancelled = cancelled


class _Message(BasePrometheusMiddleware[RabbitPublishCommand, Any]):
    """FastStream's own, but for this: a publish that ended in a cancellation was not confirmed, so it is an error."""

    async def publish_scope(
        self, call_next: Callable[[RabbitPublishCommand], Awaitable[Any]], cmd: RabbitPublishCommand
    ) -> Any:
        async def told(cmd: RabbitPublishCommand) -> Any:
            try:
                return await call_next(cmd)
            except asyncio.CancelledError as error:
                raise _Cut(error) from error

        try:
            return await super().publish_scope(told, cmd)
        except _Cut as cut:
            raise cut.cancelled from None


class Traffic(PrometheusMiddleware[Any, RabbitPublishCommand]):
    """The middleware of all connections of a service."""

    def __init__(self, registry: CollectorRegistry, *, service: str, site: str) -> None:
        super().__init__(
            settings_provider_factory=lambda _message: _Settings(),
            registry=registry,
            app_name=service,
            custom_labels={"site": site},
        )
        self._labels = {"app_name": service, "broker": SYSTEM, "site": site}
        self._seen: set[str] = set()

    def __call__(self, msg: Any | None, /, *, context: Any) -> _Message:
        return _Message(
            msg,
            metrics_manager=self._metrics_manager,
            settings_provider_factory=self._settings_provider_factory,
            context=context,
            custom_labels=self._static_labels,
        )

    def takes(self, queues: Iterable[str]) -> None:
        """Begin the series of what is taken from these queues at 0."""
        found = self._metrics_container
        for handler in {name for queue in queues for name in _TAKEN[queue]}:
            labels = {**self._labels, "handler": handler}
            found.received_messages_total.labels(**labels)
            found.received_messages_size_bytes.labels(**labels)
            found.received_messages_in_process.labels(**labels)
            found.received_processed_messages_duration_seconds.labels(**labels)
            for taken in ProcessingStatus:
                found.received_processed_messages_total.labels(**labels, status=taken.value)

    def sends(self, destinations: Iterable[str]) -> None:
        """Begin the series of what is published there at 0."""
        found = self._metrics_container
        for one in destinations:
            labels = {**self._labels, "destination": one}
            found.published_messages_duration_seconds.labels(**labels)
            for published in PublishingStatus:
                found.published_messages_total.labels(**labels, status=published.value)


def sent_by(service: str) -> list[str]:
    """What a service publishes to, as its broker user may: the destinations whose series begin at 0."""
    if service == "central":
        return [topology.REPLIES, *(f"{topology.OFFICERS}.{what}" for what in ("accepted", "rejected"))]
    if service == "validator":
        return [f"{topology.EVENTS}.{what}" for what in ("accepted", "rejected", "validated")]
    kinds, verbs = {
        "syncer": (("sync", "verify", "recover"), topology.SYNC_VERBS),
        "puller": (("pull", "restore"), topology.PULL_VERBS),
    }.get(service, ((), ()))
    asked = [f"{topology.CENTRAL}.{verb}" for verb in verbs if verb != "register"]
    return [*asked, *(f"{topology.EVENTS}.{kind}.{stage}" for kind in kinds for stage in _STAGES)]
