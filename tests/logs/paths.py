"""Every path that a person's data can take, over a running system, one after the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import asyncpg
import pytest
from aiormq.exceptions import ChannelAccessRefused

from services import topology
from services.central import administration
from services.database import Database
from services.demo.stage import Stage
from services.demo.synthetic import jsonl, synthetic_school
from services.embedded.stack import OFFICER, OPERATOR, SERVICES, SITE
from services.exchange import canonical
from services.link import Channel
from services.listener import Listener
from services.messages import (
    ChangeAccepted,
    DecidedConflict,
    FieldsChange,
    Message,
    OfficerChange,
    OfficerChangeAccepted,
    OfficerChangeRejected,
    SchoolRegister,
    SessionCompleted,
    SessionFailed,
    SessionRefused,
    SessionVerify,
    ValidationRequested,
)
from tests.broker.desk import Desk, until
from tests.broker.raw import long, raw, short
from tests.broker.test_bad_input import BAD, STRANGER
from tests.e2e.backups import back_up, put_central_back
from tests.e2e.conftest import School
from tests.e2e.test_residu import a_newcomer, states
from tests.logs.canary import NAME, NIK, Canaries, Heard


@dataclass
class Story:
    """The school, the desk that anything is sent from, and what is heard."""

    stage: Stage
    desk: Desk
    school: School
    other: School
    heard: Heard
    folder: Path

    # ── helpers ──────────────────────────────────────────────────────────────────────────────────────────────────────

    async def end(self, kind: Any, role: str = "operator") -> Any:
        """How a session of the school ends."""
        async with self.stage.at(self.school.npsn) as client:
            return await self.stage.session(client, kind, role)

    async def typed(self, *changes: FieldsChange) -> tuple[int, list[str]]:
        """The operator publishes."""
        async with self.stage.at(self.school.npsn) as client:
            return await self.stage.publish(client, list(changes))

    async def officer(self, number: int, version: int | None = None, **fields: Any) -> Message:
        """An officer changes the n-th student."""
        stored = await self.stage.central_record(self.school.npsn, "peserta_didik", self.school.pupils[number])
        change = OfficerChange(
            entity="peserta_didik", record_id=self.school.pupils[number],
            version=stored.version if version is None else version, fields=fields,
        )  # fmt: skip
        return await self.stage.officer(self.school.npsn, [change])

    async def look(self, when: str) -> None:
        """What the services' pages show at this moment."""
        for service in SERVICES:
            for page in ("metrics", "readyz", "livez"):
                _, text = await asyncio.to_thread(self.stage.stack.page, service, page)
                self.heard.shown[f"/{page} of {service} {when}"] = text

    @asynccontextmanager
    async def broken(self, database: Database, condition: str) -> AsyncIterator[None]:
        """The database takes no row of the school with this text, and says so by quoting it."""
        async with database.transaction() as transaction:
            await transaction.run(f"ALTER TABLE record ADD CONSTRAINT uji CHECK ({condition}) NOT VALID")
        try:
            yield
        finally:
            async with database.transaction() as transaction:
                await transaction.run("ALTER TABLE record DROP CONSTRAINT uji")

    # ── the paths ────────────────────────────────────────────────────────────────────────────────────────────────────

    async def accepted_and_synced(self) -> None:
        """Typed, stored, sent; a neighbour types the same NIK."""
        assert await self.typed(
            self.school.change(1, alamat_jalan="Kanari Jalan Baru", nama_dusun="Kanari Dusun", nik_ayah=NIK),
            *a_newcomer(self.school, NIK, number=1),
        ) == (4, [])
        assert isinstance(await self.end("sync", "principal"), SessionCompleted)

    async def residu_at_a_neighbour(self) -> None:
        """The neighbour's student has the same NIK: both schools are told, neither of the other's student."""
        async with self.stage.at(self.other.npsn) as client:
            assert (await self.stage.publish(client, a_newcomer(self.other, NIK, number=2)))[1] == []
            assert isinstance(await self.stage.session(client, "sync", "principal"), SessionCompleted)

            async def found() -> bool | None:
                return True if await states(self.stage, self.other) else None

            await until(found, 30)
            assert isinstance(await self.stage.session(client, "pull", "operator"), SessionCompleted)
            await client.publish(topology.COMMANDS, f"validate.{self.other.npsn}", ValidationRequested())
        assert isinstance(await self.end("pull"), SessionCompleted)

    async def rejected(self) -> None:
        """Locked, unknown, unfit, deleted, the same id with other content."""
        _, codes = await self.typed(
            self.school.change(2, nama="Kanari Terkunci"),
            self.school.change(3, anak_keberapa=NIK),
            self.school.change(3, kanari_isian="Kanari Tak Dikenal"),
            FieldsChange(entity="kanari_murid", record_id=self.school.pupils[0], fields={"nama": NAME}),
            FieldsChange(entity="peserta_didik", record_id=NIK, fields={"nama": NAME}),
            FieldsChange(entity="peserta_didik", record_id=self.school.pupils[4], op="delete"),
        )
        assert len(codes) == 6
        self.heard.codes += codes

    async def invalid(self) -> None:
        """A finding about a name that was typed closes the gate, and is mended."""
        new = a_newcomer(self.school, "9900013112990043", number=3)
        self.heard.canaries.numbers.add("9900013112990043")
        bad = {**new[0].fields, "nama_ibu_kandung": "Kanari\tTabulasi"}
        assert (await self.typed(FieldsChange(entity=new[0].entity, record_id=new[0].record_id, fields=bad), *new[1:]))[
            0
        ] == 3
        end = await self.end("sync", "principal")
        assert isinstance(end, SessionRefused)
        assert end.problem.code == "SYN-01"
        self.heard.codes.append(end.problem.code)
        await self.look("while a school is blocked")
        assert (
            await self.typed(
                FieldsChange(
                    entity=new[0].entity, record_id=new[0].record_id, fields={"nama_ibu_kandung": "Kanari Ibu"}
                )
            )
        )[0] == 1

    async def bad_messages(self) -> None:
        """All that cannot be taken, at every queue, with canaries in every place that a sender fills."""
        before = [len(await self.desk.quarantine(side).open()) for side in ("site", "central")]
        for bad in BAD.values():
            await self.desk.send(bad.body(self.desk), key=bad.key, user=bad.user, named=bad.named)
        person = {"nama": NAME, "nik": NIK}
        for user, exchange, verb in (
            (OPERATOR, topology.CHANGES, "change"), (OPERATOR, topology.COMMANDS, "sync"),
            (OPERATOR, topology.COMMANDS, "validate"), (OFFICER, topology.OFFICERS, "change"),
            (f"{SITE}-sync", topology.CENTRAL, "open"),
        ):  # fmt: skip
            key = f"{user}.{verb}" if exchange == topology.CENTRAL else f"{verb}.{self.desk.npsn}"
            envelope = self.desk.envelope([person], type=f"{verb}.requested.v1", source="Kanari Sumber", id=NIK)
            for body in (
                json.dumps(envelope).encode()[:-7],
                json.dumps({**envelope, "type": NAME}).encode(),
                json.dumps({**envelope, "type": "session.open.v1", "data": person}).encode(),
                json.dumps({**envelope, "subject": NIK, "correlationid": NIK, "traceparent": NAME}).encode(),
            ):
                await self.desk.send(
                    body, exchange=exchange, key=key, user=user, message_id=NIK, correlation_id=NAME, app_id=NAME,
                    type=NAME, headers={"nama": NAME, "traceparent": NIK}, content_encoding=NAME,
                )  # fmt: skip
                await self.desk.send(body, exchange=exchange, key=key, user=user, message_id=NIK)
        names = {"content_type": short(NAME.encode()), "correlation_id": short(b"\xff" + NAME.encode())}
        headers = long(short(b"\xff" + NIK.encode()) + b"S" + long(NAME.encode() + b"\x00"))
        async with raw(self.stage.stack.addresses.amqp[OPERATOR]) as client:
            properties = {**names, "headers": headers, "user_id": short(OPERATOR.encode())}
            place = f"change.{self.desk.npsn}".encode()
            assert await client.publish(topology.CHANGES, place, properties, NAME.encode()) == "Basic.Ack"

        async def all_kept() -> bool | None:
            now = [len(await self.desk.quarantine(side).open()) for side in ("site", "central")]
            site = sum(bad.kept for bad in BAD.values()) + 3 * 8 + 1
            return True if now == [before[0] + site, before[1] + 2 * 8] else None

        await until(all_kept, 30)

    async def strangers(self) -> None:
        """Who is not the school's asks about it."""
        lain = Channel(self.stage.stack.addresses.amqp["lain-sync"], source="/lain")
        await lain.start()
        verify = SessionVerify(session=1, incarnation="x", cursor=0, root="0" * 64, unsent=0, held=0, refused=0)
        for verb, message in (("verify", verify), ("register", SchoolRegister(code=NAME))):
            self.heard.replies.append(await lain.ask(verb, self.school.npsn, message))
        await lain.stop()
        with pytest.raises(ChannelAccessRefused):  # the broker's log says which key it refused
            await self.desk.send(NAME.encode(), key="Kanari Kunci", headers={"nama": NAME})
        last = await self.desk.latest()
        await self.desk.send(self.desk.envelope([self.desk.change(nama=NAME)]), user=STRANGER)
        assert (await self.desk.kept(last)).code == "MSG-05"

    async def crashes(self) -> None:
        """A handler fails on a row that the database quotes; the message is kept, shown, and replayed."""
        condition = f"npsn <> '{self.school.npsn}' OR data NOT LIKE '%Celaka%'"
        async with self.broken(self.stage.replica, condition):
            last = await self.desk.latest()
            event = self.desk.envelope([self.desk.change(5, alamat_jalan="Kanari Celaka")])
            await self.desk.send(event)
            row = await self.desk.kept(last)
            assert row.code == "MSG-11"
            self.heard.codes.append(row.code)
            await self.look("after a handler failed")
            await self.desk.command("dead", "replay", str(row.id))

            async def failed_again() -> bool | None:
                async with self.stage.replica.transaction() as transaction:
                    asked = await transaction.value("SELECT replay_asked FROM quarantine WHERE id = :id", id=row.id)
                return True if asked is None else None

            await until(failed_again)
        self.heard.shown["dead replay"] = await self.desk.command("dead", "replay", str(row.id))
        assert isinstance(await self.desk.answer(event["id"]), ChangeAccepted)
        condition = f"npsn <> '{self.school.npsn}' OR text NOT LIKE '%Celaka%'"
        async with self.broken(self.stage.registry, condition):
            last = await self.desk.latest("central")
            stored = await self.stage.central_record(self.school.npsn, "peserta_didik", self.school.pupils[6])
            change = {
                "entity": "peserta_didik", "record_id": self.school.pupils[6], "version": stored.version,
                "fields": {"nama": "Kanari Celaka"},
            }  # fmt: skip
            officers = self.desk.envelope([change], type="officer.change.submitted.v1")
            await self.desk.send(officers, exchange=topology.OFFICERS, user=OFFICER)
            assert (await self.desk.kept(last, "central")).code == "MSG-11"

    async def quarantine_shown(self) -> None:
        """What ops see of quarantine without asking for a body."""
        for side in ("site", "central"):
            self.heard.shown[f"dead list, {side}"] = await self.desk.command("dead", "list", "--side", side)
            rows = {(row.queue, row.code, row.cause): row for row in await self.desk.quarantine(side).open()}
            for row in rows.values():
                form = ("--json",) if row.id % 2 else ()
                shown = await self.desk.command("dead", "show", str(row.id), "--side", side, *form)
                self.heard.shown[f"dead show {row.id}, {side}"] = shown
            self.heard.shown[f"dead list, {side}, JSON"] = await self.desk.command(
                "dead", "list", "--side", side, "--json"
            )

    async def conflict(self) -> None:
        """Two hands on one address; a person decides."""
        assert isinstance(await self.officer(7, alamat_jalan="Kanari Dari Pusat"), OfficerChangeAccepted)
        assert (await self.typed(self.school.change(7, alamat_jalan="Kanari Dari Sekolah")))[0] == 1
        end = await self.end("sync", "principal")
        assert isinstance(end, SessionRefused)
        self.heard.codes.append(end.problem.code)
        decision = DecidedConflict(
            entity="peserta_didik", record_id=self.school.pupils[7], field="alamat_jalan", choice="mine"
        )
        async with self.stage.at(self.school.npsn) as client:
            assert await self.stage.decide(client, [decision]) == (1, [])
        assert isinstance(await self.end("sync", "principal"), SessionCompleted)

    async def refused_by_central(self) -> None:
        """What came past the gate by hand is refused at central, in central's words."""
        new = a_newcomer(self.school, "9900013112990044", number=6)
        self.heard.canaries.numbers.add("9900013112990044")
        assert (await self.typed(*new))[0] == 3
        text = canonical.encode({**new[0].fields, "nama_ibu_kandung": "Kanari\tLewat"})
        async with self.stage.replica.transaction() as transaction:
            values = {"npsn": self.school.npsn, "id": new[0].record_id, "text": text}
            sql = "UPDATE record SET data = :text WHERE npsn = :npsn AND record_id = :id"
            assert await transaction.run(sql, **values) == 1
        end = await self.end("sync", "principal")
        assert isinstance(end, SessionCompleted)
        assert end.verdicts["refused"] == 1, end.verdicts
        mended = FieldsChange(
            entity=new[0].entity, record_id=new[0].record_id, fields={"nama_ibu_kandung": "Kanari Benar"}
        )
        assert (await self.typed(mended))[0] == 1
        assert isinstance(await self.end("sync", "principal"), SessionCompleted)

    async def officers(self) -> None:
        """An officer's change that is written, and those that are not."""
        assert isinstance(
            await self.officer(8, nama="Kanari Pembetulan", nik="9900013112990045"), OfficerChangeAccepted
        )
        self.heard.canaries.numbers.add("9900013112990045")
        for fields in ({"nama": 7}, {"kanari_isian": NAME}, {"nik": "Kanari Terlalu Panjang"}):
            assert isinstance(await self.officer(8, **fields), OfficerChangeRejected)
        assert isinstance(await self.officer(8, 99, nama="Kanari Usang"), OfficerChangeRejected)

    async def failed_session(self) -> None:
        """A session stops on an error whose text quotes the row."""
        assert isinstance(await self.officer(9, nama="Kanari Gagal"), OfficerChangeAccepted)
        async with self.broken(self.stage.replica, f"npsn <> '{self.school.npsn}' OR base NOT LIKE '%Gagal%'"):
            end = await self.end("pull")
            assert isinstance(end, SessionFailed)
            assert end.problem.code == "SYN-21"
            await self.look("after a session failed")
            self.heard.shown["status --failed"] = await self.desk.command("status", "--failed")
        assert isinstance(await self.end("pull"), SessionCompleted)

    async def repaired(self) -> None:
        """Rows altered by hand at both sides; a pull says that it may not mend central, a sync mends."""
        for database, column, number in ((self.stage.replica, "base", 10), (self.stage.registry, "text", 11)):
            stored = await self.stage.central_record(self.school.npsn, "peserta_didik", self.school.pupils[number])
            text = canonical.encode({**(stored.fields or {}), "nama": "Kanari Tangan"})
            async with database.transaction() as transaction:
                values = {"npsn": self.school.npsn, "id": self.school.pupils[number], "text": text}
                sql = f"UPDATE record SET {column} = :text WHERE npsn = :npsn AND record_id = :id"
                assert await transaction.run(sql, **values) == 1
        end = await self.end("pull")
        assert isinstance(end, SessionFailed)
        self.heard.codes.append(end.problem.code)
        end = await self.end("verify")
        assert isinstance(end, SessionCompleted)
        assert end.repaired == 1
        for database in (self.stage.replica, self.stage.registry):
            for statement in (
                f"UPDATE record SET nama = '{NAME}' WHERE npsn = '{NIK}'",
                f"INSERT INTO school (npsn, nama) VALUES ('{NIK}', '{NAME}')",
                f"SELECT CAST('{NIK}' AS integer)",
            ):
                with pytest.raises(asyncpg.PostgresError):
                    async with database.transaction() as transaction:
                        await transaction.run(statement)

    async def put_back(self) -> None:
        """Central is put back from a backup: what it forgot comes back, but for what an officer has written since."""
        backup = await back_up(self.stage)
        assert isinstance(await self.officer(13, nama="Kanari Terlupa"), OfficerChangeAccepted)
        assert (await self.typed(self.school.change(14, alamat_jalan="Kanari Kembali")))[0] == 1
        assert isinstance(await self.end("sync", "principal"), SessionCompleted)
        await put_central_back(self.stage, backup)
        assert isinstance(await self.officer(13, nama="Kanari Sesudahnya"), OfficerChangeAccepted)
        assert isinstance(await self.end("pull"), SessionCompleted)
        stored = await self.stage.central_record(self.school.npsn, "peserta_didik", self.school.pupils[14])
        assert (stored.fields or {})["alamat_jalan"] == "Kanari Kembali"
        self.heard.shown["central report"] = await self.desk.command("central", "report")
        assert "Kanari Terlupa" in await self.desk.command("central", "listed", self.school.npsn)

        async def ready() -> bool | None:
            try:
                return (await asyncio.to_thread(self.stage.stack.page, "central", "readyz"))[0] == 200
            except HTTPError:  # it waited while its database was away
                return None

        await until(ready, 30)
        await self.look("after central was put back")

    async def restored_and_exported(self) -> None:
        """What was typed and never sent is written to a file, and given up."""
        assert (await self.typed(self.school.change(12, alamat_jalan="Kanari Belum Terkirim")))[0] == 1
        file = self.folder / "belum.jsonl"
        shown = await self.desk.command("export", self.school.npsn, "--unsent", str(file))
        self.heard.shown["export --unsent"] = shown
        assert "Kanari" in file.read_text(encoding="utf-8")
        assert '"restore"' in await self.desk.command("reinstall", self.school.npsn, "--yes", "--json")

    async def ops_look(self) -> None:
        """What ops ask about schools, over both databases."""
        keys = self.stage.stack.addresses.keys
        assert keys is not None
        for words in (
            ("officer", "audit", "--keys", str(keys.public)), ("officer", "school", "show", self.school.npsn),
            ("officer", "as-of", self.school.npsn, "session:1"),
        ):  # fmt: skip
            self.heard.shown[" ".join(words)] = await self.desk.command(*words)
        await self.look("in the end")

    async def told(self) -> None:
        """The whole story."""
        for path in (
            self.accepted_and_synced, self.residu_at_a_neighbour, self.rejected, self.invalid, self.bad_messages,
            self.strangers, self.crashes, self.quarantine_shown, self.conflict, self.refused_by_central, self.officers,
            self.failed_session, self.repaired, self.put_back, self.restored_and_exported, self.ops_look,
        ):  # fmt: skip
            await path()


