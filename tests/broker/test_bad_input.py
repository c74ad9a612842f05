"""Whatever comes in to the running system. Four things each time: a clear answer or a quarantine entry with a code; the
next good message is taken; it is counted; and nothing of a person comes into logs or onto a screen.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import aio_pika
import pytest
from aio_pika.abc import AbstractIncomingMessage

from services import topology, wire
from services.demo.stage import Stage
from services.embedded.stack import OFFICER, OPERATOR, SITE
from services.intake import Accounts
from services.link import Channel
from services.messages import (
    Actor,
    ChangeAccepted,
    ChangeRejected,
    OfficerChange,
    OfficerChangeRejected,
    SessionRefused,
    SessionVerify,
    SyncRequested,
    ValidationCompleted,
    ValidationRequested,
)
from tests.broker.desk import NAME, NIK, Desk, until
from tests.broker.raw import long, raw, short

STRANGER = "orang"
"""May publish, and speaks for no school."""
ADMINISTRATOR = "penguji"
UNREGISTERED = "97999999"
PERSON = {"nama": NAME, "nik": NIK}


def an_envelope_around(data: str) -> Callable[[Desk], bytes]:
    """The envelope is as it should be; the data are this text."""

    def body(desk: Desk) -> bytes:
        return json.dumps(desk.envelope("@")).replace('{"changes": "@"}', data).encode()

    return body


def an_event(*changes: Any, **other: Any) -> Callable[[Desk], dict[str, Any]]:
    """A change event with these changes; the envelope has these other parts."""
    return lambda desk: desk.envelope([{**desk.change(), **change} for change in changes], **other)


@dataclass(frozen=True)
class Bad:
    """A message, and what must become of it."""

    body: Callable[[Desk], bytes | dict[str, Any]]
    code: str
    answered: bool = True
    kept: bool = True
    key: str | None = None
    user: str = OPERATOR
    named: bool = True


UNDECODABLE: dict[str, Callable[[Desk], bytes]] = {
    "binary junk": lambda _: bytes(range(256)) + NIK.encode(),
    "nothing at all": lambda _: b"",
    "half a message": lambda desk: json.dumps(desk.envelope([PERSON])).encode()[:-3],
    "something behind it": lambda desk: json.dumps(desk.envelope([PERSON])).encode() + b"{}",
    "not UTF-8": lambda desk: json.dumps(desk.envelope([PERSON])).encode().replace(b"Rahasia", b"Raha\xffia"),
    "a byte-order mark": lambda desk: b"\xef\xbb\xbf" + json.dumps(desk.envelope([PERSON])).encode(),
    "NaN": an_envelope_around(f'{{"nik": "{NIK}", "changes": NaN}}'),
    "a number with a fraction": an_envelope_around(f'{{"nik": "{NIK}", "changes": 1e400}}'),
    "5,000 digits": an_envelope_around('{"changes": ' + NIK * 313 + "}"),
    "a key twice": an_envelope_around(f'{{"nama": "{NAME}", "nama": "{NAME}", "changes": []}}'),
    "half a pair of surrogates": an_envelope_around(f'{{"nama": "{NAME} \\ud800", "changes": []}}'),
    "NUL": an_envelope_around(f'{{"nama": "{NAME} \\u0000", "changes": []}}'),
    "100,000 levels": an_envelope_around("[" * 100_000 + f'"{NIK}"' + "]" * 100_000),
    "1,000 levels with an escape": an_envelope_around("[" * 1000 + f'"{NIK}\\u0041"' + "]" * 1000),
    "300 levels": an_envelope_around(
        '{"changes": [{"entity": "ptk", "record_id": "x", "fields": {"nik": '
        + "[" * 300
        + f'"{NIK}"'
        + "]" * 300
        + "}}]}"
    ),
}

BAD: dict[str, Bad] = {
    **{name: Bad(body, "MSG-01", answered=False) for name, body in UNDECODABLE.items()},
    "a list": Bad(lambda _: json.dumps([PERSON]).encode(), "MSG-02", answered=False),
    "an envelope without an id": Bad(
        lambda desk: {k: v for k, v in desk.envelope([PERSON]).items() if k != "id"}, "MSG-02", answered=False
    ),
    "no NPSN": Bad(an_event(PERSON, subject=NIK), "MSG-02", answered=False),
    "an unknown type": Bad(an_event(PERSON, type="murid.pindah.v1"), "MSG-03"),
    "an unknown version": Bad(an_event({"fields": PERSON}, type="change.submitted.v9"), "MSG-03"),
    "another queue's type": Bad(an_event(type="sync.requested.v1"), "MSG-03"),
    "nobody's": Bad(an_event({"fields": PERSON}), "MSG-04", answered=False, named=False),
    "of somebody who may not speak for the school": Bad(
        an_event({"fields": PERSON}), "MSG-05", answered=False, user=STRANGER
    ),
    "another school in the routing key": Bad(an_event({"fields": PERSON}), "MSG-06", key=f"change.{UNREGISTERED}"),
    "2 MiB": Bad(an_event({"fields": {**PERSON, "alamat_jalan": "x" * 2 * 1024 * 1024}}), "MSG-07"),
    "wrong content": Bad(an_event({"record_id": 7, "fields": PERSON}), "MSG-09"),
    "somebody's number for a name": Bad(an_event({NIK: NAME}), "MSG-09"),
    "no changes": Bad(an_event(), "MSG-09"),
    "1,001 changes": Bad(an_event(*[{"fields": PERSON}] * 1001), "MSG-10"),
    "an unknown entity": Bad(an_event({"entity": "murid", "fields": PERSON}), "UBAH-01", kept=False),
    "an unknown field": Bad(an_event({"fields": {"hobi": NAME}}), "UBAH-02", kept=False),
    "a value that does not fit": Bad(an_event({"fields": {"anak_keberapa": NIK}}), "UBAH-03", kept=False),
    "a locked field": Bad(an_event({"fields": PERSON}), "UBAH-04", kept=False),
    "a school that is not registered here": Bad(
        an_event({"fields": PERSON}, subject=UNREGISTERED), "UBAH-08", kept=False, key=f"change.{UNREGISTERED}"
    ),
    "somebody's number for an id": Bad(an_event({"record_id": NIK, "fields": {"nama": NAME}}), "UBAH-10", kept=False),
}


@pytest.mark.parametrize("bad", BAD.values(), ids=BAD)
async def test_a_bad_message_is_told_kept_and_counted_and_the_next_good_one_taken(desk: Desk, bad: Bad) -> None:
    body = bad.body(desk)
    event_id = body["id"] if isinstance(body, dict) and "id" in body else "tiada"
    last, counted = await desk.latest(), await desk.counted(bad.code)
    await desk.send(body, key=bad.key, user=bad.user, named=bad.named)
    if bad.kept:
        row = await desk.kept(last)
        assert (row.code, row.sender) == (bad.code, bad.user if bad.named else "")
        assert await desk.counted(bad.code) == counted + 1
    if bad.answered:
        answer = await desk.answer(event_id)
        assert isinstance(answer, ChangeRejected)
        problems = [*answer.problems, *(p for rejected in answer.changes for p in rejected.problems)]
        assert bad.code in {problem.code for problem in problems}
    await desk.a_good_one_is_taken()
    assert len(desk.answers(event_id)) == (1 if bad.answered else 0)
    assert await desk.latest() == (row.id if bad.kept else last)
    await desk.nothing_leaks()


async def test_a_locked_fields_rejection_names_the_channel(desk: Desk) -> None:
    event = desk.envelope([desk.change(nama=NAME, rt=9)])
    await desk.send(event)
    answer = await desk.answer(event["id"])
    assert isinstance(answer, ChangeRejected)
    (problem,) = answer.changes[0].problems
    assert (problem.code, problem.field, problem.channel) == ("UBAH-04", "nama", "VervalPD")


async def test_a_wrong_fields_rejection_names_the_field_and_the_reason(desk: Desk) -> None:
    event = desk.envelope([desk.change(), {**desk.change(), "record_id": 7}])
    await desk.send(event)
    answer = await desk.answer(event["id"])
    assert isinstance(answer, ChangeRejected)
    assert answer.problems[0].field == "changes.1.record_id"
    assert "valid string" in answer.problems[0].text_en


async def test_the_same_id_again_is_answered_the_same_and_applied_once(desk: Desk) -> None:
    event = desk.envelope([desk.change(1, anak_keberapa=7)])
    for _ in range(3):
        await desk.send(event)
    await desk.answer(event["id"], 3)
    answers = desk.answers(event["id"])
    assert [answer.data for answer in answers] == [answers[0].data] * 3
    assert len({answer.id for answer in answers}) == 1
    await desk.a_good_one_is_taken()
    assert len(desk.answers(event["id"])) == 3


async def test_the_same_id_with_other_content_is_rejected_by_code_and_changes_nothing(desk: Desk) -> None:
    event = desk.envelope([desk.change(1, anak_keberapa=6)])
    await desk.send(event)
    assert isinstance(await desk.answer(event["id"]), ChangeAccepted)
    await desk.send({**event, "data": {"changes": [desk.change(1, anak_keberapa=5)]}})
    rejected = await desk.answer(event["id"], 2)
    assert isinstance(rejected, ChangeRejected)
    assert [problem.code for problem in rejected.problems] == ["MSG-08"]
    async with desk.stage.replica.transaction() as transaction:
        text = await transaction.value(
            "SELECT data::text FROM record WHERE npsn = :npsn AND record_id = :id", npsn=desk.npsn, id=desk.pupils[1]
        )
    assert '"anak_keberapa": 6' in text or '"anak_keberapa":6' in text
    await desk.a_good_one_is_taken()


# ── Properties: what stands around the body ──────────────────────────────────────────────────────────────────────────

A_TIME_BEYOND_TIME = b"\x7f" + b"\xff" * 7
NOT_UTF8 = b"\xff\xfe\x00"
DEEP = b""
for _ in range(3000):
    DEEP = short(b"a") + b"F" + long(DEEP)

PROPERTIES: dict[str, tuple[str, bytes]] = {
    "a message_id that is not UTF-8": ("message_id", short(NOT_UTF8)),
    "a message_id with NUL": ("message_id", short(b"a\x00b")),
    "a correlation_id that is not UTF-8": ("correlation_id", short(NOT_UTF8)),
    "a reply_to that is not UTF-8": ("reply_to", short(NOT_UTF8)),
    "a type that is not UTF-8": ("type", short(NOT_UTF8)),
    "an unknown encoding": ("content_encoding", short(NOT_UTF8)),
    "a time that no calendar has": ("timestamp", A_TIME_BEYOND_TIME),
    "a header's name that is not UTF-8": ("headers", long(short(NOT_UTF8) + b"S" + long(b"x"))),
    "a header's text with NUL": ("headers", long(short(b"a") + b"S" + long(b"a\x00b"))),
    "a header's time that no calendar has": ("headers", long(short(b"a") + b"T" + A_TIME_BEYOND_TIME)),
    "headers within headers within headers": ("headers", long(DEEP)),
}


@pytest.mark.parametrize(("name", "value"), PROPERTIES.values(), ids=PROPERTIES)
async def test_no_property_closes_a_services_connection_or_stops_its_queue(desk: Desk, name: str, value: bytes) -> None:
    """Delivered again and again, such a message would keep the service from all others."""
    troubles = _troubles_with_the_broker(desk)
    last = await desk.latest()
    async with raw(desk.stage.stack.addresses.amqp[OPERATOR]) as client:
        properties = {name: value, "user_id": short(OPERATOR.encode())}
        key = f"change.{desk.npsn}".encode()
        assert await client.publish(topology.CHANGES, key, properties, b"tiada") == "Basic.Ack"
    row = await desk.kept(last)
    assert (row.code, row.sender) == ("MSG-01", OPERATOR)
    await desk.a_good_one_is_taken()
    assert _troubles_with_the_broker(desk) == troubles


@pytest.mark.parametrize("key", [b"change.98\x0000001", b"change.\xff\xfe"])
async def test_no_routing_key_closes_a_services_connection_or_stops_its_queue(desk: Desk, key: bytes) -> None:
    troubles = _troubles_with_the_broker(desk)
    last = await desk.latest()
    async with raw(desk.stage.stack.addresses.amqp[OPERATOR]) as client:
        body = json.dumps(desk.envelope([desk.change()])).encode()
        assert await client.publish(topology.CHANGES, key, {"user_id": short(OPERATOR.encode())}, body) == "Basic.Ack"
    assert (await desk.kept(last)).code == "MSG-06"
    await desk.a_good_one_is_taken()
    assert _troubles_with_the_broker(desk) == troubles


def _troubles_with_the_broker(desk: Desk) -> int:
    """Lines that the client's libraries wrote: they have nothing to say while the connection stands."""
    return desk.stage.stack.log_file("validator").read_text(errors="replace").count('"logger":"aio')


