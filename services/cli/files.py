"""Changes read from files: JSON (an array, or one object with `changes`) or JSONL (one change a line)."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import orjson

from services import wire
from services.cli.outcomes import USAGE, Stop
from services.entities import SPECS
from services.entities.schema import misfit
from services.errors import MessageRefused
from services.messages import (
    MAX_CHANGES,
    ChangeSubmitted,
    FieldsChange,
    OfficerChange,
    OfficerChangeSubmitted,
    Problem,
)
from services.problems import problem

EVENT_BYTES = wire.MAX_BODY_BYTES * 9 // 10
"""What the changes of one event may weigh: the rest is for its envelope."""
SHOWN = 60
"""Characters of an unknown name that are shown."""


def write_new(file: Path, parts: Iterable[bytes]) -> None:
    """Readable by its owner alone, for it holds what is not for everybody; never over a file that is there."""
    try:
        handle = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise Stop(f"{file}: sudah ada, tidak ditimpa · is there already, and is not overwritten.", USAGE) from error
    except OSError as error:
        raise Stop(f"{file}: {error.strerror}", USAGE) from error
    with os.fdopen(handle, "wb") as out:
        out.writelines(parts)


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


Given = Sequence[tuple[str, FieldsChange]]
"""Changes, each with where it stands."""


def changes(files: Sequence[Path]) -> list[tuple[str, FieldsChange]]:
    """An operator's changes, each with where it stands. Raises Stop naming the first that has not a change's form."""
    return [(where, _read(ChangeSubmitted, value, where).changes[0]) for where, value in rows(files)]


def officer_changes(files: Sequence[Path]) -> list[OfficerChange]:
    """An officer's changes. Raises Stop naming the first that has not the form of a change."""
    return [_read(OfficerChangeSubmitted, value, where).changes[0] for where, value in rows(files)]


def complaints(given: Given) -> list[tuple[str, Problem]]:
    """What can be said without a service: unknown entities and fields, values that do not fit their column."""
    return [(where, why) for where, change in given for why in _problems(change)]


def _problems(change: FieldsChange) -> Iterator[Problem]:
    spec = SPECS.get(change.entity)
    if spec is None:
        yield problem("UBAH-01", entity=change.entity[:SHOWN])
        return
    for name, value in change.fields.items():
        field = spec.fields.get(name)
        if field is None:
            yield problem("UBAH-02", field=name[:SHOWN])
        elif (unfit := misfit(field, value)) is not None:
            yield problem("UBAH-03", field=name, expected=unfit.expected)


def in_events(given: Sequence[FieldsChange]) -> Iterator[list[FieldsChange]]:
    """As many events as it takes, each of at most MAX_CHANGES and well below what a message may weigh."""
    event: list[FieldsChange] = []
    weight = 0
    for change in given:
        bytes_of_change = len(orjson.dumps(change.model_dump())) + 1
        if event and (len(event) == MAX_CHANGES or weight + bytes_of_change > EVENT_BYTES):
            yield event
            event, weight = [], 0
        event.append(change)
        weight += bytes_of_change
    if event:
        yield event


def _parse(body: bytes, where: str) -> Any:
    try:
        return wire.parse(body)
    except MessageRefused as error:
        raise Stop(f"{where}: {error}", USAGE) from error


def _read(model: Any, value: Any, where: str) -> Any:
    try:
        return wire.read(model, {"changes": [value]})
    except MessageRefused as error:
        reason = error.detail.removeprefix("changes.0").lstrip(".: ")
        raise Stop(f"{where}: bukan perubahan · not a change: {reason}", USAGE) from error
