"""The clairvoyant bound: the fewest replica-hours with which a known future reaches an attainment.

::

    workload.py       the requests, the servers, and which requests even an idle replica would miss
    trace_windows.py  how many requests of a window miss, by the replicas that serve it
    programme.py      the cheapest plan for a price of a miss (dynamic programming)
    follow.py         a plan replayed in full: what it really costs and misses
    search.py         the price that reaches the goal; fixed numbers; the frontier

It is a reference and not a proof: one routing, one resolution in time. docs/bound.md has the method.
"""
