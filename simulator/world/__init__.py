"""The simulated cluster: replicas that start, serve, drain and end."""

from simulator.compiled import prefer_compiled

prefer_compiled(__path__, "world")
