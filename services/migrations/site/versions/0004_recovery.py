"""What a school gives back to a central that was put back from a backup; the release before leaves both empty."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"
oldest_code = "0001"

RECOVERY = """
CREATE TABLE recovery (                                     -- under way: every session of the school is a recover
    npsn       text    PRIMARY KEY,
    life       text    NOT NULL,                            -- central's incarnation that is given to
    common     bigint  NOT NULL,                            -- the seq where the two histories part
    is_rewound boolean NOT NULL DEFAULT false,              -- every base is as of it, and the lineage is central's
    begun_at   timestamptz NOT NULL DEFAULT now()
)
"""

SET_ASIDE = """
CREATE TABLE set_aside (                                    -- bases above that seq, as they were
    npsn           text    NOT NULL,
    entity         text    NOT NULL,
    record_id      text    NOT NULL COLLATE "C",
    version        bigint  NOT NULL,
    seq            bigint  NOT NULL,
    text           text,                                    -- NULL: a tombstone
    is_rolled_back boolean NOT NULL DEFAULT false,
    is_given       boolean NOT NULL DEFAULT false,          -- central has answered
    PRIMARY KEY (npsn, entity, record_id)
)
"""


def upgrade() -> None:
    op.execute(RECOVERY)
    op.execute(SET_ASIDE)
