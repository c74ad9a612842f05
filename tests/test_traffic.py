"""Messages are counted under a closed set of labels, whatever their routing keys say."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from services import topology
from services.broker import Publisher, connect
from services.embedded.stack import OPERATOR, SERVICES, Addresses
from services.errors import BrokerAway
from services.messages import SyncRequested
from services.traffic import DESTINATIONS, OTHER, Traffic, destination, sent_by
from services.ways import WAYS

NPSN = "99000010"
WORDS = sorted({word for name in DESTINATIONS for word in name.split(".")})
KEYS = st.lists(st.one_of(st.sampled_from(WORDS), st.text(max_size=12)), max_size=6).map(".".join)


@pytest.mark.parametrize("message", WAYS)
def test_every_message_has_a_label_that_names_what_it_is_and_no_school(message: str) -> None:
    way = WAYS[message]
    key = way.key.replace("<npsn>", NPSN).replace("<user>", "situs-sync").replace("<process>", "5f1c0b6de1f0a7c9")
    label = destination(way.exchange, key)
    assert label in DESTINATIONS
    assert NPSN not in label
    assert (label == way.exchange) == (way.exchange == topology.REPLIES), "only answers have no word of their own"


@given(exchange=st.one_of(st.sampled_from([e.name for e in topology.EXCHANGES]), st.text(max_size=20)), key=KEYS)
def test_whatever_a_sender_writes_the_label_is_one_of_a_closed_set(exchange: str, key: str) -> None:
    assert destination(exchange, key) in DESTINATIONS | {OTHER}


def test_the_closed_set_is_small() -> None:
    assert len(DESTINATIONS) < 60


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_begins_with_series_for_all_that_it_publishes(service: str) -> None:
    published = {
        destination(way.exchange, way.key)
        for way in WAYS.values()
        if service in way.sender.split(", ") or way.sender == "anyone at the site"
    } - {f"{topology.COMMANDS}.validate"}
    assert published <= set(sent_by(service)) <= DESTINATIONS


def counted(registry: CollectorRegistry, name: str, **labels: str) -> float:
    return registry.get_sample_value(name, {"app_name": "uji", "broker": "rabbitmq", "site": "situs", **labels}) or 0.0


async def test_a_publish_that_nobody_confirmed_in_time_is_counted_as_an_error() -> None:
    registry = CollectorRegistry()
    traffic = Traffic(registry, service="uji", site="situs")
    command = SimpleNamespace(
        exchange=SimpleNamespace(name=topology.EVENTS), destination=f"sync.completed.{NPSN}", batch_bodies=[b""],
        publish_type=None,
    )  # fmt: skip

    async def never(_command: Any) -> None:
        await asyncio.Event().wait()

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await traffic(None, context=cast(Any, None)).publish_scope(never, cast(Any, command))
    to = f"{topology.EVENTS}.sync.completed"
    assert counted(registry, "faststream_published_messages_total", destination=to, status="error") == 1
    assert counted(registry, "faststream_published_messages_total", destination=to, status="success") == 0


async def test_what_is_published_for_many_schools_is_one_series(servers: Addresses) -> None:
    registry = CollectorRegistry()
    url = servers.amqp[OPERATOR]
    broker = connect(url, middlewares=[Traffic(registry, service="uji", site="situs")])
    await broker.start()
    try:
        publisher = Publisher(broker, user=OPERATOR, source="/uji")
        for number in range(20):
            npsn = f"9700{number:04d}"
            await publisher.announce(topology.COMMANDS, f"sync.{npsn}", SyncRequested(), subject=npsn)
        with pytest.raises(BrokerAway):
            await Publisher(broker, user=OPERATOR, source="/uji", confirm_seconds=0).announce(
                topology.COMMANDS, f"sync.{NPSN}", SyncRequested(), subject=NPSN
            )
    finally:
        await broker.stop()
    (family,) = (f for f in registry.collect() if f.name == "faststream_published_messages")
    assert {sample.labels["destination"] for sample in family.samples} == {f"{topology.COMMANDS}.sync"}
