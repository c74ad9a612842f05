"""From bytes to a message: what cannot be read exactly is refused with its code, whatever it was meant to be."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
import zstandard

from services import wire
from services.errors import MessageRefused
from services.messages import MAX_CHANGES, ChangeSubmitted, SyncRequested
from services.wire import EXCHANGE_BODY_BYTES, INTEGER_LIMIT, MAX_BODY_BYTES

NPSN = "99000001"
RECORD = "01990000-0000-7000-8000-000000000001"
BOMB_GIBIBYTES = 1
MEMORY_BYTES = 64 * 1024**2
"""What opening a bomb may cost; the limit of a body is 8 MiB, and a window of zstd's at most as much again."""


def an_event(**changes: Any) -> dict[str, Any]:
    """A good event of one change; a part changed to None is left out."""
    event = {
        "specversion": "1.0",
        "id": "satu",
        "source": "/uji",
        "type": ChangeSubmitted.type,
        "subject": NPSN,
        "data": {"changes": [{"entity": "peserta_didik", "record_id": RECORD, "fields": {"rt": 3}}]},
        **changes,
    }
    return {name: value for name, value in event.items() if value is not None}


def decode(body: bytes | dict[str, Any], **options: Any) -> Any:
    """As the validator takes it from its queues."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    return wire.decode(raw, **{"types": [ChangeSubmitted.type], **options})


def refusal(body: bytes | dict[str, Any], **options: Any) -> MessageRefused:
    """Why it is not taken."""
    with pytest.raises(MessageRefused) as refused:
        decode(body, **options)
    return refused.value


def with_value(raw: str) -> bytes:
    """A good event whose one field has the value `raw`, as it stands."""
    return json.dumps(an_event()).replace('"rt": 3', f'"rt": {raw}').encode()


# ── what is read ─────────────────────────────────────────────────────────────────────────────────────────────────────


def test_a_good_event_is_read_with_what_the_broker_said_of_it() -> None:
    event = decode(an_event(), sender="perintah", routing_key=f"change.{NPSN}", reply_to="a.b", correlation_id="c")
    assert (event.type, event.id, event.source, event.subject) == (ChangeSubmitted.type, "satu", "/uji", NPSN)
    assert (event.sender, event.routing_key, event.reply_to, event.correlation_id) == (
        "perintah", f"change.{NPSN}", "a.b", "c",
    )  # fmt: skip
    assert event.data.changes[0].fields == {"rt": 3}


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (str(INTEGER_LIMIT), INTEGER_LIMIT),
        (str(-INTEGER_LIMIT), -INTEGER_LIMIT),
        ("-0", 0),
        ('"\\ud83d\\ude00"', "\N{GRINNING FACE}"),
        ('"\N{GRINNING FACE}"', "\N{GRINNING FACE}"),
        ('"7.5"', "7.5"),
        ("null", None),
        ("true", True),
    ],
)
def test_what_is_exact_is_read_as_it_is(raw: str, value: object) -> None:
    read = decode(with_value(raw)).data.changes[0].fields["rt"]
    assert read == value
    assert type(read) is type(value)


def test_the_order_of_keys_and_blanks_are_no_other_content() -> None:
    event = an_event()
    turned = json.dumps(dict(reversed(event.items())), indent=4).encode()
    assert decode(turned).content_hash == decode(event).content_hash
    other = an_event(data={"changes": [{"entity": "peserta_didik", "record_id": RECORD, "fields": {"rt": 4}}]})
    assert decode(other).content_hash != decode(event).content_hash


def test_the_same_data_under_another_type_is_other_content() -> None:
    pull, sync = (
        decode(an_event(type=name, data={"actor": None}), types=["sync.requested.v1", "pull.requested.v1"])
        for name in ("pull.requested.v1", "sync.requested.v1")
    )
    assert pull.content_hash != sync.content_hash


# ── strict JSON ──────────────────────────────────────────────────────────────────────────────────────────────────────

NOT_JSON = {
    "nothing": b"",
    "no JSON": b"not JSON",
    "junk": bytes(range(256)),
    "single quotes": b"{'a': 1}",
    "a comment": b"/* a */ {}",
    "a trailing comma": b'{"a": 1,}',
    "a byte-order mark": b"\xef\xbb\xbf" + json.dumps(an_event()).encode(),
    "UTF-16": json.dumps(an_event()).encode("utf-16"),
    "bad UTF-8": with_value('"x"').replace(b'"x"', b'"\xff"'),
    "an overlong NUL": with_value('"x"').replace(b'"x"', b'"\xc0\x80"'),
    "a surrogate in UTF-8": with_value('"x"').replace(b'"x"', b'"\xed\xa0\x80"'),
    "half a body": json.dumps(an_event()).encode()[:-1],
    "something behind it": json.dumps(an_event()).encode() + b" {}",
    "a NUL behind it": json.dumps(an_event()).encode() + b"\x00",
    "a key twice": json.dumps(an_event()).replace('"id"', '"source": "/lain", "id"').encode(),
    "a key twice, once escaped": b'{"a": 1, "\\u0061": 2}',
    "a key twice inside": with_value('{"b": 1, "b": 1}'),
    "NaN": with_value("NaN"),
    "infinity": with_value("-Infinity"),
    "1e400": with_value("1e400"),
    "a fraction": with_value("7.5"),
    "a fraction that is whole": with_value("7.0"),
    "an exponent": with_value("1E2"),
    "2^53": with_value(str(INTEGER_LIMIT + 1)),
    "-2^53": with_value(str(-INTEGER_LIMIT - 1)),
    "a number of 5,000 digits": with_value("9" * 5000),
    "a negative number of 5,000 digits": with_value("-" + "9" * 5000),
    "a leading zero": with_value("007"),
    "a lone high surrogate": with_value('"\\ud800"'),
    "a lone low surrogate": with_value('"\\udc00"'),
    "surrogates the wrong way round": with_value('"\\udc00\\ud800"'),
    "a lone surrogate in a name": with_value('{"\\ud800": 1}'),
    "a lone surrogate in a list": with_value('[1, ["\\ud800"]]'),
    "an escaped NUL": with_value('"\\u0000"'),
    "an escaped NUL in a name": with_value('{"\\u0000": 1}'),
    "a plain NUL": with_value('"\x00"'),
    "a tab in a text": with_value('"\t"'),
}


@pytest.mark.parametrize("body", NOT_JSON.values(), ids=NOT_JSON)
def test_what_is_not_strict_json_is_refused(body: bytes) -> None:
    assert refusal(body).code == "MSG-01"


@pytest.mark.parametrize("levels", [255, 1_000, 1_500, 5_000, 100_000])
@pytest.mark.parametrize("inside", ["1", '"\\u0041"'], ids=["a number", "an escape"])
@pytest.mark.parametrize(("opening", "closing"), [("[", "]"), ('{"a":', "}")], ids=["lists", "objects"])
def test_a_body_of_many_levels_is_refused_whatever_its_depth(
    levels: int, inside: str, opening: str, closing: str
) -> None:
    body = with_value(opening * levels + inside + closing * levels)
    assert refusal(body, limit_bytes=EXCHANGE_BODY_BYTES).code == "MSG-01"


def test_levels_that_are_never_closed_are_refused() -> None:
    assert refusal(b"[" * 100_000).code == "MSG-01"


def test_a_million_names_are_read_or_refused_without_harm() -> None:
    body = with_value("{" + ",".join(f'"a{n}":1' for n in range(1_000_000)) + "}")
    assert refusal(body).code == "MSG-07"
    assert len(decode(body, limit_bytes=len(body)).data.changes[0].fields["rt"]) == 1_000_000


# ── the envelope and the data ────────────────────────────────────────────────────────────────────────────────────────

LONG = "x" * 201


@pytest.mark.parametrize("body", [b"[]", b"null", b'"text"', b"1"])
def test_what_is_no_object_has_no_envelope(body: bytes) -> None:
    assert refusal(body).code == "MSG-02"


@pytest.mark.parametrize("name", ["id", "source", "type", "subject"])
@pytest.mark.parametrize("value", [None, "", 1, [], {}, LONG])
def test_an_envelope_that_is_not_complete_is_refused_by_naming_the_attribute(name: str, value: object) -> None:
    refused = refusal(an_event(**{name: value}))
    assert (refused.code, refused.detail) == ("MSG-02", name)


@pytest.mark.parametrize("value", [None, "0.3", "1.1", 1])
def test_another_version_of_cloudevents_is_refused(value: object) -> None:
    assert refusal(an_event(specversion=value)).code == "MSG-02"


@pytest.mark.parametrize("value", [None, [], "text", 1])
def test_data_that_are_no_object_are_refused(value: object) -> None:
    assert refusal(an_event(data=value)).code == "MSG-02"


@pytest.mark.parametrize("subject", ["9900000", "990000011", "99000001 ", "99000001\n", "NP12345", "X9000001", "*"])
def test_a_subject_that_is_no_npsn_is_refused(subject: str) -> None:
    assert refusal(an_event(subject=subject)).code == "MSG-02"


def test_digits_of_another_script_are_no_npsn() -> None:
    assert refusal(an_event(subject="\N{ARABIC-INDIC DIGIT NINE}" * 8)).code == "MSG-02"


@pytest.mark.parametrize("subject", ["99000001", "P9900001", "K9900001", "NP990001"])
def test_every_form_of_npsn_is_read(subject: str) -> None:
    assert decode(an_event(subject=subject)).subject == subject


@pytest.mark.parametrize("name", ["change.submitted.v2", "change.submitted", "CHANGE.SUBMITTED.V1", "nothing.v1"])
def test_a_type_that_nobody_knows_is_refused(name: str) -> None:
    assert refusal(an_event(type=name)).code == "MSG-03"


def test_a_type_that_belongs_to_another_queue_is_refused() -> None:
    assert refusal(an_event(type=SyncRequested.type, data={})).code == "MSG-03"


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"entity": 1}, "changes.0.entity"),
        ({"entity": ""}, "changes.0.entity"),
        ({"entity": LONG}, "changes.0.entity"),
        ({"op": "replace"}, "changes.0.op"),
        ({"fields": []}, "changes.0.fields"),
        ({"feilds": {}}, "changes.0.feilds"),
    ],
)
def test_data_of_another_form_are_refused_by_naming_the_field_and_not_its_value(
    change: dict[str, Any], named: str
) -> None:
    one = {"entity": "peserta_didik", "record_id": RECORD, "fields": {"nama": "Rahasia"}, **change}
    refused = refusal(an_event(data={"changes": [one]}))
    assert refused.code == "MSG-09"
    assert refused.detail.startswith(f"{named}: ")
    assert "Rahasia" not in str(refused)
    assert LONG not in str(refused)


def test_no_changes_are_no_message() -> None:
    assert refusal(an_event(data={"changes": []})).code == "MSG-09"


def test_a_thousand_changes_are_read_and_one_more_is_refused() -> None:
    one = {"entity": "peserta_didik", "record_id": RECORD}
    assert len(decode(an_event(data={"changes": [one] * MAX_CHANGES})).data.changes) == MAX_CHANGES
    assert refusal(an_event(data={"changes": [one] * (MAX_CHANGES + 1)})).code == "MSG-10"


def test_a_reason_never_holds_more_of_a_name_than_fits_a_line() -> None:
    refused = refusal(an_event(data={"changes": [{"entity": "a", "record_id": RECORD, "x" * 100_000: 1}]}))
    assert refused.code == "MSG-09"
    assert len(refused.detail) < 200


# ── size and packing ─────────────────────────────────────────────────────────────────────────────────────────────────


def of_size(size: int) -> bytes:
    """A good event of exactly so many bytes."""
    body = json.dumps(an_event()).encode()
    return body + b" " * (size - len(body))


def test_a_body_of_the_largest_size_is_read_and_one_byte_more_refused() -> None:
    assert decode(of_size(MAX_BODY_BYTES)).id == "satu"
    assert refusal(of_size(MAX_BODY_BYTES + 1)).code == "MSG-07"


def test_what_was_packed_is_measured_unpacked() -> None:
    fits, too_large = (zstandard.compress(of_size(MAX_BODY_BYTES + extra)) for extra in (0, 1))
    assert len(too_large) < 10_000
    assert decode(fits, content_encoding="zstd").id == "satu"
    assert refusal(too_large, content_encoding="zstd").code == "MSG-07"


@pytest.mark.parametrize("size", [100, wire.COMPRESS_FROM_BYTES - 1, wire.COMPRESS_FROM_BYTES, 500_000])
def test_what_is_packed_here_is_unpacked_as_it_was(size: int) -> None:
    body = of_size(max(size, len(json.dumps(an_event()))))
    packed, encoding = wire.compress(body)
    assert encoding == ("zstd" if len(body) >= wire.COMPRESS_FROM_BYTES else None)
    assert wire.unpack(packed, encoding, MAX_BODY_BYTES) == body


@pytest.mark.parametrize("encoding", ["gzip", "br", "identity", "ZSTD", "zstd, zstd", "x" * 1000])
def test_an_encoding_that_nobody_knows_is_refused(encoding: str) -> None:
    refused = refusal(an_event(), content_encoding=encoding)
    assert refused.code == "MSG-01"
    assert len(refused.detail) < 100


@pytest.mark.parametrize("body", [b"", b"{}", b"\x28\xb5\x2f\xfd", b"\x28\xb5\x2f\xfd" + b"\xff" * 50])
def test_what_is_not_packed_as_it_says_is_refused(body: bytes) -> None:
    assert refusal(body, content_encoding="zstd").code == "MSG-01"


def test_a_packed_body_that_was_cut_short_is_refused() -> None:
    packed = zstandard.compress(of_size(20_000))
    assert {refusal(packed[:size], content_encoding="zstd").code for size in range(len(packed) - 5)} == {"MSG-01"}


def test_something_behind_a_packed_body_is_refused() -> None:
    packed = zstandard.compress(of_size(1000))
    for behind in (b"junk", zstandard.compress(b"{}")):
        assert refusal(packed + behind, content_encoding="zstd").code == "MSG-01"


def test_a_bomb_is_refused_without_taking_memory() -> None:
    program = f"""
import resource
from services import wire
from services.errors import MessageRefused
import zstandard

packer = zstandard.ZstdCompressor(level=1).compressobj()
bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range({BOMB_GIBIBYTES} << 10)) + packer.flush()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    wire.decode(bomb, types=[], content_encoding="zstd", limit_bytes=wire.EXCHANGE_BODY_BYTES)
except MessageRefused as refused:
    print(refused.code, len(bomb), (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    code, packed_bytes, taken_bytes = done.stdout.split()
    assert code == "MSG-07"
    assert int(packed_bytes) < MAX_BODY_BYTES
    assert int(taken_bytes) < MEMORY_BYTES


def test_a_bomb_that_asks_for_a_window_of_its_own_size_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters.from_level(1, window_log=27)
    bomb = zstandard.ZstdCompressor(compression_params=parameters).compress(bytes(200 * 1024**2))
    assert refusal(bomb, content_encoding="zstd", limit_bytes=EXCHANGE_BODY_BYTES).code in ("MSG-01", "MSG-07")
