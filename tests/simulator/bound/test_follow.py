"""From a plan to orders: rises a start-up ahead, falls when their window begins."""

import pytest

from simulator.bound.follow import orders

CASES = {
    "a rise is ordered a start-up before its window": ((1, 1, 3), 100.0, ((0.0, 1), (140.0, 3))),
    "a fall waits for its window": ((3, 1), 100.0, ((0.0, 3), (120.0, 1))),
    "nothing is removed while a rise is on its way": ((3, 1, 3), 180.0, ((0.0, 3),)),
    "a rise that is due before the beginning is there from the beginning": ((1, 2), 180.0, ((0.0, 2),)),
    "a start that takes no time": ((1, 2, 1), 0.0, ((0.0, 1), (120.0, 2), (240.0, 1))),
    "one number needs one order": ((2, 2, 2), 50.0, ((0.0, 2),)),
}


@pytest.mark.parametrize("case", CASES)
def test_orders(case):
    plan, startup_s, expected = CASES[case]
    assert orders(plan, startup_s) == expected
