"""Which tables this release needs, and the newer ones on which it may run.

Tables have a revision: that of the last migration. Each migration declares `oldest_code`, the revision whose code may
still run on what it makes; `selaras migrate` leaves it in the database, for code that does not have the migration
itself. So a service knows at its start whether it fits tables of a release that came after it (docs/decisions/0019).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from services.database import Transaction

Side = Literal["site", "central"]
NEEDED: Mapping[Side, str] = {"site": "0005", "central": "0006"}
"""The newest migration of each side in this release: four digits, compared as they stand."""
VERSION_TABLE = "alembic_version"
_NOTE = re.compile(r"oldest_code=([0-9]{4})")


@dataclass(frozen=True, slots=True)
class Tables:
    """What a database has: the revision, None if it has no tables; the oldest code that may run on them, if it is
    noted there.
    """

    revision: str | None
    oldest_code: str | None = None


def note(oldest_code: str) -> str:
    """The statement that leaves `oldest_code` in the database."""
    if not re.fullmatch(r"[0-9]{4}", oldest_code):
        raise ValueError(f"a revision is four digits, not {oldest_code!r}")
    return f"COMMENT ON TABLE {VERSION_TABLE} IS 'oldest_code={oldest_code}'"


async def read(transaction: Transaction) -> Tables:
    """What the database has."""
    there = await transaction.value("SELECT to_regclass(:table) IS NOT NULL", table=VERSION_TABLE)
    if not there:
        return Tables(None)
    row = await transaction.row(
        f"""
        SELECT (SELECT max(version_num) FROM {VERSION_TABLE}) AS revision,
               obj_description(to_regclass(:table), 'pg_class') AS note
        """,  # noqa: S608  a name of ours
        table=VERSION_TABLE,
    )
    assert row is not None
    noted = _NOTE.search(row.note or "")
    return Tables(row.revision, noted[1] if noted else None)


def newer(side: Side, tables: Tables) -> bool:
    """Are they of a release after this one?"""
    return tables.revision is not None and tables.revision > NEEDED[side]


def misfit(side: Side, tables: Tables, needed: str | None = None) -> str | None:
    """Why code of this release cannot run on them, in one sentence with what to do; None: it can."""
    needed = needed or NEEDED[side]
    whose = "the site's database" if side == "site" else "central's database"
    if tables.revision is None:
        return f"In {whose} there are no tables yet: run `selaras migrate {side}`."
    if tables.revision < needed:
        return (
            f"The tables of {whose} are older than this release (revision {tables.revision}, it needs {needed}): "
            f"run `selaras migrate {side}`."
        )
    if tables.revision > needed and (tables.oldest_code is None or tables.oldest_code > needed):
        return (
            f"The tables of {whose} are of a newer release (revision {tables.revision}), on which this one (revision "
            f"{needed}) may not run: start the newer release again, or put back the backup from before its migration."
        )
    return None
