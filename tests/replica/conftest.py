"""Real servers for these tests, until tests/conftest.py brings them for all."""

from tests.validator.conftest import private, site_database, site_database_url

__all__ = ["private", "site_database", "site_database_url"]
