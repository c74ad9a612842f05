"""A small sync comes as a whole with its OPEN: the site is known by that OPEN then, for it may never hear which session
it was. So this mark stands beside the one of sessions that pushed.

The release before goes on beside it, and with it: it looks at its own mark alone, which is an earlier session's, and
refuses no site that never heard. Where it registers an installation anew, the number of the registration tells that
what stands here is about another.
"""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
oldest_code = "0001"


def upgrade() -> None:
    """The last session whose changes came with its OPEN: incarnation, session, open_id, registration_no."""
    op.execute("ALTER TABLE school ADD COLUMN early jsonb")