# ── The other queues ─────────────────────────────────────────────────────────────────────────────────────────────────


async def _sync_is_answered(desk: Desk) -> None:
    request = wire.new_id()
    asked = SyncRequested(actor=Actor(id="x", role="operator"))
    message = wire.encode(asked, subject=desk.npsn, source="/uji", id=request)
    await desk.send(message, exchange=topology.COMMANDS, key=f"sync.{desk.npsn}")
    assert isinstance(await desk.answer(request), SessionRefused)


async def _pull_is_answered(desk: Desk) -> None:
    async with desk.stage.at(UNREGISTERED) as client:
        assert isinstance(await desk.stage.session(client, "pull", "operator"), SessionRefused)


async def _validation_is_answered(desk: Desk) -> None:
    request = wire.new_id()
    message = wire.encode(ValidationRequested(), subject=desk.npsn, source="/uji", id=request)
    await desk.send(message, exchange=topology.COMMANDS, key=f"validate.{desk.npsn}")
    assert isinstance(await desk.answer(request), ValidationCompleted)


async def _site_is_answered(desk: Desk) -> None:
    central = Channel(desk.stage.stack.addresses.amqp[f"{SITE}-sync"], source="/uji")
    await central.start()
    verify = SessionVerify(session=1, incarnation="x", cursor=0, root="0" * 64, unsent=0, held=0, refused=0)
    assert (await central.ask("verify", desk.npsn, verify)).type == "session.stale.v1"
    await central.stop()


