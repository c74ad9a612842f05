"""The school as the cross-record rules see it: indexed once, in one pass over its records.

Classes, places in them and teaching count for the active semester only: those of past semesters stay as they were.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from datetime import date

from services.entities import CONFIRMED, Fields, natural_key
from services.rules.findings import Context, Record, number_of, text_of
from services.rules.reading import is_possible_nik
from services.rules.reference import REGULAR_CLASS, active_semester, school_year

NAMES_SHOWN = 3
NO_NAME = "–"

Records = Mapping[str, Fields]


class School:
    """The live records of one school by entity and id, and what the rules look up in them."""

    def __init__(self, records: Mapping[str, Records], npsn: str, today: date) -> None:
        self._records = records
        self.semester = active_semester(today)
        self.year = school_year(self.semester)
        own = self.table("sekolah").get(natural_key("sekolah", npsn), {})
        self.context = Context(npsn, today, number_of(own, "bentuk_pendidikan_id"))
        self._index_registrations()
        self._index_students()
        self._index_classes()
        self._index_assignments()
        self._index_teaching()

    def table(self, entity: str) -> Records:
        """The live records of an entity."""
        return self._records.get(entity, {})

    def _index_registrations(self) -> None:
        self._registered: set[str] = set()
        self._active: set[str] = set()
        for fields in self.table("registrasi_peserta_didik").values():
            student = text_of(fields, "peserta_didik_id")
            self._registered.add(student)
            if not text_of(fields, "jenis_keluar_id"):
                self._active.add(student)

    def _index_students(self) -> None:
        self._by_nik: dict[str, list[str]] = defaultdict(list)
        self._by_nisn: dict[str, list[str]] = defaultdict(list)
        for student, fields in self.table("peserta_didik").items():
            if self.has_left(student):
                continue
            name = text_of(fields, "nama") or NO_NAME
            if is_possible_nik(nik := text_of(fields, "nik")):
                self._by_nik[nik].append(name)
            if nisn := text_of(fields, "nisn"):
                self._by_nisn[nisn].append(name)
        for sharing in (self._by_nik, self._by_nisn):
            for names in sharing.values():
                names.sort()

    def _index_classes(self) -> None:
        self._classes: dict[str, Fields] = {}
        self._named: Counter[tuple[str, int | None]] = Counter()
        for class_id, fields in self.table("rombongan_belajar").items():
            if text_of(fields, "semester_id") == self.semester:
                self._classes[class_id] = fields
                self._named[class_name(fields)] += 1
        self._members: Counter[str] = Counter()
        self._places: dict[str, list[str]] = defaultdict(list)
        for fields in self.table("anggota_rombel").values():
            class_id = text_of(fields, "rombongan_belajar_id")
            self._members[class_id] += 1
            if class_id in self._classes and number_of(self._classes[class_id], "jenis_rombel") == REGULAR_CLASS:
                self._places[text_of(fields, "peserta_didik_id")].append(class_id)

    def _index_assignments(self) -> None:
        self._on_duty: set[str] = set()
        self._latest: dict[str, tuple[int, bool]] = {}
        for fields in self.table("ptk_terdaftar").values():
            person, year = text_of(fields, "ptk_id"), number_of(fields, "tahun_ajaran_id") or 0
            ended = bool(text_of(fields, "jenis_keluar_id"))
            if year == self.year and not ended:
                self._on_duty.add(person)
            known_year, known_ended = self._latest.get(person, (-1, True))
            if year > known_year or (year == known_year and known_ended):
                self._latest[person] = (year, ended)

    def _index_teaching(self) -> None:
        self._lessons: Counter[str] = Counter()
        self._hours: Counter[str] = Counter()
        assignments = self.table("ptk_terdaftar")
        for fields in self.table("pembelajaran").values():
            if text_of(fields, "semester_id") != self.semester:
                continue
            self._lessons[text_of(fields, "rombongan_belajar_id")] += 1
            assignment = assignments.get(text_of(fields, "ptk_terdaftar_id"))
            if assignment is not None:
                self._hours[text_of(assignment, "ptk_id")] += number_of(fields, "jam_mengajar_per_minggu") or 0

    def is_registered(self, student: str) -> bool:
        """Has the student ever been enrolled here?"""
        return student in self._registered

    def is_active(self, student: str) -> bool:
        """Is the student enrolled and has not left?"""
        return student in self._active

    def has_left(self, student: str) -> bool:
        """Was the student enrolled here, and has left?"""
        return student in self._registered and student not in self._active

    def others_with_nik(self, student: Record) -> str:
        """The names of the other students here with the same NIK; empty if there are none."""
        return self._others(student, self._by_nik.get(student.text("nik"), []))

    def others_with_nisn(self, student: Record) -> str:
        """The names of the other students here with the same NISN; empty if there are none."""
        return self._others(student, self._by_nisn.get(student.text("nisn"), []))

    def _others(self, student: Record, names: list[str]) -> str:
        """A few of `names`, without one that is the student's own: a number copied down a whole column stays cheap."""
        if len(names) < 2 or self.has_left(student.record_id):
            return ""
        first = names[: NAMES_SHOWN + 1]
        own = student.text("nama") or NO_NAME
        if own in first:
            first.remove(own)
        return _shown(first[:NAMES_SHOWN], len(names) - 1)

    def name_of(self, entity: str, record_id: str) -> str:
        """The record's nama, for a text; a dash if it has none."""
        return text_of(self.table(entity).get(record_id, {}), "nama") or NO_NAME

    def places_of(self, student: str) -> list[str]:
        """The regular classes of this semester the student sits in; one that holds them twice counts twice."""
        return self._places.get(student, [])

    def names_of_places(self, student: str) -> str:
        """Their names."""
        names = sorted(self.name_of("rombongan_belajar", place) for place in self.places_of(student))
        return _shown(names[:NAMES_SHOWN], len(names))

    def is_current_class(self, class_id: str) -> bool:
        """Is it a class group of the active semester?"""
        return class_id in self._classes

    def members(self, class_id: str) -> int:
        """How many members a class group has."""
        return self._members[class_id]

    def lessons(self, class_id: str) -> int:
        """How many pembelajaran of this semester a class group has."""
        return self._lessons[class_id]

    def namesakes(self, group: Record) -> int:
        """How many class groups of this semester bear this one's name and kind, itself included."""
        return self._named[class_name(group.fields)] if group.text("nama") else 0

    def hours(self, person: str) -> int:
        """The weekly hours a member of staff teaches here this semester."""
        return self._hours[person]

    def is_on_duty(self, person: str) -> bool:
        """Has the member of staff an assignment of this school year that has not ended?"""
        return person in self._on_duty

    def was_assigned(self, person: str) -> bool:
        """Has the member of staff ever had an assignment here?"""
        return person in self._latest

    def has_ended_duty(self, person: str) -> bool:
        """Did the member of staff's last assignment here end?"""
        return self._latest.get(person, (0, False))[1]

    def is_assigned_this_year(self, person: str) -> bool:
        """Has the member of staff an assignment of this school year, ended or not?"""
        return person in self._on_duty or self._latest.get(person, (0, False))[0] == self.year

    def is_confirmed(self, entity: str, person: str) -> bool:
        """Has an officer confirmed the person?"""
        return bool(self.table(entity).get(person, {}).get(CONFIRMED))


def class_name(fields: Fields) -> tuple[str, int | None]:
    """A class group's name and kind, as they are compared."""
    return " ".join(text_of(fields, "nama").split()).casefold(), number_of(fields, "jenis_rombel")


def _shown(names: list[str], count: int) -> str:
    """Some names, and how many more there are."""
    return ", ".join(names) if count <= len(names) else f"{', '.join(names)} +{count - len(names)}"
