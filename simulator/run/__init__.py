"""A run: the event loop, the scraper, the controller, and the result."""

from simulator.compiled import prefer_compiled

prefer_compiled(__path__, "run")
