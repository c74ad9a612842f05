"""A school of canaries, and what was heard of it: the story that lets them out is in `paths.py`.

Every person's name, mother, address and e-mail begins with Kanari; every number is one that nobody else has.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from services.demo.synthetic import Records
from services.messages import (
    Message,
)
from services.wire import Event

NAMES = ("nama", "nama_ibu_kandung", "nama_ayah", "nama_wali", "alamat_jalan", "nama_dusun", "rekening_atas_nama")
NUMBERS = ("nik", "nisn", "no_kk", "nuptk", "nip", "nik_ibu", "nik_ayah", "no_hp", "rekening_bank")
PERSONS = ("peserta_didik", "ptk")
NIK, NAME = "9900013112990042", "Kanari Pribadi"
"""Of a person who comes in messages that nobody can take."""
_TOKENS = re.compile(r"kanari[\w ]*|75,97,110,97,114,105|S2FuYXJp|4b616e617269|rahasia kenanga", re.IGNORECASE)
_RUNS = re.compile(r"\d{10,}")


@dataclass
class Canaries:
    """The numbers that were sown; the names are found by their beginning."""

    numbers: set[str] = field(default_factory=lambda: {NIK, "9900011234567890"})

    def sow(self, data: Records, word: str) -> Records:
        """The same school with canaries in place of its people."""
        for entity in PERSONS:
            for number, person in enumerate(data[entity].values()):
                for name in NAMES:
                    if name in person:
                        person[name] = f"Kanari {word.title()} {'ABCDEFGHIJKLMNOPQRSTUVWXYZ'[number % 26]}"
                if entity == "ptk":
                    person |= {"email": f"kanari.{word}{number}@contoh.id", "no_hp": f"0899{number:08d}"}
                self.numbers |= {str(person[name]) for name in NUMBERS if person.get(name)}
        return data

    def seen(self, text: str | bytes) -> list[str]:
        """What of a person is in a text, a word around it each."""
        plain = text if isinstance(text, str) else text.decode("latin-1")
        found = [m[0] for m in _TOKENS.finditer(plain)]
        return found + [run for run in _RUNS.findall(plain) if any(number in run for number in self.numbers)]


@dataclass
class Heard:
    """All that came out anywhere. `events`: what was announced, raw, with its type and school; `replies`: what central
    told somebody who is not the school's; `shown`: what ops saw.
    """

    canaries: Canaries
    npsn: str
    neighbour: str
    events: list[Event[Any]] = field(default_factory=list)
    replies: list[Message] = field(default_factory=list)
    shown: dict[str, str] = field(default_factory=dict)
    codes: list[str] = field(default_factory=list)


def servers_logs(run_dir: Path) -> Iterator[tuple[str, str]]:
    """What RabbitMQ and PostgreSQL wrote, and how the processes were started."""
    for file in [*run_dir.glob("log/*"), *run_dir.glob("rabbitmq/log/*")]:
        yield str(file.relative_to(run_dir)), file.read_text(errors="replace")
