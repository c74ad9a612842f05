"""A request keeps what its session is found by in logs and traces; the release before leaves both empty."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
oldest_code = "0001"


def upgrade() -> None:
    """Without a default, so no table is rewritten."""
    op.execute("ALTER TABLE session ADD COLUMN correlation text, ADD COLUMN traceparent text")
