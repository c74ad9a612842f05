"""The replica: per school its state, its records as base and data, findings, sessions and statements."""

from __future__ import annotations

from alembic import op

from services.exchange.digest import row_hash_sql
from services.intake import accounts, answers, quarantine

revision = "0001"
down_revision = None
oldest_code = "0001"

SCHOOL = """
CREATE TABLE school (
    npsn             text   PRIMARY KEY,
    nama             text   NOT NULL,
    install_id       text   NOT NULL,
    registration_no  bigint NOT NULL,
    registered_at    timestamptz NOT NULL DEFAULT now(),
    cursor           bigint NOT NULL DEFAULT 0,             -- highest seq applied
    settled          bigint NOT NULL DEFAULT 0,             -- the cursor when the last FETCH was complete
    highest_seq      bigint NOT NULL DEFAULT 0,             -- highest seq seen in any answer
    lineage          jsonb  NOT NULL DEFAULT '[]',          -- [{incarnation, head_seq}]
    marks            jsonb  NOT NULL DEFAULT '{}',          -- incarnation → last session that was gated here
    revision         bigint NOT NULL DEFAULT 0,             -- counts changes of data, conflict marks and refusals
    typed_revision   bigint NOT NULL DEFAULT 0,             -- that of the last operator's edit
    verdict_revision bigint,                                -- what the stored verdict is about
    verdict_rules    text,
    verdict_date     date,
    verdict_at       timestamptz,
    invalid          integer NOT NULL DEFAULT 0,            -- records with an invalid finding
    warning          integer NOT NULL DEFAULT 0,            -- records with warnings only
    gated_revision   bigint NOT NULL DEFAULT 0,             -- what the last gate that passed was about
    synced_revision  bigint NOT NULL DEFAULT 0,             -- the same of the last completed sync
    restoring_since  timestamptz,                           -- NULL: no restore is under way
    restoring_as_of  bigint,                                -- the seq that is being given back; NULL: not wiped yet
    restoring_life   text,                                  -- the incarnation whose seq that is
    lease_epoch      bigint  NOT NULL DEFAULT 0,            -- whose session is the current one
    lease_holder     text,
    lease_expires    timestamptz,                           -- when another may take it, nothing more
    last_sync_at     timestamptz,
    last_pull_at     timestamptz
)
"""

RECORD = f"""
CREATE TABLE record (
    npsn         text   NOT NULL,
    entity       text   NOT NULL,
    record_id    text   NOT NULL COLLATE "C",
    base_version bigint NOT NULL DEFAULT 0,                 -- 0: central has nothing under this id
    base_seq     bigint NOT NULL DEFAULT 0,
    base         text,                                      -- canonical; NULL with a version: a tombstone
    data         text,                                      -- canonical; NULL: deleted here
    is_sent      boolean NOT NULL DEFAULT false,            -- `sent` is in doubt
    sent         text,                                      -- canonical; NULL with is_sent: a delete was sent
    conflict     jsonb,                                     -- {{"fields": [...] or ["*"], "ancestor": fields or null}}
    refusal      jsonb,                                     -- central's findings with the last refusal
    changed_at   timestamptz NOT NULL DEFAULT now(),
    pending      boolean NOT NULL GENERATED ALWAYS AS
                 (data IS DISTINCT FROM base OR (is_sent AND base_version = 0 AND data IS NULL)) STORED,
    base_hash    bytea GENERATED ALWAYS AS
                 (CASE WHEN base_version > 0 THEN {row_hash_sql(version="base_version", text="base")} END) STORED,
    PRIMARY KEY (npsn, entity, record_id)
)
"""

