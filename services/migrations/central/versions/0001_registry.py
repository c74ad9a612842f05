"""The registry: per school its state, its records and what superseded them, the last batch, statements."""

from __future__ import annotations

from alembic import op

from services.exchange.digest import row_hash_sql
from services.intake import accounts, answers, quarantine

revision = "0001"
down_revision = None
oldest_code = "0001"

INCARNATION = """
CREATE TABLE incarnation (                                  -- the lives of this database; the one table without npsn
    incarnation text        PRIMARY KEY,                    -- a random UUID, never used again
    begun_at    timestamptz NOT NULL DEFAULT now(),
    is_current  boolean     NOT NULL DEFAULT true
)
"""

SCHOOL = """
CREATE TABLE school (
    npsn             text   PRIMARY KEY,
    nama             text   NOT NULL,
    added_at         timestamptz NOT NULL DEFAULT now(),
    registration_code_hash bytea NOT NULL,                  -- the code itself is shown once and kept nowhere
    registration_no  bigint NOT NULL DEFAULT 0,             -- counts installations
    install_id       text,                                  -- the installation that may open sessions
    site             text,                                  -- whose users <site>-sync and <site>-pull speak for it
    registered_at    timestamptz,
    head_seq         bigint NOT NULL DEFAULT 0,             -- the highest seq given out; without holes
    confirmed_seq    bigint NOT NULL DEFAULT 0,             -- the head of the last completed sync, at first n
    delivered_seq    bigint NOT NULL DEFAULT 0,             -- the head of the last completed pull
    lineage          jsonb  NOT NULL,                       -- [{incarnation, head_seq at its start}]
    session          bigint NOT NULL DEFAULT 0,             -- counts sessions; the highest is the live one, if any is
    session_kind     text,                                  -- of the live session; NULL: none is live
    session_sender   text,                                  -- the broker user that opened it
    session_open_id  text,                                  -- the id of the message that opened it
    session_at       timestamptz,
    session_active_at timestamptz,                          -- when it was last heard of; NULL: proven equal, or none
    mark_incarnation text,                                  -- the last session that sent something
    mark_session     bigint,
    syncs            bigint NOT NULL DEFAULT 0,             -- completed
    pulls            bigint NOT NULL DEFAULT 0,
    last_sync_at     timestamptz,
    last_pull_at     timestamptz,
    unjudged_since   timestamptz                            -- records have moved since central judged; NULL: none has
)
"""

RECORD = f"""
CREATE TABLE record (
    npsn            text   NOT NULL,
    entity          text   NOT NULL,
    record_id       text   NOT NULL COLLATE "C",
    version         bigint NOT NULL,
    seq             bigint NOT NULL,
    text            text,                                   -- canonical; NULL: a tombstone
    written_by      text   NOT NULL,                        -- a site, or the officer
    written_session bigint,                                 -- the session that pushed it; NULL: central wrote it
    written_at      timestamptz NOT NULL DEFAULT now(),
    row_hash        bytea  NOT NULL GENERATED ALWAYS AS ({row_hash_sql(version="version", text="text")}) STORED,
    PRIMARY KEY (npsn, entity, record_id),
    UNIQUE (npsn, seq)
)
"""

OTHERS = (
    """
    CREATE TABLE history (                                  -- superseded versions
        npsn            text   NOT NULL,
        entity          text   NOT NULL,
        record_id       text   NOT NULL COLLATE "C",
        version         bigint NOT NULL,
        seq             bigint NOT NULL,
        superseded_seq  bigint NOT NULL,                    -- the seq of the version that came after
        text            text,
        written_by      text   NOT NULL,
        written_session bigint,
        written_at      timestamptz NOT NULL,
        PRIMARY KEY (npsn, entity, record_id, version),
        UNIQUE (npsn, seq)
    )
    """,
    "CREATE INDEX school_active ON school (session_active_at) WHERE session_active_at IS NOT NULL",
    """
    CREATE TABLE slot (                                     -- the line of those who were told to wait
        npsn       text        PRIMARY KEY,
        ordinal    bigint      GENERATED ALWAYS AS IDENTITY,
        expires_at timestamptz NOT NULL                     -- who does not come back loses the place
    )
    """,
    """
    CREATE TABLE last_batch (                               -- what the live session's last batch was answered
        npsn         text    PRIMARY KEY,
        session      bigint  NOT NULL,
        batch_no     integer NOT NULL,
        content_hash bytea   NOT NULL,
        result       jsonb   NOT NULL                       -- per change; bodies are read back from the records
    )
    """,
    """
    CREATE TABLE statement (
        npsn        text   NOT NULL,
        incarnation text   NOT NULL,
        session     bigint NOT NULL,
        head_seq    bigint NOT NULL,
        kind        text   NOT NULL,
        root        text   NOT NULL,
        body        text   NOT NULL,                        -- canonical
        at          timestamptz NOT NULL DEFAULT now(),
        ordinal     bigint NOT NULL,                        -- each names the hash of the one before
        PRIMARY KEY (npsn, incarnation, session, head_seq),
        UNIQUE (npsn, ordinal)
    )
    """,
    """
    CREATE TABLE claim (                                    -- which numbers of persons are in use where; keyed by value
        value     bytea NOT NULL,                           -- a digest of kind and number
        npsn      text  NOT NULL,
        record_id text  NOT NULL COLLATE "C",
        kind      text  NOT NULL,                           -- services/central/claims.py; it names the entity
        PRIMARY KEY (value, npsn, record_id)
    )
    """,
    """
    CREATE TABLE follow_up (                                -- a change of claims that is still to be looked into
        id         bigint      PRIMARY KEY GENERATED ALWAYS AS IDENTITY,
        npsn       text        NOT NULL,                    -- whose claims changed
        added      bytea[]     NOT NULL,
        freed      bytea[]     NOT NULL,
        entities   text[]      NOT NULL,                    -- with record_ids: persons to look at, whatever they claim
        record_ids text[]      NOT NULL,
        at         timestamptz NOT NULL DEFAULT now(),
        attempts   integer     NOT NULL DEFAULT 0,
        retry_at   timestamptz NOT NULL DEFAULT now()
    )
    """,
    """
    CREATE TABLE verdict (                                  -- validasi pusat: what all the rules say of a school
        npsn          text        PRIMARY KEY,
        seq           bigint      NOT NULL,                 -- the head that was judged
        rules_version text        NOT NULL,
        date          date        NOT NULL,
        invalid       integer     NOT NULL,                 -- records
        warning       integer     NOT NULL,
        invalid_rules jsonb       NOT NULL,                 -- {rule: findings}
        warning_rules jsonb       NOT NULL,
        at            timestamptz NOT NULL DEFAULT now()
    )
    """,
    "CREATE INDEX verdict_invalid ON verdict (npsn) WHERE invalid > 0",
)


def upgrade() -> None:
    for statement in (
        INCARNATION, "CREATE UNIQUE INDEX incarnation_current ON incarnation (is_current) WHERE is_current",
        SCHOOL, "CREATE INDEX school_unjudged ON school (unjudged_since) WHERE unjudged_since IS NOT NULL",
        RECORD, *OTHERS, accounts.SCHEMA, answers.SCHEMA, quarantine.SCHEMA, quarantine.OPEN_INDEX,
    ):  # fmt: skip
        op.execute(statement)
