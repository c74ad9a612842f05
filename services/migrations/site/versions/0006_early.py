"""A small sync goes as a whole with its OPEN; the site keeps which OPEN that was, for it may never hear the answer."""

from __future__ import annotations

from alembic import op

revision = "0006"
down_revision = "0005"
oldest_code = "0001"


def upgrade() -> None:
    """The id of the last OPEN that carried changes; NULL: none has."""
    op.execute("ALTER TABLE school ADD COLUMN tried text")
