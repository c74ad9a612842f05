"""Who is in the story: two synthetic schools, a pupil or two more, and their changes. Nobody in it is real."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from services import calendar
from services.demo.stage import Stage
from services.demo.synthetic import Records, synthetic_school
from services.messages import FieldsChange, OfficerChange

SEED = 2026


@dataclass(frozen=True)
class School:
    """A school of the story, as central's baseline has it."""

    npsn: str
    baseline: Records

    @property
    def pupils(self) -> Sequence[str]:
        """The record_ids of its students."""
        return list(self.baseline["peserta_didik"])

    @property
    def classes(self) -> Sequence[str]:
        """The record_ids of its classes."""
        return list(self.baseline["rombongan_belajar"])

    def first(self, entity: str) -> dict[str, Any]:
        """The fields of the first record of an entity."""
        return dict(next(iter(self.baseline[entity].values())))


def invent(big: str, small: str) -> tuple[School, School]:
    """A school with 336 pupils and one with 24."""
    today = calendar.today()
    return (
        School(big, synthetic_school(SEED, npsn=big, today=today, pupils=336, classes=12, teachers=15)),
        School(small, synthetic_school(SEED + 1, npsn=small, today=today, pupils=24, classes=6, teachers=7)),
    )


def change(entity: str, record_id: str, **fields: object) -> FieldsChange:
    """An operator's change."""
    return FieldsChange(entity=entity, record_id=record_id, fields=fields)


async def correction(stage: Stage, school: School, pupil: str, **fields: object) -> OfficerChange:
    """An officer's change of a pupil as central has it now."""
    stored = await stage.central_record(school.npsn, "peserta_didik", pupil)
    return OfficerChange(entity="peserta_didik", record_id=pupil, version=stored.version, fields=fields)


def new_id(number: int) -> str:
    """The record_id of the n-th record that the story adds."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, f"selaras demo {number}"))


def girls_nik(birth: str) -> str:
    """A girl's NIK in the unassigned province 99, fitting her date of birth (yyyy-mm-dd)."""
    year, month, day = birth.split("-")
    return f"990101{int(day) + 40:02d}{month}{year[2:]}9001"
