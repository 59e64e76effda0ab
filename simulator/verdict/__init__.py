"""Runs held against a goal: their attainment, their unavoidable misses, and cheaper settings.

::

    unavoidable.py   misses that an idle replica would have had as well
    goal.py          one run against the goal
    fixed.py         the fewest fixed replicas that reach it: the baseline, and where runs begin
    findings.py      what in a policy kept a run from it, each with the field to change
"""
