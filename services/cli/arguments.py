"""What several commands take, each said and checked once."""

from __future__ import annotations

import re
from typing import Annotated

import typer

LARGEST = 2**63 - 1
"""The database's largest whole number."""
_NPSN = re.compile(r"[0-9]{8}|[PK][0-9]{7}|NP[0-9]{6}")
_NAME_LENGTH = 200


def _npsn(value: str | None) -> str | None:
    if value is not None and not _NPSN.fullmatch(value):
        raise typer.BadParameter(f"{value!r} is no NPSN: 8 digits, or P or K and 7 digits, or NP and 6 digits.")
    return value


def npsn_or_any(value: str) -> str:
    """A school, or `*` for all."""
    return value if value == "*" else str(_npsn(value))


def _name(value: str) -> str:
    if not 1 <= len(value) <= _NAME_LENGTH:
        raise typer.BadParameter(f"takes 1 to {_NAME_LENGTH} characters.")
    return value


Npsn = Annotated[str, typer.Argument(metavar="NPSN", help="The school's NPSN", callback=_npsn)]
OptionalNpsn = Annotated[str | None, typer.Argument(metavar="NPSN", help="The school's NPSN", callback=_npsn)]
Entity = Annotated[
    str, typer.Argument(metavar="ENTITY", help="The entity: peserta_didik, ptk … (docs/entities.md)", callback=_name)
]
RecordId = Annotated[
    str, typer.Argument(metavar="RECORD_ID", help="The record's id, a lower-case UUID", callback=_name)
]
ConflictField = Annotated[
    str, typer.Argument(metavar="FIELD", help="The field in conflict; '*' for the record as a whole", callback=_name)
]
RowId = Annotated[int, typer.Argument(metavar="ID", min=1, max=LARGEST, help="The id that `selaras dead list` shows")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on standard output")]
Wait = Annotated[
    float, typer.Option("--wait", min=0, help="Seconds to wait for the end; it goes on by itself after that")
]
By = Annotated[str, typer.Option("--actor", help="The person who does this", callback=_name)]
Code = Annotated[str, typer.Option("--code", help="The registration code that central's officer gave", callback=_name)]
