"""What central has not got from this site: what a restore would lose, in a form that can be published again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from services.database import Database
from services.entities import SPECS
from services.exchange.absorb import Replicated
from services.exchange.change import Change, diff, push_order
from services.messages import FieldsChange
from services.replica import records, recovering
from services.replica.records import Key


@dataclass(frozen=True, slots=True)
class Unsent:
    """A school's unsent changes, parents before what refers to them, and the revision at which that is all."""

    revision: int
    changes: list[FieldsChange]


async def unsent(database: Database, npsn: str) -> Unsent | None:
    """What is unsent; None if the school is not registered here."""
    async with database.transaction() as transaction:
        revision = await transaction.value("SELECT revision FROM school WHERE npsn = :npsn FOR SHARE", npsn=npsn)
        if revision is None:
            return None
        differ = await records.pending(transaction, npsn) | await recovering.edited_back(transaction, npsn)
        return Unsent(revision, as_changes(differ))


def as_changes(pending: Mapping[Key, Replicated]) -> list[FieldsChange]:
    """Pending records as an operator's changes. Fields that are central's are left out: no school may publish them."""
    differences = [
        diff(entity, record_id, record.base.version, record.base.fields, record.data)
        for (entity, record_id), record in pending.items()
    ]
    ordered = [(change, pending[(change.entity, change.record_id)]) for change in push_order(differences, SPECS)]
    typed = [_as_typed(change, record) for change, record in ordered if record.data is not None or record.base.version]
    return [change for change in typed if change.op == "delete" or change.fields]


def _as_typed(change: Change, record: Replicated) -> FieldsChange:
    if change.op == "delete":
        return FieldsChange(entity=change.entity, record_id=change.record_id, op="delete")
    spec = SPECS.get(change.entity)
    return FieldsChange(
        entity=change.entity,
        record_id=change.record_id,
        fields={
            name: new
            for name, (_, new) in change.fields.items()
            if spec is None or not spec.is_central(name, record.base.fields)
        },
    )
