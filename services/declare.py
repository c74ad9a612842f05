"""The topology made on, or checked against, a broker: `selaras topology declare|check`."""

from __future__ import annotations

import aio_pika
from aio_pika.abc import AbstractConnection
from aio_pika.exceptions import ChannelNotFoundEntity

from services import topology


async def declare(url: str, sides: tuple[topology.Side, ...] = topology.SIDES) -> None:
    """Make every exchange, queue and binding of `sides`; what is there with the same arguments stays.

    Raises aio_pika's ChannelPreconditionFailed when a queue is there with other arguments.
    """
    connection = await aio_pika.connect(url)
    async with connection:
        channel = await connection.channel()
        for exchange in topology.EXCHANGES:
            if exchange.side in sides:
                await channel.declare_exchange(exchange.name, exchange.type, durable=True)
        for source, target, key, side in topology.EXCHANGE_BINDINGS:
            if side in sides:
                await (await channel.get_exchange(target)).bind(source, key)
        for queue in topology.QUEUES:
            if queue.side in sides:
                declared = await channel.declare_queue(queue.name, durable=True, arguments=queue.arguments)
                for source, key in queue.bindings:
                    await declared.bind(source, key)


async def missing(url: str, sides: tuple[topology.Side, ...] = topology.SIDES) -> list[str]:
    """The exchanges and queues of `sides` that the broker lacks."""
    connection = await aio_pika.connect(url)
    async with connection:
        return await missing_on(connection, sides)


async def missing_on(connection: AbstractConnection, sides: tuple[topology.Side, ...]) -> list[str]:
    """The same over a connection that is there."""
    lacking: list[str] = []
    for exchange in topology.EXCHANGES:
        if exchange.side in sides:
            channel = await connection.channel()
            try:
                await channel.declare_exchange(exchange.name, exchange.type, passive=True)
                await channel.close()
            except ChannelNotFoundEntity:
                lacking.append(exchange.name)
    for queue in topology.QUEUES:
        if queue.side in sides:
            channel = await connection.channel()
            try:
                await channel.declare_queue(queue.name, passive=True)
                await channel.close()
            except ChannelNotFoundEntity:
                lacking.append(queue.name)
    return lacking
