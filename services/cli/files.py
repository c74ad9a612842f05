"""Changes read from files: JSON (an array, or one object with `changes`) or JSONL (one change a line)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from services import wire
from services.cli.outcomes import USAGE, Stop
from services.entities import SPECS
from services.entities.schema import misfit
from services.errors import MessageRefused
from services.messages import MAX_CHANGES, ChangeSubmitted, FieldsChange, OfficerChange, OfficerChangeSubmitted


def rows(files: Sequence[Path]) -> Iterator[tuple[str, Any]]:
    """(where, value) of every change in the files, strictly decoded. Raises Stop naming file and line."""
    for file in files:
        try:
            body = file.read_bytes()
        except OSError as error:
            raise Stop(f"{file}: {error.strerror}", USAGE) from error
        if file.suffix.lower() == ".jsonl":
            for number, line in enumerate(body.splitlines(), start=1):
                if line.strip():
                    yield f"{file}:{number}", _parse(line, f"{file}:{number}")
        else:
            value = _parse(body, str(file))
            changes = value.get("changes") if isinstance(value, dict) else value
            if not isinstance(changes, list):
                raise Stop(f"{file}: neither an array of changes nor an object with `changes`.", USAGE)
            for number, change in enumerate(changes, start=1):
                yield f"{file}[{number}]", change


def changes(files: Sequence[Path]) -> list[FieldsChange]:
    """An operator's changes. Raises Stop naming the first that has not the form of a change."""
    return [_read(ChangeSubmitted, value, where).changes[0] for where, value in rows(files)]


def officer_changes(files: Sequence[Path]) -> list[OfficerChange]:
    """An officer's changes. Raises Stop naming the first that has not the form of a change."""
    return [_read(OfficerChangeSubmitted, value, where).changes[0] for where, value in rows(files)]


def complaints(given: Sequence[FieldsChange]) -> list[str]:
    """What can be said without a service: unknown entities and fields, values that do not fit their column."""
    found = []
    for number, change in enumerate(given, start=1):
        spec = SPECS.get(change.entity)
        if spec is None:
            found.append(f"{number}: the entity {change.entity!r} is not known")
            continue
        for name, value in change.fields.items():
            field = spec.fields.get(name)
            if field is None:
                found.append(f"{number}: {change.entity} has no field {name!r}")
            elif (unfit := misfit(field, value)) is not None:
                found.append(f"{number}: {change.entity}.{name} does not fit ({unfit.expected})")
    return found


def in_events(given: Sequence[FieldsChange]) -> list[list[FieldsChange]]:
    """As many events as it takes, each of at most MAX_CHANGES."""
    return [list(given[i : i + MAX_CHANGES]) for i in range(0, len(given), MAX_CHANGES)]


def _parse(body: bytes, where: str) -> Any:
    try:
        return wire.parse(body)
    except MessageRefused as error:
        raise Stop(f"{where}: {error}", USAGE) from error


def _read(model: Any, value: Any, where: str) -> Any:
    try:
        return wire.read(model, {"changes": [value]})
    except MessageRefused as error:
        raise Stop(f"{where}: {error}", USAGE) from error
