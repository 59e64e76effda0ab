"""The clairvoyant bound: the fewest replica-hours with which a known future reaches an attainment.

::

    workload.py       the requests, the servers, and which requests even an idle replica would miss
    trace_windows.py  how many requests of a window miss, by the replicas that serve it
    table.py          those of all windows, as far as the prices that are tried need them
    programme.py      the cheapest plan for a price of a miss (dynamic programming)
    follow.py         a plan replayed in full: what it really costs and misses
    miss_prices.py    which price to try next, from what earlier ones attained
    fixed_plans.py    which fixed number of replicas to try next
    search.py         the plans that reach the goal, and the frontier

It is a reference and not a proof: one routing, one resolution in time. docs/bound.md has the method.
"""
