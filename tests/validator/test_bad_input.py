"""Whatever comes over the real broker is answered or kept with a code, and the next good message is taken."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from faststream.rabbit import RabbitBroker

from services import topology, wire
from services.broker import connect
from services.database import Database
from services.embedded import Servers, private_servers
from services.intake import Accounts, Quarantine
from services.listener import Listener
from services.migrations import upgrade_async
from services.runtime import Service
from services.validator.app import Settings, build
from services.wire import Event
from tests.replica.builders import NPSN, OPERATOR, OTHER_NPSN, TODAY, register
from tests.validator.builders import SOURCE, an_envelope

PASSWORD = "uji"
WAIT_SECONDS = 20.0
NEW = "11111111-1111-4111-8111-111111111111"
A_CHANGE = {"entity": "peserta_didik", "record_id": NEW, "fields": {"nama": "Anak Baru"}}


@dataclass
class Desk:
    """An operator at a broker of their own rights, a validator that runs, and what it announces."""

    broker: RabbitBroker
    database: Database
    service: Service
    heard: list[Event[Any]] = field(default_factory=list)
    woken: asyncio.Event = field(default_factory=asyncio.Event)

    async def send(self, envelope: Any, *, user: str | None = OPERATOR, key: str = f"change.{NPSN}") -> None:
        """Publish as any AMQP client would."""
        body = envelope if isinstance(envelope, bytes) else json.dumps(envelope).encode()
        await self.broker.publish(
            body, exchange=topology.CHANGES, routing_key=key, user_id=user, content_type=wire.CONTENT_TYPE, persist=True
        )

    async def answer(self, id: str, kind: str) -> Any:
        """The answer of one kind to the event `id`."""

        async def there() -> Any:
            return next((e.data for e in self.heard if e.data.cause.id == id and e.type == f"change.{kind}.v1"), None)

        return await self._until(there)

    async def quarantined(self, code: str) -> Any:
        """The quarantine entry of this code."""

        async def there() -> Any:
            return next((row for row in await Quarantine(self.database).open() if row.code == code), None)

        return await self._until(there)

    async def closed(self, row_id: int) -> None:
        """The quarantine entry is done with."""

        async def there() -> Any:
            row = await Quarantine(self.database).get(row_id)
            return row.closed_as if row else None

        assert await self._until(there) == "replayed"

    async def still_takes_good_ones(self) -> None:
        """What was bad before it does not hold up what is good."""
        envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE]})
        await self.send(envelope)
        assert (await self.answer(envelope["id"], "accepted")).changes[0].record_id == NEW

    async def _until(self, there: Callable[[], Awaitable[Any]]) -> Any:
        async with asyncio.timeout(WAIT_SECONDS):
            while (found := await there()) is None:
                self.woken.clear()
                try:
                    async with asyncio.timeout(0.1):
                        await self.woken.wait()
                except TimeoutError:
                    pass
        return found


@dataclass(frozen=True)
class Private:
    """Servers on which the operator has a user of their own, and nobody speaks for every school."""

    servers: Servers
    database_url: str

    def amqp(self, user: str) -> str:
        return self.servers.amqp_url(user, PASSWORD)


@pytest.fixture(scope="module")
async def private(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Private]:
    users = [*topology.service_users(), topology.person_user(OPERATOR)]
    with private_servers(
        tmp_path_factory.mktemp("servers"),
        definitions=topology.definitions({user.name: (user, PASSWORD) for user in users}),
        databases={"site": ("site", PASSWORD)},
        fresh=True,
    ) as servers:
        url = servers.database_url("site", PASSWORD, "site")
        await upgrade_async("site", url)
        yield Private(servers, url)


@pytest.fixture
async def desk(private: Private) -> AsyncIterator[Desk]:
    """One registered school, and a validator that runs."""
    database = Database(private.database_url)
    async with database.transaction() as transaction:
        await transaction.run("TRUNCATE school, record, finding, account, answer, quarantine")
    await register(database)
    service = build(
        Settings(amqp_url=private.amqp("validator"), site_database_url=private.database_url), today=lambda: TODAY
    )
    broker = connect(private.amqp(OPERATOR))
    made = Desk(broker, database, service)

    def heard(event: Event[Any]) -> None:
        made.heard.append(event)
        made.woken.set()

    listener = Listener(
        private.amqp(OPERATOR), prefix="listen", bindings=[(topology.EVENTS, "#")], heard=heard, source=SOURCE
    )
    await broker.start()
    await listener.start()
    await service.start()
    yield made
    await service.stop()
    await listener.stop()
    await broker.stop()
    await database.close()


async def test_an_undecodable_message_goes_to_quarantine(desk: Desk) -> None:
    await desk.send(b'{"specversion": "1.0", "id": ')
    row = await desk.quarantined("MSG-01")
    assert (row.sender, row.routing_key) == (OPERATOR, f"change.{NPSN}")
    await desk.still_takes_good_ones()


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"null",
        b'{"a": NaN}',
        b'{"a": 1, "a": 2}',
        b'{"a": "\\ud800"}',
        b'{"a": 1.5}',
        b'{"a": ' + b"9" * 5000 + b"}",
        b"[" * 100_000,
    ],
    ids=["empty", "utf-16", "a list", "null", "NaN", "a key twice", "surrogate", "float", "5000 digits", "100000 deep"],
)
async def test_no_body_is_guessed_at(desk: Desk, body: bytes) -> None:
    await desk.send(body)
    await desk.still_takes_good_ones()
    (row,) = await Quarantine(desk.database).open()
    assert row.code in ("MSG-01", "MSG-02")
    assert desk.heard[0].type == "change.accepted.v1"


async def test_an_unknown_type_is_answered_and_kept(desk: Desk) -> None:
    envelope = an_envelope("change.submitted.v9", {"changes": [A_CHANGE]})
    await desk.send(envelope)
    (problem,) = (await desk.answer(envelope["id"], "rejected")).problems
    assert problem.code == "MSG-03"
    await desk.quarantined("MSG-03")
    await desk.still_takes_good_ones()


async def test_an_unknown_entity_is_rejected(desk: Desk) -> None:
    envelope = an_envelope("change.submitted.v1", {"changes": [{**A_CHANGE, "entity": "murid"}]})
    await desk.send(envelope)
    rejected = await desk.answer(envelope["id"], "rejected")
    assert [p.code for p in rejected.changes[0].problems] == ["UBAH-01"]
    await desk.still_takes_good_ones()


async def test_malformed_data_are_answered_with_the_field_and_the_reason(desk: Desk) -> None:
    change = {"entity": "peserta_didik", "record_id": 7, "fields": {"nama": "Rahasia"}}
    envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE, change]})
    await desk.send(envelope)
    (problem,) = (await desk.answer(envelope["id"], "rejected")).problems
    assert (problem.code, problem.field) == ("MSG-09", "changes.1.record_id")
    assert "valid string" in problem.text_en
    row = await desk.quarantined("MSG-09")
    assert "Rahasia" not in row.cause
    await desk.still_takes_good_ones()


async def test_another_schools_npsn_goes_to_quarantine_and_is_not_answered(desk: Desk) -> None:
    envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE]}, npsn=OTHER_NPSN)
    await desk.send(envelope, key=f"change.{OTHER_NPSN}")
    await desk.quarantined("MSG-05")
    await desk.still_takes_good_ones()
    assert all(event.subject == NPSN for event in desk.heard)


async def test_a_routing_key_of_another_school_goes_to_quarantine(desk: Desk) -> None:
    await desk.send(an_envelope("change.submitted.v1", {"changes": [A_CHANGE]}), key=f"change.{OTHER_NPSN}")
    await desk.quarantined("MSG-06")
    await desk.still_takes_good_ones()


async def test_a_sender_without_a_name_goes_to_quarantine(desk: Desk) -> None:
    await desk.send(an_envelope("change.submitted.v1", {"changes": [A_CHANGE]}), user=None)
    await desk.quarantined("MSG-04")
    await desk.still_takes_good_ones()


async def test_a_school_that_is_not_registered_here_is_answered(desk: Desk) -> None:
    await Accounts(desk.database).grant(OPERATOR, OTHER_NPSN, "operator")
    envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE]}, npsn=OTHER_NPSN)
    await desk.send(envelope, key=f"change.{OTHER_NPSN}")
    assert [p.code for p in (await desk.answer(envelope["id"], "rejected")).problems] == ["UBAH-08"]
    await desk.still_takes_good_ones()
    assert await Quarantine(desk.database).open() == []


async def test_a_locked_field_is_rejected_with_the_channel_that_may_change_it(desk: Desk) -> None:
    async with desk.database.transaction() as transaction:
        pupil = await transaction.value("SELECT min(record_id) FROM record WHERE entity = 'peserta_didik'")
    envelope = an_envelope(
        "change.submitted.v1",
        {"changes": [{"entity": "peserta_didik", "record_id": pupil, "fields": {"nama": "Lain", "rt": 9}}]},
    )
    await desk.send(envelope)
    (problem,) = (await desk.answer(envelope["id"], "rejected")).changes[0].problems
    assert (problem.code, problem.field, problem.channel) == ("UBAH-04", "nama", "VervalPD")
    await desk.still_takes_good_ones()


async def test_a_thousand_and_one_changes_are_refused_and_a_thousand_taken(desk: Desk) -> None:
    many = [
        {"entity": "peserta_didik", "record_id": f"00000000-0000-4000-8000-{n:012}", "fields": {"nama": "A"}}
        for n in range(1001)
    ]
    too_many = an_envelope("change.submitted.v1", {"changes": many})
    enough = an_envelope("change.submitted.v1", {"changes": many[:1000]})
    await desk.send(too_many)
    await desk.send(enough)
    assert [p.code for p in (await desk.answer(too_many["id"], "rejected")).problems] == ["MSG-10"]
    assert len((await desk.answer(enough["id"], "accepted")).changes) == 1000


async def test_a_body_of_two_mebibytes_is_refused(desk: Desk) -> None:
    change = {**A_CHANGE, "fields": {"nama": "A" * 2 * 1024 * 1024}}
    envelope = an_envelope("change.submitted.v1", {"changes": [change]})
    await desk.send(envelope)
    assert [p.code for p in (await desk.answer(envelope["id"], "rejected")).problems] == ["MSG-07"]
    await desk.quarantined("MSG-07")
    await desk.still_takes_good_ones()


async def test_the_same_id_again_is_answered_again_and_other_content_refused(desk: Desk) -> None:
    envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE]})
    other = {**envelope, "data": {"changes": [{**A_CHANGE, "fields": {"nama": "Lain"}}]}}
    await desk.send(envelope)
    await desk.send(envelope)
    await desk.send(other)
    assert [p.code for p in (await desk.answer(envelope["id"], "rejected")).problems] == ["MSG-08"]
    accepted = [event for event in desk.heard if event.type == "change.accepted.v1"]
    assert len(accepted) == 2
    assert accepted[0].id == accepted[1].id
    assert accepted[0].data == accepted[1].data
    assert await Quarantine(desk.database).open() == []


async def test_a_schools_changes_are_taken_in_their_order(desk: Desk) -> None:
    envelopes = [
        an_envelope("change.submitted.v1", {"changes": [{**A_CHANGE, "fields": {"rt": n}}]}) for n in range(1, 21)
    ]
    for envelope in envelopes:
        await desk.send(envelope)
    await desk.answer(envelopes[-1]["id"], "accepted")
    assert [event.data.cause.id for event in desk.heard] == [envelope["id"] for envelope in envelopes]
    assert [event.data.revision for event in desk.heard] == list(range(1, 21))


async def test_what_was_kept_is_taken_when_a_person_has_mended_its_cause(desk: Desk) -> None:
    envelope = an_envelope("change.submitted.v1", {"changes": [A_CHANGE]}, npsn=OTHER_NPSN)
    await desk.send(envelope, key=f"change.{OTHER_NPSN}")
    row = await desk.quarantined("MSG-05")
    await register(desk.database, {}, npsn=OTHER_NPSN)
    assert await Quarantine(desk.database).ask_replay(row.id)
    assert (await desk.answer(envelope["id"], "accepted")).counts.pending == 1
    await desk.closed(row.id)


async def test_the_states_are_shown_to_prometheus(desk: Desk) -> None:
    await desk.still_takes_good_ones()
    await desk.send(b"")
    await desk.quarantined("MSG-01")
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{desk.service.http_port}") as client:
        assert (await client.get("/readyz")).json() == {"service": "validator", "trouble": {}}
        lines = (await client.get("/metrics")).text.splitlines()
    assert 'selaras_pending_records{entity="peserta_didik",site="situs"} 1.0' in lines
    assert 'selaras_schools{site="situs",state="blocked"} 1.0' in lines
    assert any(line.startswith("selaras_invalid_findings{rule=") for line in lines)
    assert any(line.startswith("selaras_dead_letters{") and 'reason="MSG-01"' in line for line in lines)
    assert not any(NPSN in line for line in lines)
