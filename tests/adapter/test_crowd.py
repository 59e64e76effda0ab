"""Thousands of connections that do nothing cost little memory, and callers are answered."""

from __future__ import annotations

from contextlib import ExitStack

import pytest

from autoscaler.adapter.connection_limits import LIMITS, RESERVED_FILES
from tests.adapter.crowd import KINDS, alone, crowd, may_open

OK = "HTTP/1.1 200 OK"
MIB = 256
MANY = 10_000
ALL = sum(limit.connections for limit in LIMITS.values()) + RESERVED_FILES


@pytest.mark.slow
def test_ten_thousand_idle_or_half_open_connections(tmp_path, record_property):
    """Fewer where ``ulimit -n`` is less; benchmarks/adapter_connections.py prints the figures."""
    count = may_open(MANY)
    record_property("connections", count)
    with alone(tmp_path) as server, ExitStack() as opened:
        for kind in KINDS:
            opened.enter_context(crowd(server.port, kind, count // len(KINDS)))
            assert server.as_the_api_server()[0] == OK, kind.__name__
            assert server.with_a_token()[0] == OK, kind.__name__
            assert server.resident() < MIB, kind.__name__
            assert server.sockets() < ALL
