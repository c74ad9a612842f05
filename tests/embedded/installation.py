"""What the tests' private servers hold: one broker user, one queue, two databases."""

from __future__ import annotations

from typing import Any

DATABASES = {"site": ("site", "buka situs/1"), "central": ("central", "buka'pusat")}
USER, PASSWORD = "petugas", "sandi@/lama"
DEFINITIONS: dict[str, Any] = {
    "vhosts": [{"name": "/"}],
    "users": [{"name": USER, "password": PASSWORD, "tags": "administrator"}],
    "permissions": [{"user": USER, "vhost": "/", "configure": ".*", "write": ".*", "read": ".*"}],
    "queues": [
        {
            "name": "antrean",
            "vhost": "/",
            "durable": True,
            "auto_delete": False,
            "arguments": {"x-queue-type": "quorum"},
        }
    ],
}
