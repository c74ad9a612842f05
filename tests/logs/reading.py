"""What the running services have said, read back."""

from __future__ import annotations

import json
from typing import Any

from services.embedded.stack import SERVICES, Stack
from tests.broker.desk import until

Line = dict[str, Any]


def lines(stack: Stack, service: str, **fields: Any) -> list[Line]:
    """The lines of a service's log that have these fields; each line has to be JSON."""
    said = [json.loads(line) for line in stack.log_file(service).read_text(encoding="utf-8").splitlines()]
    return [line for line in said if fields.items() <= line.items()]


async def ended(stack: Stack, service: str, correlation: str) -> Line:
    """The line about the end of a session, which comes after what is announced."""

    async def there() -> Line | None:
        found = lines(stack, service, message="session ended", correlation=correlation)
        return found[0] if found else None

    return await until(there)


def about(stack: Stack, correlation: str) -> dict[str, list[Line]]:
    """By service, the lines about what follows from one operator's event."""
    return {service: lines(stack, service, correlation=correlation) for service in SERVICES}