async def _officer_is_answered(desk: Desk) -> None:
    change = OfficerChange(entity="ptk", record_id="018f0000-0000-7000-8000-000000000001", version=0, fields={})
    assert isinstance(await desk.stage.officer(UNREGISTERED, [change]), OfficerChangeRejected)


@pytest.mark.parametrize(
    ("user", "exchange", "verb", "queue", "the_next_is_answered"),
    [
        (OPERATOR, topology.COMMANDS, "sync", topology.SYNCER_REQUESTS, _sync_is_answered),
        (OPERATOR, topology.COMMANDS, "pull", topology.PULLER_REQUESTS, _pull_is_answered),
        (OPERATOR, topology.COMMANDS, "validate", topology.VALIDATOR_REQUESTS, _validation_is_answered),
        (f"{SITE}-sync", topology.CENTRAL, "verify", topology.CENTRAL_REQUESTS, _site_is_answered),
        (OFFICER, topology.OFFICERS, "change", topology.CENTRAL_OFFICERS, _officer_is_answered),
    ],
)
async def test_every_queue_keeps_what_it_cannot_take_and_goes_on(
    desk: Desk, user: str, exchange: str, verb: str, queue: str, the_next_is_answered: Callable[[Desk], Any]
) -> None:
    side = "central" if queue.startswith("central") else "site"
    key = f"{user}.{verb}" if exchange == topology.CENTRAL else f"{verb}.{desk.npsn}"
    good = desk.envelope([PERSON], type="session.verify.v1" if exchange == topology.CENTRAL else f"{verb}.requested.v1")
    for body, named, code in (
        (b"\xff" + NIK.encode(), True, "MSG-01"),
        (json.dumps({**good, "type": "murid.pindah.v1"}).encode(), True, "MSG-03"),
        (json.dumps(good).encode(), False, "MSG-04"),
    ):
        last, counted = await desk.latest(side), await desk.counted(code, side)
        await desk.send(body, exchange=exchange, key=key, user=user, named=named)
        row = await desk.kept(last, side)
        assert (row.queue, row.code) == (queue, code)
        assert await desk.counted(code, side) == counted + 1
    await the_next_is_answered(desk)
    await desk.nothing_leaks()


