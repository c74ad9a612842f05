"""The running system and schools of their own, as the tests of the whole system have them."""

from tests.e2e.conftest import make_school, school, stage

__all__ = ["make_school", "school", "stage"]
