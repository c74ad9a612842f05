"""Three schools at one central, and one student's number for all of them."""

from __future__ import annotations

from typing import Any

from services.entities import Fields
from services.messages import PushedChange
from tests.builders import a_new_student, new_id
from tests.central.neighbours import Neighbour, settle

A, B, C = "69900001", "69900002", "69900003"
PUPIL_A, PUPIL_B, PUPIL_C = new_id(11), new_id(12), new_id(13)
NIK, OTHER_NIK = "9900010203190001", "9900010203190002"
NAMES = {npsn: f"{npsn} SD {npsn}" for npsn in (A, B, C)}


def pupil(nik: str | None = NIK, **changes: Any) -> Fields:
    return a_new_student(nik=nik, **changes)


def new_pupil(record_id: str, nik: str = NIK) -> PushedChange:
    fields = {name: (None, value) for name, value in pupil(nik).items()}
    return PushedChange(entity="peserta_didik", record_id=record_id, op="put", base_version=0, fields=fields)


async def shared(a: Neighbour, b: Neighbour) -> None:
    await a.put("peserta_didik", PUPIL_A, pupil())
    await b.put("peserta_didik", PUPIL_B, pupil())
    assert await settle(a.database) == 2