async def test_a_site_asks_nothing_under_anothers_name_or_in_anothers_place(desk: Desk) -> None:
    """The broker lets a key pass that is the sender's own; central looks at what it says, and where the answer goes."""
    verify = SessionVerify(session=1, incarnation="x", cursor=0, root="0" * 64, unsent=0, held=0, refused=0)
    body = wire.encode(verify, subject=desk.npsn, source="/uji", id=wire.new_id())
    pull = f"{SITE}-pull"
    for key, reply_to, code in (
        (f"{pull}.fetch", f"{pull}.00", "MSG-06"),
        (f"{pull}.verify", f"{SITE}-sync.00", "MSG-05"),
        (f"{pull}.verify", None, "MSG-05"),
    ):
        last = await desk.latest("central")
        await desk.send(body, exchange=topology.CENTRAL, key=key, user=pull, reply_to=reply_to)
        assert (await desk.kept(last, "central")).code == code
    await _site_is_answered(desk)


# ── Out of quarantine again ──────────────────────────────────────────────────────────────────────────────────────────


async def test_what_was_refused_for_want_of_an_account_is_replayed_with_its_sender(desk: Desk) -> None:
    event = desk.envelope([desk.change(2, anak_keberapa=4)])
    last = await desk.latest()
    await desk.send(event, user=STRANGER)
    row = await desk.kept(last)
    await desk.command("dead", "replay", str(row.id))

    async def refused_again() -> bool | None:
        async with desk.stage.replica.transaction() as transaction:
            asked = await transaction.value("SELECT replay_asked FROM quarantine WHERE id = :id", id=row.id)
        return True if asked is None else None

    await until(refused_again)
    assert desk.answers(event["id"]) == []
    await Accounts(desk.stage.replica).grant(STRANGER, desk.npsn, "operator")
    try:
        await desk.command("dead", "replay", str(row.id))
        assert isinstance(await desk.answer(event["id"]), ChangeAccepted)
    finally:
        async with desk.stage.replica.transaction() as transaction:
            await transaction.run("DELETE FROM account WHERE user_name = :user", user=STRANGER)

    async def closed() -> str | None:
        found = await desk.quarantine().get(row.id)
        assert found is not None
        return found.closed_as

    assert await until(closed) == "replayed"
    assert "no open message" in await desk.command("dead", "replay", str(row.id))


