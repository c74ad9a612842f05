"""Why something was not done, as it travels in an answer: a code of the catalogue with its texts filled in."""

from __future__ import annotations

from services.errors import CATALOGUE
from services.messages import Problem


def problem(
    code: str, *, field: str | None = None, channel: str | None = None, detail: str = "", **params: str
) -> Problem:
    """The problem `code`. `field` and `channel` also fill `{field}` and `{channel}`; `detail` is put behind both texts.

    `detail` and `params` name fields, entities, limits and counts, never a value that somebody typed.
    """
    known = {**params, **({"field": field} if field else {}), **({"channel": channel} if channel else {})}
    explained = CATALOGUE[code]
    behind = f": {detail}" if detail else ""
    return Problem(
        code=code,
        field=field,
        text_id=explained.text("id", known) + behind,
        text_en=explained.text("en", known) + behind,
        next_id=explained.next_step("id", known),
        next_en=explained.next_step("en", known),
        channel=channel,
    )
