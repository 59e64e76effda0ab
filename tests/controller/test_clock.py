from __future__ import annotations

import time

import pytest

from autoscaler.controller.clock import Clock


@pytest.mark.skipif(not hasattr(time, "CLOCK_BOOTTIME"), reason="no such clock on this system")
def test_the_steady_clock_goes_on_while_the_machine_is_suspended(monkeypatch: pytest.MonkeyPatch) -> None:
    clocks = {time.CLOCK_BOOTTIME: 100.0}
    monkeypatch.setattr(time, "clock_gettime", clocks.__getitem__)
    clock = Clock(wall=lambda: clocks[time.CLOCK_BOOTTIME])
    before = clock.steady(), clock.offset
    clocks[time.CLOCK_BOOTTIME] += 3600.0  # asleep: time.monotonic() would not count it
    assert (clock.steady(), clock.offset) == (before[0] + 3600.0, before[1])
