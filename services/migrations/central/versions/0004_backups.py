"""What backups of this database were tried; the release before neither makes them by itself nor looks at it."""

from __future__ import annotations

from alembic import op

from services.backup import ledger

revision = "0004"
down_revision = "0003"
oldest_code = "0001"


def upgrade() -> None:
    """One more table."""
    op.execute(ledger.SCHEMA)
