"""From "replicas + 1" to a ready pod, in four phases: node, image, weights, engine."""

from simulator.startup.names import load_startup
from simulator.startup.plan import Spread, StartUp

__all__ = ["Spread", "StartUp", "load_startup"]
