"""A small sync comes as a whole with its OPEN: the school's mark is then known by that OPEN, too; the site may never
hear which session it was.

The release before goes on beside it: where it takes a batch it moves the mark and leaves these two, which are about an
earlier session and so say nothing any more.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
oldest_code = "0001"


def upgrade() -> None:
    """The last session whose changes came with its OPEN, and that OPEN's id."""
    op.execute("ALTER TABLE school ADD COLUMN early_session bigint, ADD COLUMN early_open_id text")
