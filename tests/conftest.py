"""What holds for every test."""

import logging
import os
import signal

import pytest
from hypothesis import settings

# No deadline: a test must not fail because the machine is busy. In CI the same examples each time.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")

# No test, nor a process it starts, sees the colours and widths of the terminal that runs it.
for name in ("FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "COLUMNS", "LINES"):
    os.environ.pop(name, None)

# Tests measure the Python source; the compiled modules have a test of their own (test_compiled.py).
os.environ.setdefault("AUTOSCALE_PURE", "1")


def pytest_configure():
    """A run that is told to end, as by `timeout`, ends the servers that it started."""
    signal.signal(signal.SIGTERM, lambda *_: pytest.exit("told to end", returncode=143))


@pytest.fixture(autouse=True)
def _logs_as_they_were():
    """A command that a test runs in this process sets up the logs of all others, too."""
    root, ours = logging.getLogger(), logging.getLogger("autoscaler")
    handlers, levels = root.handlers[:], (root.level, ours.level)
    yield
    root.handlers[:] = handlers
    for logger, level in zip((root, ours), levels, strict=True):
        logger.setLevel(level)


@pytest.fixture(scope="session")
def control_plane(tmp_path_factory):
    """A control plane for the whole run; each test takes namespaces of its own."""
    from tests.servers.controlplane import ControlPlane

    users = ("system:serviceaccount:kube-system:horizontal-pod-autoscaler",)
    with ControlPlane(tmp_path_factory.mktemp("control-plane"), users) as started:
        yield started
