"""Ports of the live side to the outside: narrow protocols, and the plain data that crosses them.

The controller and the adapter know these alone; ``sources`` and ``kube`` implement them, tests fake
them. Times are seconds since the epoch, on the same clock as the engine's ``now``.
"""
