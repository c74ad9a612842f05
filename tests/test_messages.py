"""A message is a promise: every type has a golden body that decodes strictly and comes back as it was."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from services import messages, wire
from services.errors import MessageRefused
from services.messages import SCHEMA, Message
from services.wire import Event

GOLDEN = Path(__file__).parent / "messages"
TYPES = sorted(SCHEMA)
NAME = re.compile(r"[a-z]+(\.[a-z]+)+\.v[1-9][0-9]*")


def golden(name: str) -> dict[str, Any]:
    """The golden body of a type: the whole event."""
    body: dict[str, Any] = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
    return body


def decode(body: dict[str, Any] | bytes, name: str) -> Event[Any]:
    """As a service takes it."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.decode(raw, types=[name], limit_bytes=wire.EXCHANGE_BODY_BYTES)


def holds(whole: Any, part: Any) -> bool:
    """Is everything of `part` in `whole`, with the same values? What a newer release added may stand beside it."""
    if isinstance(part, dict):
        return isinstance(whole, dict) and all(k in whole and holds(whole[k], v) for k, v in part.items())
    if isinstance(part, list):
        return isinstance(whole, list) and len(whole) == len(part) and all(map(holds, whole, part))
    return type(whole) is type(part) and bool(whole == part)


def parts(model: BaseModel, raw: Any, where: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """The path of every object of a body that is a part of a message, and what its model does with unknown fields."""
    yield where, str(model.model_config.get("extra"))
    for name in type(model).model_fields:
        value = getattr(model, name)
        if isinstance(value, BaseModel):
            yield from parts(value, raw[name], (*where, name))
        elif isinstance(value, list):
            for index, one in enumerate(value):
                if isinstance(one, BaseModel):
                    yield from parts(one, raw[name][index], (*where, name, index))


def test_every_type_has_a_golden_body_and_every_golden_body_a_type() -> None:
    assert sorted(path.stem for path in GOLDEN.glob("*.json")) == TYPES
    assert all(golden(name)["type"] == name for name in TYPES)


def test_every_message_of_the_module_is_in_the_schema() -> None:
    declared = {
        model
        for model in vars(messages).values()
        if isinstance(model, type) and issubclass(model, Message) and "type" in vars(model)
    }
    assert set(SCHEMA.values()) == declared
    assert len(declared) == len({model.type for model in declared})


@pytest.mark.parametrize("name", TYPES)
def test_a_golden_body_is_read_strictly_and_comes_back_with_every_value_it_had(name: str) -> None:
    body = golden(name)
    event = decode(body, name)
    assert type(event.data) is SCHEMA[name]
    assert (event.id, event.source, event.subject, event.time) == tuple(
        body[key] for key in ("id", "source", "subject", "time")
    )
    again = wire.parse(wire.encode(event.data, subject=event.subject, source=event.source, id=event.id))
    assert again.keys() == body.keys()
    assert {key: again[key] for key in body if key not in ("time", "data")} == {
        key: body[key] for key in body if key not in ("time", "data")
    }
    assert holds(again["data"], body["data"])
    assert decode(again, name).data == event.data


@pytest.mark.parametrize("name", TYPES)
def test_what_a_newer_release_adds_is_passed_over_and_only_operators_and_officers_misspellings_are_refused(
    name: str,
) -> None:
    body = golden(name)
    as_it_is = decode(body, name).data
    for where, unknown in parts(as_it_is, body["data"]):
        newer = golden(name)
        newer["tambahan"] = {"dari": "rilis yang lebih baru"}
        place = newer["data"]
        for step in where:
            place = place[step]
        place["tambahan"] = {"dari": ["rilis yang lebih baru", 1, None]}
        if unknown == "ignore":
            assert decode(newer, name).data == as_it_is
        else:
            assert unknown == "forbid"
            assert name.endswith(("change.submitted.v1", "conflict.decided.v1", "history.requested.v1"))
            with pytest.raises(MessageRefused) as refused:
                decode(newer, name)
            assert refused.value.code == "MSG-09"
            assert "tambahan" in refused.value.detail


def test_a_type_is_written_out_at_its_class_and_has_a_version() -> None:
    for name, model in SCHEMA.items():
        assert vars(model)["type"] == name
        assert NAME.fullmatch(name)


@pytest.mark.parametrize("name", TYPES)
def test_a_renamed_class_does_not_change_a_byte(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wire, "now_text", lambda: "2026-08-03T02:15:08.000Z")
    data = decode(golden(name), name).data
    renamed: type[Message] = type("Renamed", (SCHEMA[name],), {})
    before, after = (
        wire.encode(one, subject="99000001", source="/uji", id="1")
        for one in (data, renamed.model_validate(data.model_dump()))
    )
    assert type(data).__name__.encode() not in before
    assert after == before


@pytest.mark.parametrize("name", TYPES)
def test_a_required_field_that_is_missing_is_named(name: str) -> None:
    required = [field for field, about in SCHEMA[name].model_fields.items() if about.is_required()]
    for field in required:
        body = golden(name)
        del body["data"][field]
        with pytest.raises(MessageRefused) as refused:
            decode(body, name)
        assert refused.value.code == "MSG-09"
        assert refused.value.detail.startswith(f"{field}: ")


@pytest.mark.parametrize("name", TYPES)
def test_nobody_in_a_golden_body_can_be_a_real_person(name: str) -> None:
    text = (GOLDEN / f"{name}.json").read_text(encoding="utf-8")
    niks = re.findall(r"\b\d{16}\b", text)
    assert all(nik.startswith("99") for nik in niks)
    assert all(nisn.startswith("900") for nisn in re.findall(r"\b\d{10}\b", text))
