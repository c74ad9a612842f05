"""The running system seen from outside; see tests/e2e/conftest.py."""

from tests.e2e.conftest import make_school as make_school
from tests.e2e.conftest import school as school
from tests.e2e.conftest import stage as stage
