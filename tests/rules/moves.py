"""Schools that move: small ones whose records meet in all ways that the rules know, and random changes of them."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping
from random import Random
from typing import Any

from services.entities import CONFIRMED, SPECS, Fields
from services.rules.reach import EVERY, Change, Key, Lookup
from services.rules.reads import value_of
from tests.builders import (
    NPSN,
    SEKOLAH,
    Records,
    a_class,
    a_lesson,
    a_member,
    a_registration,
    a_residu,
    a_sekolah,
    a_student,
    a_teacher,
    an_assignment,
    changed,
    new_id,
)

MADE = {
    "sekolah": a_sekolah,
    "peserta_didik": a_student,
    "registrasi_peserta_didik": a_registration,
    "ptk": a_teacher,
    "ptk_terdaftar": an_assignment,
    "rombongan_belajar": a_class,
    "anggota_rombel": a_member,
    "pembelajaran": a_lesson,
    "residu": a_residu,
}
IDS = {entity: [new_id(100 * place + n) for n in range(1, 4)] for place, entity in enumerate(SPECS)}
IDS["sekolah"] = [SEKOLAH, new_id(99)]
TOLD: Mapping[str, list[Any]] = {
    "nik": ["9900010203190001", "9900010203190001", "9900010203190002", "9", None],
    "nisn": ["9000010001", "9000010002", '9"\\é', None],
    "nama": ["Citra", "citra ", "Citra", "Dewi", None],
    "tanggal_lahir": ["2019-03-02", "2001-01-01", "2031-01-01", None],
    "jenis_keluar_id": [None, "2"],
    "semester_id": ["20251", "20251", "20242"],
    "tahun_ajaran_id": [2025, 2025, 2024, None],
    "jenis_rombel": [1, 1, 1, 51, True],
    "jam_mengajar_per_minggu": [1, 30, 41, None],
    "tingkat_pendidikan_id": [1, 7],
    "bentuk_pendidikan_id": [5, 5, 5, 6, None],
    "kode": ["PD-08", "PD-08", "PD-99", "PD-05", "PD-07"],
    "keadaan": ["terbuka", "selesai"],
    "isian": ["nik", "nama", None],
    "sekolah_lain": ["69900002 SD Lain", None],
    CONFIRMED: [True, None],
}
"""What fields hold that rules read: little, so that values meet."""
NO_ID: list[Any] = ["", "bukan-id", new_id(9999), 7, None]


def a_value(random: Random, entity: str, name: str) -> Any:
    spec = SPECS[entity].fields[name]
    if spec.references:
        return random.choice(IDS[spec.references] if random.random() < 0.9 else NO_ID)
    if name in TOLD:
        return random.choice(TOLD[name])
    return random.choice([None, 1, "x", "1"])


def a_record(random: Random, entity: str) -> Fields:
    """A record whose telling fields are random, the rest sound."""
    fields: dict[str, Any] = {
        name: a_value(random, entity, name)
        for name, spec in SPECS[entity].fields.items()
        if spec.references or (name in TOLD and random.random() < 0.5)
    }
    if entity == "residu":
        about = random.choice([*IDS, "jadwal"])
        fields |= {"entitas": about, "data_id": random.choice(IDS.get(about, NO_ID))}
    return changed(MADE[entity](), **fields)


def a_moving_school(random: Random, residu: float = 0.15) -> Records:
    """`residu`: how often each of theirs is there."""
    school: Records = {"jadwal": {new_id(1): {"hari": 1}}}
    for entity in SPECS:
        often = 0.95 if entity == "sekolah" else residu if entity == "residu" else 0.85
        school[entity] = {one: a_record(random, entity) for one in IDS[entity] if random.random() < often}
    return school


def a_move(random: Random, school: Mapping[str, Mapping[str, Fields]]) -> dict[Key, Change]:
    """One change or a few at once: records that come, go, or get another value or two."""
    moves: dict[Key, Change] = {}
    for _ in range(random.choice([1, 1, 1, 2, 4])):
        entity = random.choice([*SPECS, *SPECS, "jadwal"])
        if entity in ("sekolah", "residu") and random.random() < 0.8:
            entity = "peserta_didik"
        record_id = random.choice(IDS.get(entity, [new_id(1)]))
        before = school.get(entity, {}).get(record_id)
        moves[entity, record_id] = Change(before, _moved(random, entity, before))
    return moves


def after(school: Mapping[str, Mapping[str, Fields]], moves: Mapping[Key, Change]) -> Records:
    """The school after the changes."""
    moved = {entity: dict(table) for entity, table in school.items()}
    for (entity, record_id), change in moves.items():
        if change.after is None:
            moved.setdefault(entity, {}).pop(record_id, None)
        else:
            moved.setdefault(entity, {})[record_id] = copy.deepcopy(change.after)
    return moved


def look_up(
    school: Mapping[str, Mapping[str, Fields]], asked: Iterable[Lookup], random: Random | None = None
) -> list[tuple[str, str, Fields]]:
    """What answers; with `random` in any order, and more than was asked for."""
    wanted = set(asked)
    found = [
        (entity, record_id, fields)
        for entity, table in school.items()
        for record_id, fields in table.items()
        if (random is not None and random.random() < 0.1)
        or any(_answers(one, entity, record_id, fields) for one in wanted)
    ]
    if random is not None:
        random.shuffle(found)
    return found


def _answers(lookup: Lookup, entity: str, record_id: str, fields: Fields) -> bool:
    if lookup.entity != entity:
        return False
    return lookup.key == EVERY or value_of(lookup.key, record_id, fields) == lookup.value


def _moved(random: Random, entity: str, before: Fields | None) -> Fields | None:
    if entity == "jadwal":
        return {"hari": random.randint(1, 5)}
    if before is None or random.random() < 0.05:
        return a_record(random, entity)
    if random.random() < 0.1:
        return None
    names = [name for name in SPECS[entity].fields if name in TOLD or SPECS[entity].fields[name].references]
    some = random.sample(names, min(len(names), random.choice([1, 1, 2])))
    if random.random() < 0.2:
        some.append(random.choice([*SPECS[entity].fields]))
    return changed(before, **{name: a_value(random, entity, name) for name in some})


__all__ = ["NPSN", "a_move", "a_moving_school", "after", "look_up"]
