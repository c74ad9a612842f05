"""Statements are signed, the row hashes under the latest are kept, and what is mended here with both values.

The release before goes on beside it: what it is told meanwhile it keeps unsigned (an empty `jws`).
"""

from __future__ import annotations

from alembic import op

revision = "0002"
down_revision = "0001"
oldest_code = "0001"

STATED = """
CREATE TABLE stated (                                       -- the row hashes under the latest statement
    npsn   text    NOT NULL,
    entity text    NOT NULL,
    rows   integer NOT NULL,
    hashes bytea   NOT NULL,                                -- 32 bytes a record, in byte order of record_id
    PRIMARY KEY (npsn, entity)
)
"""

REPAIR = """
CREATE TABLE repair (                                       -- rows that differed from central's, mended: both values
    npsn          text   NOT NULL,
    id            bigint GENERATED ALWAYS AS IDENTITY,
    entity        text   NOT NULL,
    record_id     text   NOT NULL,
    session       bigint NOT NULL,
    found_version bigint NOT NULL,                          -- the base as it was found; 0: nothing
    found_seq     bigint NOT NULL,
    found_base    text,
    found_data    text,
    version       bigint NOT NULL,                          -- as central holds it
    seq           bigint NOT NULL,
    text          text,
    at            timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (npsn, id)
)
"""


def upgrade() -> None:
    """Without a default that is computed, so no table is rewritten; `school` first, as the services lock them."""
    op.execute("ALTER TABLE school ADD COLUMN stated text")  # the signed statement whose row hashes are kept
    op.execute("ALTER TABLE statement ADD COLUMN jws text NOT NULL DEFAULT ''")  # the body, signed by central
    op.execute(STATED)
    op.execute(REPAIR)
