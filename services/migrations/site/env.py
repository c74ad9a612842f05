"""Alembic's entry: see `services.migrations.environment`."""

from services.migrations.environment import run

run()
