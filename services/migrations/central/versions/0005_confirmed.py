"""Of each statement that moved what readers see is kept since when: so what was confirmed at any time can be told.

That of a sync, by its own time; that of a recover, by the time of the receipt on whose root it ended: that was signed
then, though central has forgotten it. The release before goes on beside it: what it states meanwhile says nothing of
that, and then a sync's moved it.
"""

from __future__ import annotations

from alembic import op

revision = "0005"
down_revision = "0004"
oldest_code = "0001"


def upgrade() -> None:
    """The signed text of a time; NULL: it confirmed nothing, or an older release stated it."""
    op.execute("ALTER TABLE statement ADD COLUMN confirmed_at text")
