"""A school in the replica, as a baseline brought it in, and short ways to look at it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from typing import Any

from services.database import Database
from services.demo.synthetic import synthetic_school
from services.entities import Fields
from services.exchange.absorb import Base, Replicated
from services.intake import Accounts
from services.messages import FieldsChange
from services.replica import records
from services.replica.records import Key, School

NPSN = "20104001"
OTHER_NPSN = "20104002"
OPERATOR = "operator-satu"
TODAY = date(2025, 10, 6)


def a_small_school(npsn: str = NPSN) -> School:
    """Six pupils in one class, two of the staff; the rules find nothing invalid."""
    return synthetic_school(7, npsn=npsn, today=TODAY, pupils=6, classes=1, teachers=2)


async def register(
    database: Database, school: Mapping[str, Mapping[str, Fields]] | None = None, npsn: str = NPSN
) -> School:
    """Make the school's row, its operator, and its records as central's baseline left them; the records."""
    held = a_small_school(npsn) if school is None else {name: dict(table) for name, table in school.items()}
    await Accounts(database).grant(OPERATOR, npsn, "operator")
    async with database.transaction() as transaction:
        await transaction.run(
            "INSERT INTO school (npsn, nama, install_id, registration_no) VALUES (:npsn, 'SD', 'x', 1)", npsn=npsn
        )
        flat = [(entity, record_id, fields) for entity, table in held.items() for record_id, fields in table.items()]
        await records.write(
            transaction,
            npsn,
            {
                (entity, record_id): Replicated(Base(1, seq, fields), fields)
                for seq, (entity, record_id, fields) in enumerate(flat, 1)
            },
        )
    return held


async def held(database: Database, *keys: Key, npsn: str = NPSN) -> dict[Key, Replicated]:
    """The records under `keys` as they are now."""
    async with database.transaction() as transaction:
        return await records.read(transaction, npsn, keys)


async def revision(database: Database, npsn: str = NPSN) -> int:
    """The school's revision."""
    async with database.transaction() as transaction:
        return int(await transaction.value("SELECT revision FROM school WHERE npsn = :npsn", npsn=npsn))


def first(school: School, entity: str) -> tuple[str, Fields]:
    """One record of an entity: its id and fields."""
    return next(iter(school[entity].items()))


def upsert(entity: str, record_id: str, **fields: Any) -> FieldsChange:
    """A change of some fields."""
    return FieldsChange(entity=entity, record_id=record_id, fields=fields)


def delete(entity: str, record_id: str) -> FieldsChange:
    """A deletion."""
    return FieldsChange(entity=entity, record_id=record_id, op="delete")
