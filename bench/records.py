"""The same records for all three: new staff of a school, some twenty fields and half a kilobyte each."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import date
from itertools import count
from typing import Any

from services.demo.synthetic import synthetic_school
from services.entities import CONFIRMED, SPECS, Fields, Owner
from services.exchange import canonical

ENTITY = "ptk"
UNUSED = 20
"""From here on no synthetic person has such an `rt`: a change to it is one."""
_MOST_OF_ONE = 5000
_donors = count(98_500_001)
_areas: set[int] = set()


def new_npsn() -> str:
    """An NPSN whose synthetic people share no number with another's of this process."""
    while True:
        npsn = str(next(_donors))
        area = zlib.crc32(npsn.encode()) % 1000
        if area not in _areas:
            _areas.add(area)
            return npsn


def new_staff(number: int, today: date) -> dict[str, Fields]:
    """So many people whom a school enters anew, by record_id: only what is the school's to fill in."""
    ours = {name for name, field in SPECS[ENTITY].fields.items() if field.owner is not Owner.CENTRAL} - {CONFIRMED}
    staff: dict[str, Fields] = {}
    while len(staff) < number:
        some = min(_MOST_OF_ONE, number - len(staff))
        donor = synthetic_school(1, npsn=new_npsn(), today=today, pupils=1, classes=1, teachers=some)
        for record_id, fields in donor[ENTITY].items():
            staff[record_id] = {name: value for name, value in fields.items() if name in ours}
    return staff


def rows(npsn: str, records: dict[str, Fields], version: int = 1) -> list[tuple[str, str, str, int, str]]:
    """(npsn, entity, record_id, version, canonical text): as floor and bare keep them."""
    return [(npsn, ENTITY, one, version, canonical.encode(fields)) for one, fields in records.items()]


def batches(items: list[Any], size: int) -> Iterator[list[Any]]:
    """In order, `size` at a time."""
    for start in range(0, len(items), size):
        yield items[start : start + size]
