"""A broker that refuses to be connected to."""

from __future__ import annotations

import aio_pika
from yarl import URL


async def refused(url: str) -> Exception:
    """The error with which the broker refuses. The attempt is closed, as `aio_pika.connect` does not: it would be found
    by the garbage collector in whatever test comes later.
    """
    connection = aio_pika.Connection(URL(url))
    try:
        await connection.connect()
    except Exception as error:
        return error
    finally:
        await connection.close()
    raise AssertionError("it was let in")
