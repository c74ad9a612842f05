"""A life of the database knows by what it is told from another; what sites give back after a restore is kept.

The release before goes on beside it: it begins no life, and a school's lineage ends with the life that it knew.
"""

from __future__ import annotations

from alembic import op

from services.central.lives import IDENTITY

revision = "0003"
down_revision = "0002"
oldest_code = "0001"

TABLES = (
    """
    CREATE TABLE proof (                                    -- what a recover's session proves its records by
        npsn      text    PRIMARY KEY,
        session   bigint  NOT NULL,
        jws       text    NOT NULL,                         -- a statement that central signed
        parted    bigint  NOT NULL,                         -- the seq where its history and central's own part
        is_proven boolean                                   -- do the hashes make its root? NULL: more parts come
    )
    """,
    """
    CREATE TABLE proof_part (                               -- the row hashes under it
        npsn   text    NOT NULL,
        part   integer NOT NULL,
        entity text    NOT NULL,
        hashes bytea   NOT NULL,                            -- 32 bytes a record, in byte order of record_id
        PRIMARY KEY (npsn, part)
    )
    """,
    """
    CREATE TABLE given_back (                               -- what a site brought back after central was put back
        npsn        text   NOT NULL,
        id          bigint GENERATED ALWAYS AS IDENTITY,
        incarnation text   NOT NULL,                        -- the life that it was given to
        session     bigint NOT NULL,
        entity      text   NOT NULL,
        record_id   text   NOT NULL COLLATE "C",
        version     bigint NOT NULL,                        -- as the life before had it
        text        text,                                   -- NULL: a tombstone, or taken: the record has it
        outcome     text   NOT NULL,                        -- taken; moved, unproven: not; written: by an older site
        seq         bigint,                                 -- of what was taken, or written
        is_proven   boolean NOT NULL,                       -- is it under the statement `jws`?
        jws         text,
        state       text,                                   -- open, accepted, dismissed; NULL: not for officers
        decided_by  text,
        decided_at  timestamptz,
        at          timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (npsn, id),
        UNIQUE (npsn, incarnation, entity, record_id, version, outcome)
    )
    """,
    "CREATE INDEX given_back_open ON given_back (npsn) WHERE state = 'open'",
    "CREATE INDEX given_back_life ON given_back (incarnation, npsn)",
)


def upgrade() -> None:
    """Without defaults that are computed, so no table is rewritten. The present life is of the database as it is."""
    op.execute("ALTER TABLE school ADD COLUMN registered_incarnation text")  # the life that the installation is of
    op.execute("ALTER TABLE incarnation ADD COLUMN identity text")  # of the database: services/central/lives.py
    op.execute("ALTER TABLE incarnation ADD COLUMN why text")  # what was found, or who said it
    op.execute(f"UPDATE incarnation SET identity = {IDENTITY} WHERE is_current")  # noqa: S608  ours
    for statement in TABLES:
        op.execute(statement)
