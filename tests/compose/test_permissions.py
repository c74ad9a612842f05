"""What each broker user may do, tried on the stack's own RabbitMQ: the attacks of tests/broker, over TLS."""

from __future__ import annotations

from tests.broker.test_permissions import *
