"""From "replicas + 1" to a ready pod, in four phases: node, image, weights, engine."""

from simulator.compiled import prefer_compiled

prefer_compiled(__path__, "startup")