async def test_what_the_broker_itself_took_out_is_kept_and_can_be_replayed(desk: Desk, stage: Stage) -> None:
    """A message that kills whoever takes it comes back until the delivery limit; each death counts as a delivery.

    Here an administrator takes the validator's place and returns the message each time.
    """
    await asyncio.to_thread(stage.stack.stop, "validator")
    event = desk.envelope([desk.change(3, anak_keberapa=3)])
    last = await desk.latest()
    await desk.send(event)
    queue = await _returned_until_it_is_gone(desk)
    await asyncio.to_thread(stage.stack.start, "validator")
    await asyncio.to_thread(stage.stack.wait_ready, "validator")
    row = await desk.kept(last)
    assert (row.queue, row.code, row.cause, row.sender) == (queue, "MSG-12", "delivery_limit", OPERATOR)
    assert await desk.counted("MSG-12") == 1
    await desk.a_good_one_is_taken()
    await desk.command("dead", "replay", str(row.id))
    assert isinstance(await desk.answer(event["id"]), ChangeAccepted)


async def _returned_until_it_is_gone(desk: Desk) -> str:
    """Take the only message of the change queues and return it until the broker takes it out; the queue it was in."""
    returned: list[str] = []

    async def give_back(name: str, message: AbstractIncomingMessage) -> None:
        returned.append(name)
        await message.nack(requeue=True)

    async with await aio_pika.connect(desk.stage.stack.addresses.amqp[ADMINISTRATOR]) as connection:
        channel = await connection.channel()
        for name in topology.VALIDATOR_CHANGES:
            await (await channel.get_queue(name, ensure=False)).consume(partial(give_back, name))

        async def taken_out() -> bool | None:
            dead = await channel.declare_queue(topology.DEAD_SITE, passive=True)
            return True if dead.declaration_result.message_count == 1 else None

        await until(taken_out)
    assert len(returned) == topology.DELIVERY_LIMIT + 1
    assert len(set(returned)) == 1
    return returned[0]


async def test_nothing_of_all_this_shows_anything_of_a_person(desk: Desk) -> None:
    await desk.nothing_leaks(everything=True)
