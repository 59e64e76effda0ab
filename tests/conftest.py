"""What holds for every test."""

import os

import pytest
from hypothesis import settings

# No deadline: a test must not fail because the machine is busy. In CI the same examples each time.
settings.register_profile("house", deadline=None, derandomize="CI" in os.environ, print_blob=True)
settings.load_profile("house")


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    """No test sees the colours, widths and completion settings of the terminal that runs it."""
    for name in (
        "FORCE_COLOR",
        "NO_COLOR",
        "CLICOLOR",
        "CLICOLOR_FORCE",
        "COLUMNS",
        "LINES",
        "_AUTOSCALE_COMPLETE",
    ):
        monkeypatch.delenv(name, raising=False)
