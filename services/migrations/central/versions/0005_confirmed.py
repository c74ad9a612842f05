"""Of each statement is kept whether it moved what readers see: so what was confirmed at any time can be told.

The release before goes on beside it: what it states meanwhile says nothing of that, and then a sync's moved it.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0003"
oldest_code = "0001"


def upgrade() -> None:
    """NULL: stated by an older release."""
    op.execute("ALTER TABLE statement ADD COLUMN confirms boolean")
