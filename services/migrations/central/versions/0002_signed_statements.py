"""Statements are signed, and what is mended at central is kept with both values.

The release before goes on beside it: what it states meanwhile is not signed (an empty `jws`).
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
oldest_code = "0001"

REPAIR = """
CREATE TABLE repair (                                       -- rows that a hand had altered, mended: both values
    npsn      text   NOT NULL,
    id        bigint GENERATED ALWAYS AS IDENTITY,
    entity    text   NOT NULL,
    record_id text   NOT NULL,
    session   bigint NOT NULL,
    found_version bigint,                                   -- as it was found; NULL: missing
    found_seq     bigint,
    found_text    text,
    version   bigint,                                       -- as a statement proves it; NULL: it was never there
    seq       bigint,
    text      text,
    at        timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (npsn, id)
)
"""


def upgrade() -> None:
    """An empty `jws`: not signed."""
    op.execute("ALTER TABLE statement ADD COLUMN jws text NOT NULL DEFAULT ''")  # the body, signed
    op.execute(REPAIR)
