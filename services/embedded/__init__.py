"""Embedded defaults: a PostgreSQL and a RabbitMQ in a folder, up in seconds, gone when their owner is gone.

`private_servers` is all there is to call; what can stop it is said in one sentence by a `ServersUnavailable`.

    servers.py     what is started, in which order, and what the caller gets
    folder.py      one owner per folder; wiping it; free ports
    postgresql.py  rabbitmq.py    each server's own settings, and when it is ready
    packages.py    installs rabbitmq-server if the machine has none, and leaves its services alone
    guardian.py    the small process that starts the servers and ends them when the owner's pipe closes
    processes.py   the owner's end of that pipe; what a killed guardian left behind
"""

from services.embedded.failures import FolderRefused, MissingPart, ServersUnavailable, StartFailed
from services.embedded.postgresql import DatabaseOwner
from services.embedded.servers import Servers, private_servers

__all__ = [
    "DatabaseOwner",
    "FolderRefused",
    "MissingPart",
    "Servers",
    "ServersUnavailable",
    "StartFailed",
    "private_servers",
]