OTHERS = (
    "CREATE INDEX record_pending ON record (npsn) WHERE pending",
    "CREATE INDEX record_sent ON record (npsn) WHERE is_sent",
    "CREATE INDEX record_conflict ON record (npsn) WHERE conflict IS NOT NULL",
    "CREATE INDEX record_refusal ON record (npsn) WHERE refusal IS NOT NULL",
    """
    CREATE TABLE finding (
        npsn      text    NOT NULL,
        ordinal   integer NOT NULL,
        rule      text    NOT NULL,
        severity  text    NOT NULL,
        entity    text    NOT NULL,
        record_id text    NOT NULL,
        field     text,
        params    jsonb   NOT NULL,
        PRIMARY KEY (npsn, ordinal)
    )
    """,
    """
    CREATE TABLE overruled (                                -- the conflict log: both values, for ever
        npsn      text   NOT NULL,
        id        bigint GENERATED ALWAYS AS IDENTITY,
        entity    text   NOT NULL,
        record_id text   NOT NULL,
        field     text   NOT NULL,
        mine      jsonb,
        theirs    jsonb,
        version   bigint NOT NULL,
        how       text   NOT NULL,                          -- overruled, decided mine, decided central
        actor     text,                                     -- who decided
        at        timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (npsn, id)
    )
    """,
    """
    CREATE TABLE session (                                  -- a request, and the session that answers it
        npsn         text   NOT NULL,
        id           text   NOT NULL,                       -- UUID, in order of asking
        kind         text   NOT NULL,
        source       text   NOT NULL,                       -- the event that asked
        event_id     text   NOT NULL,
        actor        text   NOT NULL,
        revision     bigint,                                -- of a restore: what was listed before it was asked for
        after        text[],                                -- ids of change events to be answered first
        after_until  timestamptz,                           -- and how long that is waited for
        asked_at     timestamptz NOT NULL DEFAULT now(),
        state        text   NOT NULL DEFAULT 'queued',      -- queued, exchanging, waiting_retry, ended
        not_before   timestamptz NOT NULL DEFAULT now(),
        attempt      integer NOT NULL DEFAULT 0,
        replaced       integer NOT NULL DEFAULT 0,            -- attempts that another session replaced
        epoch        bigint,
        seen_revision bigint,                               -- an edit above it is not in this session
        covered_by   text,                                  -- of a pull: the session that was verified after it came
        unreachable_since timestamptz,
        waiting      jsonb,                                 -- what people are told of its place in line
        progress     jsonb  NOT NULL DEFAULT '{}',
        started_at   timestamptz,
        ended_at     timestamptz,
        outcome      text,                                  -- completed, needs_review, refused, failed
        reason       text,
        ending       jsonb,                                 -- the announcement's data
        announced_at timestamptz,
        PRIMARY KEY (npsn, id),
        UNIQUE (npsn, source, event_id, kind)
    )
    """,
    "CREATE INDEX session_open ON session (kind, not_before) WHERE ended_at IS NULL",
    "CREATE INDEX session_open_of_school ON session (npsn, kind) WHERE ended_at IS NULL",
    "CREATE INDEX session_unannounced ON session (kind) WHERE ended_at IS NOT NULL AND announced_at IS NULL",
    """
    CREATE TABLE parked (                                   -- change events that came while the school was restored
        npsn         text   NOT NULL,
        ordinal      bigint GENERATED ALWAYS AS IDENTITY,
        source       text   NOT NULL,
        event_id     text   NOT NULL,
        content_hash bytea  NOT NULL,
        sender       text   NOT NULL,
        routing_key  text   NOT NULL,
        type         text   NOT NULL,
        data         jsonb  NOT NULL,
        parked_at    timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (npsn, ordinal),
        UNIQUE (npsn, source, event_id, content_hash)
    )
    """,
    """
    CREATE TABLE standing (                                 -- the latest session of each kind
        npsn       text NOT NULL,
        kind       text NOT NULL,
        session_id text NOT NULL,
        outcome    text NOT NULL,
        reason     text,
        ended_at   timestamptz NOT NULL,
        succeeded_at timestamptz,
        PRIMARY KEY (npsn, kind)
    )
    """,
    """
    CREATE TABLE statement (
        npsn        text   NOT NULL,
        incarnation text   NOT NULL,
        session     bigint NOT NULL,
        kind        text   NOT NULL,
        head_seq    bigint NOT NULL,
        root        text   NOT NULL,
        body        jsonb  NOT NULL,
        at          timestamptz NOT NULL DEFAULT now(),
        PRIMARY KEY (npsn, incarnation, session)
    )
    """,
)


def upgrade() -> None:
    for statement in (
        SCHOOL, RECORD, *OTHERS, accounts.SCHEMA, answers.SCHEMA, quarantine.SCHEMA, quarantine.OPEN_INDEX
    ):  # fmt: skip
        op.execute(statement)
