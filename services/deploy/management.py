"""RabbitMQ's management interface: the users of a running broker, made and removed by an administrator."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from services.errors import SelarasError
from services.topology import SITE_TAG, User

ANSWER_SECONDS = 15.0


class ManagementRefused(SelarasError):
    """It does not answer, or not as asked; the message is one sentence."""


class Management:
    """One broker's, at `url` (http or https, with the administrator's user and password), for one virtual host."""

    def __init__(self, url: str, vhost: str = "/") -> None:
        self._parts = urlsplit(url)
        login = f"{unquote(self._parts.username or '')}:{unquote(self._parts.password or '')}"
        self._headers = {
            "Authorization": "Basic " + base64.b64encode(login.encode()).decode(),
            "Content-Type": "application/json",
        }
        self._vhost = quote(vhost, safe="")

    def tagged(self) -> set[str]:
        """The users that `put` made."""
        return {user["name"] for user in self._ask("GET", "users") or [] if SITE_TAG in _tags(user)}

    def names(self) -> set[str]:
        """Every user."""
        return {user["name"] for user in self._ask("GET", "users") or []}

    def put(self, user: User, password: str | None) -> None:
        """Make a user, or bring what it may do to this release; its password stays if none is given."""
        name = quote(user.name, safe="")
        if password is not None:
            self._ask("PUT", f"users/{name}", {"password": password, "tags": SITE_TAG})
        for exchange, (write, read) in user.topics.items():  # first: without them all keys of an exchange are open
            self._ask(
                "PUT",
                f"topic-permissions/{self._vhost}/{name}",
                {"exchange": exchange, "write": write, "read": read},
            )
        self._ask("PUT", f"user-limits/{name}/max-connections", {"value": user.max_connections})
        self._ask(
            "PUT",
            f"permissions/{self._vhost}/{name}",
            {"configure": user.configure, "write": user.write, "read": user.read},
        )

    def remove(self, name: str) -> None:
        """Remove a user and end its connections."""
        self._ask("DELETE", f"users/{quote(name, safe='')}")
        self.disconnect(name)

    def disconnect(self, name: str) -> None:
        """End a user's connections; they come back with a password that is right."""
        self._ask("DELETE", f"connections/username/{quote(name, safe='')}")

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        """An answer's document, None where there is none. What is to go may be gone already."""
        kind = http.client.HTTPSConnection if self._parts.scheme == "https" else http.client.HTTPConnection
        connection = kind(self._parts.hostname or "", self._parts.port, timeout=ANSWER_SECONDS)
        try:
            connection.request(
                method, f"/api/{path}", None if body is None else json.dumps(body), headers=self._headers
            )
            answer = connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise ManagementRefused(
                f"The broker's management interface does not answer ({type(error).__name__}): look at "
                "SELARAS_MANAGEMENT_URL."
            ) from error
        finally:
            connection.close()
        if answer.status == http.client.UNAUTHORIZED:
            raise ManagementRefused(
                "The broker's management interface refuses this user or password: SELARAS_MANAGEMENT_URL."
            )
        gone = method == "DELETE" and answer.status == http.client.NOT_FOUND
        if answer.status >= http.client.BAD_REQUEST and not gone:
            raise ManagementRefused(
                f"The broker's management interface refuses {method} {path.split('/')[0]}: {answer.status}."
            )
        return json.loads(text) if text and answer.status == http.client.OK else None


def _tags(user: dict[str, Any]) -> list[str]:
    """A list in RabbitMQ 3.9 and later; before, words between commas."""
    tags = user["tags"]
    return tags if isinstance(tags, list) else str(tags).split(",")