@asynccontextmanager
async def told(stage: Stage, npsn: str, neighbour: str, folder: Path) -> AsyncIterator[Heard]:
    """The story over a running system; gives what was heard, while all of it is still there."""
    canaries = Canaries()
    heard = Heard(canaries, npsn, neighbour)
    schools: list[School] = []
    for number, one in enumerate((npsn, neighbour)):
        data = canaries.sow(
            synthetic_school(7, npsn=one, today=date.today(), pupils=20, classes=1, teachers=3),  # noqa: DTZ011
            ("situs", "tetangga")[number],
        )
        for pupil in data["peserta_didik"].values():
            pupil["anak_keberapa"] = 1
        await stage.register(one, await administration.add_school(stage.registry, one, jsonl(data)))
        async with stage.at(one) as client:
            assert isinstance(await stage.session(client, "pull", "operator"), SessionCompleted)
        schools.append(School(one, data))
    ears = [
        Listener(
            stage.stack.addresses.amqp[user], prefix="listen", bindings=[(exchange, key)], heard=heard.events.append,
            source="/uji",
        )
        for user, exchange, key in (
            (OPERATOR, topology.EVENTS, "#"), (OFFICER, topology.OFFICERS, "accepted.#"),
            (OFFICER, topology.OFFICERS, "rejected.#"),
        )
    ]  # fmt: skip
    desk = Desk(stage, npsn, schools[0].pupils)
    try:
        await desk.open()
        for ear in ears:
            await ear.start()
        await Story(stage, desk, schools[0], schools[1], heard, folder).told()
    finally:
        await desk.close()
        for ear in ears:
            await ear.stop()
    yield heard
