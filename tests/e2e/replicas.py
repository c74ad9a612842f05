"""A replica copied aside and put back, and the command as people type it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from services.database import Transaction
from services.demo.stage import Stage

TABLES = ("school", "record", "finding", "statement", "stated", "answer")
"""What a copy of the replica holds of a school; requests are not put back, so that none is answered twice."""


async def _columns(transaction: Transaction, table: str) -> str:
    """The columns that can be written: not those that the database computes."""
    return str(
        await transaction.value(
            """
            SELECT string_agg(quote_ident(column_name), ', ') FROM information_schema.columns
            WHERE table_schema = 'public' AND table_name = :table AND is_generated = 'NEVER'
            """,
            table=table,
        )
    )


async def copy_aside(stage: Stage, npsn: str) -> dict[str, str]:
    """The school's rows as they are now."""
    async with stage.replica.transaction() as transaction:
        return {
            table: await transaction.value(
                f"SELECT coalesce(json_agg(t), '[]')::text FROM (SELECT * FROM {table} WHERE npsn = :npsn) t", npsn=npsn
            )
            for table in TABLES
        }


async def put_back(stage: Stage, npsn: str, copy: dict[str, str]) -> None:
    """The school's rows as they were."""
    async with stage.replica.transaction() as transaction:
        await transaction.run("SELECT 1 FROM school WHERE npsn = :npsn FOR UPDATE", npsn=npsn)
        for table, rows in copy.items():
            names = await _columns(transaction, table)
            given = f"json_populate_recordset(NULL::public.{table}, :rows)"
            await transaction.run(f"DELETE FROM {table} WHERE npsn = :npsn", npsn=npsn)
            await transaction.run(f"INSERT INTO {table} ({names}) SELECT {names} FROM {given}", rows=rows)


@dataclass(frozen=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What `--json` printed."""
        return json.loads(self.out)


async def selaras(stage: Stage, *words: str) -> Done:
    """Run the command as the site's operator does, without a terminal."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("SELARAS_")},
        **stage.stack.addresses.of_site_command(),
        "COLUMNS": "200",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "services.cli", *words, env=environment, stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(90):
            out, err = await process.communicate()
    finally:
        with suppress(ProcessLookupError):
            process.kill()
    assert process.returncode is not None
    return Done(process.returncode, out.decode(), err.decode())
